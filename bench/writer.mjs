// A JavaScript writer that takes the lock every few milliseconds. If the lock is taken, it retries on the
// next turn of the event loop or, with a back-off in milliseconds, after back-off × attempt.

import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";

const [lock, backOffMs] = process.argv.slice(2);
const PAUSE_MS = 7;
const waits = [];
let turns = 0;
let ends = false;

process.on("message", () => {
  ends = true;
});
process.send("ready");

const stat = (await import("node:fs")).readFileSync("/proc/self/stat", "latin1");
const starttime = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);

while (!ends) {
  turns++;
  if (!take()) {
    const began = performance.now();
    let attempts = 1;
    do {
      await (backOffMs === undefined ? nextTurn() : sleep(Math.min(1_000, backOffMs * attempts)));
      attempts++;
    } while (!take());
    waits.push(performance.now() - began);
  }
  rmSync(lock, { force: true });
  await sleep(PAUSE_MS);
}
process.send({ turns, missed: waits.length, longest: Math.max(0, ...waits) });
process.disconnect();

function take() {
  try {
    const file = openSync(lock, "wx");
    const createdAt = new Date().toISOString();
    writeSync(file, JSON.stringify({ pid: process.pid, createdAt, starttime }));
    closeSync(file);
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") {
      throw error;
    }
    return false;
  }
}
