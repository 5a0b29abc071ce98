// The store's lock, shared with the gateway's own JavaScript.

import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  CHAT,
  contender,
  failedWith,
  layOut,
  lockPayload,
  lockStore,
  readStore,
  recent,
  resetReaperThrottle,
  runKey,
  storeWith,
  sweep,
  sweepRepeatedly,
  sweptCleanly,
  treeOf,
  untilPrepared,
  writeRuns,
} from "./fixtures/index.mjs";

const oneRun = { [runKey(1)]: { updatedAt: 1 } };

describe("contention", () => {
  it("loses no update and counts every run once with four writers and three sweepers on one store", async () => {
    const main = { sessionId: "main", text: "x".repeat(50_000) };
    const { folder, storePath } = storeWith({ [CHAT]: main });
    const RUNS = 40;
    const children = ["writer-1", "writer-2", "writer-3"];
    const names = [...children, "writer-within"];

    const sweepers = [1, 2].map(() => contender({ role: "sweep", storePath }));
    let isOver = false;
    const ownSweeps = sweepRepeatedly(storePath, () => isOver);
    await Promise.all([
      ...children.map((name) => contender({ role: "write", storePath, name, runs: RUNS }).answer),
      writeRuns(storePath, "writer-within", RUNS),
    ]);
    isOver = true;
    for (const { send } of sweepers) {
      send("over");
    }
    const sweeps = await Promise.all([ownSweeps, ...sweepers.map(({ answer }) => answer)]);
    const last = await sweep(storePath, { nowMs: Date.now() });

    expect(sweeps.flatMap(({ warnings }) => warnings)).toEqual([]);
    expect(sweeps.every(({ sweeps }) => sweeps > 0)).toBe(true);
    const pruned = sweeps.reduce((sum, { pruned }) => sum + pruned, last.result.pruned);
    expect(pruned).toBe(names.length * RUNS);

    const counts = Object.fromEntries(names.map((name) => [`agent:main:${name}`, { count: RUNS }]));
    expect(readStore(storePath)).toEqual({ [CHAT]: main, ...counts });

    const left = Object.keys(treeOf(folder)).map((name) =>
      name.replace(/^(writer-\w+-\d+\.jsonl\.deleted)\..*/, "$1"),
    );
    const archives = names.flatMap((name) =>
      Array.from({ length: RUNS }, (_, run) => `${name}-${run + 1}.jsonl.deleted`),
    );
    expect(left.sort()).toEqual([...archives, "sessions.json"].sort());
  });
});

describe("a lock of a live process", () => {
  it("makes a sweep wait ten seconds and fail with the gateway's message, and leaves the throttle unset", async () => {
    const [foreign, own] = [storeWith(oneRun), storeWith(oneRun)];
    const pid = await contender({ role: "hold", storePath: foreign.storePath }).answer;
    lockStore(own.storePath);
    const trees = () => [foreign, own].map(({ folder }) => treeOf(folder));
    const before = trees();
    resetReaperThrottle();

    const sweeps = [foreign, own].map(({ storePath }) => sweep(storePath, { force: false }));

    const message = "Error: session file locked (timeout 10000ms): pid=";
    expect(await Promise.all(sweeps)).toEqual([
      failedWith(`${message}${pid} ${foreign.lockPath}`),
      failedWith(`${message}${process.pid} ${own.lockPath}`),
    ]);
    expect(trees()).toEqual(before);
    writeFileSync(foreign.storePath, "{}");
    expect(await sweep(foreign.storePath, { force: false })).toEqual(sweptCleanly(0));
  });

  it("makes a sweep wait until JavaScript of the same process releases the lock", async () => {
    const { storePath } = storeWith(oneRun);
    const release = lockStore(storePath);
    let isOver = false;
    const sweeping = sweep(storePath).finally(() => {
      isOver = true;
    });
    await untilPrepared(storePath);
    expect(isOver).toBe(false);
    // Throws if the sweep took the lock away.
    release();
    expect(await sweeping).toEqual(sweptCleanly(1));
  });

  it("does not delay a sweep that finds nothing to remove", async () => {
    const { storePath } = storeWith({ [runKey(1)]: recent("a") });
    await contender({ role: "hold", storePath }).answer;
    expect(await sweep(storePath)).toEqual(sweptCleanly(0));
  });
});

describe("a stale lock", () => {
  // Above the largest pid of Linux: the pid of a process that has ended may be reused at any time.
  const unusedPid = 4_194_305;
  const payload = (fields) => JSON.stringify({ ...JSON.parse(lockPayload()), ...fields });
  const stale = [
    ["whose process has ended", () => payload({ pid: unusedPid })],
    [
      "without start time whose process has ended",
      () => payload({ pid: unusedPid, starttime: undefined }),
    ],
    ["whose pid belongs to a later process", () => payload({ starttime: 1 })],
  ];

  it.skipIf(process.platform !== "linux").each(stale)(
    "takes over a lock %s",
    async (_, content) => {
      const { folder, storePath, lockPath } = storeWith(oneRun);
      writeFileSync(lockPath, content());
      expect(await sweep(storePath)).toEqual(sweptCleanly(1));
      expect(treeOf(folder)).toEqual({ "sessions.json": "{}" });
    },
  );
});

describe("a directory in the lock's place", () => {
  it("fails the sweep and leaves a directory at the lock's path unmodified", async () => {
    const { folder, storePath, lockPath } = storeWith(oneRun);
    layOut(folder, { "sessions.json.lock/precious": "precious" });
    const before = treeOf(folder);
    expect(await sweep(storePath)).toEqual(
      failedWith(
        `Error: cannot lock the session store: expected a regular file at ${lockPath}, found a directory; move it away`,
      ),
    );
    expect(treeOf(folder)).toEqual(before);
  });
});
