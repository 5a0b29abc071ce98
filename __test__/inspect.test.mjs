// inspectSessionStore: what it reports about a store and its folder, its options and rejections.

import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import {
  CHAT,
  expired,
  GATEWAY_TEMP,
  HOUR,
  inspectSessionStore,
  NOW,
  recent,
  repeatUntilInTime,
  runKey,
  storeWith,
  temporaryFolder,
  treeOf,
} from "./fixtures/index.mjs";

const inspect = (sessionStorePath, options) =>
  inspectSessionStore({ sessionStorePath, nowMs: NOW, ...options });

describe("an inspection", () => {
  it("reports the contents of a store and its folder, and modifies neither", async () => {
    const { folder, storePath } = storeWith(
      {
        [runKey(1, "nightly")]: expired("a"),
        [runKey(2, "nightly")]: { ...recent("b"), text: "é\n".repeat(50) },
        [runKey(3, "hourly")]: { sessionId: "c", updatedAt: NOW - 48 * HOUR },
        "agent:main:cron:nightly": { sessionId: "d", updatedAt: 1 },
        "agent:main:telegram:direct:5": { sessionId: "e", updatedAt: 1, text: "x".repeat(300) },
        [CHAT]: { sessionId: "f", updatedAt: 1 },
      },
      {
        "a.jsonl": "12345",
        "old.jsonl.deleted.2026-02-01T00-00-00.000Z": "12",
        [GATEWAY_TEMP]: "123",
        "notes.txt": "1",
      },
    );
    const before = treeOf(folder);

    const found = await inspect(storePath);

    expect(treeOf(folder)).toEqual(before);
    expect(found.kinds.map(({ kind, entries }) => [kind, entries])).toEqual([
      ["cron run", 3],
      ["telegram", 1],
      ["cron job", 1],
      ["main", 1],
    ]);
    const sum = (list) => list.reduce((total, { bytes }) => total + bytes, 0);
    // Two braces, five commas and the last line break belong to no entry.
    expect(sum(found.kinds)).toBe(found.bytes - 8);
    expect(found).toMatchObject({
      bytes: Buffer.byteLength(before["sessions.json"], "latin1"),
      entries: 6,
      runs: { total: 3, expired: 2, oldestMs: NOW - 48 * HOUR, newestMs: NOW - HOUR },
      biggestEntries: [
        { key: "agent:main:telegram:direct:5" },
        { key: runKey(2, "nightly") },
        {},
        {},
        {},
      ],
      biggestJobs: [
        { job: "nightly", runs: 2, expired: 1 },
        { job: "hourly", runs: 1, expired: 1 },
      ],
      transcripts: { files: 1, bytes: 5 },
      archives: { files: 1, bytes: 2, oldestMs: Date.parse("2026-02-01T00:00:00Z") },
      temps: { files: 1, bytes: 3 },
      others: { files: 1, bytes: 1 },
    });
    expect(sum(found.biggestJobs)).toBe(found.runs.bytes);
    expect(found.runs.expiredBytes).toBeLessThan(found.runs.bytes);
  });

  it("reports zeros for an empty store", async () => {
    expect(await inspect(storeWith("{}").storePath)).toEqual({
      bytes: 2,
      entries: 0,
      kinds: [],
      runs: {
        total: 0,
        bytes: 0,
        expired: 0,
        expiredBytes: 0,
        undated: 0,
        future: 0,
        oldestMs: null,
        newestMs: null,
      },
      biggestEntries: [],
      biggestJobs: [],
      transcripts: { files: 0, bytes: 0 },
      archives: { files: 0, bytes: 0, oldestMs: null },
      temps: { files: 0, bytes: 0 },
      others: { files: 0, bytes: 0 },
    });
  });

  it("applies the options for the retention and the number of listed entries", async () => {
    const { storePath } = storeWith({
      [runKey(1)]: { updatedAt: NOW - 3 * HOUR },
      [runKey(2)]: recent(),
    });
    const expired = async (sessionRetention) =>
      (await inspect(storePath, { cronConfig: { sessionRetention } })).runs.expired;
    expect(await expired("2h")).toBe(1);
    expect(await expired("30m")).toBe(2);
    expect(await expired(undefined)).toBe(0);
    expect(await expired(false)).toBe(0);
    expect((await inspect(storePath, { top: 1 })).biggestEntries).toHaveLength(1);
    expect((await inspect(storePath, { top: 2 ** 40 })).biggestEntries).toHaveLength(2);
    // null is treated as absent.
    const options = { cronConfig: null, nowMs: null, top: null, signal: null, onProgress: null };
    expect((await inspect(storePath, options)).runs.expired).toBe(2);
  });

  it("reports times exactly as they are in the store", async () => {
    const { storePath } = storeWith({
      [runKey(1)]: { updatedAt: 0.1 },
      [runKey(2)]: { updatedAt: Number.MAX_VALUE },
    });
    const { oldestMs, newestMs } = (await inspect(storePath)).runs;
    expect([oldestMs, newestMs]).toEqual([0.1, Number.MAX_VALUE]);
  });

  it("counts runs with a time in the future and runs that never expire", async () => {
    const { storePath } = storeWith({
      [runKey(1)]: { updatedAt: NOW + HOUR },
      [runKey(2)]: { updatedAt: NOW + HOUR + 1 },
      [runKey(3)]: { updatedAt: new Date(NOW).toISOString() },
      [runKey(4)]: null,
      [runKey(5)]: {},
      [runKey(6)]: { updatedAt: "2020" },
    });
    const { future, undated } = (await inspect(storePath)).runs;
    expect({ future, undated }).toEqual({ future: 1, undated: 2 });
  });

  it("follows a symbolic link to the store", async () => {
    const { storePath } = storeWith({ a: 1 });
    const link = join(temporaryFolder(), "sessions.json");
    symlinkSync(storePath, link);
    expect(await inspect(link)).toMatchObject({ entries: 1, bytes: 12 });
  });
});

describe("a failed inspection", () => {
  it("rejects with line and column of invalid JSON", async () => {
    const { storePath } = storeWith('{\n  "a": 1,\n  "b": tru}');
    await expect(inspect(storePath)).rejects.toMatchObject({
      name: "InspectError",
      message: `${storePath}:3:11: invalid JSON: expected \`true\`, \`false\` or \`null\`, found \`}\` (store not modified; repair it or restore a backup)`,
      code: "ERR_SESSION_STORE_INVALID",
      path: storePath,
      line: 3,
      column: 11,
    });
  });

  it("rejects with the code and the path for a missing store or a directory", async () => {
    const folder = temporaryFolder();
    const missing = join(folder, "sessions.json");
    const error = await inspect(missing).catch((error) => error);
    expect(error).toMatchObject({ code: "ENOENT", path: missing });
    expect(error.message).toMatch(`cannot find ${missing}: `);
    expect("line" in error).toBe(false);
    await expect(inspect(folder)).rejects.toMatchObject({ code: "ERR_SESSION_STORE_NOT_A_FILE" });
    await expect(inspect("")).rejects.toMatchObject({ code: "ERR_INVALID_ARG_VALUE" });
  });

  it("rejects with a TypeError for wrong arguments, and does not throw", async () => {
    const sessionStorePath = "sessions.json";
    for (const [options, message] of [
      [undefined, "options must be an object, got undefined"],
      [null, "options must be an object, got null"],
      [{ sessionStorePath: ["a"] }, "options.sessionStorePath must be a string, got array"],
      [
        { sessionStorePath, nowMs: "1" },
        "options.nowMs must be a number of milliseconds, got string",
      ],
      [
        { sessionStorePath, nowMs: NOW * 1000 },
        `options.nowMs must be milliseconds since 1970, before the year 10000, got ${NOW * 1000}`,
      ],
      [
        { sessionStorePath, cronConfig: "7d" },
        'options.cronConfig must be an object such as { sessionRetention: "24h" }, got string',
      ],
      [
        { sessionStorePath, cronConfig: { sessionRetention: "7 days" } },
        'options.cronConfig.sessionRetention must be a duration such as "24h", or false, got "7 days"',
      ],
      [
        { sessionStorePath, cronConfig: { sessionRetention: 604_800_000 } },
        'options.cronConfig.sessionRetention must be a duration such as "24h", or false, got number',
      ],
      [{ sessionStorePath, top: 1.5 }, "options.top must be a whole number from 0, got 1.5"],
      [{ sessionStorePath, top: "5" }, "options.top must be a whole number from 0, got string"],
      [{ sessionStorePath, top: -1 }, "options.top must be a whole number from 0, got -1"],
      [{ sessionStorePath, signal: {} }, "options.signal must be an AbortSignal, got object"],
      [{ sessionStorePath, onProgress: 7 }, "options.onProgress must be a function, got number"],
    ]) {
      await expect(inspectSessionStore(options)).rejects.toBeInstanceOf(TypeError);
      await expect(inspectSessionStore(options)).rejects.toMatchObject({
        message: `inspectSessionStore: ${message}`,
        code: expect.stringMatching(/^ERR_INVALID_ARG_(TYPE|VALUE)$/),
      });
    }
  });
});

describe("a running inspection", () => {
  it("reports its progress", async () => {
    const { storePath } = storeWith({ a: "x".repeat(3e6) });
    useFakeInterval();
    const reported = [];
    const inspecting = inspect(storePath, { onProgress: (progress) => reported.push(progress) });
    // The promise cannot settle in this loop, because that needs this thread. The time is a guard.
    const began = performance.now();
    while (!(reported.at(-1)?.bytes > 0) && performance.now() - began < 60_000) {
      vi.advanceTimersByTime(100);
    }
    const { bytes } = await inspecting;
    const { bytesRead, bytes: size } = reported.at(-1);
    expect(size).toBe(bytes);
    expect(bytesRead).toBeGreaterThan(0);
    expect(bytesRead).toBeLessThanOrEqual(bytes);
  });

  it("rejects with the error that onProgress throws", async () => {
    const { storePath } = storeWith({});
    useFakeInterval();
    const boom = new Error("boom");
    const onProgress = () => {
      throw boom;
    };
    const inspecting = inspect(storePath, { onProgress });
    vi.advanceTimersByTime(100);
    await expect(inspecting).rejects.toBe(boom);
  });

  it("rejects with an AbortError if it is aborted before the call or while it reads", async () => {
    const aborted = (reason) => ({ name: "AbortError", code: "ABORT_ERR", cause: reason });
    const { storePath } = storeWith({ a: Array(3e6).fill(1) });
    const signal = AbortSignal.abort("not now");
    await expect(inspect(storePath, { signal })).rejects.toMatchObject(aborted("not now"));
    await repeatUntilInTime(async () => {
      const controller = new AbortController();
      const inspecting = inspect(storePath, { signal: controller.signal });
      controller.abort("enough");
      const outcome = await inspecting.catch((error) => error);
      const isInTime = outcome instanceof Error;
      if (isInTime) {
        expect(outcome).toMatchObject(aborted("enough"));
      }
      return isInTime;
    });
  });

  /** Lets the test decide when the interval of the progress has passed. */
  function useFakeInterval() {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
  }
});
