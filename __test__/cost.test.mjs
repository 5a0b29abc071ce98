// What a sweep costs, as counts: memory, and bytes read and written. `npm run bench` measures times.

import { readdirSync, statSync, utimesSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { createSampleStore } from "../scripts/sample-store.mjs";
import { HOUR, NOW, programPath, runNode, sharedFolder, untilSettled } from "./fixtures/index.mjs";

const MB = 1_000_000;

/** More than bookkeeping between threads, and far less than a store. */
const NEXT_TO_NOTHING = 10_000;

/** A moment at which nothing in the store has expired. */
const EARLY = NOW - 48 * HOUR;

/** Returns the costs of sweeps in a new process, one after another, each at its moment. */
async function costsOf(storePath, ...moments) {
  const args = [programPath("measure-sweeps"), storePath, ...moments.map(String)];
  const { code, stdout, stderr } = await runNode(args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const costs = JSON.parse(stdout);
  expect(costs.flatMap(({ warnings }) => warnings)).toEqual([]);
  return costs;
}

// The counters are in /proc.
describe.runIf(process.platform === "linux")("a store of 100 MB", () => {
  const folder = sharedFolder();
  const options = { entries: 2_000, expired: 400, nowMs: NOW, smallest: 30_000, largest: 62_000 };
  let storePath;
  let size;

  beforeAll(async () => {
    storePath = createSampleStore(folder, { ...options, transcripts: false });
    utimesSync(storePath, NOW / 1_000, NOW / 1_000);
    await untilSettled(storePath);
    size = statSync(storePath).size;
    expect(size).toBeGreaterThan(90 * MB);
  });

  it("reads a store once, takes no lock and writes nothing if no run is expired", async () => {
    const before = [statSync(folder).mtimeMs, statSync(storePath).ctimeMs];

    const [{ pruned, bytesRead, bytesWritten }] = await costsOf(storePath, EARLY);

    expect(pruned).toBe(0);
    expect(bytesRead / size).toBeGreaterThanOrEqual(1);
    expect(bytesRead / size).toBeLessThan(1.01);
    expect(bytesWritten).toBeLessThan(NEXT_TO_NOTHING);
    // A lock file would have changed the folder.
    expect([statSync(folder).mtimeMs, statSync(storePath).ctimeMs]).toEqual(before);
  });

  it("does not read a store that is unchanged since the last sweep", async () => {
    const [first, second, third] = await costsOf(storePath, EARLY, EARLY, EARLY);

    expect(first.bytesRead / size).toBeGreaterThanOrEqual(1);
    for (const { bytesRead, bytesWritten } of [second, third]) {
      expect(bytesRead).toBeLessThan(NEXT_TO_NOTHING);
      expect(bytesWritten).toBeLessThan(NEXT_TO_NOTHING);
    }
  });

  it("sweeps a store of 100 MB with a few megabytes of memory, outside the JavaScript thread", async () => {
    const [{ pruned, addedBytes, bytesRead, bytesWritten, ...javaScript }] = await costsOf(
      storePath,
      NOW,
    );

    expect(pruned).toBe(options.expired);
    expect(addedBytes).toBeLessThan(16 * MB);
    expect(bytesWritten / statSync(storePath).size).toBeLessThan(1.01);
    expect(bytesRead / size).toBeLessThan(2.2);
    expect(javaScript.bytesReadByJavaScript).toBeLessThan(NEXT_TO_NOTHING);
    expect(javaScript.bytesWrittenByJavaScript).toBeLessThan(NEXT_TO_NOTHING);
    expect(readdirSync(folder)).toEqual(["sessions.json"]);
  });
});
