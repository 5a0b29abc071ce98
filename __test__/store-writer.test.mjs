// createCronSessionReaper: a sweep whose commit runs in the write queue of a gateway that does not lock
// its store.

import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import {
  createCronSessionReaper,
  GATEWAY_TEMP,
  HOUR,
  layOut,
  lockPayload,
  NOW,
  pruneLine,
  QueuedGateway,
  recordingLogger,
  resetReaperThrottle,
  setAge,
  sweepCronRunSessions,
  temporaryFolder,
} from "./fixtures/index.mjs";

const run = (name) => `agent:main:cron:job:run:${name}`;
const EXPIRED = { sessionId: "expired", updatedAt: NOW - 25 * HOUR };
const FRESH = { sessionId: "fresh", updatedAt: NOW };

function gatewayWith(store, files = {}) {
  const folder = temporaryFolder();
  const text = typeof store === "string" ? store : JSON.stringify(store, null, 2);
  layOut(folder, { "sessions.json": text, ...files });
  return new QueuedGateway(join(folder, "sessions.json"));
}

async function sweep(gateway, { storeWriter = gateway.storeWriter, options, ...params } = {}) {
  const log = recordingLogger();
  const reaper = createCronSessionReaper(storeWriter, options);
  const result = await reaper.sweepCronRunSessions({
    sessionStorePath: gateway.storePath,
    nowMs: NOW,
    force: true,
    log,
    ...params,
  });
  return { result, calls: log.calls };
}

const keysOf = (gateway) => Object.keys(JSON.parse(readFileSync(gateway.storePath, "utf8")));
const namesBeside = (gateway) => readdirSync(dirname(gateway.storePath)).sort();
const stampOf = (path) => {
  const { mtimeMs, size: sizeBytes, ino: inode } = statSync(path);
  return { mtimeMs, sizeBytes, inode };
};

beforeEach(() => resetReaperThrottle());

describe("a sweep inside a write queue", () => {
  it("removes expired runs, archives their transcripts and reports the change", async () => {
    const gateway = gatewayWith(
      { "agent:main:main": FRESH, [run(1)]: EXPIRED, [run(2)]: FRESH },
      { "expired.jsonl": "transcript" },
    );
    const before = stampOf(gateway.storePath);
    const { result, calls } = await sweep(gateway);
    expect(result).toEqual({ swept: true, pruned: 1 });
    expect(calls).toEqual([pruneLine(1)]);
    expect(keysOf(gateway)).toEqual(["agent:main:main", run(2)]);
    expect(namesBeside(gateway)).toEqual([
      expect.stringMatching(/^expired\.jsonl\.deleted\./),
      "sessions.json",
    ]);
    expect(gateway.changes).toEqual([
      { removed: [run(1)], sessionIds: ["expired"], before, after: stampOf(gateway.storePath) },
    ]);
  });

  it("replaces the store only while the queue is held", async () => {
    const gateway = gatewayWith({ [run(1)]: EXPIRED });
    let isHeld = false;
    const storeWriter = {
      async exclusively(_, work) {
        expect(keysOf(gateway)).toEqual([run(1)]);
        isHeld = true;
        await work();
        isHeld = false;
      },
      changed(storePath) {
        expect([storePath, isHeld, keysOf(gateway)]).toEqual([gateway.storePath, true, []]);
      },
    };
    expect((await sweep(gateway, { storeWriter })).result.pruned).toBe(1);
    expect.assertions(3);
  });

  it("rejects and changes nothing if the writer does not call its callback", async () => {
    const gateway = gatewayWith({ [run(1)]: EXPIRED }, { "expired.jsonl": "transcript" });
    const before = stampOf(gateway.storePath);
    const storeWriter = { async exclusively() {}, changed() {} };
    await expect(sweep(gateway, { storeWriter })).rejects.toMatchObject({
      code: "ERR_SESSION_STORE_WRITER",
      message: "createCronSessionReaper: storeWriter.exclusively did not call its callback",
    });
    expect(stampOf(gateway.storePath)).toEqual(before);
    expect(namesBeside(gateway)).toEqual(["expired.jsonl", "sessions.json"]);
    expect((await sweep(gateway)).result).toEqual({ swept: true, pruned: 1 });
  });

  it("loses no update and removes each run once while four writers update the store", async () => {
    const updates = 60;
    const gateway = gatewayWith({});
    const removed = new Set();
    let pruned = 0;
    let resurrected = 0;
    let isWriting = true;
    const check = () => {
      for (const key of Object.keys(gateway.read())) {
        resurrected += Number(removed.has(key));
      }
    };
    const write = async (writer) => {
      for (let n = 1; n <= updates; n++) {
        await gateway.update(async (store) => {
          await null;
          store[`agent:main:${writer}`] = { count: n };
          store[run(`${writer}-${n}`)] = { ...EXPIRED, sessionId: `${writer}-${n}` };
        });
        check();
      }
    };
    const keepSweeping = async () => {
      while (isWriting) {
        pruned += (await sweep(gateway)).result.pruned;
        for (const key of gateway.changes.splice(0).flatMap((change) => change.removed)) {
          removed.add(key);
        }
        check();
      }
    };
    const sweeping = keepSweeping();
    await Promise.all(["a", "b", "c", "d"].map(write));
    isWriting = false;
    await sweeping;
    pruned += (await sweep(gateway)).result.pruned;

    expect(resurrected).toBe(0);
    expect(pruned).toBe(4 * updates);
    const counts = Object.values(JSON.parse(readFileSync(gateway.storePath, "utf8")));
    expect(counts).toEqual(Array(4).fill({ count: updates }));
    expect(gateway.read()).toEqual(JSON.parse(readFileSync(gateway.storePath, "utf8")));
  });

  it("waits for an update that has read the store; outside the queue its runs reappear", async () => {
    const updateAcross = async (sweeping) => {
      const gateway = gatewayWith({ [run(1)]: EXPIRED });
      const gate = withResolvers();
      const reached = withResolvers();
      const update = gateway.update(async (store) => {
        store["agent:main:main"] = FRESH;
        reached.resolve();
        await gate.promise;
      });
      await reached.promise;
      await sweeping(gateway, async () => {
        gate.resolve();
        await update;
      });
      return keysOf(gateway);
    };
    const outside = async (gateway, endUpdate) => {
      const params = { sessionStorePath: gateway.storePath, nowMs: NOW, force: true };
      const { pruned } = await sweepCronRunSessions({ ...params, log: recordingLogger() });
      expect(pruned).toBe(1);
      await endUpdate();
    };
    const inside = async (gateway, endUpdate) => {
      const swept = sweep(gateway);
      await endUpdate();
      expect((await swept).result.pruned).toBe(1);
    };
    expect(await updateAcross(outside)).toContain(run(1));
    expect(await updateAcross(inside)).toEqual(["agent:main:main"]);
  });

  it("does not enter the queue if no run is expired", async () => {
    const gateway = gatewayWith({ "agent:main:main": FRESH, [run(1)]: FRESH });
    gateway.read();
    const before = stampOf(gateway.storePath);
    expect((await sweep(gateway)).result).toEqual({ swept: true, pruned: 0 });
    expect([gateway.entered, gateway.changes]).toEqual([0, []]);
    expect(stampOf(gateway.storePath)).toEqual(before);
    expect(gateway.isCached()).toBe(true);
  });

  it("does not enter the queue if it is throttled, disabled or without a store", async () => {
    const gateway = gatewayWith({ [run(1)]: EXPIRED });
    const disabled = { cronConfig: { sessionRetention: false } };
    expect((await sweep(gateway, disabled)).result).toEqual({ swept: false, pruned: 0 });
    expect((await sweep(gateway, { force: false })).result).toEqual({ swept: false, pruned: 0 });
    const none = new QueuedGateway(join(temporaryFolder(), "sessions.json"));
    expect((await sweep(none)).result).toEqual({ swept: true, pruned: 0 });
    expect([gateway.entered, none.entered]).toEqual([0, 0]);
  });

  it("corrects a cached store, so that the next read does not parse it", async () => {
    const gateway = gatewayWith({ "agent:main:main": FRESH, [run(1)]: EXPIRED });
    const cached = gateway.read();
    await sweep(gateway);
    expect(gateway.isCached()).toBe(true);
    expect(gateway.read()).toBe(cached);
    expect(cached).toEqual({ "agent:main:main": FRESH });
  });

  it("reports keys exactly as JSON.parse decodes them", async () => {
    const text = String.raw`{"agent:main:cron:j:run:\ud800\u0041\n\"ü":{"updatedAt":1,"sessionId":5}}`;
    const gateway = gatewayWith(text);
    await sweep(gateway);
    expect(gateway.changes[0].removed).toEqual(Object.keys(JSON.parse(text)));
    expect(gateway.changes[0].sessionIds).toEqual([null]);
  });

  it("reports a duplicate key once, and a session id as well-formed text of at most 64 KiB", async () => {
    const entry = (sessionId) => JSON.stringify({ sessionId, updatedAt: 1 });
    const members = [
      [run(1), entry("first")],
      [run(2), entry("a\ud800b")],
      [run(3), entry("x".repeat(64 * 1024 + 1))],
      [run(1), entry("last")],
    ];
    const text = members.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join();
    const gateway = gatewayWith(`{${text}}`);
    await sweep(gateway);
    const [{ removed, sessionIds }] = gateway.changes;
    const ids = Object.fromEntries(removed.map((key, index) => [key, sessionIds[index]]));
    expect(removed).toHaveLength(3);
    expect(ids).toEqual({ [run(1)]: "last", [run(2)]: "a\ufffdb", [run(3)]: null });
  });

  it("removes the descendants of a run only on request", async () => {
    const child = `${run(1)}:subagent:1`;
    const gateway = gatewayWith({ [run(1)]: EXPIRED, [child]: EXPIRED });
    expect((await sweep(gateway)).result.pruned).toBe(1);
    expect(keysOf(gateway)).toEqual([child]);
    const options = { runKeys: "runs-and-descendants" };
    expect((await sweep(gateway, { options })).result.pruned).toBe(1);
    expect(keysOf(gateway)).toEqual([]);
  });
});

describe("a store that changes after the sweep was prepared", () => {
  const changingWriter = (gateway, changes) => {
    const { exclusively } = gateway.storeWriter;
    return {
      ...gateway.storeWriter,
      exclusively(storePath, work) {
        if (gateway.entered < changes) {
          const store = JSON.parse(readFileSync(storePath, "utf8"));
          store[`new ${gateway.entered}`] = FRESH;
          writeFileSync(storePath, JSON.stringify(store));
        }
        return exclusively(storePath, work);
      },
    };
  };

  it.each([
    [1, 2],
    [2, 3],
    [3, 3],
  ])(
    "is prepared for again, changed %i times: the queue is entered %i times",
    async (changes, entered) => {
      const gateway = gatewayWith({ [run(1)]: EXPIRED });
      const storeWriter = changingWriter(gateway, changes);
      expect((await sweep(gateway, { storeWriter })).result).toEqual({ swept: true, pruned: 1 });
      expect(gateway.entered).toBe(entered);
      expect(keysOf(gateway)).toEqual(Array.from({ length: changes }, (_, n) => `new ${n}`));
      expect(gateway.changes).toHaveLength(1);
      expect(namesBeside(gateway)).toEqual(["sessions.json"]);
    },
  );

  it("is left unmodified if the run was updated", async () => {
    const gateway = gatewayWith({ [run(1)]: EXPIRED });
    const storeWriter = {
      ...gateway.storeWriter,
      exclusively(storePath, work) {
        writeFileSync(storePath, JSON.stringify({ [run(1)]: FRESH }));
        return work();
      },
    };
    expect((await sweep(gateway, { storeWriter })).result).toEqual({ swept: true, pruned: 0 });
    expect([keysOf(gateway), gateway.changes]).toEqual([[run(1)], []]);
  });
});

describe("a sweep inside a write queue that fails", () => {
  it("gives up after a second if another process holds the lock file", async () => {
    const gateway = gatewayWith({ [run(1)]: EXPIRED }, { "sessions.json.lock": lockPayload() });
    const { result, calls } = await sweep(gateway);
    expect(result).toEqual({ swept: false, pruned: 0 });
    const err = expect.stringContaining("session file locked (timeout 1000ms): pid=");
    expect(calls).toEqual([["warn", { err }, "cron-reaper: failed to sweep session store"]]);
    expect([keysOf(gateway), gateway.changes]).toEqual([[run(1)], []]);
    expect(namesBeside(gateway)).toEqual(["sessions.json", "sessions.json.lock"]);
    await gateway.update((store) => {
      store.after = {};
    });
    expect(keysOf(gateway)).toEqual([run(1), "after"]);
  });

  it("rejects with the exception of changed, after the sweep was completed", async () => {
    const gateway = gatewayWith({ [run(1)]: EXPIRED });
    const thrown = new Error("from changed");
    const changed = () => {
      throw thrown;
    };
    const storeWriter = { ...gateway.storeWriter, changed };
    await expect(sweep(gateway, { storeWriter })).rejects.toBe(thrown);
    expect([keysOf(gateway), namesBeside(gateway)]).toEqual([[], ["sessions.json"]]);
    await gateway.update(() => {});
  });

  it.each([
    ["before its callback", async () => Promise.reject(new Error("from exclusively"))],
    [
      "after its callback",
      async (_, work) => {
        await work();
        throw new Error("from exclusively");
      },
    ],
    [
      "while its callback runs",
      async (_, work) => {
        void work();
        throw new Error("from exclusively");
      },
    ],
  ])("rejects with the exception that exclusively throws %s", async (_, exclusively) => {
    const gateway = gatewayWith({ [run(1)]: EXPIRED });
    const storeWriter = { ...gateway.storeWriter, exclusively };
    await expect(sweep(gateway, { storeWriter })).rejects.toThrow("from exclusively");
    expect(namesBeside(gateway)).toEqual(["sessions.json"]);
    expect(keysOf(gateway)).toHaveLength(gateway.changes.length === 1 ? 0 : 1);
  });

  const thrown = new Error("from the writer");
  const throwing = {
    "changed throws": {
      exclusively: (_, work) => work(),
      changed() {
        throw thrown;
      },
    },
    "exclusively rejects after its callback": {
      async exclusively(_, work) {
        await work();
        throw thrown;
      },
      changed() {},
    },
  };

  it.each(Object.entries(throwing))(
    "logs the completed sweep and its warnings, then rejects, if %s",
    async (_, storeWriter) => {
      const gateway = gatewayWith({ [run(1)]: EXPIRED }, { [GATEWAY_TEMP]: "newer" });
      setAge(gateway.storePath, 2 * HOUR);
      setAge(join(dirname(gateway.storePath), GATEWAY_TEMP), HOUR);
      const log = recordingLogger();
      await expect(sweep(gateway, { storeWriter, log })).rejects.toBe(thrown);
      const err = expect.stringContaining("may contain sessions that the store lacks");
      expect(log.calls).toEqual([
        ["warn", { err }, "cron-reaper: kept a leftover temp file"],
        pruneLine(1),
      ]);
    },
  );

  it("rejects with the exception of the writer if the logger throws too", async () => {
    const log = {
      ...recordingLogger(),
      info() {
        throw new Error("from the logger");
      },
    };
    const gateway = gatewayWith({ [run(1)]: EXPIRED });
    await expect(sweep(gateway, { log })).rejects.toThrow("from the logger");
    for (const storeWriter of Object.values(throwing)) {
      const gateway = gatewayWith({ [run(1)]: EXPIRED });
      await expect(sweep(gateway, { storeWriter, log })).rejects.toBe(thrown);
    }
  });

  it("rejects if exclusively does not call its callback", async () => {
    const gateway = gatewayWith({ [run(1)]: EXPIRED });
    const storeWriter = { ...gateway.storeWriter, exclusively: async () => {} };
    await expect(sweep(gateway, { storeWriter })).rejects.toThrow("did not call its callback");
    expect([keysOf(gateway), namesBeside(gateway)]).toEqual([[run(1)], ["sessions.json"]]);
  });

  it("commits once if exclusively calls its callback twice", async () => {
    const gateway = gatewayWith({ [run(1)]: EXPIRED });
    const exclusively = (_, work) => Promise.all([work(), work()]);
    const storeWriter = { ...gateway.storeWriter, exclusively };
    expect((await sweep(gateway, { storeWriter })).result).toEqual({ swept: true, pruned: 1 });
    expect(gateway.changes).toHaveLength(1);
  });

  it("leaves a damaged store unmodified and logs line and column", async () => {
    const gateway = gatewayWith('{"a');
    const { result, calls } = await sweep(gateway);
    expect(result).toEqual({ swept: false, pruned: 0 });
    expect(calls[0][1].err).toMatch(/sessions\.json:1:\d+: invalid JSON/);
    expect(gateway.entered).toBe(0);
  });
});

describe("createCronSessionReaper", () => {
  it.each([
    [
      undefined,
      undefined,
      "storeWriter must be an object with the methods exclusively and changed",
    ],
    [{ exclusively() {} }, undefined, "storeWriter must be an object with the methods"],
    [{ exclusively() {}, changed() {} }, 5, "options must be an object, got number"],
    [{ exclusively() {}, changed() {} }, ["runs"], "options must be an object, got array"],
    [{ exclusively() {}, changed() {} }, { runKeys: "all" }, '"runs-and-descendants", got "all"'],
  ])("throws a TypeError for wrong arguments %#", (storeWriter, options, message) => {
    expect(() => createCronSessionReaper(storeWriter, options)).toThrow(TypeError);
    expect(() => createCronSessionReaper(storeWriter, options)).toThrow(message);
  });

  it("treats null as absent in its options", async () => {
    const descendant = `${run(1)}:subagent:x`;
    for (const options of [null, { runKeys: null }]) {
      const gateway = gatewayWith({ [descendant]: EXPIRED });
      const reaper = createCronSessionReaper(gateway.storeWriter, options);
      const params = { sessionStorePath: gateway.storePath, nowMs: NOW, log: recordingLogger() };
      expect(await reaper.sweepCronRunSessions(params)).toEqual({ swept: true, pruned: 0 });
    }
  });

  it("rejects wrong parameters as sweepCronRunSessions does", async () => {
    const { storeWriter } = gatewayWith({});
    const reaper = createCronSessionReaper(storeWriter);
    for (const params of [undefined, { sessionStorePath: 5 }, { sessionStorePath: "x" }]) {
      await expect(reaper.sweepCronRunSessions(params)).rejects.toThrow(TypeError);
    }
  });

  it("shares the throttle of the environment", async () => {
    const gateway = gatewayWith({ [run(1)]: FRESH });
    const reaper = createCronSessionReaper(gateway.storeWriter);
    const params = { sessionStorePath: gateway.storePath, nowMs: NOW, log: recordingLogger() };
    expect((await reaper.sweepCronRunSessions(params)).swept).toBe(true);
    expect((await sweepCronRunSessions(params)).swept).toBe(false);
    reaper.resetReaperThrottle();
    expect((await sweepCronRunSessions(params)).swept).toBe(true);
    expect(reaper.resolveRetentionMs({ sessionRetention: "2h" })).toBe(2 * HOUR);
  });
});

function withResolvers() {
  let resolve;
  const promise = new Promise((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
