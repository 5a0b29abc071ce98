// sweepSessionStore: the sweep of the drop-in, and all that it tells.

import { fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { createSampleStore } from "../scripts/sample-store.mjs";
import { layOut, temporaryFolder, treeOf } from "./fixtures/folder.mjs";
import { lockPayload } from "./fixtures/gateway-lock.mjs";
import {
  failLine,
  HOUR,
  NOW,
  pruneLine,
  recordingLogger,
  resetReaperThrottle,
  sweepCronRunSessions,
  sweepSessionStore,
} from "./fixtures/reaper.mjs";

const DAY = 24 * HOUR;
const UUID = "3ab3ddeb-5fc7-4d35-adf6-d83c0627287f";
const run = (name) => `agent:main:cron:job:run:${name}`;
const none = { removed: 0, bytes: 0 };
const nothing = {
  dryRun: false,
  pruned: 0,
  retentionMs: DAY,
  transcripts: { archived: 0, bytes: 0 },
  archives: none,
  temps: { ...none, kept: [] },
  warnings: [],
};
/** The size of a store in which nothing was changed. */
const untouched = (size) => ({ before: size, after: size, reclaimed: 0 });
const unseen = { seen: 0, kept: 0, pruned: 0, locked: 0 };

beforeEach(() => resetReaperThrottle());

function report(sessionStorePath, options) {
  return sweepSessionStore({ sessionStorePath, nowMs: NOW, force: true, ...options });
}

/** Lays a store with these entries out, and other files beside it. */
function storeWith(entries, files = {}) {
  const folder = temporaryFolder();
  layOut(folder, { "sessions.json": JSON.stringify(entries, null, 2), ...files });
  return { folder, storePath: join(folder, "sessions.json") };
}

const archive = (name, age) =>
  `${name}.jsonl.deleted.${new Date(NOW - age).toISOString().replaceAll(":", "-")}`;

/** Has a file look as if it had been written `age` ms ago. */
function age(path, age) {
  const then = (Date.now() - age) / 1000;
  utimesSync(path, then, then);
}

function sizeOf(folder) {
  return Object.values(treeOf(folder)).reduce((sum, text) => sum + text.length, 0);
}

/** One of everything that a sweep tells of. */
function fullStore() {
  const store = storeWith(
    {
      "agent:main:main": { sessionId: "main", updatedAt: 1 },
      [run("gone-1")]: { sessionId: "gone-1", updatedAt: NOW - 25 * HOUR, text: "x".repeat(700) },
      [run("gone-2")]: { sessionId: "gone-2", updatedAt: NOW - 26 * HOUR },
      [run("gone-3")]: { sessionId: "gone-3", updatedAt: 0, sessionFile: "sub/other.jsonl" },
      [run("locked")]: { sessionId: "locked", updatedAt: NOW - 27 * HOUR },
      [run("fresh")]: { sessionId: "fresh", updatedAt: NOW - 23 * HOUR },
    },
    {
      "main.jsonl": "chat",
      "gone-1.jsonl": "x".repeat(1000),
      "sub/other.jsonl": "x".repeat(200),
      "locked.jsonl": "still written",
      "locked.jsonl.lock": lockPayload(),
      [archive("old", 25 * HOUR)]: "x".repeat(30),
      [archive("older", 900 * HOUR)]: "x".repeat(4),
      [archive("young", 23 * HOUR)]: "young",
      [`sub/${archive("below", 25 * HOUR)}`]: "x".repeat(500),
      [`sessions.json.${UUID}.tmp`]: "x".repeat(60_000),
    },
  );
  age(join(store.folder, `sessions.json.${UUID}.tmp`), 2 * HOUR);
  return store;
}

describe("the report of a sweep", () => {
  it("has every figure, and each is what the disk shows", async () => {
    const { folder, storePath } = fullStore();
    const before = statSync(storePath).size;
    const sizeBefore = sizeOf(folder);

    const told = await report(storePath);

    const after = statSync(storePath).size;
    expect(told).toEqual({
      swept: true,
      reason: null,
      dryRun: false,
      pruned: 3,
      retentionMs: DAY,
      entries: { seen: 6, kept: 3, pruned: 3, locked: 1 },
      transcripts: { archived: 2, bytes: 1200 },
      archives: { removed: 3, bytes: 534 },
      temps: { removed: 1, bytes: 60_000, kept: [] },
      bytes: { before, after, reclaimed: sizeBefore - sizeOf(folder) },
      ms: {
        surveying: expect.any(Number),
        waiting: expect.any(Number),
        holding: expect.any(Number),
        total: expect.any(Number),
      },
      warnings: [],
    });
    expect(after).toBeLessThan(before);
    expect(Object.keys(JSON.parse(readFileSync(storePath, "utf8")))).toHaveLength(3);
  });

  it("tells where the time went", async () => {
    const { storePath } = fullStore();
    const began = performance.now();
    const { ms } = await report(storePath);
    const took = performance.now() - began;
    expect(Math.min(...Object.values(ms))).toBeGreaterThan(0);
    expect(ms.total).toBeGreaterThanOrEqual(ms.surveying + ms.waiting + ms.holding);
    expect(ms.total).toBeLessThanOrEqual(took);
  });

  it("tells how long the lock was waited for", async () => {
    const { storePath } = fullStore();
    const lockPath = `${storePath}.lock`;
    writeFileSync(lockPath, lockPayload());
    setTimeout(() => rmSync(lockPath), 500);
    const { pruned, ms } = await report(storePath);
    expect(pruned).toBe(3);
    expect(ms.waiting).toBeGreaterThan(400);
    expect(ms.surveying + ms.holding).toBeLessThan(ms.total - ms.waiting + 1);
  });

  it("logs what the drop-in logs, if there is a logger", async () => {
    const log = recordingLogger();
    await report(fullStore().storePath, { log });
    expect(log.calls).toEqual([pruneLine(3)]);
  });

  it("counts a key that stands twice as often as it stands there", async () => {
    const folder = temporaryFolder();
    const entry = '{"updatedAt":1}';
    const text = `{"${run(1)}":${entry},"main":${entry},"${run(1)}":${entry}}`;
    layOut(folder, { "sessions.json": text });
    const { entries } = await report(join(folder, "sessions.json"));
    expect(entries).toEqual({ seen: 3, kept: 1, pruned: 1, locked: 0 });
  });

  it("has a temp file that may be an only copy among what was kept, and warns", async () => {
    const { folder, storePath } = storeWith({ [run(1)]: { updatedAt: 1 } });
    const temp = join(folder, `sessions.json.${UUID}.tmp`);
    writeFileSync(temp, '{"newer":{}}');
    age(temp, HOUR);
    age(storePath, 2 * HOUR);

    const dry = await report(storePath, { dryRun: true });
    const { temps, warnings } = await report(storePath);

    expect(dry.temps).toEqual({ ...none, kept: [temp] });
    expect(temps).toEqual({ ...none, kept: [expect.stringContaining(`${storePath}.kept.`)] });
    expect(readFileSync(temps.kept[0], "utf8")).toBe('{"newer":{}}');
    expect(warnings).toEqual([
      {
        message: "cron-reaper: kept a leftover temp file",
        error: `Error: ${temp} may contain sessions that the store lacks; it was kept as ${temps.kept[0]}`,
      },
    ]);
  });
});

describe("why nothing was removed", () => {
  const entries = { "agent:main:main": {}, [run(1)]: { updatedAt: NOW - HOUR } };

  it("is that the last sweep was too recent", async () => {
    const { storePath } = storeWith(entries);
    await report(storePath);
    const told = await report(storePath, { force: false });
    expect(told).toEqual({
      ...nothing,
      swept: false,
      reason: "throttled",
      entries: unseen,
      bytes: untouched(0),
      ms: { surveying: 0, waiting: 0, holding: 0, total: 0 },
    });
  });

  it("is that runs are kept for ever", async () => {
    const { folder, storePath } = fullStore();
    const before = treeOf(folder);
    const cronConfig = { sessionRetention: false };
    for (const dryRun of [true, false]) {
      const told = await report(storePath, { cronConfig, dryRun, archiveRetention: "1h" });
      expect(told).toEqual({
        ...nothing,
        dryRun,
        retentionMs: null,
        swept: false,
        reason: "disabled",
        entries: unseen,
        bytes: untouched(0),
        ms: { surveying: 0, waiting: 0, holding: 0, total: 0 },
      });
    }
    expect(treeOf(folder)).toEqual(before);
  });

  it("is that there is no store, and nothing is made or deleted", async () => {
    const { folder, storePath } = fullStore();
    rmSync(storePath);
    const before = treeOf(folder);
    for (const path of [storePath, join(folder, "none", "sessions.json")]) {
      for (const dryRun of [true, false]) {
        const told = await report(path, { dryRun, archiveRetention: "1h" });
        expect(told).toEqual({
          ...nothing,
          dryRun,
          swept: !dryRun,
          reason: "no-store",
          entries: unseen,
          bytes: untouched(0),
          ms: expect.anything(),
        });
      }
    }
    expect(treeOf(folder)).toEqual(before);
  });

  it("is that nothing is expired, and then that the store is unchanged", async () => {
    const { storePath } = storeWith(entries);
    const { size } = statSync(storePath);
    // A store that was written just now may change again without a trace in its time stamps.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const expected = {
      ...nothing,
      swept: true,
      reason: "nothing-expired",
      entries: { seen: 2, kept: 2, pruned: 0, locked: 0 },
      bytes: untouched(size),
      ms: expect.anything(),
    };
    expect(await report(storePath)).toEqual(expected);
    expect(await report(storePath)).toEqual({ ...expected, reason: "unchanged" });
    // The same store, but by now something in it is expired.
    expect((await report(storePath, { nowMs: NOW + DAY })).pruned).toBe(1);
  });

  it("is that it was swept before, which is remembered with what is left", async () => {
    const { storePath } = storeWith({ ...entries, [run(2)]: { updatedAt: 1 } });
    await report(storePath);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await report(storePath);
    const told = await report(storePath);
    expect(told.reason).toBe("unchanged");
    expect(told.entries).toEqual({ seen: 2, kept: 2, pruned: 0, locked: 0 });
    expect(told.bytes).toEqual(untouched(statSync(storePath).size));
  });

  it("is that all that is expired is locked", async () => {
    const { storePath } = storeWith(
      { [run(1)]: { sessionId: "a", updatedAt: 1 }, [run(2)]: { updatedAt: NOW } },
      { "a.jsonl": "still written", "a.jsonl.lock": lockPayload() },
    );
    for (const dryRun of [true, false, false]) {
      const told = await report(storePath, { dryRun });
      expect(told.reason).toBe("nothing-expired");
      expect(told.entries).toEqual({ seen: 2, kept: 2, pruned: 0, locked: 1 });
    }
  });
});

describe("a dry run", () => {
  /** What it must have in common with the sweep that follows it. */
  const figures = ({ pruned, entries, transcripts, archives, temps, bytes, retentionMs }) => ({
    pruned,
    entries,
    transcripts,
    archives,
    temps: { ...temps, kept: temps.kept.length },
    bytes,
    retentionMs,
  });

  /** Everything in the folder, and when a name in it last changed. */
  const traces = (folder) => [treeOf(folder), statSync(folder, { bigint: true }).mtimeNs];

  it("tells what the sweep after it does, and leaves no trace", async () => {
    const { folder, storePath } = fullStore();
    const before = traces(folder);
    const dry = await report(storePath, { dryRun: true });
    expect(traces(folder)).toEqual(before);
    expect(dry).toMatchObject({ swept: false, dryRun: true, reason: "dry-run", warnings: [] });
    expect(dry.ms.waiting + dry.ms.holding).toBe(0);
    const swept = await report(storePath);
    expect(swept.pruned).toBe(3);
    expect(figures(dry)).toEqual(figures(swept));
  });

  it("finds nothing where there is nothing", async () => {
    const { storePath } = storeWith({ [run(1)]: { updatedAt: NOW } });
    const dry = await report(storePath, { dryRun: true });
    expect(dry).toMatchObject({ swept: false, reason: "nothing-expired", pruned: 0 });
  });

  it("does not wait for the lock", async () => {
    const { folder, storePath } = fullStore();
    writeFileSync(`${storePath}.lock`, lockPayload());
    const before = traces(folder);
    expect((await report(storePath, { dryRun: true })).pruned).toBe(3);
    expect(traces(folder)).toEqual(before);
  });

  it("is never throttled, and throttles nothing", async () => {
    const { storePath } = fullStore();
    const options = { dryRun: true, force: false };
    expect((await report(storePath, options)).pruned).toBe(3);
    expect((await report(storePath, options)).pruned).toBe(3);
    expect((await report(storePath, { force: false })).pruned).toBe(3);
    expect((await report(storePath, options)).reason).toBe("nothing-expired");
    const off = { force: false, cronConfig: { sessionRetention: false } };
    resetReaperThrottle();
    await report(storePath, { ...off, dryRun: true });
    expect((await report(storePath, off)).reason).toBe("disabled");
  });

  it("does not pass for the look that the first sweep has at what a crash left", async () => {
    const { folder, storePath } = storeWith({ [run(1)]: { updatedAt: NOW } });
    // No process has this id.
    const left = join(folder, "sessions.json.99999999-0.reaper.tmp");
    writeFileSync(left, "x".repeat(50));
    age(left, HOUR);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const dry = await report(storePath, { dryRun: true });
    const swept = await report(storePath);
    expect(swept.temps).toEqual({ removed: 1, bytes: 50, kept: [] });
    expect(figures(dry)).toEqual(figures(swept));
    expect(await report(storePath)).toMatchObject({ reason: "unchanged", temps: none });
  });

  it("removes dead temp files in every sweep if asked to, and leaves the others alone", async () => {
    const [dead, live] = [`sessions.json.${UUID}.tmp`, `sessions.json.${UUID.toUpperCase()}.tmp`];
    const { folder, storePath } = storeWith({ a: {} }, { [dead]: "x".repeat(50), [live]: "y" });
    age(storePath, HOUR);
    age(join(folder, dead), 2 * HOUR);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await report(storePath)).temps).toEqual({ ...none, kept: [] });

    const removed = { removed: 1, bytes: 50, kept: [] };
    const options = { removeTemps: true };
    const before = treeOf(folder);
    const dry = await report(storePath, { ...options, dryRun: true });
    expect(dry).toMatchObject({ reason: "nothing-expired", temps: removed });
    expect(treeOf(folder)).toEqual(before);

    const swept = await report(storePath, options);
    expect(swept).toMatchObject({ swept: true, reason: "unchanged", temps: removed });
    expect(swept.bytes.reclaimed).toBe(50);
    expect(swept.ms.holding).toBeGreaterThan(0);
    expect(Object.keys(treeOf(folder)).sort()).toEqual(["sessions.json", live]);

    // What is left may still be written: no reason to take the lock.
    expect((await report(storePath, options)).ms.holding).toBe(0);
    const gone = join(folder, "gone.json");
    expect(await report(gone, options)).toMatchObject({ reason: "no-store" });
  });

  it("logs nothing of what it did not do", async () => {
    const log = recordingLogger();
    await report(fullStore().storePath, { dryRun: true, log });
    expect(log.calls).toEqual([]);
  });

  describe.skipIf(process.platform === "win32")("of a recorded sweep", () => {
    const file = new URL("gateway-vectors/sweeps.json", import.meta.url);
    const { cases } = JSON.parse(readFileSync(file, "utf8"), (_, value) =>
      value?.$undefined ? undefined : value,
    );

    const options = [
      [undefined, "by the gateway's rule"],
      ["1h", "by their own time"],
      [false, "kept for ever"],
    ];
    it.each(options)("tells the same as the sweep (archives: %j, %s)", async (archiveRetention) => {
      expect(cases).toHaveLength(150);
      const sum = { pruned: 0, archived: 0, aged: 0 };
      for (const recorded of cases) {
        const root = temporaryFolder();
        const inRoot = (text) => text?.replaceAll("{ROOT}", root);
        const files = { [`${recorded.home}/`]: { dir: true } };
        for (const { path, text, dir, symlink } of recorded.files) {
          files[path] = inRoot(text) ?? { dir, symlink: symlink && inRoot(symlink) };
        }
        layOut(root, files);
        const before = treeOf(root);
        const sizeBefore = sizeOf(root);
        const params = { ...recorded.params, force: true, archiveRetention };
        const storePath = join(root, recorded.store);

        const dry = await report(storePath, { ...params, dryRun: true });
        expect(treeOf(root), recorded.name).toEqual(before);
        const swept = await report(storePath, params);

        expect(figures(dry), recorded.name).toEqual(figures(swept));
        expect({ swept: swept.swept, pruned: swept.pruned }).toEqual(recorded.expect.result);
        expect(swept.bytes.reclaimed, recorded.name).toBe(sizeBefore - sizeOf(root));
        sum.pruned += swept.pruned;
        sum.archived += swept.transcripts.archived;
        sum.aged += swept.archives.removed;
      }
      expect(sum.pruned).toBeGreaterThan(100);
      expect(sum.archived).toBeGreaterThan(50);
      expect(sum.aged > 0).toBe(archiveRetention !== false);
    });
  });
});

describe("the retention of archives", () => {
  const old = archive("old", 25 * HOUR);
  const young = archive("young", 2 * HOUR);
  const files = {
    "a.jsonl": "x",
    [old]: "old",
    [young]: "young",
    [`sub/${old}`]: "old",
    [`sub/${young}`]: "young",
  };
  const nothingExpired = { [run(1)]: { updatedAt: NOW } };
  const expired = { [run(1)]: { sessionId: "a", updatedAt: 1, sessionFile: "sub/b.jsonl" } };
  const withTranscripts = { ...files, "sub/b.jsonl": "x" };

  const left = (folder) =>
    Object.keys(treeOf(folder))
      .filter((name) => /(old|young)\.jsonl/.test(name))
      .sort();

  it("is the runs' by default, where something was archived", async () => {
    const { folder, storePath } = storeWith(expired, { ...withTranscripts, "a.jsonl": "" });
    rmSync(join(folder, "a.jsonl"));
    expect((await report(storePath)).archives).toEqual({ removed: 1, bytes: 3 });
    expect(left(folder)).toEqual([old, `sub/${young}`, young]);
  });

  it("by default deletes nothing where nothing was archived", async () => {
    const { folder, storePath } = storeWith(nothingExpired, files);
    expect((await report(storePath)).archives).toEqual(none);
    expect(left(folder)).toHaveLength(4);
  });

  it("of their own counts in every folder in which something was archived", async () => {
    const { folder, storePath } = storeWith(expired, withTranscripts);
    const told = await report(storePath, { archiveRetention: "1h" });
    expect(told.transcripts.archived).toBe(2);
    // The two that were just archived bear the time of this moment.
    expect(told.archives).toEqual({ removed: 4, bytes: 16 });
    expect(left(folder)).toEqual([]);
  });

  it("of their own counts in the store's folder though nothing was archived", async () => {
    const { folder, storePath } = storeWith(nothingExpired, files);
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (const reason of ["nothing-expired", "unchanged"]) {
      layOut(folder, files);
      const told = await report(storePath, { archiveRetention: "1d" });
      expect(told).toMatchObject({ swept: true, reason, archives: { removed: 1, bytes: 3 } });
      expect(told.bytes.reclaimed).toBe(3);
      expect(left(folder)).toEqual([`sub/${old}`, `sub/${young}`, young]);
    }
  });

  it("may be longer than the runs'", async () => {
    const { folder, storePath } = storeWith(expired, withTranscripts);
    expect((await report(storePath, { archiveRetention: "26h" })).archives).toEqual(none);
    expect(left(folder)).toHaveLength(4);
  });

  it("may be for ever", async () => {
    const { folder, storePath } = storeWith(expired, withTranscripts);
    const told = await report(storePath, { archiveRetention: false });
    expect(told.transcripts.archived).toBe(2);
    expect(told.archives).toEqual(none);
    expect(left(folder)).toHaveLength(4);
  });

  it("is none of the drop-in's business", async () => {
    const { folder, storePath } = storeWith(nothingExpired, files);
    const log = recordingLogger();
    const result = await sweepCronRunSessions({
      sessionStorePath: storePath,
      nowMs: NOW,
      force: true,
      log,
      archiveRetention: "1h",
      dryRun: true,
      signal: AbortSignal.abort(),
    });
    expect(result).toEqual({ swept: true, pruned: 0 });
    expect(left(folder)).toHaveLength(4);
  });
});

describe("an abort", () => {
  /** A signal that counts who listens. */
  function countingSignal(controller = new AbortController()) {
    let listeners = 0;
    const { signal } = controller;
    for (const [method, step] of [
      ["addEventListener", 1],
      ["removeEventListener", -1],
    ]) {
      const original = signal[method].bind(signal);
      signal[method] = (...args) => {
        listeners += step;
        original(...args);
      };
    }
    return { controller, signal, listeners: () => listeners };
  }

  const aborted = (reason) =>
    expect.objectContaining({ name: "AbortError", code: "ABORT_ERR", cause: reason, warnings: [] });

  it("before the call stops everything, the throttle too", async () => {
    const { folder, storePath } = fullStore();
    const before = treeOf(folder);
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await expect(report(storePath, { signal })).rejects.toEqual(aborted(reason));
    await expect(report(storePath, { signal, dryRun: true })).rejects.toBeInstanceOf(Error);
    expect(treeOf(folder)).toEqual(before);
    expect((await report(storePath, { force: false })).pruned).toBe(3);
  });

  it("while the lock is waited for ends the wait", async () => {
    const { folder, storePath } = fullStore();
    writeFileSync(`${storePath}.lock`, lockPayload());
    const before = treeOf(folder);
    const { controller, signal, listeners } = countingSignal();
    setTimeout(() => controller.abort(), 300);
    const log = recordingLogger();
    const began = performance.now();
    const promise = report(storePath, { signal, log });
    expect(listeners()).toBe(1);
    const error = await promise.catch((error) => error);
    expect(error).toEqual(aborted(signal.reason));
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(listeners()).toBe(0);
    expect(log.calls).toEqual([]);
    expect(treeOf(folder)).toEqual(before);
    rmSync(`${storePath}.lock`);
    expect((await report(storePath, { force: false })).pruned).toBe(3);
  });

  it.each([0, 2, 5, 10, 20])("%i ms into a big rewrite leaves all as it was", async (delay) => {
    const folder = temporaryFolder();
    createSampleStore(folder, { entries: 900, expired: 90, nowMs: NOW, smallest: 30_000 });
    const storePath = join(folder, "sessions.json");
    const before = treeOf(folder);
    const controller = new AbortController();
    const promise = report(storePath, { signal: controller.signal });
    await new Promise((resolve) => setTimeout(resolve, delay));
    controller.abort();
    const outcome = await promise.catch((error) => error);
    if (outcome instanceof Error) {
      expect(outcome).toEqual(aborted(controller.signal.reason));
      expect(treeOf(folder)).toEqual(before);
      expect((await report(storePath)).pruned).toBe(90);
    } else {
      // It was too late.
      expect(outcome.pruned).toBe(90);
    }
    // The very first comes before the thread has read 30 MB.
    expect(outcome instanceof Error || delay > 0).toBe(true);
  });

  it("that never comes changes nothing, and nobody listens for it any more", async () => {
    for (const path of [fullStore().storePath, storeWith([]).storePath]) {
      const { signal, listeners } = countingSignal();
      await report(path, { signal }).catch(() => {});
      expect(listeners()).toBe(0);
    }
  });

  it("after the sweep changes nothing", async () => {
    const controller = new AbortController();
    const told = await report(fullStore().storePath, { signal: controller.signal });
    controller.abort();
    expect(told.pruned).toBe(3);
  });
});

describe("a sweep that fails", () => {
  const failure = (path, options) =>
    report(path, options).then(
      () => expect.unreachable("it should fail"),
      (error) => error,
    );

  it("because the store is no JSON names the place", async () => {
    const { folder, storePath } = fullStore();
    layOut(folder, { "sessions.json": '{\n  "main": {},\n  oops' });
    const before = treeOf(folder);
    for (const dryRun of [true, false]) {
      const log = recordingLogger();
      const error = await failure(storePath, { log, dryRun, archiveRetention: "0h" });
      expect(error).toBeInstanceOf(Error);
      expect(error.name).toBe("SweepError");
      expect({ ...error }).toEqual({
        code: "ERR_SESSION_STORE_INVALID",
        path: storePath,
        line: 3,
        column: 3,
        warnings: [
          {
            message: "cron-reaper: failed to sweep session store",
            error: `Error: ${error.message}`,
          },
        ],
      });
      expect(log.calls).toEqual([failLine(`Error: ${error.message}`)]);
    }
    expect(treeOf(folder)).toEqual(before);
    // It did not count for the throttle.
    layOut(folder, { "sessions.json": "{}" });
    expect((await report(storePath, { force: false })).swept).toBe(true);
  });

  it("has the code of what went wrong, and the path", async () => {
    const { folder, storePath } = fullStore();
    layOut(folder, { "folder/x": "", loop: { symlink: "loop" } });
    const long = join(folder, "x".repeat(300));
    const cases = [
      [join(folder, "folder"), "ERR_SESSION_STORE_NOT_A_FILE", join(folder, "folder")],
      [long, "ENAMETOOLONG", long],
      ["", "ERR_INVALID_ARG_VALUE", undefined],
      [undefined, "ERR_INVALID_ARG_VALUE", undefined],
    ];
    if (process.platform !== "win32") {
      cases.push([join(folder, "loop"), "ELOOP", join(folder, "loop")]);
    }
    for (const [given, code, path] of cases) {
      const error = await failure(given);
      expect(error).toMatchObject({ name: "SweepError", code });
      expect(error.path).toBe(path);
      expect(error.message).toContain(path ?? "no session store path");
      expect("line" in error || "column" in error).toBe(false);
    }
    layOut(folder, { "sessions.json.lock/precious": "" });
    const error = await failure(storePath);
    expect(error).toMatchObject({ code: "ERR_SESSION_STORE_NOT_A_FILE", path: `${storePath}.lock` });
  });

  it("because another process holds the lock says ERR_SESSION_STORE_LOCKED", async () => {
    const { storePath } = fullStore();
    const child = fork(fileURLToPath(new URL("fixtures/contender.mjs", import.meta.url)));
    onTestFinished(async () => {
      const exited = once(child, "exit");
      child.disconnect();
      await exited;
    });
    child.send({ role: "hold", storePath });
    const [pid] = await once(child, "message");
    const error = await failure(storePath);
    const message = `session file locked (timeout 10000ms): pid=${pid} ${storePath}.lock`;
    expect(error).toMatchObject({ code: "ERR_SESSION_STORE_LOCKED", message, path: `${storePath}.lock` });
  });

  it.skipIf(process.platform === "win32" || process.getuid() === 0)(
    "because a folder may not be written says EACCES",
    async () => {
      const { folder, storePath } = fullStore();
      spawnSync("chmod", ["a-w", folder]);
      onTestFinished(() => spawnSync("chmod", ["u+w", folder]));
      expect(await failure(storePath)).toMatchObject({ code: "EACCES" });
    },
  );
});

describe("a wrong option", () => {
  const good = { sessionStorePath: "missing/sessions.json" };
  const duration = 'options.archiveRetention must be a duration such as "30d", or false';
  const cases = [
    ["no options", undefined, "options must be an object, got undefined"],
    [
      "a number for the path",
      { sessionStorePath: 7 },
      "options.sessionStorePath must be a string, got number",
    ],
    [
      "a string for the time",
      { ...good, nowMs: "0" },
      "options.nowMs must be a number of milliseconds, got string",
    ],
    [
      "a logger without methods",
      { ...good, log: {} },
      "options.log must be a logger with the methods info and warn, got object",
    ],
    ["a number for the archives", { ...good, archiveRetention: 30 }, `${duration}, got number`],
    ["true for the archives", { ...good, archiveRetention: true }, `${duration}, got boolean`],
    ["no duration", { ...good, archiveRetention: "30 days" }, `${duration}, got "30 days"`],
    ["an empty duration", { ...good, archiveRetention: "" }, `${duration}, got ""`],
    [
      "a controller for the signal",
      { ...good, signal: new AbortController() },
      "options.signal must be an AbortSignal, got object",
    ],
    [
      "true for the signal",
      { ...good, signal: true },
      "options.signal must be an AbortSignal, got boolean",
    ],
  ];

  it.each(cases)("(%s) is a TypeError, by rejection", async (_, options, message) => {
    let promise;
    expect(() => {
      promise = sweepSessionStore(options);
    }).not.toThrow();
    await expect(promise).rejects.toThrow(new TypeError(`sweepSessionStore: ${message}`));
    await expect(promise).rejects.toBeInstanceOf(TypeError);
  });

  it("that is null counts as absent", async () => {
    const { storePath } = fullStore();
    const told = await sweepSessionStore({
      sessionStorePath: storePath,
      nowMs: NOW,
      cronConfig: null,
      force: null,
      log: null,
      dryRun: null,
      archiveRetention: null,
      signal: null,
    });
    expect(told).toMatchObject({ swept: true, dryRun: false, pruned: 3, archives: { removed: 3 } });
  });

  it("is read once, before the call returns", async () => {
    const { storePath } = fullStore();
    const reads = [];
    const values = {
      sessionStorePath: storePath,
      nowMs: NOW,
      force: true,
      cronConfig: {},
      log: recordingLogger(),
      dryRun: true,
      archiveRetention: "1h",
      signal: new AbortController().signal,
    };
    const options = {};
    for (const [name, value] of Object.entries(values)) {
      Object.defineProperty(options, name, {
        get() {
          reads.push(name);
          return value;
        },
      });
    }
    const promise = sweepSessionStore(options);
    expect(reads.sort()).toEqual(Object.keys(values).sort());
    expect((await promise).pruned).toBe(3);
    expect(reads).toHaveLength(Object.keys(values).length);
  });
});
