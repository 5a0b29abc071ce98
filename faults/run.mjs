// npm run test:faults: runs the campaigns of RELIABILITY.md and prints one line per figure.
//
//   node faults/run.mjs              the long form, which reaches the required figures; without mutants
//   node faults/run.mjs --short      a short form of each, for daily use
//   node faults/run.mjs --bite       shows that each campaign detects a planted fault
//   node faults/run.mjs kill errno   these campaigns only

import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import * as capabilities from "./capabilities.mjs";
import * as crashStates from "./crash-states.mjs";
import * as errno from "./errno.mjs";
import * as freeze from "./freeze.mjs";
import * as fullDisk from "./full-disk.mjs";
import * as fuzz from "./fuzz.mjs";
import * as hostile from "./hostile.mjs";
import * as kill from "./kill.mjs";
import * as mutation from "./mutation.mjs";
import * as powerCut from "./power-cut.mjs";
import * as rights from "./rights.mjs";
import { scratch } from "./store.mjs";
import { anyViolation, skipped } from "./table.mjs";
import * as tests from "./tests.mjs";
import * as unlockedWriter from "./unlocked-writer.mjs";

const CAMPAIGNS = [
  kill,
  errno,
  capabilities,
  fullDisk,
  powerCut,
  crashStates,
  freeze,
  unlockedWriter,
  rights,
  tests,
  fuzz,
  hostile,
  mutation,
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: "boolean", default: false },
    bite: { type: "boolean", default: false },
  },
});
const unknown = positionals.filter((name) => !CAMPAIGNS.some((it) => it.name === name));
if (unknown.length > 0) {
  console.error(`unknown campaign: ${unknown.join(", ")}`);
  process.exit(2);
}
// The long form of mutants takes an hour.
const isDefault = (it) => it !== mutation || values.short || values.bite;
const chosen = CAMPAIGNS.filter((it) =>
  positionals.length === 0 ? isDefault(it) : positionals.includes(it.name),
);

const began = performance.now();
if (process.platform === "linux") {
  for (const { campaign, bites } of chosen) {
    const folder = scratch();
    try {
      await (values.bite ? bites : campaign)({ short: values.short, scratch: folder });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
} else {
  skipped("all campaigns", "the campaigns need Linux");
}
console.log(`in ${((performance.now() - began) / 1000).toFixed(0)} s`);
process.exitCode = anyViolation() ? 1 : 0;
