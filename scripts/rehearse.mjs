// npm run release:rehearse: runs the steps of release.yml that do not need another machine, and prints
// a table. Nothing leaves this machine: it publishes to a registry on 127.0.0.1.
//
// Binaries of other platforms come from target/cross if `npm run build:cross` made them. Otherwise a
// placeholder is packed, only in the rehearsal's own folder.

import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { BUNDLERS, writeProgram } from "./bundlers.mjs";
import { cleanEnvironment, MANAGERS, runNode, runProgram, tryManager } from "./managers.mjs";
import { build, install, isBuilt, isInstalled, root } from "./prepare.mjs";
import { installTools, toolPath } from "./tools.mjs";
import { currentVersion, outdatedFiles, releaseNotes, tagProblem } from "./version.mjs";

// Outside the clone, whose node_modules would otherwise be found.
const folder = mkdtempSync(join(tmpdir(), "cron-session-reaper-rehearsal-"));
const version = currentVersion();
const dist = join(folder, "dist");
const npmrc = join(folder, "npmrc");
let tarballs = {};
let registry;
let server;

const steps = [
  ["versions agree", checkVersions],
  ["release notes", async () => `${releaseNotes().split("\n").length} lines of CHANGELOG.md`],
  ["dependencies", prepareDependencies, "needed"],
  ["npm ci, npm 10", () => checkLockFile("npm-10")],
  ["npm ci, npm 11", () => checkLockFile("npm-11")],
  ["build", prepareBuild, "needed"],
  ["pack nine packages", packAll, "needed"],
  ["publint", publint],
  ["are the types wrong", attw],
  ...Object.keys(MANAGERS).map((manager) => [
    `tarballs, ${manager}`,
    () => tryManager(manager, join(folder, `tarballs-${manager}`), { tarballs }),
  ]),
  ...Object.entries(BUNDLERS).map(([name, check]) => [name, () => tryBundler(check)]),
  ["npm publish in a clone", refusePublishingTheClone],
  ["local registry", startRegistry, "needed"],
  ["publish", publish, "needed"],
  ["publish again", publishAgain],
  ["dist-tags", checkDistTags],
  ...Object.keys(MANAGERS).map((manager) => [
    `registry, ${manager}`,
    () => tryManager(manager, join(folder, `registry-${manager}`), { registry, version }),
  ]),
];

let failed = false;
let stopped = false;
for (const [name, work, needed] of steps) {
  const began = performance.now();
  const { mark, detail } = stopped ? { mark: "-", detail: "not run" } : await attempt(work);
  const seconds = ((performance.now() - began) / 1000).toFixed(1).padStart(6);
  console.log(`${mark} ${name.padEnd(28)}${seconds} s  ${detail}`);
  failed ||= mark === "✗";
  stopped ||= mark === "✗" && needed !== undefined;
}
server?.kill();
if (failed) {
  console.log(`\nThe rehearsal failed. Its files are in ${folder}`);
  process.exitCode = 1;
} else {
  rmSync(folder, { recursive: true, force: true });
  console.log(`\n${steps.length} steps passed`);
}

async function attempt(work) {
  try {
    return { mark: "✓", detail: (await work()) ?? "" };
  } catch (error) {
    return { mark: "✗", detail: `FAILED\n${error.message.trimEnd()}\n` };
  }
}

async function checkVersions() {
  const outdated = outdatedFiles();
  if (outdated.length > 0) throw new Error(`outdated: ${outdated.join(", ")}`);
  const problem = tagProblem(`v${version}`);
  return problem === undefined ? version : `${version}; cannot be tagged yet: ${problem}`;
}

async function prepareDependencies() {
  const { ok, output } = isInstalled() ? { ok: true } : await install();
  if (!ok) throw new Error(output);
  await installTools();
  await runProgram("cargo", ["fetch", "--locked"], { cwd: root });
}

/** Verifies that this npm accepts the lock file. */
async function checkLockFile(npm) {
  const options = ["ci", "--dry-run", "--ignore-scripts", "--no-audit", "--no-fund"];
  await runNode(root, [toolPath(`${npm}/bin/npm-cli.js`), ...options]);
}

async function prepareBuild() {
  if (isBuilt()) return "up to date";
  const { ok, output } = await build();
  if (!ok) throw new Error(output);
  return "";
}

async function packAll() {
  // Imported late, because it needs the dependencies.
  const { pack, platforms } = await import("./packages.mjs");
  const binaries = join(folder, "binaries");
  mkdirSync(binaries);
  const placeholders = [];
  for (const { name, binary } of platforms) {
    const real = [root, join(root, "target", "cross")]
      .map((where) => join(where, binary))
      .find((path) => existsSync(path));
    if (real === undefined) {
      writeFileSync(
        join(binaries, binary),
        `A placeholder of a rehearsal, not the addon of ${name}.\n`,
      );
      placeholders.push(name);
    } else {
      copyFileSync(real, join(binaries, binary));
    }
  }
  const names = [
    ...platforms.map(({ name }) => `cron-session-reaper-${name}`),
    "cron-session-reaper",
  ];
  const repository = "git+https://example.com/rehearsal.git";
  const packed = pack(dist, { binaries, repository });
  if (packed.length !== 9) throw new Error(`packed ${packed.length} packages`);
  tarballs = Object.fromEntries(packed.map((path, index) => [names[index], path]));
  return placeholders.length > 0 ? `placeholders for ${placeholders.join(", ")}` : "all binaries";
}

async function publint() {
  const program = toolPath("publint/src/cli.js");
  await runNode(folder, [program, "run", tarballs["cron-session-reaper"], "--strict"]);
}

async function attw() {
  // Without node10, which predates `exports`. `./register` is an ECMAScript module for `--import`.
  const options = [
    "--profile",
    "node16",
    "--ignore-rules",
    "cjs-resolves-to-esm",
    "--format",
    "ascii",
  ];
  const program = toolPath("@arethetypeswrong/cli/dist/index.js");
  await runNode(folder, [program, tarballs["cron-session-reaper"], ...options]);
}

/** Runs a check of docs/bundlers.md with the package that npm 11 installed. */
async function tryBundler(check) {
  const project = join(folder, "tarballs-npm 11");
  const empty = mkdtempSync(join(folder, "empty-"));
  for (const where of [project, empty]) writeProgram(where);
  await check(project, empty, tarballs);
}

/** Verifies that a manual `npm publish` in a clone publishes nothing. */
async function refusePublishingTheClone() {
  const publishing = runNode(root, [
    toolPath("npm-11/bin/npm-cli.js"),
    "publish",
    "--fetch-retries=0",
    "--registry=http://127.0.0.1:9/",
    "--//127.0.0.1:9/:_authToken=rehearsal",
  ]);
  const refusal = await publishing.then(
    () => "it was published",
    ({ message }) => message,
  );
  if (!refusal.includes("EPRIVATE")) throw new Error(refusal);
  return "refused";
}

async function startRegistry() {
  const port = await freePort();
  registry = `http://127.0.0.1:${port}/`;
  const config = join(folder, "verdaccio.yaml");
  writeFileSync(
    config,
    `storage: ${join(folder, "storage")}
auth: { htpasswd: { file: ${join(folder, "htpasswd")} } }
packages: { "**": { access: $all, publish: $all } }
max_body_size: 100mb
log: { type: stdout, level: warn }
`,
  );
  writeFileSync(
    npmrc,
    `registry=${registry}\n//127.0.0.1:${port}/:_authToken=rehearsal\ncache=${join(folder, "npm-cache")}\n`,
  );
  const program = toolPath("verdaccio/bin/verdaccio");
  server = spawn(process.execPath, [program, "--config", config, "--listen", `127.0.0.1:${port}`], {
    cwd: folder,
    env: cleanEnvironment(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [server.stdout, server.stderr]) {
    stream.on("data", (chunk) => {
      output += chunk;
    });
  }
  while (!(await answers(`${registry}-/ping`))) {
    if (server.exitCode !== null) throw new Error(`the registry ended:\n${output}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return registry;
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

async function answers(url) {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

/** Publishes with the script that the release uses, and npm 11 as there. */
async function publish() {
  const output = await runPublish();
  const order = [...output.matchAll(/^published (\S+)/gm)].map(([, name]) => name);
  if (order.length !== 9 || order.at(-1) !== "cron-session-reaper") {
    throw new Error(`published in the wrong order: ${order.join(", ")}`);
  }
  return "the main package last";
}

async function publishAgain() {
  const output = await runPublish();
  if (output.match(/is already published/g)?.length !== 9) throw new Error(output);
  return "skips what is published";
}

function runPublish() {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(
    join(bin, "npm"),
    `#!/bin/sh\nexec "${process.execPath}" "${toolPath("npm-11/bin/npm-cli.js")}" "$@"\n`,
    { mode: 0o755 },
  );
  const env = cleanEnvironment();
  return runNode(folder, [join(root, "scripts", "publish.mjs"), dist], {
    PATH: `${bin}${delimiter}${env.PATH}`,
    npm_config_userconfig: npmrc,
  });
}

async function checkDistTags() {
  for (const name of Object.keys(tarballs)) {
    const { "dist-tags": tags } = await (await fetch(`${registry}${name}`)).json();
    if (tags[version.includes("-") ? "next" : "latest"] !== version) {
      throw new Error(`${name} has the tags ${JSON.stringify(tags)}`);
    }
  }
  return version.includes("-") ? "next" : "latest";
}
