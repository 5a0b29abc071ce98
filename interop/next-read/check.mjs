// The longest time for which the event loop is blocked by a sweep and the gateway's next read of the
// store, with the native sweep and with the gateway's own.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gatewayNode } from "../gateway.mjs";
import { REGISTER } from "../swap-in/check.mjs";

const MEASURE = fileURLToPath(new URL("./measure.mjs", import.meta.url));
const MOST_MS = 50;
// Before 2026.5.28 the cache is dropped. Both then parse the store.
const DROPPED = ["2026.5.2", "2026.5.7", "2026.5.12", "2026.5.22"];
// Two measurements of the same work differ by as much.
const NOISE = { factor: 1.1, ms: 10 };
const ATTEMPTS = 3;

async function measure(version, reaper, megabytes, rounds) {
  const { stdout } = await promisify(execFile)(gatewayNode(), [
    ...["--import", REGISTER, MEASURE],
    ...[version, reaper, String(megabytes), String(rounds)],
  ]);
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

/** Returns the shorter time of each kind of read. */
function shortest(before, now) {
  return Object.fromEntries(
    Object.entries(now).map(([read, ms]) => [read, Math.min(ms, before[read] ?? ms)]),
  );
}

/**
 * Returns the times of both reapers, `{ read: milliseconds }`, and the reads that are too slow. Other load
 * of the machine only lengthens a time. So both are measured again if one seems too slow, and the
 * shortest time counts.
 */
async function compare(version, megabytes, rounds) {
  const isDropped = DROPPED.includes(version);
  let native = {};
  let own = {};
  let slow = [];
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    native = shortest(native, await measure(version, "native", megabytes, rounds));
    // Only before 2026.5.28 is it more than information.
    own = shortest(own, await measure(version, "own", megabytes, isDropped ? rounds : 1));
    slow = Object.entries(native)
      .map(([read, ms]) => ({
        read,
        ms,
        most: isDropped ? own[read] * NOISE.factor + NOISE.ms : MOST_MS,
      }))
      .filter(({ ms, most }) => ms > most);
    if (slow.length === 0) break;
  }
  return { native, own, slow };
}

/** Returns `{ megabytes, read, native, own }` for each size and kind of read, and what is too slow. */
export async function checkNextRead(version, sizes, rounds) {
  const rows = [];
  const problems = [];
  for (const megabytes of sizes) {
    const { native, own, slow } = await compare(version, megabytes, rounds);
    for (const [read, ms] of Object.entries(native))
      rows.push({ megabytes, read, native: ms, own: own[read] });
    for (const { read, ms, most } of slow)
      problems.push(
        `${megabytes} MB, ${read}: ${Math.round(ms)} ms, expected at most ${Math.round(most)} ms`,
      );
  }
  return { rows, problems };
}
