// Tests the package against published gateways. Usage:
//
//   npm run test:gateway -- [--quick] [--versions 2026.3.2,…] [--only differential,locks,types,process,swap-in,queue]
//                           [--cases N] [--seed N] [--lock-seconds N]
//
// Each version is installed once, in CRON_SESSION_REAPER_GATEWAYS or in the temporary folder. --quick runs
// few cases of each check in some minutes, without `process`. Any difference sets a non-zero exit code.

import { execFile } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { gatewayNode, gatewayPackage, QUEUED_VERSIONS, VERSIONS } from "./gateway.mjs";
import { shareLocks } from "./locks/share.mjs";
import { startGateway } from "./process/start.mjs";
import { checkQueue } from "./queue/check.mjs";
import { checkSwapIn } from "./swap-in/check.mjs";
import { checkTypes } from "./types/check.mjs";

// One version before and one after the change of the cron service.
const STARTED = ["2026.3.2", "2026.4.15"];

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    versions: { type: "string", default: [...VERSIONS, ...QUEUED_VERSIONS].join(",") },
    cases: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
    "lock-seconds": { type: "string" },
    only: { type: "string" },
  },
});
const cases = values.cases ?? (values.quick ? "150" : "3500");
const lockSeconds = Number(values["lock-seconds"] ?? (values.quick ? 5 : 120));
const parts =
  values.only ?? `differential,locks,types${values.quick ? "" : ",process"},swap-in,queue`;
const QUEUE_UPDATES = values.quick ? 400 : 2000;

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
    const { native, own, problems } = await startGateway(version);
    if (problems.length === 0)
      for (const [reaper, { bytes, stallMs, sweepMs }] of Object.entries({ native, own }))
        console.log(
          `  ${reaper}: a store of ${Math.round(bytes / 1e6)} MB swept in ${sweepMs} ms, longest stall ${stallMs} ms`,
        );
    return { detail: `stall ${native.stallMs} ms, its own reaper ${own.stallMs} ms`, problems };
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

  "swap-in": async (version) => {
    const { files, problems } = checkSwapIn(version);
    return { detail: `${files} file${files > 1 ? "s" : ""}`, problems };
  },
};

/** The checks that gateways with a write queue do not have. */
const LOCKED_ONLY = new Set(["locks", "process"]);

const checks = parts.split(",");
const table = [];
for (const version of values.versions.split(",")) {
  gatewayPackage(version);
  const row = { version };
  for (const check of checks) {
    console.log(`${version} ${check}`);
    const isSkipped = QUEUED_VERSIONS.includes(version) && LOCKED_ONLY.has(check);
    const { detail, problems } = isSkipped
      ? { detail: null, problems: [] }
      : await CHECKS[check](version);
    row[check] = problems.length > 0 ? "NO" : detail === null ? "–" : `yes (${detail})`;
    for (const problem of problems) console.log(`  DIFFERS ${problem}`);
    if (problems.length > 0) process.exitCode = 1;
  }
  table.push(row);
}

console.log(`\n| gateway | ${checks.join(" | ")} |\n|${" --- |".repeat(checks.length + 1)}`);
for (const row of table)
  console.log(`| ${row.version} | ${checks.map((check) => row[check]).join(" | ")} |`);
