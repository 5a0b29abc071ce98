// npm run test:platforms [-- [--write] <platform> …]: builds the addon for other platforms, packs the
// packages, installs them and runs the whole Vitest suite with them, each with a Node.js of its platform:
// for arm64 under qemu, for musl with musl's loader, for Windows under Wine. It prints a table, and
// --write also writes its rows into docs/platforms.md.
//
// It runs on Linux, in a fresh clone, and installs everything but the emulators into target/. A missing
// emulator is reported and makes it fail, because the table is then incomplete.
//
// The public files and the binary come from the packed packages, as in release.yml; the tests and their
// scripts from this clone. Excluded tests are listed in platforms/exclusions.mjs.

import { spawn } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { buildAddon, installCompilers, must } from "./cross.mjs";
import { readMachO } from "./mach-o.mjs";
import { findNode, platformsFolder } from "./other-node.mjs";
import { exclusionOf } from "./platforms/exclusions.mjs";
import { install, isInstalled, root, run } from "./prepare.mjs";

// MSVC runs only on Windows, so the package for Windows gets a binary for windows-gnu. No emulator runs
// programs of macOS, so binaries for it are only built, and their headers are read.
const TESTED = {
  "linux-x64-gnu": {},
  "linux-arm64-gnu": {},
  "linux-x64-musl": {},
  "linux-arm64-musl": {},
  "win32-x64-msvc": { triple: "x86_64-pc-windows-gnu" },
  "darwin-x64": {},
  "darwin-arm64": {},
};

/** MACOSX_DEPLOYMENT_TARGET of a release. */
const MACOS = "11.0";

const binaries = join(platformsFolder, "binaries");
const page = join(root, "docs", "platforms.md");

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { write: { type: "boolean" } },
});
const unknown = positionals.filter((name) => !(name in TESTED));
if (unknown.length > 0) {
  console.error(`unknown platform ${unknown.join(", ")}; known: ${Object.keys(TESTED).join(", ")}`);
  process.exit(2);
}

if (!isInstalled()) {
  const { ok, output } = await install();
  if (!ok) throw new Error(output);
}
await installCompilers();
await must("cargo", ["fetch", "--locked"]);
// Imported late, because it needs the dependencies.
const { pack, platforms } = await import("./packages.mjs");

const rows = [];
for (const [name, options] of Object.entries(TESTED)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const platform = platforms.find((one) => one.name === name);
  const began = performance.now();
  const row = await attempt(() => testPlatform({ ...platform, ...options }));
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  rows.push({ name, ...row });
  console.log(`${name}: ${inWords(row)}, in ${seconds} s`);
}
console.log(`\n${table(rows)}`);
if (rows.some(({ problem }) => problem !== undefined)) {
  process.exitCode = 1;
} else if (values.write) {
  record(table(rows));
}

/** Writes the rows of a table into docs/platforms.md, where rows of other platforms remain. */
function record(text) {
  const [begin, end] = ["<!-- test:platforms -->\n", "<!-- /test:platforms -->"];
  const [before, rest] = readFileSync(page, "utf8").split(begin);
  const [old, after] = rest.split(end);
  const nameOf = (line) => line.split(" ")[1];
  const lines = [...old.split("\n"), ...text.split("\n")].map((line) => [nameOf(line), line]);
  const byName = Object.fromEntries(lines);
  const names = ["platform", "---", ...Object.keys(TESTED)].filter((name) => name in byName);
  const recorded = names.map((name) => `${byName[name]}\n`).join("");
  writeFileSync(page, `${before}${begin}${recorded}${end}${after}`);
}

/** Returns the result of one platform; `problem` is why it failed or was not run. */
async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    console.log(error.message.trimEnd());
    return { problem: "failed" };
  }
}

async function testPlatform(platform) {
  const { name, triple, libc } = platform;
  const built = triple;
  const node = platform.platform === "darwin" ? undefined : await findNode(platform);
  const addon = await buildAddon(platform, join(binaries, name));
  if (node === undefined) return { built, node: checkMachO(addon, platform) };
  if (node.missing) return { built, problem: `not run: ${node.missing}` };

  const folder = join(platformsFolder, name);
  const suite = join(folder, "suite");
  rmSync(suite, { recursive: true, force: true });
  const target = [
    `--os=${platform.platform}`,
    `--cpu=${platform.arch}`,
    ...(libc ? [`--libc=${libc}`] : []),
  ];
  const installed = await installPackages(platform, folder, target);
  const environment = { TEST_PLATFORM: name };
  const smoke = await run(
    node.program,
    [join(root, "scripts", "smoke.mjs"), installed],
    environment,
  );
  if (!smoke.ok)
    throw new Error(`${name}: a sweep with the installed package failed:\n${smoke.output}`);
  await layOutSuite(platform, { suite, installed, target });

  const log = join(folder, "output.txt");
  const args = [
    "node_modules/vitest/vitest.mjs",
    "run",
    "--config=scripts/platforms/vitest.config.mjs",
  ];
  const reporters = ["--reporter=default", "--reporter=json", "--outputFile=report.json"];
  await runInto(log, suite, node.program, [...args, ...reporters], environment);
  const counts = count(name, join(suite, "report.json"));
  if (counts.failed > 0) {
    counts.problem = `${counts.failed} failed`;
    console.log(readFileSync(log, "utf8").trimEnd());
  }
  return { built, node: node.version, ...counts };
}

/** Checks the headers of a binary for macOS, and returns the result in words. */
function checkMachO(addon, { arch }) {
  const found = readMachO(addon);
  const expected = { arch, minimumVersion: MACOS, installName: "@rpath/cron-session-reaper.node" };
  for (const [key, value] of Object.entries(expected)) {
    if (found[key] !== value) throw new Error(`${addon}: ${key} is ${found[key]}, not ${value}`);
  }
  if (!found.exports.includes("_napi_register_module_v1")) {
    throw new Error(`${addon} does not export _napi_register_module_v1`);
  }
  return `not run; for macOS ${MACOS} or later`;
}

/** Packs the packages, installs them in an empty folder as npm does on the platform. */
async function installPackages({ name }, folder, target) {
  const tarballs = join(folder, "tarballs");
  const installed = join(folder, "installed");
  for (const path of [tarballs, installed]) rmSync(path, { recursive: true, force: true });
  const packed = pack(tarballs, { binaries: join(binaries, name), some: true });
  mkdirSync(installed);
  writeFileSync(join(installed, "package.json"), "{}\n");
  // --force, because npm does not install a package for another platform by its path without it.
  const options = ["--force", "--offline", "--no-audit", "--no-fund", "--ignore-scripts"];
  await must("npm", ["install", "--prefix", installed, ...target, ...options, ...packed]);
  return join(installed, "node_modules", "cron-session-reaper");
}

/** Copies this clone, installs its dependencies for the platform, and replaces the public files. */
async function layOutSuite({ name, binary }, { suite, installed, target }) {
  const files = (
    await must("git", ["ls-files", "--cached", "--others", "--exclude-standard"])
  ).trim();
  for (const file of files.split("\n")) {
    mkdirSync(dirname(join(suite, file)), { recursive: true });
    copyFileSync(join(root, file), join(suite, file));
  }
  // A test lists the files of the repository.
  await must("git", ["-C", suite, "init", "--quiet"]);
  await must("git", ["-C", suite, "add", "--all"]);
  const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"];
  await must("npm", ["ci", "--prefix", suite, ...target, ...options]);
  // package.json has the scripts and the versions of the tools, which tests of the scripts read.
  const isCopied = (path) =>
    !["package.json", "node_modules"].includes(path.slice(installed.length + 1));
  for (const path of ["swap-in", "cli"]) rmSync(join(suite, path), { recursive: true });
  cpSync(installed, suite, { recursive: true, filter: isCopied });
  copyFileSync(join(`${installed}-${name}`, binary), join(suite, binary));
}

/** Runs a program in a folder, with its output in a file. */
function runInto(path, cwd, program, args, env) {
  const file = openSync(path, "w");
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", file, file],
    });
    closeSync(file);
    child.on("error", reject).on("close", resolve);
  });
}

/** Counts the tests in Vitest's report. */
function count(platform, report) {
  const { testResults, success } = JSON.parse(readFileSync(report, "utf8"));
  const counts = { passed: 0, failed: 0, skipped: 0, excluded: 0 };
  for (const { name: path, assertionResults, status } of testResults) {
    const file = path.split(/[\\/]/).at(-1);
    for (const { ancestorTitles, title, status } of assertionResults) {
      const reason = exclusionOf(platform, file, [...ancestorTitles, title].join(" > "));
      if (reason !== undefined) {
        counts.excluded++;
      } else if (status === "passed" || status === "failed") {
        counts[status]++;
      } else {
        counts.skipped++;
      }
    }
    // A file that cannot be loaded has no tests.
    if (status === "failed" && assertionResults.every(({ status }) => status !== "failed"))
      counts.failed++;
  }
  if (!success) counts.failed = Math.max(counts.failed, 1);
  return counts;
}

function inWords({ problem, node, passed, failed, skipped, excluded }) {
  if (passed === undefined) return problem ?? node;
  return `${passed} passed, ${failed} failed, ${skipped} skipped, ${excluded} excluded`;
}

function table(rows) {
  const head = ["platform", "built for", "Node.js", "passed", "failed", "skipped", "excluded"];
  const lines = rows.map(
    ({ name, built = "", node, problem, passed, failed, skipped, excluded }) => [
      name,
      built,
      node ?? problem,
      passed ?? "",
      failed ?? "",
      skipped ?? "",
      excluded ?? "",
    ],
  );
  return [head, head.map(() => "---"), ...lines]
    .map((line) => `| ${line.join(" | ")} |`)
    .join("\n");
}
