// The JavaScript interface: the arguments that it accepts and rejects, the throttle, and the logger.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import {
  CHAT,
  DAY,
  expired,
  failedWith,
  HOUR,
  layOut,
  NOW,
  pruneLine,
  readStore,
  recordingLogger,
  resetReaperThrottle,
  resolveRetentionMs,
  runKey,
  storeWith,
  sweep,
  sweepCronRunSessions,
  sweepingWorker,
  sweptCleanly,
  textOf,
  treeOf,
} from "./fixtures/index.mjs";

const MINUTE = 60_000;
const throttled = { result: { swept: false, pruned: 0 }, calls: [] };

beforeEach(() => resetReaperThrottle());

/** Creates a store with one expired run and one chat; `refill` writes it again. */
function smallStore() {
  const text = textOf({ [runKey(1)]: expired("run-1"), [CHAT]: { updatedAt: 1 } });
  const store = storeWith(text);
  return { ...store, refill: () => layOut(store.folder, { "sessions.json": text }) };
}

describe("the package", () => {
  const names = [
    "InspectError",
    "SweepError",
    "createCronSessionReaper",
    "inspectSessionStore",
    "resetReaperThrottle",
    "resolveRetentionMs",
    "sweepCronRunSessions",
    "sweepSessionStore",
  ];

  it("exports its six functions, its two error classes and nothing else to require()", () => {
    const required = createRequire(import.meta.url)("cron-session-reaper");
    expect(Object.keys(required).sort()).toEqual(names);
  });

  it("exports the same by name to import", async () => {
    // By its path, because Vitest would look for the name in node_modules.
    const imported = await import(/* @vite-ignore */ new URL("../index.js", import.meta.url).href);
    const own = Object.keys(imported).filter(
      (name) => !["default", "module.exports"].includes(name),
    );
    expect(own.sort()).toEqual(names);
  });

  it("rejects with instances of its error classes", async () => {
    const { InspectError, SweepError, inspectSessionStore, sweepSessionStore } = createRequire(
      import.meta.url,
    )("cron-session-reaper");
    const options = { sessionStorePath: "" };
    await expect(sweepSessionStore(options)).rejects.toBeInstanceOf(SweepError);
    await expect(inspectSessionStore(options)).rejects.toBeInstanceOf(InspectError);
  });

  it("does not export its binding", () => {
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
    ["missing parameters", undefined, "params must be an object, got undefined"],
    ["null as the parameters", null, "params must be an object, got null"],
    ["a string as the parameters", "sessions.json", "params must be an object, got string"],
    ["a number as the path", { ...good, sessionStorePath: 7 }, `${path}, got number`],
    ["an object as the path", { ...good, sessionStorePath: {} }, `${path}, got object`],
    ["an array as the path", { ...good, sessionStorePath: ["a"] }, `${path}, got array`],
    [
      "a URL as the path",
      { ...good, sessionStorePath: new URL("file:///a") },
      `${path}, got object`,
    ],
    ["false as the path", { ...good, sessionStorePath: false }, `${path}, got boolean`],
    ["a missing logger", { ...good, log: undefined }, `${logger}, got undefined`],
    ["null as the logger", { ...good, log: null }, `${logger}, got null`],
    ["a function as the logger", { ...good, log: () => {} }, `${logger}, got function`],
    ["a logger without warn", { ...good, log: { info() {} } }, `${logger}, got object`],
    ["a logger without info", { ...good, log: { warn() {} } }, `${logger}, got object`],
    ["a string as the time", { ...good, nowMs: "0" }, `${time}, got string`],
    ["a date as the time", { ...good, nowMs: new Date(0) }, `${time}, got object`],
    ["a bigint as the time", { ...good, nowMs: 0n }, `${time}, got bigint`],
  ];

  it.each(cases)(
    "rejects with a TypeError for %s, and does not throw",
    async (_, params, message) => {
      let promise;
      expect(() => {
        promise = sweepCronRunSessions(params);
      }).not.toThrow();
      await expect(promise).rejects.toBeInstanceOf(TypeError);
      await expect(promise).rejects.toMatchObject({
        message: `sweepCronRunSessions: ${message}`,
        code: expect.stringMatching(/^ERR_INVALID_ARG_(TYPE|VALUE)$/),
      });
      expect(log.calls).toEqual([]);
    },
  );

  it("rejects with the error of a getter that throws", async () => {
    const trap = new Error("trap");
    const params = {
      get sessionStorePath() {
        throw trap;
      },
    };
    await expect(sweepCronRunSessions(params)).rejects.toBe(trap);
  });
});

describe("a missing path", () => {
  it.each([
    ["undefined", undefined],
    ["null", null],
    ["an empty string", ""],
  ])("logs a failed sweep if the path is %s", async (_, sessionStorePath) => {
    expect(await sweep(sessionStorePath, { force: false })).toEqual(
      failedWith("Error: no session store path was given"),
    );
  });
});

describe("null", () => {
  it("treats null as absent for every optional parameter", async () => {
    const { storePath } = smallStore();
    const params = { cronConfig: null, nowMs: null, force: null };
    expect(await sweep(storePath, params)).toEqual(sweptCleanly(1));
  });

  it("treats null as absent for the retention", () => {
    expect(resolveRetentionMs(null)).toBe(DAY);
    expect(resolveRetentionMs({ sessionRetention: null })).toBe(DAY);
  });
});

describe("a configuration that is not an object with a retention", () => {
  it.each([[0], ["1h"], [true], [[]], [Symbol("1h")], [() => {}]])(
    "resolves the default retention for the configuration %o",
    (config) => {
      expect(resolveRetentionMs(config)).toBe(DAY);
    },
  );
});

describe("a getter of the configuration", () => {
  it("makes resolveRetentionMs throw what it throws, and the sweep reject with that", async () => {
    const trap = new Error("trap");
    const cronConfig = {
      get sessionRetention() {
        throw trap;
      },
    };
    expect(() => resolveRetentionMs(cronConfig)).toThrow(trap);
    const params = { sessionStorePath: "missing", cronConfig, log: recordingLogger() };
    await expect(sweepCronRunSessions(params)).rejects.toBe(trap);
  });
});

describe("the clock", () => {
  it("calls Date.now when the sweep is called", async () => {
    const { storePath } = smallStore();
    const { now } = Date;
    onTestFinished(() => {
      Date.now = now;
    });
    Date.now = () => expired().updatedAt + DAY;
    expect((await sweep(storePath, { nowMs: undefined })).result.pruned).toBe(0);
    Date.now = () => expired().updatedAt + DAY + 1;
    expect((await sweep(storePath, { nowMs: undefined })).result.pruned).toBe(1);
  });

  it("removes nothing if the time is NaN", async () => {
    const { storePath } = smallStore();
    expect(await sweep(storePath, { nowMs: Number.NaN })).toEqual(sweptCleanly(0));
  });
});

describe("the parameters", () => {
  it("reads all parameters before the call returns", async () => {
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

  it("reads each parameter once, also from getters of a prototype", async () => {
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

  it("sweeps with force for every truthy value", async () => {
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

  it("sweeps a store again after exactly five minutes", async () => {
    const { storePath, refill } = smallStore();
    expect(await unforced(storePath, NOW)).toEqual(sweptCleanly(1));
    refill();
    expect(await unforced(storePath, NOW + 5 * MINUTE - 1)).toEqual(throttled);
    expect(await unforced(storePath, NOW + 5 * MINUTE)).toEqual(sweptCleanly(1));
  });

  it("throttles the first sweep if the time is less than five minutes after the epoch", async () => {
    const { storePath } = smallStore();
    expect((await unforced(storePath, 5 * MINUTE - 1)).result.swept).toBe(false);
    expect((await unforced(storePath, 5 * MINUTE)).result.swept).toBe(true);
  });

  it("throttles each spelling of a path separately", async () => {
    const { folder, storePath } = smallStore();
    const other = smallStore();
    await unforced(storePath, NOW);
    expect((await unforced(other.storePath, NOW)).result.swept).toBe(true);
    expect((await unforced(`${folder}/./sessions.json`, NOW)).result.swept).toBe(true);
    expect((await unforced(storePath, NOW)).result.swept).toBe(false);
  });

  it("does not throttle a forced sweep, which sets the throttle too", async () => {
    const { storePath } = smallStore();
    await unforced(storePath, NOW);
    expect((await sweep(storePath, { nowMs: NOW + 2 * MINUTE })).result.swept).toBe(true);
    expect((await unforced(storePath, NOW + 6 * MINUTE)).result.swept).toBe(false);
    expect((await unforced(storePath, NOW + 7 * MINUTE)).result.swept).toBe(true);
  });

  it("sweeps again immediately after resetReaperThrottle", async () => {
    const { storePath } = smallStore();
    await unforced(storePath, NOW);
    expect(resetReaperThrottle()).toBeUndefined();
    expect((await unforced(storePath, NOW)).result.swept).toBe(true);
  });

  it("checks the throttle when the sweep is called, not later", async () => {
    const { storePath } = smallStore();
    await unforced(storePath, NOW);
    const sweeping = unforced(storePath, NOW);
    resetReaperThrottle();
    expect(await sweeping).toEqual(throttled);
  });

  it("sets the throttle if sweeping is disabled, and leaves the store unmodified", async () => {
    const { folder, storePath } = smallStore();
    const before = treeOf(folder);
    const disabled = { cronConfig: { sessionRetention: false } };
    expect(await unforced(storePath, NOW, disabled)).toEqual(throttled);
    expect(treeOf(folder)).toEqual(before);
    expect((await unforced(storePath, NOW + 5 * MINUTE - 1)).result.swept).toBe(false);
    expect((await unforced(storePath, NOW + 5 * MINUTE)).result.swept).toBe(true);
  });

  it("does not set the throttle if the sweep fails", async () => {
    const { folder, storePath, refill } = smallStore();
    layOut(folder, { "sessions.json": "{" });
    expect((await unforced(storePath, NOW)).result.swept).toBe(false);
    refill();
    expect(await unforced(storePath, NOW)).toEqual(sweptCleanly(1));
  });

  it("sweeps if the clock was set back since the last sweep", async () => {
    const { storePath } = smallStore();
    await unforced(storePath, NOW);
    expect((await unforced(storePath, NOW - 1)).result.swept).toBe(true);
    expect((await unforced(storePath, NOW - 1)).result.swept).toBe(false);
  });

  it("throttles each worker thread separately", async () => {
    const { storePath, refill } = smallStore();
    await unforced(storePath, NOW);
    refill();
    const worker = { sessionStorePath: storePath, nowMs: NOW, sweeps: [{}, {}] };
    expect(await sweepingWorker(worker).message).toEqual([
      { swept: true, pruned: 1 },
      { swept: false, pruned: 0 },
    ]);
    expect((await unforced(storePath, NOW)).result.swept).toBe(false);
    expect((await unforced(storePath, NOW + 5 * MINUTE)).result.swept).toBe(true);
  });
});

describe("the logger", () => {
  it("calls the logger as a method before the promise settles", async () => {
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

  it("logs objects with exactly the documented keys", async () => {
    const { folder, storePath } = smallStore();
    const pruned = await sweep(storePath);
    expect(Object.keys(pruned.calls[0][1])).toEqual(["pruned", "retentionMs"]);
    layOut(folder, { "sessions.json": "" });
    const failed = await sweep(storePath);
    expect(Object.keys(failed.calls[0][1])).toEqual(["err"]);
  });

  it.each(["info", "warn"])("rejects with the value that the logger's %s throws", async (level) => {
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

  it("completes the sweep although the logger throws", async () => {
    const { storePath } = smallStore();
    const info = () => {
      throw new Error("full disk");
    };
    const log = { ...recordingLogger(), info };
    const params = { sessionStorePath: storePath, nowMs: NOW, log };
    await expect(sweepCronRunSessions(params)).rejects.toThrow("full disk");
    expect(Object.keys(readStore(storePath))).toEqual([CHAT]);
    expect(await sweepCronRunSessions(params)).toEqual({ swept: false, pruned: 0 });
  });
});

describe("the result", () => {
  it("resolves to an object with exactly the two documented keys", async () => {
    const { storePath } = smallStore();
    const { result } = await sweep(storePath);
    expect(Object.keys(result)).toEqual(["swept", "pruned"]);
  });
});

describe("concurrent sweeps", () => {
  it("counts every run once in eight concurrent sweeps of one store", async () => {
    const { storePath } = smallStore();
    const sweeps = await Promise.all(Array.from({ length: 8 }, () => sweep(storePath)));
    expect(sweeps.map(({ result }) => result.swept)).toEqual(Array(8).fill(true));
    expect(sweeps.reduce((sum, { result }) => sum + result.pruned, 0)).toBe(1);
    expect(sweeps.flatMap(({ calls }) => calls)).toEqual([pruneLine(1)]);
  });

  it("keeps results and loggers of concurrent sweeps of several stores separate", async () => {
    const stores = Array.from({ length: 12 }, (_, count) => {
      const runs = Array.from({ length: count }, (_, run) => [runKey(run), expired()]);
      return storeWith(Object.fromEntries(runs));
    });
    const sweeps = await Promise.all(stores.map(({ storePath }) => sweep(storePath)));
    expect(sweeps).toEqual(stores.map((_, count) => sweptCleanly(count)));
  });
});

describe("the error classes", () => {
  it("keep their names if a minifier renames the classes", () => {
    const file = new URL("../index.js", import.meta.url);
    const renamed = readFileSync(file, "utf8").replace(/class (\w+)/g, "const $1 = class a");
    const module = { exports: {} };
    new Function("require", "module", renamed)(createRequire(file), module);
    const { SweepError, InspectError } = module.exports;
    expect([SweepError.name, InspectError.name]).toEqual(["a", "a"]);
    const names = [SweepError.prototype.name, InspectError.prototype.name];
    expect(names).toEqual(["SweepError", "InspectError"]);
  });
});
