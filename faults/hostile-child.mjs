// Sweeps, previews, inspects or parses one store in a separate process, which measures itself. The job
// is one JSON argument, the answer one JSON line.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const { inspectSessionStore, sweepSessionStore } = createRequire(import.meta.url)("../index.js");

const { store: sessionStorePath, action } = JSON.parse(process.argv[2]);

const ACTIONS = {
  inspect: () => inspectSessionStore({ sessionStorePath }),
  preview: () => sweepSessionStore({ sessionStorePath, dryRun: true }),
  sweep: () => sweepSessionStore({ sessionStorePath, force: true }),
  parse: async () => {
    JSON.parse(readFileSync(sessionStorePath, "utf8"));
  },
};

const before = status("VmRSS");
writeFileSync("/proc/self/clear_refs", "5");
const began = performance.now();
const answer = { ok: true };
try {
  const report = await ACTIONS[action]();
  answer.holdingMs = report?.ms?.holding;
  answer.archived = report?.transcripts?.archived;
} catch (error) {
  Object.assign(answer, { ok: false, error: error.message });
}
answer.ms = performance.now() - began;
answer.addedBytes = status("VmHWM") - before;
process.stdout.write(`${JSON.stringify(answer)}\n`);

/** A line of /proc/self/status, in bytes. */
function status(name) {
  const line = new RegExp(`^${name}:\\s+(\\d+) kB`, "m");
  return Number(line.exec(readFileSync("/proc/self/status", "latin1"))[1]) * 1024;
}
