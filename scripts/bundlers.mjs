// What docs/bundlers.md says of each bundler, runtime and option, as a check of the installed package.

import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { layOutProject, MANAGERS, runNode, runProgram } from "./managers.mjs";
import { root } from "./prepare.mjs";
import { toolPath } from "./tools.mjs";

const NAME = "cron-session-reaper";
const SMOKE = join(root, "scripts", "smoke.mjs");
const OUTPUT = "5400000\n";
const PROGRAM = `const { resolveRetentionMs } = require("${NAME}");
console.log(resolveRetentionMs({ sessionRetention: "1h30m" }));
`;

/**
 * The checks, by the name that docs/bundlers.md uses. Each receives a folder with the package in
 * node_modules and a program, and an empty folder outside it; and the tarballs.
 */
export const BUNDLERS = {
  esbuild: async (project, empty) => {
    const bundle = (...options) =>
      runNode(project, [
        toolPath("esbuild/bin/esbuild"),
        "./program.cjs",
        "--bundle",
        "--platform=node",
        "--log-level=error",
        ...options,
      ]);
    await bundle(`--external:${NAME}`, "--outfile=external.cjs");
    await expectOutput(project, ["external.cjs"]);
    await expectFailure(bundle("--outfile=no.cjs"), 'No loader is configured for ".node" files');
    await bundle("--loader:.node=copy", `--outdir=${empty}`, "--out-extension:.js=.cjs");
    await expectOutput(empty, ["program.cjs"]);
  },

  webpack: async (project) => {
    const config = {
      mode: "production",
      target: "node",
      entry: "./program.cjs",
      output: { path: project, filename: "webpacked.cjs" },
      externals: { [NAME]: `commonjs ${NAME}` },
    };
    const build = `require(${JSON.stringify(toolPath("webpack"))})(${JSON.stringify(config)}, (error, stats) => {
      if (error ?? stats.hasErrors()) throw error ?? new Error(stats.toString());
    })`;
    await runNode(project, ["-e", build]);
    await expectOutput(project, ["webpacked.cjs"]);
  },

  ncc: async (project, empty) => {
    const program = toolPath("@vercel/ncc/dist/ncc/cli.js");
    await runNode(project, [program, "build", "program.cjs", "--out", empty]);
    const [bundle] = readdirSync(empty).filter((file) => /^index\.c?js$/.test(file));
    await expectOutput(empty, [bundle]);
  },

  Bun: async (project) => {
    const program = toolPath(`@oven/bun-${process.platform}-${process.arch}/bin/bun`);
    await runProgram(program, [SMOKE, join(project, "node_modules", NAME)], { cwd: project });
  },

  Deno: async (project) => {
    const suffix = process.platform === "linux" ? "-glibc" : "";
    const program = toolPath(`@deno/${process.platform}-${process.arch}${suffix}/deno`);
    const deno = (...args) =>
      runProgram(program, ["run", "--no-prompt", ...args], { cwd: project });
    const allowed = ["--allow-read", "--allow-env", "--allow-sys"];
    const sweep = [SMOKE, join(project, "node_modules", NAME)];
    await deno(...allowed, "--allow-ffi", "--allow-write", ...sweep);
    await expectFailure(deno(...allowed, ...sweep), "Start it with --allow-ffi");
  },

  "`--permission`": async (project) => {
    const flag = ["--permission", "--experimental-permission"].find((name) =>
      process.allowedNodeEnvironmentFlags.has(name),
    );
    const allowed = [flag, `--allow-fs-read=${project}/*`];
    await expectOutput(project, [...allowed, "--allow-addons", "program.cjs"]);
    await expectFailure(runNode(project, [...allowed, "program.cjs"]), "add --allow-addons");
  },

  "`--omit=optional`": async (_, empty, tarballs) => {
    await installWith(empty, tarballs, "--omit=optional");
    await expectFailure(runNode(empty, ["program.cjs"]), "is not installed. Install again");
  },

  "`--os`, `--cpu`, `--libc`": async (_, empty, tarballs) => {
    await installWith(empty, tarballs, "--os=linux", "--cpu=arm64", "--libc=musl");
    const installed = readdirSync(join(empty, "node_modules")).filter((name) =>
      name.startsWith(NAME),
    );
    if (installed.join() !== `${NAME},${NAME}-linux-arm64-musl`) throw new Error(installed.join());
  },
};

/** Writes the program that the checks bundle or run. */
export function writeProgram(folder) {
  writeFileSync(join(folder, "program.cjs"), PROGRAM);
  if (!existsSync(join(folder, "package.json"))) writeFileSync(join(folder, "package.json"), "{}");
}

async function installWith(folder, tarballs, ...options) {
  layOutProject(folder, { tarballs });
  await runNode(folder, [...MANAGERS["npm 11"].install, ...options]);
}

async function expectOutput(folder, args) {
  const output = await runNode(folder, args);
  if (output !== OUTPUT) throw new Error(`${args.join(" ")} printed ${output}`);
}

async function expectFailure(running, message) {
  const failure = await running.then(
    (output) => `it succeeded: ${output}`,
    (error) => error.message,
  );
  if (!failure.includes(message))
    throw new Error(`expected a failure with "${message}":\n${failure}`);
}
