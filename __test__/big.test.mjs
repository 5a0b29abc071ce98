// A store of 30,000 entries. No times are asserted: how often the event loop turns while the sweep
// is at work says whether JavaScript was held up.

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createSampleStore } from "../scripts/sample-store.mjs";
import { temporaryFolder } from "./fixtures/folder.mjs";
import { NOW, pruneLine, sweep } from "./fixtures/reaper.mjs";

const options = { entries: 30_000, expired: 6_000, nowMs: NOW, smallest: 1_000, largest: 4_000 };

describe("a store of 30,000 entries", () => {
  it("loses its expired runs and keeps every other entry as it was", async () => {
    const storePath = createSampleStore(temporaryFolder(), { ...options, transcripts: false });
    const before = JSON.parse(readFileSync(storePath, "utf8"));

    expect(await sweep(storePath)).toEqual({
      result: { swept: true, pruned: 6_000 },
      calls: [pruneLine(6_000)],
    });

    const text = readFileSync(storePath, "utf8");
    const stays = Object.fromEntries(
      Object.entries(before).filter(
        ([key, { updatedAt }]) => !(key.includes(":run:") && updatedAt < NOW - 86_400_000),
      ),
    );
    expect(Object.keys(stays)).toHaveLength(24_000);
    // Compared as text: a difference in 60 MB is not something to print.
    expect(text === JSON.stringify(stays, null, 2)).toBe(true);
  });

  it("does not hold up the event loop while it is swept", async () => {
    const storePath = createSampleStore(temporaryFolder(), { ...options, transcripts: false });
    // The same work in JavaScript, for the length of a stall that must not happen.
    const stallBegan = performance.now();
    const parsed = JSON.parse(readFileSync(storePath, "utf8"));
    JSON.stringify(parsed, null, 2);
    const stall = performance.now() - stallBegan;

    let longest = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    await sleep(20);
    last = performance.now();
    const { result } = await sweep(storePath);
    longest = Math.max(longest, performance.now() - last);
    clearInterval(timer);

    expect(result.pruned).toBe(6_000);
    expect(longest / stall).toBeLessThan(0.5);
  });

  it("leaves Node's own threads free: files can be read meanwhile", async () => {
    const storePath = createSampleStore(temporaryFolder(), { ...options, transcripts: false });
    let finished = 0;
    const sweeps = Promise.all(
      Array.from({ length: 8 }, async () => {
        const { result } = await sweep(storePath);
        finished++;
        return result;
      }),
    );
    await readFile(new URL(import.meta.url));
    // The file waited for none of them. On Node's four threads it would have waited for four.
    expect(finished).toBe(0);
    const results = await sweeps;
    expect(results.reduce((sum, { pruned }) => sum + pruned, 0)).toBe(6_000);
  });
});
