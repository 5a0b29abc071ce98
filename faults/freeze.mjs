// Freezes one process at a system call of the lock, as a machine that swaps or sleeps does, while the
// other processes continue.

import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { updateStore } from "../__test__/fixtures/gateway-lock.mjs";
import { buildSweeper, forEach, recover, reportIn, run, spread } from "./programs.mjs";
import { layOut, NOW, remove, SCENARIOS } from "./store.mjs";
import { bite, figure, skipped } from "./table.mjs";
import { callsOf, canTrace, inject } from "./trace.mjs";

export const name = "freeze";

const CONTENDER = fileURLToPath(new URL("contend.mjs", import.meta.url));
const LEFT = ["plain", "native lock left", "JavaScript lock left"];

/** How long a sweeper is frozen. */
const SWEEPER_FREEZES_MS = [40, 300];
/** How long a JavaScript contender is frozen: less than the settling time, the guaranteed limit. */
const JAVASCRIPT_FREEZE_MS = 15;

export async function campaign({ short, scratch }) {
  const what = "freezes at calls of the lock";
  if (!canTrace()) {
    skipped(what, "strace is not available or not permitted");
    return;
  }
  const sweepers = await freezeSweepers(scratch, short ? 12 : 100);
  const contenders = await freezeContenders(scratch, short ? 3 : 24);
  const problems = [...sweepers.problems, ...contenders.problems];
  figure(what, sweepers.freezes + contenders.freezes, short ? 10 : 90, problems);
}

export async function bites({ scratch }) {
  if (!canTrace()) {
    skipped("freezes", "strace is not available or not permitted");
    return;
  }
  const { problems } = await freezeSweepers(scratch, 24, { FAULT: "lockless" });
  bite("freezes at calls of the lock", "lockless", problems);
}

async function freezeSweepers(scratch, most, env = {}) {
  const sweeper = await buildSweeper();
  const jobs = [];
  for (const scenario of LEFT) {
    const tree = layOut(join(scratch, "frozen"), SCENARIOS[scenario]);
    const args = [tree.store, "--now", String(NOW)];
    const calls = await callsOf(sweeper, args, tree.root, { env, scratch });
    remove(tree);
    const ofLock = calls.filter(({ name, line }) => isOfLock(name, line));
    jobs.push(
      ...ofLock.flatMap((call) => SWEEPER_FREEZES_MS.map((ms) => ({ scenario, call, ms }))),
    );
  }
  const problems = [];
  let freezes = 0;
  await forEach(spread(jobs, most), async ({ scenario, call, ms }, index) => {
    const tree = layOut(join(scratch, `frozen-${index}`), SCENARIOS[scenario]);
    const file = join(scratch, `frozen-${index}.trace`);
    const strace = inject(file, call, `delay_enter=${ms * 1000}`);
    const sweep = run("strace", [...strace, sweeper, tree.store, "--now", String(NOW)], { env });
    const written = await writeUntil(sweep, tree);
    const { stdout } = await sweep;
    freezes += readFileSync(file, "utf8").includes("(DELAYED)") ? 1 : 0;
    const found = await problemsOf(sweeper, tree, reportIn(stdout), written);
    problems.push(
      ...found.map((it) => `${scenario}, ${call.name} ${call.when} for ${ms} ms: ${it}`),
    );
    remove(tree);
  });
  return { freezes, problems };
}

function isOfLock(name, line) {
  const call = ["linkat", "renameat2", "unlinkat", "flock"].includes(name);
  return (call || /sessions\.json\.lock/.test(line)) && !/\.deleted\.2020/.test(line);
}

/** Writes the store under its lock, from this process, until the sweep ends. */
async function writeUntil(sweep, tree) {
  let hasEnded = false;
  sweep.finally(() => {
    hasEnded = true;
  });
  let written = 0;
  while (!hasEnded || written < 3) {
    await updateStore(tree.real, (store) => {
      written++;
      store[`key-${written}`] = {};
      // Holds the lock as long as a writer of a large store does.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 8);
    });
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return written;
}

/** Freezes a JavaScript contender before it removes a lock or renames its new store. */
async function freezeContenders(scratch, most) {
  const sweeper = await buildSweeper();
  const jobs = [];
  for (let round = 0; jobs.length < most; round++) {
    for (const scenario of ["native lock left", "JavaScript lock left"]) {
      for (const call of ["unlink", "rename"]) {
        jobs.push({ scenario, call: { name: call, when: 1 + (round % 3) } });
      }
    }
  }
  const problems = [];
  let freezes = 0;
  await forEach(jobs.slice(0, most), async ({ scenario, call }, index) => {
    const tree = layOut(join(scratch, `contended-${index}`), SCENARIOS[scenario]);
    const file = join(scratch, `contended-${index}.trace`);
    const strace = inject(file, call, `delay_enter=${JAVASCRIPT_FREEZE_MS * 1000}`);
    const contender = spawn("strace", [...strace, process.execPath, CONTENDER, tree.store, "5"], {
      env: { ...process.env, UV_THREADPOOL_SIZE: "1" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const ended = new Promise((resolve) => contender.on("close", resolve));
    await new Promise((resolve) => contender.stdout.once("data", resolve));
    contender.stdin.end("go\n");
    const { stdout } = await run(sweeper, [tree.store, "--now", String(NOW)]);
    await ended;
    freezes += readFileSync(file, "utf8").includes("(DELAYED)") ? 1 : 0;
    const found = await problemsOf(sweeper, tree, reportIn(stdout), 5);
    problems.push(...found.map((it) => `JavaScript at ${call.name} ${call.when}: ${it}`));
    remove(tree);
  });
  return { freezes, problems };
}

/** Returns what is wrong after a freeze: if two processes held the lock, one undid the other's change. */
async function problemsOf(sweeper, tree, report, written) {
  const problems = [];
  const store = JSON.parse(readFileSync(tree.real, "utf8"));
  for (let key = 1; key <= written; key++) {
    if (!Object.hasOwn(store, `key-${key}`)) {
      problems.push(`key-${key} is lost`);
    }
  }
  const runs = Object.values(store).filter(({ updatedAt }) => updatedAt === 5);
  if (report?.swept && runs.length > 0) {
    problems.push("runs that a sweep removed are back: two processes held the lock undetected");
  }
  if (!report?.swept && !report?.log.some(({ fields }) => fields.err)) {
    problems.push("the sweep failed and logged no warning");
  }
  for (let key = 1; key <= written; key++) {
    delete store[`key-${key}`];
  }
  writeFileSync(tree.real, JSON.stringify(store, null, 2));
  return [...problems, ...(await recover(sweeper, tree))];
}
