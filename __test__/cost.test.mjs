// What a sweep costs, as counts and ratios: how much memory it adds, how much it reads and writes,
// and how often the event loop turns meanwhile. `npm run bench` measures the times.

import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, realpathSync, rmSync, statSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSampleStore } from "../scripts/sample-store.mjs";
import { HOUR, NOW } from "./fixtures/reaper.mjs";

const program = fileURLToPath(new URL("fixtures/costing-process.mjs", import.meta.url));
const MB = 1_000_000;

/** A moment at which nothing of the store has expired. */
const EARLY = NOW - 48 * HOUR;

/** What sweeps cost in a new process, one after the other, each at its moment. */
async function costsOf(storePath, ...moments) {
  const { stdout } = await promisify(execFile)(process.execPath, [
    program,
    storePath,
    ...moments.map(String),
  ]);
  return JSON.parse(stdout);
}

// What it reads of itself is in /proc.
describe.runIf(process.platform === "linux")("a store of 100 MB", () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "reaper-cost-")));
  const options = { entries: 2_000, expired: 400, nowMs: NOW, smallest: 30_000, largest: 62_000 };
  let storePath;
  let size;

  beforeAll(() => {
    storePath = createSampleStore(folder, { ...options, transcripts: false });
    // Long enough ago that a later change cannot bear the same date.
    utimesSync(storePath, NOW / 1_000, NOW / 1_000);
    size = statSync(storePath).size;
    expect(size).toBeGreaterThan(90 * MB);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("is read once, without a lock and without a written byte, if nothing in it expired", async () => {
    const before = [statSync(folder).mtimeMs, statSync(storePath).ctimeMs];

    const [{ pruned, bytesRead, bytesWritten }] = await costsOf(storePath, EARLY);

    expect(pruned).toBe(0);
    expect(bytesRead / size).toBeGreaterThanOrEqual(1);
    expect(bytesRead / size).toBeLessThan(1.01);
    // What threads tell one another, and no more.
    expect(bytesWritten).toBeLessThan(10_000);
    // A lock would have changed the folder.
    expect([statSync(folder).mtimeMs, statSync(storePath).ctimeMs]).toEqual(before);
  });

  it("is not even read if it did not change since the last sweep", async () => {
    const [first, second, third] = await costsOf(storePath, EARLY, EARLY, EARLY);

    expect(first.bytesRead / size).toBeGreaterThanOrEqual(1);
    for (const { bytesRead, bytesWritten } of [second, third]) {
      expect(bytesRead).toBeLessThan(10_000);
      expect(bytesWritten).toBeLessThan(10_000);
    }
  });

  it("is swept with a few megabytes of memory, while the event loop turns on and on", async () => {
    const [{ pruned, addedBytes, turns, bytesRead, bytesWritten }] = await costsOf(storePath, NOW);

    expect(pruned).toBe(options.expired);
    expect(addedBytes).toBeLessThan(16 * MB);
    // One that is held up turns once or twice.
    expect(turns).toBeGreaterThan(100);
    expect(bytesWritten / statSync(storePath).size).toBeLessThan(1.01);
    expect(bytesRead / size).toBeLessThan(2.2);
    expect(readdirSync(folder)).toEqual(["sessions.json"]);
  });
});
