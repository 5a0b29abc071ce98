// The manners of the JavaScript surface: what it takes, what it refuses and how, what it logs.

import { readFileSync, rmdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { layOut, temporaryFolder, treeOf } from "./fixtures/folder.mjs";
import {
  failLine,
  HOUR,
  inspectSessionStore,
  NOW,
  pruneLine,
  recordingLogger,
  resetReaperThrottle,
  resolveRetentionMs,
  sweep,
  sweepCronRunSessions,
} from "./fixtures/reaper.mjs";

const MINUTE = 60_000;
const expired = { updatedAt: NOW - 25 * HOUR };

beforeEach(() => resetReaperThrottle());

/** A store with one expired run and one chat. */
function smallStore() {
  const folder = temporaryFolder();
  const storePath = join(folder, "sessions.json");
  const refill = () =>
    layOut(folder, {
      "sessions.json": JSON.stringify({
        "agent:main:cron:job:run:1": { sessionId: "run-1", ...expired },
        "agent:main:main": { sessionId: "main", updatedAt: 1 },
      }),
    });
  refill();
  return { folder, storePath, refill };
}

describe("the package", () => {
  const names = [
    "inspectSessionStore",
    "resetReaperThrottle",
    "resolveRetentionMs",
    "sweepCronRunSessions",
    "sweepSessionStore",
  ];

  it("gives require() its functions and nothing else", () => {
    const required = createRequire(import.meta.url)("cron-session-reaper");
    expect(Object.keys(required).sort()).toEqual(names);
  });

  it("gives import the same functions by name", async () => {
    // By its path: the test runner would look for the name among the dependencies.
    const imported = await import(/* @vite-ignore */ new URL("../index.js", import.meta.url).href);
    const own = Object.keys(imported).filter(
      (name) => !["default", "module.exports"].includes(name),
    );
    expect(own.sort()).toEqual(names);
  });

  it("keeps its binding to itself", () => {
    const require = createRequire(import.meta.url);
    expect(() => require("cron-session-reaper/binding.js")).toThrow(
      expect.objectContaining({ code: "ERR_PACKAGE_PATH_NOT_EXPORTED" }),
    );
  });
});

describe("a wrong argument", () => {
  const log = recordingLogger();
  const good = { sessionStorePath: "missing/sessions.json", log };
  const logger = "params.log must be a logger with the methods info and warn";
  const path = "params.sessionStorePath must be a string";
  const time = "params.nowMs must be a number of milliseconds";
  const cases = [
    ["no parameters", undefined, "params must be an object, got undefined"],
    ["null for the parameters", null, "params must be an object, got null"],
    ["a string for the parameters", "sessions.json", "params must be an object, got string"],
    ["a number for the path", { ...good, sessionStorePath: 7 }, `${path}, got number`],
    ["an object for the path", { ...good, sessionStorePath: {} }, `${path}, got object`],
    ["an array for the path", { ...good, sessionStorePath: ["a"] }, `${path}, got array`],
    [
      "a URL for the path",
      { ...good, sessionStorePath: new URL("file:///a") },
      `${path}, got object`,
    ],
    ["false for the path", { ...good, sessionStorePath: false }, `${path}, got boolean`],
    ["no logger", { ...good, log: undefined }, `${logger}, got undefined`],
    ["null for the logger", { ...good, log: null }, `${logger}, got null`],
    ["a function for the logger", { ...good, log: () => {} }, `${logger}, got function`],
    ["a logger without warn", { ...good, log: { info() {} } }, `${logger}, got object`],
    ["a logger without info", { ...good, log: { warn() {} } }, `${logger}, got object`],
    ["a string for the time", { ...good, nowMs: "0" }, `${time}, got string`],
    ["a date for the time", { ...good, nowMs: new Date(0) }, `${time}, got object`],
    ["a bigint for the time", { ...good, nowMs: 0n }, `${time}, got bigint`],
  ];

  it.each(cases)("%s is a TypeError, by rejection", async (_, params, message) => {
    let promise;
    expect(() => {
      promise = sweepCronRunSessions(params);
    }).not.toThrow();
    await expect(promise).rejects.toThrow(new TypeError(`sweepCronRunSessions: ${message}`));
    await expect(promise).rejects.toBeInstanceOf(TypeError);
    expect(log.calls).toEqual([]);
  });

  it("that throws when it is read rejects with what it threw", async () => {
    const trap = new Error("trap");
    const params = {
      get sessionStorePath() {
        throw trap;
      },
    };
    await expect(sweepCronRunSessions(params)).rejects.toBe(trap);
  });
});

describe("a path that is not given", () => {
  it.each([
    ["undefined", undefined],
    ["null", null],
    ["empty", ""],
  ])("(%s) is warned about as a failed sweep", async (_, sessionStorePath) => {
    const { result, calls } = await sweep(sessionStorePath, { force: false });
    expect(result).toEqual({ swept: false, pruned: 0 });
    expect(calls).toEqual([failLine("Error: no session store path was given")]);
  });
});

describe("null", () => {
  it("counts as absent wherever a value is optional", async () => {
    const { storePath } = smallStore();
    const { result, calls } = await sweep(storePath, {
      cronConfig: null,
      nowMs: null,
      force: null,
    });
    expect(result).toEqual({ swept: true, pruned: 1 });
    expect(calls).toEqual([pruneLine(1)]);
  });

  it("counts as absent for the retention", () => {
    expect(resolveRetentionMs(null)).toBe(24 * HOUR);
    expect(resolveRetentionMs({ sessionRetention: null })).toBe(24 * HOUR);
  });
});

describe("a configuration of any other kind", () => {
  it.each([[0], ["1h"], [true], [[]], [Symbol("1h")], [() => {}]])(
    "(%o) has no retention of its own",
    (config) => {
      expect(resolveRetentionMs(config)).toBe(24 * HOUR);
    },
  );
});

describe("the clock", () => {
  it("is Date.now, looked up when the sweep is asked for", async () => {
    const { storePath } = smallStore();
    const { now } = Date;
    onTestFinished(() => {
      Date.now = now;
    });
    Date.now = () => expired.updatedAt + 24 * HOUR;
    expect((await sweep(storePath, { nowMs: undefined })).result.pruned).toBe(0);
    Date.now = () => expired.updatedAt + 24 * HOUR + 1;
    expect((await sweep(storePath, { nowMs: undefined })).result.pruned).toBe(1);
  });

  it("may say NaN: then nothing is old", async () => {
    const { storePath } = smallStore();
    expect((await sweep(storePath, { nowMs: Number.NaN })).result).toEqual({
      swept: true,
      pruned: 0,
    });
  });
});

describe("the parameters", () => {
  it("are read before the call returns: what happens to them later does not count", async () => {
    const { storePath } = smallStore();
    const log = recordingLogger();
    const params = { sessionStorePath: storePath, nowMs: NOW, force: true, cronConfig: {}, log };
    const promise = sweepCronRunSessions(params);
    params.sessionStorePath = "elsewhere";
    params.nowMs = 0;
    params.log = undefined;
    params.cronConfig.sessionRetention = false;
    expect(await promise).toEqual({ swept: true, pruned: 1 });
    expect(log.calls).toEqual([pruneLine(1)]);
  });

  it("may come from a prototype and be getters, each read once", async () => {
    const { storePath } = smallStore();
    const reads = [];
    const log = recordingLogger();
    class Params {
      get sessionStorePath() {
        reads.push("sessionStorePath");
        return storePath;
      }
      get nowMs() {
        reads.push("nowMs");
        return NOW;
      }
      get force() {
        reads.push("force");
        return true;
      }
      get cronConfig() {
        reads.push("cronConfig");
        return { sessionRetention: "1h" };
      }
      get log() {
        reads.push("log");
        return log;
      }
    }
    expect(await sweepCronRunSessions(new Params())).toEqual({ swept: true, pruned: 1 });
    expect(log.calls).toEqual([pruneLine(1, HOUR)]);
    expect(reads.sort()).toEqual(["cronConfig", "force", "log", "nowMs", "sessionStorePath"]);
  });

  it("force by truth, not by type", async () => {
    const { storePath } = smallStore();
    await sweep(storePath);
    for (const force of [1, "yes", {}]) {
      expect((await sweep(storePath, { force })).result.swept).toBe(true);
    }
    for (const force of [0, "", null, undefined, Number.NaN]) {
      expect((await sweep(storePath, { force })).result.swept).toBe(false);
    }
  });
});

describe("the throttle", () => {
  const unforced = (storePath, nowMs, rest) => sweep(storePath, { nowMs, force: false, ...rest });

  it("lets a store be swept again after five minutes, and not a millisecond before", async () => {
    const { storePath, refill } = smallStore();
    expect((await unforced(storePath, NOW)).result).toEqual({ swept: true, pruned: 1 });
    refill();
    const early = await unforced(storePath, NOW + 5 * MINUTE - 1);
    expect(early).toEqual({ result: { swept: false, pruned: 0 }, calls: [] });
    const late = await unforced(storePath, NOW + 5 * MINUTE);
    expect(late).toEqual({ result: { swept: true, pruned: 1 }, calls: [pruneLine(1)] });
  });

  it("begins with the epoch: a clock within its first five minutes is too early", async () => {
    const { storePath } = smallStore();
    expect((await unforced(storePath, 5 * MINUTE - 1)).result.swept).toBe(false);
    expect((await unforced(storePath, 5 * MINUTE)).result.swept).toBe(true);
  });

  it("is kept for every path as it is written", async () => {
    const { folder, storePath } = smallStore();
    const other = smallStore();
    await unforced(storePath, NOW);
    expect((await unforced(other.storePath, NOW)).result.swept).toBe(true);
    expect((await unforced(`${folder}/./sessions.json`, NOW)).result.swept).toBe(true);
    expect((await unforced(storePath, NOW)).result.swept).toBe(false);
  });

  it("is skipped by force, which sets it too", async () => {
    const { storePath } = smallStore();
    await unforced(storePath, NOW);
    expect((await sweep(storePath, { nowMs: NOW + 2 * MINUTE })).result.swept).toBe(true);
    expect((await unforced(storePath, NOW + 6 * MINUTE)).result.swept).toBe(false);
    expect((await unforced(storePath, NOW + 7 * MINUTE)).result.swept).toBe(true);
  });

  it("is forgotten by resetReaperThrottle", async () => {
    const { storePath } = smallStore();
    await unforced(storePath, NOW);
    expect(resetReaperThrottle()).toBeUndefined();
    expect((await unforced(storePath, NOW)).result.swept).toBe(true);
  });

  it("is looked at when the sweep is asked for, not later", async () => {
    const { storePath } = smallStore();
    await unforced(storePath, NOW);
    const sweeping = unforced(storePath, NOW);
    resetReaperThrottle();
    expect((await sweeping).result).toEqual({ swept: false, pruned: 0 });
  });

  it("is set by a sweep with retention off, which leaves the store alone", async () => {
    const { folder, storePath } = smallStore();
    const before = treeOf(folder);
    const off = await unforced(storePath, NOW, { cronConfig: { sessionRetention: false } });
    expect(off).toEqual({ result: { swept: false, pruned: 0 }, calls: [] });
    expect(treeOf(folder)).toEqual(before);
    expect((await unforced(storePath, NOW + 5 * MINUTE - 1)).result.swept).toBe(false);
    expect((await unforced(storePath, NOW + 5 * MINUTE)).result.swept).toBe(true);
  });

  it("is not set by a sweep that failed", async () => {
    const { folder, storePath, refill } = smallStore();
    layOut(folder, { "sessions.json": "{" });
    expect((await unforced(storePath, NOW)).result.swept).toBe(false);
    refill();
    expect((await unforced(storePath, NOW)).result).toEqual({ swept: true, pruned: 1 });
  });

  it("lets a clock that went back wait", async () => {
    const { storePath } = smallStore();
    await unforced(storePath, NOW);
    expect((await unforced(storePath, NOW - HOUR)).result.swept).toBe(false);
  });

  it("is a worker thread's own", async () => {
    const { storePath, refill } = smallStore();
    await unforced(storePath, NOW);
    refill();
    const inWorker = await inWorkerThread(storePath, [{}, {}]);
    expect(inWorker).toEqual([
      { swept: true, pruned: 1 },
      { swept: false, pruned: 0 },
    ]);
    expect((await unforced(storePath, NOW)).result.swept).toBe(false);
    expect((await unforced(storePath, NOW + 5 * MINUTE)).result.swept).toBe(true);
  });

  function inWorkerThread(sessionStorePath, sweeps) {
    return new Promise((resolve, reject) => {
      const worker = new Worker(new URL("fixtures/sweeping-worker.mjs", import.meta.url), {
        workerData: { sessionStorePath, nowMs: NOW, sweeps },
      });
      worker.once("message", resolve).once("error", reject);
    });
  }
});

describe("the logger", () => {
  it("is called as its own method, on this thread, before the promise settles", async () => {
    const { storePath } = smallStore();
    const seen = [];
    class Log {
      #prefix = "cron";
      info(...args) {
        seen.push([this.#prefix, ...args]);
      }
      warn() {}
    }
    const promise = sweepCronRunSessions({
      sessionStorePath: storePath,
      nowMs: NOW,
      force: true,
      log: new Log(),
    }).then(() => seen.push("settled"));
    await promise;
    const [, obj, message] = pruneLine(1);
    expect(seen).toEqual([["cron", obj, message], "settled"]);
  });

  it("gets an object with the documented keys and no others", async () => {
    const { folder, storePath } = smallStore();
    const pruned = await sweep(storePath);
    expect(Object.keys(pruned.calls[0][1])).toEqual(["pruned", "retentionMs"]);
    layOut(folder, { "sessions.json": "" });
    const failed = await sweep(storePath);
    expect(Object.keys(failed.calls[0][1])).toEqual(["err"]);
  });

  it.each(["info", "warn"])("whose %s throws rejects with that very error", async (level) => {
    const { folder, storePath } = smallStore();
    if (level === "warn") {
      layOut(folder, { "sessions.json": "[]" });
    }
    const thrown = { not: "even an error" };
    const log = {
      ...recordingLogger(),
      [level]() {
        throw thrown;
      },
    };
    const promise = sweepCronRunSessions({
      sessionStorePath: storePath,
      nowMs: NOW,
      force: true,
      log,
    });
    await expect(promise).rejects.toBe(thrown);
  });

  it("that throws does not undo the sweep", async () => {
    const { storePath } = smallStore();
    const log = {
      info() {
        throw new Error("full disk");
      },
      warn() {},
    };
    const params = { sessionStorePath: storePath, nowMs: NOW, log };
    await expect(sweepCronRunSessions(params)).rejects.toThrow("full disk");
    expect(Object.keys(JSON.parse(readFileSync(storePath, "utf8")))).toEqual(["agent:main:main"]);
    expect(await sweepCronRunSessions(params)).toEqual({ swept: false, pruned: 0 });
  });
});

describe.skipIf(process.platform === "win32")("a removed working directory", () => {
  it("does not affect an absolute path, and is the error for a relative one", async () => {
    const { storePath } = smallStore();
    const before = process.cwd();
    onTestFinished(() => process.chdir(before));
    const removed = temporaryFolder();
    process.chdir(removed);
    rmdirSync(removed);

    const { runs } = await inspectSessionStore({ sessionStorePath: storePath, nowMs: NOW });
    expect(runs.expired).toBe(1);
    expect((await sweep(storePath)).result).toEqual({ swept: true, pruned: 1 });
    const { calls } = await sweep("sessions.json");
    const path = "the current directory for sessions.json";
    expect(calls).toEqual([
      failLine(`Error: cannot find ${path}: ENOENT: no such file or directory`),
    ]);
  });
});

describe("the result", () => {
  it("has the two keys and no others", async () => {
    const { storePath } = smallStore();
    const { result } = await sweep(storePath);
    expect(Object.keys(result)).toEqual(["swept", "pruned"]);
  });
});

describe("sweeps at the same time", () => {
  it("of one store count every run once", async () => {
    const { storePath } = smallStore();
    const sweeps = await Promise.all(Array.from({ length: 8 }, () => sweep(storePath)));
    expect(sweeps.map(({ result }) => result.swept)).toEqual(Array(8).fill(true));
    expect(sweeps.reduce((sum, { result }) => sum + result.pruned, 0)).toBe(1);
    expect(sweeps.flatMap(({ calls }) => calls)).toEqual([pruneLine(1)]);
  });

  it("of several stores keep their results and their loggers apart", async () => {
    const stores = Array.from({ length: 12 }, (_, index) => {
      const folder = temporaryFolder();
      const runs = Array.from({ length: index }, (_, run) => [
        `agent:main:cron:job:run:${run}`,
        expired,
      ]);
      layOut(folder, { "sessions.json": JSON.stringify(Object.fromEntries(runs)) });
      return join(folder, "sessions.json");
    });
    const sweeps = await Promise.all(stores.map((store) => sweep(store)));
    expect(sweeps).toEqual(
      stores.map((_, index) => ({
        result: { swept: true, pruned: index },
        calls: index === 0 ? [] : [pruneLine(index)],
      })),
    );
  });
});
