// A process or worker thread that ends during a sweep neither hangs nor crashes, and the next sweep
// completes the work.

import { cpSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { createSampleStore } from "../scripts/sample-store.mjs";
import {
  DAY,
  NOW,
  programPath,
  readStore,
  resetReaperThrottle,
  runNode,
  sharedFolder,
  sweep,
  sweepingWorker,
  sweptCleanly,
  temporaryFolder,
} from "./fixtures/index.mjs";
import { STAGES, sweepUntil } from "./fixtures/stages.mjs";

const EXPIRED = 60;
const options = { entries: 300, expired: EXPIRED, nowMs: NOW, smallest: 30_000, largest: 60_000 };

const template = sharedFolder();
beforeAll(() => {
  createSampleStore(template, options);
});

/** Copies a store of 13 MB: its sweep reads and writes for a while. */
function freshStore() {
  const folder = temporaryFolder();
  cpSync(template, folder, { recursive: true });
  return join(folder, "sessions.json");
}

/** Checks that the store is as before or swept, and that the next sweep leaves no temp file. */
async function expectCompletable(storePath) {
  const entries = Object.values(readStore(storePath));
  const notSwept = entries.filter(({ updatedAt }) => updatedAt < NOW - DAY).length;
  expect([0, EXPIRED]).toContain(notSwept);

  expect(await sweep(storePath)).toEqual(sweptCleanly(notSwept));

  const kept = Object.values(readStore(storePath));
  expect(kept).toHaveLength(options.entries - EXPIRED);
  const names = readdirSync(dirname(storePath));
  const transcripts = kept.map(({ sessionId }) => `${sessionId}.jsonl`);
  expect(names.filter((name) => name.endsWith(".jsonl")).sort()).toEqual(transcripts.sort());
  expect(names.filter((name) => !name.includes(".jsonl"))).toEqual(["sessions.json"]);
}

/** Sweeps until no other thread of this process sweeps the store: each waits for its turn. */
async function awaitOtherSweeps(storePath) {
  for (;;) {
    const { result } = await sweep(storePath);
    expect(result.swept).toBe(true);
    const names = readdirSync(dirname(storePath));
    if (names.every((name) => name === "sessions.json" || name.includes(".jsonl"))) {
      return;
    }
  }
}

function announcingWorker(storePath) {
  const workerData = { sessionStorePath: storePath, nowMs: NOW, sweeps: [{}], announce: true };
  return sweepingWorker(workerData);
}

describe("an interrupted sweep", () => {
  it.each(STAGES)("lets a process exit when %s, and the next sweep completes it", async (stage) => {
    const storePath = freshStore();
    const args = [programPath("exit-during-sweep"), storePath, String(NOW), stage];
    expect(await runNode(args)).toEqual({ code: 7, stdout: "", stderr: "" });
    await expectCompletable(storePath);
  });

  it.each(STAGES)(
    "lets a worker thread be terminated when %s, and the next sweep completes it",
    async (stage) => {
      const storePath = freshStore();
      let started;
      let isOver = false;
      const begin = async () => {
        started = announcingWorker(storePath);
        await started.message;
        started.worker.once("message", () => {
          isOver = true;
        });
      };
      await sweepUntil(stage, storePath, begin, () => isOver);
      await started.worker.terminate();
      await awaitOtherSweeps(storePath);
      await expectCompletable(storePath);
    },
  );

  it("leaves the process usable when twelve worker threads are terminated", async () => {
    const storePath = freshStore();
    await Promise.all(
      Array.from({ length: 12 }, async () => {
        const { worker, message } = announcingWorker(storePath);
        await message;
        await worker.terminate();
      }),
    );
    await awaitOtherSweeps(storePath);
    await expectCompletable(storePath);
  });

  it("completes a running sweep although the throttle is reset", async () => {
    const storePath = freshStore();
    const sweeping = sweep(storePath);
    resetReaperThrottle();
    expect((await sweeping).result).toEqual({ swept: true, pruned: EXPIRED });
  });
});
