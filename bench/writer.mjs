// A JavaScript writer as the gateway has them: it takes the lock now and then, and where it finds it
// taken it sleeps for 50 ms × attempt before it looks again.

import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const [lock] = process.argv.slice(2);
const PAUSE_MS = 7;
const waits = [];
let missed = 0;
let ends = false;

process.on("message", () => {
  ends = true;
});
process.send("ready");

const stat = (await import("node:fs")).readFileSync("/proc/self/stat", "latin1");
const starttime = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);

while (!ends) {
  const began = performance.now();
  for (let attempt = 1; !take(); attempt++) {
    missed++;
    await sleep(Math.min(1_000, 50 * attempt));
  }
  waits.push(performance.now() - began);
  rmSync(lock, { force: true });
  await sleep(PAUSE_MS);
}
process.send({ turns: waits.length, missed, longest: Math.max(...waits) });
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
