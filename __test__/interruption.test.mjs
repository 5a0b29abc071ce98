// A process or a worker thread that ends in the middle of a sweep: it neither hangs nor crashes, and
// whatever it leaves behind, the next sweep mends.

import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSampleStore } from "../scripts/sample-store.mjs";
import { temporaryFolder } from "./fixtures/folder.mjs";
import { NOW, resetReaperThrottle, sweep } from "./fixtures/reaper.mjs";

const EXPIRED = 60;
const options = { entries: 300, expired: EXPIRED, nowMs: NOW, smallest: 30_000, largest: 60_000 };
const DELAYS = [0, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96];

const template = mkdtempSync(join(tmpdir(), "reaper-template-"));
beforeAll(() => {
  createSampleStore(template, options);
});
afterAll(() => rmSync(template, { recursive: true, force: true }));

/** A store of 13 MB, so that a sweep takes a while: it must not be over before it is interrupted. */
function freshStore() {
  const folder = temporaryFolder();
  cpSync(template, folder, { recursive: true });
  return join(folder, "sessions.json");
}

/** The next sweep finds what is left, and after it nothing is in the folder that should not be. */
async function expectMended(storePath) {
  const before = JSON.parse(readFileSync(storePath, "utf8"));
  const stillThere = Object.values(before).filter(({ updatedAt }) => updatedAt < NOW - 86_400_000);
  expect([0, EXPIRED]).toContain(stillThere.length);

  const { result } = await sweep(storePath);
  expect(result).toEqual({ swept: true, pruned: stillThere.length });

  const after = JSON.parse(readFileSync(storePath, "utf8"));
  expect(Object.keys(after)).toHaveLength(options.entries - EXPIRED);
  const names = readdirSync(dirname(storePath));
  const ids = Object.values(after).map(({ sessionId }) => `${sessionId}.jsonl`);
  expect(names.filter((name) => name.endsWith(".jsonl")).sort()).toEqual(ids.sort());
  expect(names.filter((name) => !name.includes(".jsonl"))).toEqual(["sessions.json"]);
}

describe("a sweep in the middle of which", () => {
  const program = fileURLToPath(new URL("fixtures/leaving-process.mjs", import.meta.url));

  it.each(DELAYS)("process.exit() is called after %i ms lets the process go", async (delay) => {
    const storePath = freshStore();
    const child = spawn(process.execPath, [program, storePath, String(NOW), String(delay)], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    const ended = await new Promise((resolve) => {
      child.on("close", (code, signal) => resolve({ code, signal }));
    });
    expect({ ...ended, stderr }).toEqual({ code: 7, signal: null, stderr: "" });
    await expectMended(storePath);
  });

  it.each(DELAYS)(
    "its worker thread is terminated after %i ms lets the thread go",
    async (delay) => {
      const storePath = freshStore();
      const worker = new Worker(new URL("fixtures/sweeping-worker.mjs", import.meta.url), {
        workerData: { sessionStorePath: storePath, nowMs: NOW, sweeps: [{}], announce: true },
      });
      await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
      await new Promise((resolve) => setTimeout(resolve, delay));
      await worker.terminate();
      // The thread that sweeps may still be at it: this sweep waits for its turn.
      await expectTurn(storePath);
      await expectMended(storePath);
    },
  );

  async function expectTurn(storePath) {
    for (;;) {
      const { result } = await sweep(storePath);
      expect(result.swept).toBe(true);
      const names = readdirSync(dirname(storePath));
      if (names.every((name) => name === "sessions.json" || name.includes(".jsonl"))) {
        return;
      }
    }
  }

  it("many worker threads are terminated leaves the process sound", async () => {
    const storePath = freshStore();
    await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const worker = new Worker(new URL("fixtures/sweeping-worker.mjs", import.meta.url), {
          workerData: { sessionStorePath: storePath, nowMs: NOW, sweeps: [{}], announce: true },
        });
        await new Promise((resolve, reject) =>
          worker.once("message", resolve).once("error", reject),
        );
        await new Promise((resolve) => setTimeout(resolve, index));
        await worker.terminate();
      }),
    );
    await expectTurn(storePath);
    await expectMended(storePath);
  });

  it("the throttle is reset goes on", async () => {
    const storePath = freshStore();
    const sweeping = sweep(storePath);
    resetReaperThrottle();
    expect((await sweeping).result).toEqual({ swept: true, pruned: EXPIRED });
  });
});
