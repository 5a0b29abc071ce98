// Installs the package with each supported package manager, in an empty folder, and sweeps once with
// what was installed.

import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { root } from "./prepare.mjs";
import { toolPath } from "./tools.mjs";

const NAME = "cron-session-reaper";
const SMOKE = join(root, "scripts", "smoke.mjs");
const NPM_OPTIONS = ["--no-audit", "--no-fund", "--loglevel=error"];

/** The package managers, by name: how each one installs, and how it runs Node.js and a command. */
export const MANAGERS = {
  "npm 10": npm("npm-10/bin/npm-cli.js"),
  "npm 11": npm("npm-11/bin/npm-cli.js"),
  pnpm: {
    install: [toolPath("pnpm/bin/pnpm.cjs"), "install", "--ignore-scripts"],
    node: [],
    command: [toolPath("pnpm/bin/pnpm.cjs"), "exec", NAME],
  },
  "Yarn PnP": {
    install: [toolPath("@yarnpkg/cli-dist/bin/yarn.js"), "install"],
    node: [toolPath("@yarnpkg/cli-dist/bin/yarn.js"), "node"],
    command: [toolPath("@yarnpkg/cli-dist/bin/yarn.js"), "run", NAME],
  },
};

function npm(path) {
  return {
    install: [toolPath(path), "install", ...NPM_OPTIONS],
    node: [],
    command: [toolPath(path), "exec", "--no", NAME, "--"],
  };
}

/**
 * Installs the package in `folder`, sweeps once, and runs the command.
 *
 * @param source.tarballs The tarballs, by package name; or
 * @param source.registry the address of a registry, with
 * @param source.version the version to install from it.
 */
export async function tryManager(manager, folder, source) {
  layOutProject(folder, source);
  const { install, node, command } = MANAGERS[manager];
  await runNode(folder, install);
  const entry = `require("node:path").dirname(require.resolve("${NAME}/package.json"))`;
  const installed = (await runNode(folder, [...node, "-p", entry])).trim().split("\n").at(-1);
  await runNode(folder, [...node, SMOKE, installed]);
  await runNode(folder, [...command, "--version"]);
}

/** Writes a project that depends on the package, from tarballs or from a registry. */
export function layOutProject(folder, { tarballs, registry, version }) {
  mkdirSync(folder, { recursive: true });
  const write = (name, text) => writeFileSync(join(folder, name), text);
  const { [NAME]: main, ...platforms } = tarballs ?? {};
  write(
    "package.json",
    JSON.stringify({
      name: "rehearsal",
      private: true,
      dependencies: { [NAME]: main ? `file:${main}` : version },
      // Without a registry, the tarballs stand for the optional dependencies.
      overrides: asFiles(platforms),
      resolutions: { ...asFiles(platforms), ...bundled() },
    }),
  );
  write(
    ".npmrc",
    `registry=${registry ?? "http://127.0.0.1:9/"}\ncache=${join(folder, "npm-cache")}\n`,
  );
  write(
    "pnpm-workspace.yaml",
    `storeDir: ${join(folder, "pnpm-store")}\nminimumReleaseAge: 0\noverrides: ${JSON.stringify(asFiles(platforms))}\n`,
  );
  // Yarn cannot skip a tarball of another platform, only a package of a registry.
  const architectures = registry
    ? {}
    : { os: ["darwin", "linux", "win32"], cpu: ["x64", "arm64"], libc: ["glibc", "musl"] };
  write(
    ".yarnrc.yml",
    `nodeLinker: pnp
enableTelemetry: false
enableGlobalCache: false
globalFolder: ${join(folder, "yarn-global")}
enableImmutableInstalls: false
enableHardenedMode: false
npmMinimalAgeGate: 0
supportedArchitectures: ${JSON.stringify(architectures)}
npmRegistryServer: "${registry ?? "http://127.0.0.1:9/"}"
unsafeHttpWhitelist: ["127.0.0.1"]
`,
  );
  write("yarn.lock", ""); // Otherwise Yarn searches for a project in the folders above.
}

/** Returns where Yarn finds the bundled packages. It ignores that they are in the tarball. */
function bundled() {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  const paths = Object.keys(packages).filter((path) => packages[path].inBundle);
  return Object.fromEntries(
    paths.map((path) => [path.split("node_modules/").at(-1), `file:${join(root, path)}`]),
  );
}

function asFiles(tarballs) {
  return Object.fromEntries(Object.entries(tarballs).map(([name, path]) => [name, `file:${path}`]));
}

/** Runs Node.js in a folder and returns what it printed. Throws with the complete output. */
export async function runNode(folder, args, env = {}) {
  return runProgram(process.execPath, args, {
    cwd: folder,
    env: { ...cleanEnvironment(), ...env },
  });
}

/** Runs a program and returns what it printed. Throws with the complete output. */
export async function runProgram(program, args, options) {
  try {
    return (await promisify(execFile)(program, args, { maxBuffer: 2 ** 27, ...options })).stdout;
  } catch ({ message, stdout = "", stderr = "" }) {
    throw new Error(`${message.split("\n")[0]}\n${stdout}${stderr}`);
  }
}

/** Returns the environment without the settings that `npm run` adds, and with this Node.js first. */
export function cleanEnvironment() {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|pnpm_|yarn_|COREPACK_|NODE_OPTIONS$|NAPI_RS_)/i.test(name),
  );
  const { PATH = "", ...env } = Object.fromEntries(own);
  return { ...env, PATH: `${dirname(process.execPath)}:${PATH}` };
}
