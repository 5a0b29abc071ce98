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

async function measure(version, reaper, megabytes, rounds) {
  const { stdout } = await promisify(execFile)(gatewayNode(), [
    ...["--import", REGISTER, MEASURE],
    ...[version, reaper, String(megabytes), String(rounds)],
  ]);
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

/** Returns `{ megabytes, read, native, own }` for each size and kind of read, and what is too slow. */
export async function checkNextRead(version, sizes, rounds) {
  const rows = [];
  const problems = [];
  const isDropped = DROPPED.includes(version);
  for (const megabytes of sizes) {
    const native = await measure(version, "native", megabytes, rounds);
    // Only before 2026.5.28 is it more than information.
    const own = await measure(version, "own", megabytes, isDropped ? rounds : 1);
    for (const [read, ms] of Object.entries(native)) {
      rows.push({ megabytes, read, native: ms, own: own[read] });
      const most = isDropped ? own[read] * NOISE.factor + NOISE.ms : MOST_MS;
      if (ms > most)
        problems.push(
          `${megabytes} MB, ${read}: ${Math.round(ms)} ms, expected at most ${Math.round(most)} ms`,
        );
    }
  }
  return { rows, problems };
}
