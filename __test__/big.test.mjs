// A store of 30,000 entries, and the event loop during a sweep.

import { readFileSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createSampleStore } from "../scripts/sample-store.mjs";
import {
  DAY,
  expired,
  lockStore,
  NOW,
  runKey,
  storeWith,
  sweep,
  sweptCleanly,
  temporaryFolder,
} from "./fixtures/index.mjs";

describe("a store of 30,000 entries", () => {
  it("removes the 6,000 expired runs and keeps every other entry byte for byte", async () => {
    const options = {
      entries: 30_000,
      expired: 6_000,
      nowMs: NOW,
      smallest: 1_000,
      largest: 4_000,
    };
    const storePath = createSampleStore(temporaryFolder(), { ...options, transcripts: false });
    const before = JSON.parse(readFileSync(storePath, "utf8"));

    expect(await sweep(storePath)).toEqual(sweptCleanly(6_000));

    const text = readFileSync(storePath, "utf8");
    const kept = Object.fromEntries(
      Object.entries(before).filter(
        ([key, { updatedAt }]) => !(key.includes(":run:") && updatedAt < NOW - DAY),
      ),
    );
    expect(Object.keys(kept)).toHaveLength(24_000);
    // Compared as a boolean, because a difference in 60 MB cannot be printed.
    expect(text === JSON.stringify(kept, null, 2)).toBe(true);
  });
});

describe("the event loop", () => {
  // The sweeps cannot end before the lock is released. If they blocked the event loop, or the threads
  // of libuv, the lock would not be released before they time out.
  it("turns while a sweep is at work", async () => {
    const { storePath } = storeWith({ [runKey(1)]: expired("a") });
    const release = lockStore(storePath);
    let isOver = false;
    const sweeping = sweep(storePath).finally(() => {
      isOver = true;
    });
    for (let turns = 0; turns < 1_000; turns++) {
      await turn();
    }
    expect(isOver).toBe(false);
    release();
    expect(await sweeping).toEqual(sweptCleanly(1));
  });

  it("reads files while eight sweeps are at work, because they leave libuv's threads free", async () => {
    const stores = Array.from({ length: 8 }, () => storeWith({ [runKey(1)]: expired("a") }));
    const releases = stores.map(({ storePath }) => lockStore(storePath));
    let ended = 0;
    const sweeps = stores.map(async ({ storePath }) => {
      const outcome = await sweep(storePath);
      ended++;
      return outcome;
    });
    const file = new URL(import.meta.url);
    expect(await readFile(file)).toHaveLength(statSync(file).size);
    expect(ended).toBe(0);
    for (const release of releases) {
      release();
    }
    expect(await Promise.all(sweeps)).toEqual(Array(8).fill(sweptCleanly(1)));
  });
});
