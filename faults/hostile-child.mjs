// Sweeps, previews, inspects or parses one store in a separate process, which measures itself. The job
// is one JSON argument, the answer one JSON line. Its times are those of the CPU, of all threads: they do
// not depend on what else the machine does.

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
const began = process.cpuUsage();
const answer = { ok: true };
try {
  const report = await ACTIONS[action]();
  answer.holdingMs = report?.ms?.holding;
  answer.archived = report?.transcripts?.archived;
} catch (error) {
  Object.assign(answer, { ok: false, error: error.message });
}
const { user, system } = process.cpuUsage(began);
answer.ms = (user + system) / 1000;
answer.addedBytes = status("VmHWM") - before;
process.stdout.write(`${JSON.stringify(answer)}\n`);

/** A line of /proc/self/status, in bytes. */
function status(name) {
  const line = new RegExp(`^${name}:\\s+(\\d+) kB`, "m");
  return Number(line.exec(readFileSync("/proc/self/status", "latin1"))[1]) * 1024;
}
