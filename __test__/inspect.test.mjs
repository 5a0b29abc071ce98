// inspectSessionStore: what it reports about a store and its folder, progress, aborts and errors.

import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { layOut, temporaryFolder, treeOf } from "./fixtures/folder.mjs";
import { HOUR, inspectSessionStore, NOW } from "./fixtures/reaper.mjs";

const runKey = (job, run) => `agent:main:cron:${job}:run:${run}`;
const inspect = (sessionStorePath, options) =>
  inspectSessionStore({ sessionStorePath, nowMs: NOW, ...options });

function storeOf(content) {
  const folder = temporaryFolder();
  const text = typeof content === "string" ? content : JSON.stringify(content, null, 2);
  layOut(folder, { "sessions.json": text });
  return join(folder, "sessions.json");
}

/** A store of 120 MB, so that an inspection is still running when it is aborted immediately. */
function longStore() {
  const entry = `"a":[${"1,".repeat(5e6)}1]`;
  return storeOf(`{${Array(12).fill(entry).join(",")}}`);
}

describe("an inspection", () => {
  it("reports the contents of a store and its folder and modifies neither", async () => {
    const storePath = storeOf({
      [runKey("nightly", 1)]: { sessionId: "a", updatedAt: NOW - 25 * HOUR },
      [runKey("nightly", 2)]: {
        sessionId: "b",
        updatedAt: NOW - 23 * HOUR,
        text: "é\n".repeat(50),
      },
      [runKey("hourly", 3)]: { sessionId: "c", updatedAt: NOW - 48 * HOUR },
      "agent:main:cron:nightly": { sessionId: "d", updatedAt: 1 },
      "agent:main:telegram:direct:5": { sessionId: "e", updatedAt: 1, text: "x".repeat(300) },
      "agent:main:main": { sessionId: "f", updatedAt: 1 },
    });
    const folder = join(storePath, "..");
    layOut(folder, {
      "a.jsonl": "12345",
      "old.jsonl.deleted.2026-02-01T00-00-00.000Z": "12",
      "sessions.json.3ab3ddeb-5fc7-4d35-adf6-d83c0627287f.tmp": "123",
      "notes.txt": "1",
    });
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
      runs: { total: 3, expired: 2, oldestMs: NOW - 48 * HOUR, newestMs: NOW - 23 * HOUR },
      biggestEntries: [
        { key: "agent:main:telegram:direct:5" },
        { key: runKey("nightly", 2) },
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

  it("reports nothing in an empty store", async () => {
    expect(await inspect(storeOf("{}"))).toEqual({
      bytes: 2,
      entries: 0,
      kinds: [],
      runs: { total: 0, bytes: 0, expired: 0, expiredBytes: 0, oldestMs: null, newestMs: null },
      biggestEntries: [],
      biggestJobs: [],
      transcripts: { files: 0, bytes: 0 },
      archives: { files: 0, bytes: 0, oldestMs: null },
      temps: { files: 0, bytes: 0 },
      others: { files: 0, bytes: 0 },
    });
  });

  it("takes the retention and the length of its lists from its options", async () => {
    const storePath = storeOf({
      [runKey("j", 1)]: { updatedAt: NOW - 3 * HOUR },
      [runKey("j", 2)]: { updatedAt: NOW - HOUR },
    });
    const expired = async (sessionRetention) =>
      (await inspect(storePath, { cronConfig: { sessionRetention } })).runs.expired;
    expect(await expired("2h")).toBe(1);
    expect(await expired("30m")).toBe(2);
    expect(await expired(undefined)).toBe(0);
    expect(await expired(false)).toBe(0);
    expect((await inspect(storePath, { top: 1 })).biggestEntries).toHaveLength(1);
    expect((await inspect(storePath, { top: 2 ** 40 })).biggestEntries).toHaveLength(2);
    // null counts as absent.
    const options = { cronConfig: null, nowMs: null, top: null, signal: null, onProgress: null };
    expect((await inspect(storePath, options)).runs.expired).toBe(2);
  });

  it("reports times with the precision of the store", async () => {
    const storePath = storeOf({
      [runKey("j", 1)]: { updatedAt: 0.1 },
      [runKey("j", 2)]: { updatedAt: Number.MAX_VALUE },
    });
    const { oldestMs, newestMs } = (await inspect(storePath)).runs;
    expect([oldestMs, newestMs]).toEqual([0.1, Number.MAX_VALUE]);
  });

  it("follows a link to the store", async () => {
    const storePath = storeOf({ a: 1 });
    const link = join(temporaryFolder(), "sessions.json");
    symlinkSync(storePath, link);
    expect(await inspect(link)).toMatchObject({ entries: 1, bytes: 12 });
  });
});

describe("an inspection that fails", () => {
  it("rejects with the line and column for a store that is not valid JSON", async () => {
    const storePath = storeOf('{\n  "a": 1,\n  "b": tru}');
    await expect(inspect(storePath)).rejects.toMatchObject({
      name: "InspectError",
      message: `${storePath}:3:11: invalid JSON: expected \`true\`, \`false\` or \`null\`, found \`}\` (store not modified; repair it or restore a backup)`,
      code: "ERR_SESSION_STORE_INVALID",
      path: storePath,
      line: 3,
      column: 11,
    });
  });

  it("rejects for a store that is missing or not a file", async () => {
    const folder = temporaryFolder();
    const missing = join(folder, "sessions.json");
    const error = await inspect(missing).catch((error) => error);
    expect(error).toMatchObject({ code: "ENOENT", path: missing });
    expect(error.message).toMatch(`cannot find ${missing}: `);
    expect("line" in error).toBe(false);
    await expect(inspect(folder)).rejects.toMatchObject({ code: "ERR_SESSION_STORE_NOT_A_FILE" });
    await expect(inspect("")).rejects.toMatchObject({ code: "ERR_INVALID_ARG_VALUE" });
  });

  it("rejects with a TypeError for wrong arguments, and never throws", async () => {
    const sessionStorePath = "sessions.json";
    for (const [options, message] of [
      [undefined, "options must be an object, got undefined"],
      [null, "options must be an object, got null"],

      [{ sessionStorePath: ["a"] }, "options.sessionStorePath must be a string, got array"],
      [
        { sessionStorePath, nowMs: "1" },
        "options.nowMs must be a number of milliseconds, got string",
      ],
      [{ sessionStorePath, top: 1.5 }, "options.top must be a whole number from 0, got 1.5"],
      [{ sessionStorePath, top: -1 }, "options.top must be a whole number from 0, got -1"],
      [{ sessionStorePath, signal: {} }, "options.signal must be an AbortSignal, got object"],
      [{ sessionStorePath, onProgress: 7 }, "options.onProgress must be a function, got number"],
    ]) {
      await expect(inspectSessionStore(options)).rejects.toEqual(
        new TypeError(`inspectSessionStore: ${message}`),
      );
    }
  });
});

describe("the progress of an inspection", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  });
  afterEach(() => vi.useRealTimers());

  it("is reported every tenth of a second, until the end", async () => {
    const storePath = longStore();
    const received = [];
    let isRunning = true;
    const inspecting = inspect(storePath, { onProgress: (progress) => received.push(progress) });
    inspecting.finally(() => {
      isRunning = false;
    });
    while (isRunning) {
      vi.advanceTimersByTime(100);
      await new Promise(setImmediate);
    }
    const { bytes } = await inspecting;

    expect(received.length).toBeGreaterThan(0);
    const counts = received.map(({ bytesRead }) => bytesRead);
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
    expect(counts.at(-1)).toBeLessThanOrEqual(bytes);
    expect([0, bytes]).toEqual(expect.arrayContaining(received.map((progress) => progress.bytes)));
    const calls = received.length;
    vi.advanceTimersByTime(1000);
    expect(received).toHaveLength(calls);
  });

  it("ends the inspection with the exception of onProgress", async () => {
    const boom = new Error("boom");
    const onProgress = () => {
      throw boom;
    };
    const inspecting = inspect(longStore(), { onProgress });
    vi.advanceTimersByTime(100);
    await expect(inspecting).rejects.toBe(boom);
  });
});

describe("an abort", () => {
  it("rejects with an AbortError before and during an inspection", async () => {
    const aborted = (reason) => ({ name: "AbortError", code: "ABORT_ERR", cause: reason });
    const storePath = longStore();
    const signal = AbortSignal.abort("not now");
    await expect(inspect(storePath, { signal })).rejects.toMatchObject(aborted("not now"));
    const abort = new AbortController();
    const inspecting = inspect(storePath, { signal: abort.signal });
    abort.abort("enough");
    await expect(inspecting).rejects.toMatchObject(aborted("enough"));
  });
});
