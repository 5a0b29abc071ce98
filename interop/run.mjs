// Tests the package against published gateways. Usage:
//
//   npm run test:gateway -- [--quick] [--versions 2026.3.2,…] [--only <check>,…] [--cases N] [--seed N]
//                           [--lock-seconds N]
//   npm run test:gateway -- --readme
//
// Checks: differential, locks, types, process, migrate, swap-in, queue, next-read. Each version is installed
// once, in CRON_SESSION_REAPER_GATEWAYS or in the temporary folder. --quick runs few cases of each check in
// some minutes, without `process` and `migrate`. --readme runs the command of README's section on a gateway
// from npm instead. Any difference sets a non-zero exit code.

import { execFile } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import {
  gatewayNode,
  gatewayPackage,
  QUEUED_VERSIONS,
  UNSUPPORTED_VERSIONS,
  VERSIONS,
} from "./gateway.mjs";
import { shareLocks } from "./locks/share.mjs";
import { checkMigrated } from "./migrate/check.mjs";
import { checkNextRead } from "./next-read/check.mjs";
import { followReadme, startGateway } from "./process/start.mjs";
import { checkQueue } from "./queue/check.mjs";
import { checkSwapIn, checkUnsupported } from "./swap-in/check.mjs";
import { checkTypes } from "./types/check.mjs";

// One version before and one after each change of the cron service or of the store.
const STARTED = ["2026.3.2", "2026.4.15", "2026.5.7", "2026.6.11", "2026.7.35"];

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    versions: {
      type: "string",
      default: [...VERSIONS, ...QUEUED_VERSIONS, ...UNSUPPORTED_VERSIONS].join(","),
    },
    cases: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
    "lock-seconds": { type: "string" },
    only: { type: "string" },
    readme: { type: "boolean", default: false },
  },
});
const cases = values.cases ?? (values.quick ? "150" : "3500");
const lockSeconds = Number(values["lock-seconds"] ?? (values.quick ? 5 : 120));
const parts =
  values.only ??
  `differential,locks,types${values.quick ? "" : ",process,migrate"},swap-in,queue,next-read`;
const QUEUE_UPDATES = values.quick ? 400 : 2000;
const NEXT_READ_MEGABYTES = values.quick ? [20] : [20, 58, 121];

const COMPARE = path.join(
  path.dirname(fileURLToPath(import.meta.url)),
  "differential",
  "compare.mjs",
);

const CHECKS = {
  types: async (version) => {
    const { compared, problems } = checkTypes(version);
    return { detail: compared, problems };
  },

  differential: async (version) => {
    const { stdout } = await promisify(execFile)(
      gatewayNode(),
      [COMPARE, version, values.seed, cases],
      { maxBuffer: 64 << 20 },
    );
    const { cases: done, sweeps, rules, failures } = JSON.parse(stdout.trim().split("\n").at(-1));
    console.log(
      `  ${done} cases from seed ${values.seed}, ${sweeps} sweeps; deliberate differences applied:`,
    );
    for (const [rule, count] of Object.entries(rules).sort())
      console.log(`    ${String(count).padStart(6)}  ${rule}`);
    return {
      detail: `${done} cases`,
      problems: failures.flatMap((failure) =>
        failure.found.map((text) => `${failure.case}: ${text}`),
      ),
    };
  },

  locks: async (version) => {
    const { problems, ...counts } = await shareLocks(version, lockSeconds);
    console.log(
      `  ${counts.updates} updates, ${counts.sweeps} sweeps, ${counts.pruned} pruned; longest wait of a writer ${counts.longestWaitMs} ms (without sweeps ${counts.longestWaitAloneMs} ms), of a sweep ${counts.longestSweepMs} ms`,
    );
    return { detail: `${counts.updates} updates, waited ≤ ${counts.longestWaitMs} ms`, problems };
  },

  process: async (version) => {
    if (!STARTED.includes(version)) return { detail: null, problems: [] };
    const { problems, ...reapers } = await startGateway(version);
    if (problems.length > 0) return { detail: null, problems };
    for (const [reaper, { bytes, stallMs, noiseMs, sweepMs }] of Object.entries(reapers))
      console.log(
        `  ${reaper}: a store of ${Math.round(bytes / 1e6)} MB swept in ${sweepMs} ms, slowest answer ${stallMs} ms, without a sweep ${noiseMs} ms`,
      );
    const { native, own, repaired } = reapers;
    const without = repaired ? ` (${repaired.stallMs} ms without its events)` : "";
    return {
      detail: `answers ≤ ${native.stallMs} ms, without a sweep ≤ ${native.noiseMs} ms, its own reaper ≤ ${own.stallMs} ms${without}`,
      problems,
    };
  },

  queue: async (version) => {
    if (!QUEUED_VERSIONS.includes(version)) return { detail: null, problems: [] };
    const { inside, outside, problems } = await checkQueue(version, QUEUE_UPDATES);
    const ms = (value) => value?.toFixed(1);
    console.log(
      `  ${inside.updates} updates, ${inside.sweeps} sweeps, ${inside.pruned} pruned, ${inside.reads} reads, cache corrected ${inside.corrected} times; outside the queue ${outside.resurrected} reappeared rows`,
    );
    const hold = `held ${ms(inside.holdMedianMs)} ms, at most ${ms(inside.holdMaxMs)} ms`;
    return { detail: `${inside.updates} updates, ${hold}`, problems };
  },

  "next-read": async (version) => {
    if (!QUEUED_VERSIONS.includes(version)) return { detail: null, problems: [] };
    const { rows, problems } = await checkNextRead(version, NEXT_READ_MEGABYTES, 3);
    const ms = (value) => `${Math.round(value)} ms`;
    for (const { megabytes, read, native, own } of rows)
      console.log(`  ${megabytes} MB, ${read}: ${ms(native)}, its own reaper ${ms(own)}`);
    const most = (reaper) => ms(Math.max(...rows.map((row) => row[reaper])));
    const size = Math.max(...NEXT_READ_MEGABYTES);
    return {
      detail: `≤ ${most("native")} up to ${size} MB, its own reaper ≤ ${most("own")}`,
      problems,
    };
  },

  migrate: async (version) => {
    const { files, classes, deleted, announcedBytes, freedBytes, sessions, problems } =
      await checkMigrated(version);
    console.log(
      `  ${files} files in ${classes} classes, ${deleted} files with ${announcedBytes} bytes announced, ${freedBytes} bytes freed, ${sessions} listed sessions before and after`,
    );
    return { detail: `${files} files, ${classes} classes, ${freedBytes} bytes freed`, problems };
  },

  "swap-in": async (version) => {
    const isSupported = !UNSUPPORTED_VERSIONS.includes(version);
    const { files, problems } = isSupported ? checkSwapIn(version) : checkUnsupported(version);
    const detail = `${files} file${files > 1 ? "s" : ""}`;
    return { detail: isSupported ? detail : `not replaced, one line, ${detail}`, problems };
  },
};

/** Returns whether a check does not apply to a version. */
const isSkipped = (version, check) =>
  UNSUPPORTED_VERSIONS.includes(version)
    ? !["swap-in", "migrate"].includes(check)
    : check === "migrate" || (QUEUED_VERSIONS.includes(version) && check === "locks");

function printProblems(problems) {
  for (const problem of problems) console.log(`  DIFFERS ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
}

async function checkReadme() {
  const { command, bytes, slowestMs, problems } = await followReadme(QUEUED_VERSIONS.at(-1));
  console.log(command);
  printProblems(problems);
  if (problems.length === 0)
    console.log(`  swept ${Math.round(bytes / 1e6)} MB, slowest answer ${slowestMs} ms`);
}

/** Returns the result of a check. An exception is a difference. */
async function resultOf(version, check) {
  if (isSkipped(version, check)) return { detail: null, problems: [] };
  try {
    return await CHECKS[check](version);
  } catch (error) {
    return { detail: null, problems: [error.message] };
  }
}

async function checkVersions() {
  const checks = parts.split(",");
  const table = [];
  for (const version of values.versions.split(",")) {
    if (checks.every((check) => isSkipped(version, check))) continue;
    gatewayPackage(version);
    const row = { version };
    for (const check of checks) {
      console.log(`${version} ${check}`);
      const { detail, problems } = await resultOf(version, check);
      row[check] = problems.length > 0 ? "NO" : detail === null ? "–" : `yes (${detail})`;
      printProblems(problems);
    }
    table.push(row);
  }

  console.log(`\n| gateway | ${checks.join(" | ")} |\n|${" --- |".repeat(checks.length + 1)}`);
  for (const row of table)
    console.log(`| ${row.version} | ${checks.map((check) => row[check]).join(" | ")} |`);
}

await (values.readme ? checkReadme() : checkVersions());
