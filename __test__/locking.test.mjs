// The store's lock, shared with the gateway's own JavaScript.

import { fork, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { sweepAgainAndAgain, writeRuns } from "./fixtures/contention.mjs";
import { layOut, temporaryFolder, treeOf } from "./fixtures/folder.mjs";
import { lockPayload, startTime } from "./fixtures/gateway-lock.mjs";
import { failLine, HOUR, NOW, pruneLine, resetReaperThrottle, sweep } from "./fixtures/reaper.mjs";

const expired = { "agent:main:cron:job:run:1": { updatedAt: 1 } };

/** A process that does `task` and answers with what came of it. */
function contender(task) {
  const child = fork(fileURLToPath(new URL("fixtures/contender.mjs", import.meta.url)));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  // Awaited: a folder that is removed while a process writes to it is not gone.
  onTestFinished(async () => {
    if (child.connected) {
      child.disconnect();
    }
    await exited;
  });
  const answer = new Promise((resolve, reject) => {
    child.once("message", resolve);
    child.once("exit", (code) => reject(new Error(`ended with ${code} before it answered`)));
  });
  // Whoever waits is told; a test that failed earlier waits no more.
  answer.catch(() => {});
  child.send(task);
  return { answer, tell: (message) => child.send(message) };
}

function storeWith(entries) {
  const folder = temporaryFolder();
  layOut(folder, { "sessions.json": JSON.stringify(entries, null, 2) });
  return {
    folder,
    storePath: join(folder, "sessions.json"),
    lockPath: join(folder, "sessions.json.lock"),
  };
}

describe("four writers and three sweepers on one store", () => {
  it("lose no update, count every run once, and leave nothing behind", {
    timeout: 180_000,
  }, async () => {
    const { folder, storePath } = storeWith({
      "agent:main:main": { sessionId: "main", text: "x".repeat(50_000) },
    });
    const RUNS = 40;
    const names = ["writer-1", "writer-2", "writer-3", "writer-within"];

    const sweepers = [1, 2].map(() => contender({ role: "sweep", storePath }));
    let over = false;
    const ownSweeps = sweepAgainAndAgain(storePath, () => over);
    await Promise.all([
      ...names
        .slice(0, 3)
        .map((name) => contender({ role: "write", storePath, name, runs: RUNS }).answer),
      writeRuns(storePath, "writer-within", RUNS),
    ]);
    over = true;
    for (const { tell } of sweepers) {
      tell("over");
    }
    const sweeps = await Promise.all([ownSweeps, ...sweepers.map(({ answer }) => answer)]);
    const last = await sweep(storePath, { nowMs: Date.now() });

    expect(sweeps.flatMap(({ warnings }) => warnings)).toEqual([]);
    expect(sweeps.every(({ sweeps }) => sweeps > 0)).toBe(true);
    const pruned = sweeps.reduce((sum, { pruned }) => sum + pruned, last.result.pruned);
    expect(pruned).toBe(names.length * RUNS);

    const store = JSON.parse(readFileSync(storePath, "utf8"));
    const counts = Object.fromEntries(names.map((name) => [`agent:main:${name}`, { count: RUNS }]));
    expect(store).toEqual({ "agent:main:main": expect.anything(), ...counts });

    const left = Object.keys(treeOf(folder)).map((name) =>
      name.replace(/^(writer-\w+-\d+\.jsonl\.deleted)\..*/, "$1"),
    );
    const archives = names.flatMap((name) =>
      Array.from({ length: RUNS }, (_, run) => `${name}-${run + 1}.jsonl.deleted`),
    );
    expect(left.sort()).toEqual([...archives, "sessions.json"].sort());
  });
});

describe("a lock that a live process holds", () => {
  it("is waited for, for ten seconds, and then the sweep fails as the gateway's does", async () => {
    const { folder, storePath, lockPath } = storeWith(expired);
    const pid = await contender({ role: "hold", storePath }).answer;
    const before = treeOf(folder);
    resetReaperThrottle();

    const { result, calls } = await sweep(storePath, { force: false });

    expect(result).toEqual({ swept: false, pruned: 0 });
    expect(calls).toEqual([
      failLine(`Error: session file locked (timeout 10000ms): pid=${pid} ${lockPath}`),
    ]);
    expect(treeOf(folder)).toEqual(before);
    // The failure left the throttle alone: the next sweep is not put off. It finds nothing to do.
    writeFileSync(storePath, "{}");
    expect((await sweep(storePath, { force: false })).result).toEqual({ swept: true, pruned: 0 });
  });

  it("is waited for too if it is JavaScript's of this very process", async () => {
    const { storePath, lockPath } = storeWith(expired);
    writeFileSync(lockPath, lockPayload());
    let released = false;
    setTimeout(() => {
      released = true;
      spawnSync(process.execPath, ["-e", "require('fs').rmSync(process.argv[1])", lockPath]);
    }, 1_500);

    const { result, calls } = await sweep(storePath);

    expect(released).toBe(true);
    expect({ result, calls }).toEqual({
      result: { swept: true, pruned: 1 },
      calls: [pruneLine(1)],
    });
  });

  it("is of no interest if nothing has to go", async () => {
    const { storePath } = storeWith({ "agent:main:cron:job:run:1": { updatedAt: NOW - HOUR } });
    await contender({ role: "hold", storePath }).answer;
    expect((await sweep(storePath)).result).toEqual({ swept: true, pruned: 0 });
  });
});

describe("a lock whose holder is gone", () => {
  const ended = () => spawnSync(process.execPath, ["-e", ""]).pid;
  const payload = (fields) =>
    JSON.stringify({
      pid: process.pid,
      createdAt: new Date().toISOString(),
      starttime: startTime(process.pid),
      ...fields,
    });
  const orphans = [
    ["whose process has ended", () => payload({ pid: ended() })],
    [
      "whose process has ended and left no start time",
      () => payload({ pid: ended(), starttime: undefined }),
    ],
    ["whose pid is another process's by now", () => payload({ starttime: 1 })],
  ];

  it.skipIf(process.platform !== "linux").each(orphans)(
    "(%s) is taken away",
    async (_, content) => {
      const { folder, storePath, lockPath } = storeWith(expired);
      writeFileSync(lockPath, content());
      const { result, calls } = await sweep(storePath);
      expect({ result, calls }).toEqual({
        result: { swept: true, pruned: 1 },
        calls: [pruneLine(1)],
      });
      expect(treeOf(folder)).toEqual({ "sessions.json": "{}" });
    },
  );
});

describe("something odd in the lock's place", () => {
  it("is left alone, and said", async () => {
    const { folder, storePath, lockPath } = storeWith(expired);
    layOut(folder, { "sessions.json.lock/precious": "precious" });
    const before = treeOf(folder);
    const { result, calls } = await sweep(storePath);
    expect(result).toEqual({ swept: false, pruned: 0 });
    expect(calls).toEqual([
      failLine(`Error: expected a regular file at ${lockPath}, found a directory`),
    ]);
    expect(treeOf(folder)).toEqual(before);
  });
});
