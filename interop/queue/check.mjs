// A gateway's write queue and caches beside native sweeps: inside the queue, and outside it as the
// negative control, which must find rows that reappear.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gatewayNode } from "../gateway.mjs";
import { REGISTER } from "../swap-in/check.mjs";

const WORK = fileURLToPath(new URL("./work.mjs", import.meta.url));

async function work(version, mode, updates) {
  const { stdout } = await promisify(execFile)(
    gatewayNode(),
    ["--import", REGISTER, WORK, version, mode, String(updates)],
    { maxBuffer: 64 << 20 },
  );
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

/** Returns the figures of both runs, and what differs from the expected result. */
export async function checkQueue(version, updates) {
  const inside = await work(version, "inside", updates);
  const outside = await work(version, "outside", Math.min(updates, 400));
  const problems = [];
  const expect = (what, actual, expected) => {
    if (actual !== expected) problems.push(`${what}: ${actual}, expected ${expected}`);
  };
  expect("writers whose last update is lost", inside.lost, 0);
  expect("reappeared rows", inside.resurrected, 0);
  expect("removed runs", inside.pruned, inside.created);
  expect("runs left", inside.expiredLeft, 0);
  expect("other entries", inside.othersLeft, 60);
  expect("the cache equals the file", inside.isSame, true);
  expect("warnings", inside.warnings.join("; "), "");
  if (inside.holdMaxMs === null) problems.push("no sweep entered the queue");
  // From 2026.5.28 on the cached object is corrected.
  if (inside.changes > 0 && inside.corrected === 0) problems.push("the cache was never corrected");
  if (outside.resurrected === 0) problems.push("the negative control found no reappeared row");
  expect("writers whose last update is lost outside the queue", outside.lost, 0);
  return { inside, outside, problems };
}
