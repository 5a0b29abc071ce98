// npm test: runs every check that one machine can run. The workflows also check other platforms, the
// dependencies and the workflows themselves. It works in a fresh clone and needs only Node.js and
// Rust. Every step runs, even if an earlier one failed. The last line is the sum over all steps; a
// step that has no test count counts as one test.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build, install, isInstalled, root, run } from "./prepare.mjs";

const PASSED = { passed: 1, failed: 0, skipped: 0 };
const FAILED = { passed: 0, failed: 1, skipped: 0 };
const SKIPPED = { passed: 0, failed: 0, skipped: 1 };

// Quiet, because a line for every compiled crate would hide the failures.
const CARGO = { CARGO_TERM_QUIET: "true", RUSTDOCFLAGS: "-D warnings" };

const steps = [
  ["dependencies", async () => (isInstalled() ? PASSED : check(await install()))],
  ["build", buildAndCompare],
  ["cargo fmt", () => cargo("fmt", "--all", "--check")],
  [
    "cargo clippy",
    () => cargo("clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"),
  ],
  ["cargo doc", () => cargo("doc", "--locked", "--no-deps")],
  ["cargo test", rustTests],
  [
    "biome",
    () => tool("@biomejs/biome/bin/biome", "ci", "--colors=off", "--error-on-warnings", "."),
  ],
  ["tsc", () => tool("typescript/bin/tsc")],
  ["tsc, as the gateway", () => tool("typescript/bin/tsc", "--project", "__test__/types/gateway")],
  ["typedoc", () => tool("typedoc/bin/typedoc", "--options", "typedoc.json", "--emit", "none")],
  ["fault campaigns, short", faultCampaigns],
  ["planted faults, short", plantedFaults],
  [`vitest, Node.js ${process.versions.node}`, () => vitest(process.execPath)],
  ...otherNodes().map((version) => [`vitest, Node.js ${version}`, () => vitestUnder(version)]),
];

const total = { passed: 0, failed: 0, skipped: 0 };
const began = performance.now();
for (const [name, work] of steps) {
  const stepBegan = performance.now();
  const { passed, failed, skipped, output } = await work();
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;

  if (output && (failed > 0 || passed === 0)) {
    console.log(`\n${output.trimEnd()}\n`);
  }
  const seconds = ((performance.now() - stepBegan) / 1000).toFixed(1).padStart(6);
  console.log(
    `${failed > 0 ? "✗" : "✓"} ${name.padEnd(24)}${seconds} s  ${counts(failed, passed, skipped)}`,
  );
}
console.log(`\nin ${((performance.now() - began) / 1000).toFixed(0)} s`);
console.log(counts(total.failed, total.passed, total.skipped));
process.exitCode = total.failed > 0 ? 1 : 0;

function counts(failed, passed, skipped) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

function check({ ok, output }) {
  return { ...(ok ? PASSED : FAILED), output };
}

async function cargo(...args) {
  return check(await run("cargo", args, CARGO));
}

async function tool(path, ...args) {
  return check(await run(process.execPath, [join("node_modules", path), ...args]));
}

/** Builds the addon, and checks that the committed generated files do not change with the build. */
async function buildAndCompare() {
  const generated = ["binding.js", "binding.d.ts"];
  const before = generated.map(contents);
  const { ok, output } = await build();
  if (!ok) {
    return { ...FAILED, output };
  }
  const drifted = generated.filter((name, index) => contents(name) !== before[index]);
  return drifted.length === 0
    ? PASSED
    : { ...FAILED, output: `the build changed ${drifted.join(" and ")}: commit the change` };
}

function contents(name) {
  try {
    return readFileSync(resolve(root, name), "utf8");
  } catch {
    return "";
  }
}

async function rustTests() {
  const { ok, output } = await run("cargo", ["test", "--locked", "--no-fail-fast"], CARGO);
  const sum = { passed: 0, failed: 0, skipped: 0, output };
  const results = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm;
  for (const [, passed, failed, ignored] of output.matchAll(results)) {
    sum.passed += Number(passed);
    sum.failed += Number(failed);
    sum.skipped += Number(ignored);
  }
  // Tests that do not compile, or that end the process, print no count.
  sum.failed = ok ? sum.failed : Math.max(sum.failed, 1);
  return sum;
}

/** Counts each figure as one test: reached, violated, or skipped on this machine. */
async function faultCampaigns() {
  const { ok, output } = await run(process.execPath, ["faults/run.mjs", "--short"]);
  const figures = (verdict) => output.split("\n").filter((line) => verdict.test(line)).length;
  const failed = figures(/ VIOLATED/);
  return {
    passed: figures(/ ok$/),
    failed: ok ? failed : Math.max(failed, 1),
    skipped: figures(/ SKIPPED: /),
    output,
  };
}

/** Shows that two campaigns detect planted faults. Each fault that is detected counts as one test. */
async function plantedFaults() {
  const bite = ["faults/run.mjs", "--bite", "errno", "crash-states"];
  const { ok, output } = await run(process.execPath, bite);
  const lines = output.split("\n");
  const failed = lines.filter((line) => line.includes(" NOT CAUGHT")).length;
  return {
    passed: lines.filter((line) => / caught: /.test(line)).length,
    failed: ok ? failed : Math.max(failed, 1),
    skipped: lines.filter((line) => line.includes(" SKIPPED: ")).length,
    output,
  };
}

async function vitest(node) {
  const folder = mkdtempSync(join(tmpdir(), "cron-session-reaper-results-"));
  const report = join(folder, "report.json");
  try {
    const { ok, output } = await run(node, [
      "node_modules/vitest/vitest.mjs",
      "run",
      "--reporter=default",
      "--reporter=json",
      `--outputFile=${report}`,
    ]);
    const json = JSON.parse(contents(report) || "{}");
    const { numPassedTests = 0, numFailedTests = 0, numPendingTests = 0 } = json;
    return {
      passed: numPassedTests,
      // A file that cannot be loaded reports no failed test.
      failed: ok ? numFailedTests : Math.max(numFailedTests, 1),
      skipped: numPendingTests,
      output,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns one pinned version for each other supported major version of Node.js. */
function otherNodes() {
  const majorOf = (version) => version.split(".")[0];
  return ["20.20.2", "22.23.3", "24.9.0"].filter(
    (version) => majorOf(version) !== majorOf(process.versions.node),
  );
}

/** Runs Vitest under another version of Node.js, which is installed from npm once. */
async function vitestUnder(version) {
  const name = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;
  // Not in node_modules, which `npm ci` deletes.
  const prefix = join("target", `node-${version}`);
  const node = join(root, prefix, "node_modules", name, "bin", "node");
  if (!(await run(node, ["--version"])).ok) {
    const options = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];
    const fetched = await run("npm", [
      "install",
      "--prefix",
      prefix,
      ...options,
      `${name}@${version}`,
    ]);
    if (!fetched.ok) {
      return {
        ...SKIPPED,
        output: `cannot install Node.js ${version} from npm:\n${fetched.output}`,
      };
    }
  }
  return vitest(node);
}
