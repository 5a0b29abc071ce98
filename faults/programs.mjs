// Runs the programs of the campaigns.

import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "../scripts/prepare.mjs";
import { addExpiredRun, examineSwept, NOW } from "./store.mjs";

/** Runs a program to its end. Kills it after `timeoutMs`: then it counts as hanging. */
export function run(program, args, { env = {}, timeoutMs = 30_000, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output = { stdout: "", stderr: "", timedOut: false };
    const timer = setTimeout(() => {
      output.timedOut = true;
      child.kill("SIGKILL");
    }, timeoutMs);
    for (const name of ["stdout", "stderr"]) {
      child[name].setEncoding("utf8").on("data", (chunk) => {
        output[name] += chunk;
      });
    }
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ ...output, code, signal });
    });
  });
}

/** Returns whether a program exists and runs successfully with these arguments. */
export function has(program, ...args) {
  const { error, status } = spawnSync(program, args, { stdio: "ignore" });
  return !error && status === 0;
}

/** The time for a build, or for all tests of the crate, also on a busy machine. */
export const GENEROUS_LIMIT_MS = 3_600_000;

let builtSweeper;

/** Builds the sweeper, the program that the campaigns disturb. Resolves to its path. */
export async function buildSweeper() {
  builtSweeper ??= (async () => {
    const build = ["build", "--locked", "--package", "sweeper", "--message-format=json"];
    const { code, stdout, stderr } = await run("cargo", build, { timeoutMs: GENEROUS_LIMIT_MS });
    if (code !== 0) {
      throw new Error(`cannot build the sweeper:\n${stderr}`);
    }
    const messages = stdout.split("\n").filter((line) => line.startsWith("{"));
    const artifacts = messages.map((line) => JSON.parse(line));
    return artifacts.find(({ target, executable }) => target?.name === "sweeper" && executable)
      .executable;
  })();
  return await builtSweeper;
}

/** Returns the last report that a sweeper printed, or undefined. */
export function reportIn(stdout) {
  const line = stdout.trim().split("\n").at(-1);
  return line ? JSON.parse(line) : undefined;
}

/**
 * What only a sweep that removes runs cleans up: a dead lock, which must not delay that sweep, and the
 * temp files of the gateway.
 */
const CLEANED_LATER = /^left behind: sessions\.json\.(lock|[0-9a-f-]{36}\.tmp)$/;

/** Sweeps without a failure. Returns what is still wrong after it: it must repair everything. */
export async function recover(sweeper, tree, { env, ...options } = {}) {
  const args = [tree.store, "--now", String(NOW)];
  const sweep = async () => {
    const began = performance.now();
    const { stdout, code, stderr } = await run(sweeper, args, { env });
    const report = code === 0 ? reportIn(stdout) : undefined;
    const ms = performance.now() - began;
    return report?.swept ? { ms } : { problem: `cannot recover: ${stdout} ${stderr}`, ms };
  };
  const { problem } = await sweep();
  const problems = problem ? [problem] : examineSwept(tree, options);
  if (problems.length === 0 || !problems.every((it) => CLEANED_LATER.test(it))) {
    return problems;
  }
  addExpiredRun(tree);
  const { problem: again, ms } = await sweep();
  if (again || ms > 3_000) {
    return [again ?? `a dead lock delayed a sweep by ${ms.toFixed(0)} ms`];
  }
  return examineSwept(tree, options);
}

/** Calls `work` for every item, `atOnce` at a time. */
export async function forEach(items, work, atOnce = 2) {
  const queue = items.entries();
  const worker = async () => {
    for (const [index, item] of queue) {
      await work(item, index);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** Returns at most `most` items, spread evenly over all of them. */
export function spread(items, most) {
  if (items.length <= most) {
    return items;
  }
  return Array.from(
    { length: most },
    (_, index) => items[Math.floor((index * items.length) / most)],
  );
}

/** Compiles a C file of this folder. Resolves to undefined if no compiler is available. */
export async function compile(name, into, ...flags) {
  if (!has("cc", "--version")) {
    return undefined;
  }
  const { code, stderr } = await run("cc", [
    ...["-O1", "-Wall", "-Werror", ...flags],
    ...["-o", into, join(root, "faults", name), "-ldl"],
  ]);
  if (code !== 0) {
    throw new Error(`cannot compile ${name}:\n${stderr}`);
  }
  return existsSync(into) ? into : undefined;
}
