// sweepSessionStore: the sweep of the drop-in with a full report, options and rejections.

import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, parse } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { createSampleStore } from "../scripts/sample-store.mjs";
import {
  archiveName,
  CHAT,
  contender,
  DAY,
  expired,
  failLine,
  GATEWAY_TEMP,
  HOUR,
  layOut,
  layOutRecorded,
  lockPayload,
  lockStore,
  NOW,
  pruneLine,
  readStore,
  recent,
  recordingLogger,
  recordings,
  repeatUntilInTime,
  resetReaperThrottle,
  resolveRetentionMs,
  runKey,
  setAge,
  sizeOf,
  storeWith,
  sweepCronRunSessions,
  sweepSessionStore,
  temporaryFolder,
  treeOf,
  untilPrepared,
  untilSettled,
} from "./fixtures/index.mjs";
import { STAGES, sweepUntil } from "./fixtures/stages.mjs";

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
/** The size of a store that was not changed. */
const unchanged = (size) => ({ before: size, after: size, reclaimed: 0 });
const notRead = {
  entries: { seen: 0, kept: 0, pruned: 0, locked: 0 },
  bytes: unchanged(0),
  ms: { surveying: 0, waiting: 0, holding: 0, total: 0 },
};

beforeEach(() => resetReaperThrottle());

function report(sessionStorePath, options) {
  return sweepSessionStore({ sessionStorePath, nowMs: NOW, force: true, ...options });
}

const archive = (name, age) => archiveName(`${name}.jsonl`, NOW - age);

/** Creates a store in whose sweep every figure of the report is greater than zero. */
function fullStore() {
  const store = storeWith(
    {
      [CHAT]: { sessionId: "main", updatedAt: 1 },
      [runKey("gone-1")]: { ...expired("gone-1"), text: "x".repeat(700) },
      [runKey("gone-2")]: expired("gone-2"),
      [runKey("gone-3")]: { sessionId: "gone-3", updatedAt: 0, sessionFile: "sub/other.jsonl" },
      [runKey("locked")]: expired("locked"),
      [runKey("fresh")]: recent("fresh"),
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
      [GATEWAY_TEMP]: "x".repeat(60_000),
    },
  );
  setAge(join(store.folder, GATEWAY_TEMP), 2 * HOUR);
  return store;
}

/** A signal that counts its listeners. */
function countingSignal() {
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
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

describe("the report of a sweep", () => {
  it("reports every figure of a sweep as the disk shows it", async () => {
    const { folder, storePath } = fullStore();
    const before = statSync(storePath).size;
    const sizeBefore = sizeOf(folder);

    const reported = await report(storePath);

    const after = statSync(storePath).size;
    expect(reported).toEqual({
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
    expect(Object.keys(readStore(storePath))).toHaveLength(3);
  });

  it("reports times whose sum is not greater than the total", async () => {
    const { storePath } = fullStore();
    const began = performance.now();
    const { ms } = await report(storePath);
    const took = performance.now() - began;
    expect(Math.min(...Object.values(ms))).toBeGreaterThan(0);
    expect(ms.total).toBeGreaterThanOrEqual(ms.surveying + ms.waiting + ms.holding);
    expect(ms.total).toBeLessThanOrEqual(took);
  });

  it("reports the time during which another holder has the lock as waiting", async () => {
    // The time is too short to be compared if the sweep begins just before the lock is released.
    await repeatUntilInTime(async (attempt) => {
      const { storePath } = fullStore();
      const release = lockStore(storePath);
      const reporting = report(storePath);
      await untilPrepared(storePath);
      const heldMs = 100 * (attempt + 1);
      await sleep(heldMs);
      const released = performance.now();
      release();
      const { pruned, ms } = await reporting;
      expect(pruned).toBe(3);
      expect(ms.holding).toBeLessThan(performance.now() - released);
      return ms.waiting > heldMs / 2;
    });
  });

  it("logs what the drop-in logs to an optional logger", async () => {
    const log = recordingLogger();
    await report(fullStore().storePath, { log });
    expect(log.calls).toEqual([pruneLine(3)]);
  });

  it("counts both occurrences of a duplicate key as seen and one as removed", async () => {
    const entry = '{"updatedAt":1}';
    const text = `{"${runKey(1)}":${entry},"main":${entry},"${runKey(1)}":${entry}}`;
    const { entries, pruned } = await report(storeWith(text).storePath);
    expect(entries).toEqual({ seen: 3, kept: 1, pruned: 1, locked: 0 });
    expect(pruned).toBe(1);
  });

  it("keeps a temp file that may be the only copy of sessions, and warns", async () => {
    const { folder, storePath } = storeWith({ [runKey(1)]: { updatedAt: 1 } });
    const temp = join(folder, GATEWAY_TEMP);
    writeFileSync(temp, '{"newer":{}}');
    setAge(temp, HOUR);
    setAge(storePath, 2 * HOUR);

    const dry = await report(storePath, { dryRun: true });
    const { temps, warnings } = await report(storePath);

    expect(dry).toMatchObject({ temps: { ...none, kept: [temp] }, warnings: [] });
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

describe("the reason why nothing was removed", () => {
  const entries = { [CHAT]: {}, [runKey(1)]: recent() };

  it('reports "throttled" if the last sweep was too recent', async () => {
    const { storePath } = storeWith(entries);
    await report(storePath);
    expect(await report(storePath, { force: false })).toEqual({
      ...nothing,
      ...notRead,
      swept: false,
      reason: "throttled",
    });
  });

  it('reports "disabled" if the retention is disabled, and leaves everything unmodified', async () => {
    const { folder, storePath } = fullStore();
    const before = treeOf(folder);
    const cronConfig = { sessionRetention: false };
    for (const dryRun of [true, false]) {
      const reported = await report(storePath, { cronConfig, dryRun, archiveRetention: "1h" });
      expect(reported).toEqual({
        ...nothing,
        ...notRead,
        dryRun,
        retentionMs: null,
        swept: false,
        reason: "disabled",
      });
    }
    expect(treeOf(folder)).toEqual(before);
  });

  it('reports "no-store" if the store is missing, and neither creates nor deletes a file', async () => {
    const { folder, storePath } = fullStore();
    rmSync(storePath);
    const before = treeOf(folder);
    for (const path of [storePath, join(folder, "none", "sessions.json")]) {
      for (const dryRun of [true, false]) {
        expect(await report(path, { dryRun, archiveRetention: "1h" })).toEqual({
          ...nothing,
          ...notRead,
          dryRun,
          swept: !dryRun,
          reason: "no-store",
          ms: expect.anything(),
        });
      }
    }
    expect(treeOf(folder)).toEqual(before);
  });

  it('reports "nothing-expired", and "unchanged" for the next sweep of the same store', async () => {
    const { storePath } = storeWith(entries);
    await untilSettled(storePath);
    const expected = {
      ...nothing,
      swept: true,
      reason: "nothing-expired",
      entries: { seen: 2, kept: 2, pruned: 0, locked: 0 },
      bytes: unchanged(statSync(storePath).size),
      ms: expect.anything(),
    };
    expect(await report(storePath)).toEqual(expected);
    expect(await report(storePath)).toEqual({ ...expected, reason: "unchanged" });
    // The same store, at a time when a run in it is expired.
    expect((await report(storePath, { nowMs: NOW + DAY })).pruned).toBe(1);
  });

  it('reports "unchanged" with the figures of a store that a sweep wrote', async () => {
    const { storePath } = storeWith({ ...entries, [runKey(2)]: { updatedAt: 1 } });
    await report(storePath);
    await untilSettled(storePath);
    await report(storePath);
    expect(await report(storePath)).toMatchObject({
      reason: "unchanged",
      entries: { seen: 2, kept: 2, pruned: 0, locked: 0 },
      bytes: unchanged(statSync(storePath).size),
    });
  });

  it('reports "nothing-expired" if every expired run is locked', async () => {
    const { storePath } = storeWith(
      { [runKey(1)]: { sessionId: "a", updatedAt: 1 }, [runKey(2)]: { updatedAt: NOW } },
      { "a.jsonl": "still written", "a.jsonl.lock": lockPayload() },
    );
    for (const dryRun of [true, false, false]) {
      expect(await report(storePath, { dryRun })).toMatchObject({
        reason: "nothing-expired",
        entries: { seen: 2, kept: 2, pruned: 0, locked: 1 },
      });
    }
  });
});

describe("a dry run", () => {
  /** The figures that a dry run and the sweep after it have in common. */
  const figures = ({ pruned, entries, transcripts, archives, temps, bytes, retentionMs }) => ({
    pruned,
    entries,
    transcripts,
    archives,
    temps: { ...temps, kept: temps.kept.length },
    bytes,
    retentionMs,
  });

  /** The contents of the folder, and when a name in it last changed. */
  const traces = (folder) => [treeOf(folder), statSync(folder, { bigint: true }).mtimeNs];

  it("reports in a dry run what the next sweep does, and leaves no trace", async () => {
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

  it('reports "nothing-expired" in a dry run without expired runs', async () => {
    const { storePath } = storeWith({ [runKey(1)]: { updatedAt: NOW } });
    const dry = await report(storePath, { dryRun: true });
    expect(dry).toMatchObject({ swept: false, reason: "nothing-expired", pruned: 0 });
  });

  it("does not wait for the lock in a dry run", async () => {
    const { folder, storePath } = fullStore();
    lockStore(storePath);
    const before = traces(folder);
    expect((await report(storePath, { dryRun: true })).pruned).toBe(3);
    expect(traces(folder)).toEqual(before);
  });

  it("neither throttles a dry run nor lets it set the throttle", async () => {
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

  it("lets the first sweep after a dry run remove what a crash left", async () => {
    const { folder, storePath } = storeWith({ [runKey(1)]: { updatedAt: NOW } });
    // No process has this id.
    const left = join(folder, "sessions.json.99999999-0.reaper.tmp");
    writeFileSync(left, "x".repeat(50));
    setAge(left, HOUR);
    // Only beside such a file is a temp file of the gateway deleted, too.
    const beside = join(folder, GATEWAY_TEMP);
    writeFileSync(beside, "y");
    setAge(beside, HOUR);
    setAge(storePath, HOUR / 2);
    await untilSettled(storePath);
    const dry = await report(storePath, { dryRun: true });
    const swept = await report(storePath);
    expect(swept.temps).toEqual({ removed: 2, bytes: 51, kept: [] });
    expect(figures(dry)).toEqual(figures(swept));
    expect(await report(storePath)).toMatchObject({ reason: "unchanged", temps: none });
  });

  it("removes dead temp files in every sweep with removeTemps, and keeps the others", async () => {
    const dead = GATEWAY_TEMP;
    const live = GATEWAY_TEMP.replace("3ab3", "4ab3");
    const { folder, storePath } = storeWith({ a: {} }, { [dead]: "x".repeat(50), [live]: "y" });
    setAge(storePath, HOUR);
    setAge(join(folder, dead), 2 * HOUR);
    await untilSettled(storePath);
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

    // The other file may still be written, so the lock is not needed.
    expect((await report(storePath, options)).ms.holding).toBe(0);
    const gone = join(folder, "gone.json");
    expect(await report(gone, options)).toMatchObject({ reason: "no-store" });
  });

  it("logs nothing in a dry run", async () => {
    const log = recordingLogger();
    await report(fullStore().storePath, { dryRun: true, log });
    expect(log.calls).toEqual([]);
  });

  it.skipIf(process.platform === "win32").each([
    ["the gateway's rule", undefined],
    ["1h", "1h"],
    ["false", false],
  ])(
    "reports in a dry run of 150 recordings what the sweep does (archiveRetention: %s)",
    async (_, archiveRetention) => {
      const { cases } = recordings("sweeps");
      expect(cases).toHaveLength(150);
      const sum = { pruned: 0, archived: 0, aged: 0 };
      for (const recorded of cases) {
        const { root, storePath } = layOutRecorded(recorded);
        const before = treeOf(root);
        const sizeBefore = sizeOf(root);
        const retentionMs = resolveRetentionMs(recorded.params.cronConfig);
        // As a valid duration: some recordings have an invalid one, which is an error here.
        const cronConfig = { sessionRetention: retentionMs === null ? false : `${retentionMs}ms` };
        const params = { ...recorded.params, cronConfig, force: true, archiveRetention };

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
    },
  );
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
  const nothingExpired = { [runKey(1)]: { updatedAt: NOW } };
  const oneRun = { [runKey(1)]: { sessionId: "a", updatedAt: 1, sessionFile: "sub/b.jsonl" } };
  const withTranscripts = { ...files, "sub/b.jsonl": "x" };

  const left = (folder) =>
    Object.keys(treeOf(folder))
      .filter((name) => /(old|young)\.jsonl/.test(name))
      .sort();

  it("deletes archives older than the runs' retention by default if a transcript was archived", async () => {
    const { folder, storePath } = storeWith(oneRun, { ...withTranscripts, "a.jsonl": "" });
    rmSync(join(folder, "a.jsonl"));
    expect((await report(storePath)).archives).toEqual({ removed: 1, bytes: 3 });
    expect(left(folder)).toEqual([old, `sub/${young}`, young]);
  });

  it("deletes no archive by default if no transcript was archived", async () => {
    const { folder, storePath } = storeWith(nothingExpired, files);
    expect((await report(storePath)).archives).toEqual(none);
    expect(left(folder)).toHaveLength(4);
  });

  it("applies archiveRetention in every folder that gets an archive", async () => {
    const { folder, storePath } = storeWith(oneRun, withTranscripts);
    const reported = await report(storePath, { archiveRetention: "1h" });
    expect(reported.transcripts.archived).toBe(2);
    // The two new archives have the stamp of the current time, which is later than NOW.
    expect(reported.archives).toEqual({ removed: 4, bytes: 16 });
    expect(left(folder)).toEqual([]);
  });

  it("applies archiveRetention in the store's folder although no transcript was archived", async () => {
    const { folder, storePath } = storeWith(nothingExpired, files);
    await untilSettled(storePath);
    for (const reason of ["nothing-expired", "unchanged"]) {
      layOut(folder, files);
      const reported = await report(storePath, { archiveRetention: "1d" });
      expect(reported).toMatchObject({ swept: true, reason, archives: { removed: 1, bytes: 3 } });
      expect(reported.bytes.reclaimed).toBe(3);
      expect(left(folder)).toEqual([`sub/${old}`, `sub/${young}`, young]);
    }
  });

  it("keeps archives that are younger than a long archiveRetention", async () => {
    const { folder, storePath } = storeWith(oneRun, withTranscripts);
    expect((await report(storePath, { archiveRetention: "26h" })).archives).toEqual(none);
    expect(left(folder)).toHaveLength(4);
  });

  it("keeps every archive if archiveRetention is false", async () => {
    const { folder, storePath } = storeWith(oneRun, withTranscripts);
    const reported = await report(storePath, { archiveRetention: false });
    expect(reported.transcripts.archived).toBe(2);
    expect(reported.archives).toEqual(none);
    expect(left(folder)).toHaveLength(4);
  });

  it("ignores archiveRetention, dryRun and signal in sweepCronRunSessions", async () => {
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
  const aborted = (reason) =>
    expect.objectContaining({ name: "AbortError", code: "ABORT_ERR", cause: reason, warnings: [] });

  it("rejects before it does anything if the signal is already aborted", async () => {
    const { folder, storePath } = fullStore();
    const before = treeOf(folder);
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    for (const dryRun of [false, true]) {
      await expect(report(storePath, { signal, dryRun })).rejects.toEqual(aborted(reason));
    }
    expect(treeOf(folder)).toEqual(before);
    // The throttle was not set.
    expect((await report(storePath, { force: false })).pruned).toBe(3);
  });

  it("rejects while it waits for the lock, and leaves everything unmodified", async () => {
    const { folder, storePath } = fullStore();
    const release = lockStore(storePath);
    const before = treeOf(folder);
    const { controller, signal, listeners } = countingSignal();
    const log = recordingLogger();
    const reporting = report(storePath, { signal, log });
    expect(listeners()).toBe(1);
    await untilPrepared(storePath);
    controller.abort();
    // A sweep that ignored the abort would fail because of the lock.
    await expect(reporting).rejects.toEqual(aborted(signal.reason));
    expect(listeners()).toBe(0);
    expect(log.calls).toEqual([]);
    expect(treeOf(folder)).toEqual(before);
    release();
    expect((await report(storePath, { force: false })).pruned).toBe(3);
  });

  it.each(STAGES.slice(0, 3))(
    "rejects and leaves everything unmodified if it is aborted when %s",
    async (stage) => {
      const folder = temporaryFolder();
      const options = { entries: 300, expired: 90, nowMs: NOW, smallest: 30_000 };
      await repeatUntilInTime(async () => {
        const storePath = createSampleStore(folder, options);
        const before = treeOf(folder);
        const controller = new AbortController();
        let reporting;
        let isOver = false;
        const begin = () => {
          reporting = report(storePath, { signal: controller.signal })
            .catch((error) => error)
            .finally(() => {
              isOver = true;
            });
        };
        await sweepUntil(stage, storePath, begin, () => isOver);
        controller.abort();
        const outcome = await reporting;
        const isInTime = outcome instanceof Error;
        if (isInTime) {
          expect(outcome).toEqual(aborted(controller.signal.reason));
          expect(treeOf(folder)).toEqual(before);
        }
        expect((isInTime ? await report(storePath) : outcome).pruned).toBe(90);
        return isInTime;
      });
    },
  );

  it("removes its listener from a signal that is never aborted", async () => {
    for (const path of [fullStore().storePath, storeWith([]).storePath]) {
      const { signal, listeners } = countingSignal();
      await report(path, { signal }).catch(() => {});
      expect(listeners()).toBe(0);
    }
  });

  it("ignores an abort after the sweep", async () => {
    const controller = new AbortController();
    const reported = await report(fullStore().storePath, { signal: controller.signal });
    controller.abort();
    expect(reported.pruned).toBe(3);
  });
});

describe("a failed sweep", () => {
  const failure = (path, options) =>
    report(path, options).then(
      () => expect.unreachable("the sweep succeeds"),
      (error) => error,
    );

  it("rejects with line and column of invalid JSON, and leaves everything unmodified", async () => {
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
    // The throttle was not set.
    layOut(folder, { "sessions.json": "{}" });
    expect((await report(storePath, { force: false })).swept).toBe(true);
  });

  it("rejects with the code of the cause and the path", async () => {
    const { folder, storePath } = fullStore();
    layOut(folder, { "folder/x": "", loop: { symlink: "loop" } });
    const long = join(folder, "x".repeat(300));
    const cases = [
      [join(folder, "folder"), "ERR_SESSION_STORE_NOT_A_FILE", join(folder, "folder")],
      [long, "ENAMETOOLONG", long],
      [parse(folder).root, "ERR_SESSION_STORE_NOT_A_FILE", parse(folder).root],
      ["", "ERR_INVALID_ARG_VALUE", undefined],
      [undefined, "ERR_INVALID_ARG_VALUE", undefined],
    ];
    if (process.platform !== "win32") {
      cases.push([join(folder, "loop"), "ELOOP", join(folder, "loop")]);
      cases.push(["/dev/null", "ERR_SESSION_STORE_NOT_A_FILE", "/dev/null"]);
    }
    for (const [given, code, path] of cases) {
      const error = await failure(given);
      expect(error).toMatchObject({ name: "SweepError", code });
      expect(error.path).toBe(path);
      expect(error.message).toContain(path ?? "no session store path");
      expect(error.message.endsWith("found a special file; name a sessions.json")).toBe(
        given === "/dev/null",
      );
      expect("line" in error || "column" in error).toBe(false);
    }
    layOut(folder, { "sessions.json.lock/precious": "" });
    const error = await failure(storePath);
    expect(error).toMatchObject({
      code: "ERR_SESSION_STORE_NOT_A_FILE",
      path: `${storePath}.lock`,
    });
  });

  it("rejects with ERR_SESSION_STORE_LOCKED if another process holds the lock", async () => {
    const { storePath } = fullStore();
    const pid = await contender({ role: "hold", storePath }).answer;
    const error = await failure(storePath);
    const message = `session file locked (timeout 10000ms): pid=${pid} ${storePath}.lock`;
    expect(error).toMatchObject({
      code: "ERR_SESSION_STORE_LOCKED",
      message,
      path: `${storePath}.lock`,
    });
  });

  it.skipIf(process.platform === "win32" || process.getuid() === 0)(
    "rejects with EACCES if the folder is not writable",
    async () => {
      const { folder, storePath } = fullStore();
      chmodSync(folder, 0o555);
      onTestFinished(() => chmodSync(folder, 0o755));
      expect(await failure(storePath)).toMatchObject({ code: "EACCES" });
    },
  );
});

describe("a wrong option", () => {
  const good = { sessionStorePath: "missing/sessions.json" };
  const duration = 'options.archiveRetention must be a duration such as "30d", or false';
  const retention =
    'options.cronConfig.sessionRetention must be a duration such as "24h", or false';
  const cases = [
    ["missing options", undefined, "options must be an object, got undefined"],
    [
      "a number as the path",
      { sessionStorePath: 7 },
      "options.sessionStorePath must be a string, got number",
    ],
    [
      "a string as the time",
      { ...good, nowMs: "0" },
      "options.nowMs must be a number of milliseconds, got string",
    ],
    [
      "a logger without methods",
      { ...good, log: {} },
      "options.log must be a logger with the methods info and warn, got object",
    ],
    ["a number as archiveRetention", { ...good, archiveRetention: 30 }, `${duration}, got number`],
    ["true as archiveRetention", { ...good, archiveRetention: true }, `${duration}, got boolean`],
    [
      "an invalid duration as archiveRetention",
      { ...good, archiveRetention: "30 days" },
      `${duration}, got "30 days"`,
    ],
    ["an empty archiveRetention", { ...good, archiveRetention: "" }, `${duration}, got ""`],
    ...["7d", 5, true, ["7d"], () => {}, Symbol("7d")].map((cronConfig) => {
      const type = Array.isArray(cronConfig) ? "array" : typeof cronConfig;
      const expected = 'an object such as { sessionRetention: "24h" }';
      return [
        `the ${type} ${String(cronConfig)} as cronConfig`,
        { ...good, cronConfig },
        `options.cronConfig must be ${expected}, got ${type}`,
      ];
    }),
    ...["force", "dryRun", "removeTemps"].flatMap((name) =>
      ["false", "", 0, 1, {}].map((value) => [
        `${JSON.stringify(value)} as ${name}`,
        { ...good, [name]: value },
        `options.${name} must be a boolean, got ${typeof value}`,
      ]),
    ),
    [
      "an invalid duration as sessionRetention",
      { ...good, cronConfig: { sessionRetention: "7 days" } },
      `${retention}, got "7 days"`,
    ],
    [
      "a number as sessionRetention",
      { ...good, cronConfig: { sessionRetention: 604_800_000 } },
      `${retention}, got number`,
    ],
    [
      "a time in microseconds",
      { ...good, nowMs: 1_772_366_400_000_000 },
      "options.nowMs must be milliseconds since 1970, before the year 10000, got 1772366400000000",
    ],
    [
      "NaN as the time",
      { ...good, nowMs: Number.NaN },
      "options.nowMs must be milliseconds since 1970, before the year 10000, got NaN",
    ],
    [
      "a controller as the signal",
      { ...good, signal: new AbortController() },
      "options.signal must be an AbortSignal, got object",
    ],
    [
      "true as the signal",
      { ...good, signal: true },
      "options.signal must be an AbortSignal, got boolean",
    ],
  ];

  it.each(cases)(
    "rejects with a TypeError for %s, and does not throw",
    async (_, options, message) => {
      let promise;
      expect(() => {
        promise = sweepSessionStore(options);
      }).not.toThrow();
      await expect(promise).rejects.toBeInstanceOf(TypeError);
      await expect(promise).rejects.toMatchObject({
        message: `sweepSessionStore: ${message}`,
        code: expect.stringMatching(/^ERR_INVALID_ARG_(TYPE|VALUE)$/),
      });
    },
  );

  it("treats null as absent for every option", async () => {
    const { storePath } = fullStore();
    const reported = await sweepSessionStore({
      sessionStorePath: storePath,
      nowMs: NOW,
      cronConfig: null,
      force: null,
      log: null,
      dryRun: null,
      removeTemps: null,
      archiveRetention: null,
      signal: null,
    });
    expect(reported).toMatchObject({
      swept: true,
      dryRun: false,
      pruned: 3,
      archives: { removed: 3 },
    });
  });

  it("reads each option once, before the call returns", async () => {
    const { storePath } = fullStore();
    const reads = [];
    const values = {
      sessionStorePath: storePath,
      nowMs: NOW,
      force: true,
      cronConfig: {
        get sessionRetention() {
          reads.push("sessionRetention");
          return "24h";
        },
      },
      log: recordingLogger(),
      dryRun: true,
      removeTemps: true,
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
    const names = [...Object.keys(values), "sessionRetention"].sort();
    expect(reads.sort()).toEqual(names);
    expect((await promise).pruned).toBe(3);
    expect(reads).toHaveLength(names.length);
  });
});
