// Kills the sweeping process at each of its system calls in turn.

import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isBuilt, root } from "../scripts/prepare.mjs";
import { buildSweeper, forEach, recover, run, spread } from "./programs.mjs";
import { examine, layOut, NOW, remove, SCENARIOS } from "./store.mjs";
import { bite, figure, skipped } from "./table.mjs";
import { callsOf, canTrace, inject, parse } from "./trace.mjs";

const KILL = "signal=SIGKILL";
const SWEEP = fileURLToPath(new URL("sweep-once.mjs", import.meta.url));

export const name = "kill";

export async function campaign({ short, scratch }) {
  const binary = "kills at system calls, the sweep in its own process";
  const node = "kills at system calls, the sweep in Node.js";
  if (!canTrace()) {
    skipped(binary, "strace is not available or not permitted");
    skipped(node, "strace is not available or not permitted");
    return;
  }
  const { kills, problems } = await killAll(scratch, short ? 60 : 520);
  figure(binary, kills, short ? 50 : 400, problems);

  if (!isBuilt()) {
    skipped(node, "the addon is not built: npm run build");
    return;
  }
  const wanted = short ? 20 : 200;
  const through = await killThroughNode(scratch, wanted);
  figure(node, through.kills, wanted, through.problems);
  if (process.env.VERBOSE) {
    console.log(`    ${through.elsewhere} hits in other threads of Node.js were discarded`);
  }
}

export async function bites({ scratch }) {
  for (const fault of ["in-place", "late-archive"]) {
    // At every call: a fault may be visible only between two of them.
    const { problems } = await killAll(scratch, Infinity, { FAULT: fault }, ["plain"]);
    bite("kills at system calls", fault, problems);
  }
}

async function killAll(scratch, most, env = {}, scenarios = Object.keys(SCENARIOS)) {
  const sweeper = await buildSweeper();
  const jobs = [];
  for (const scenario of scenarios) {
    const tree = layOut(join(scratch, `traced-${jobs.length}`), SCENARIOS[scenario]);
    const args = [tree.store, "--now", String(NOW)];
    const calls = await callsOf(sweeper, args, tree.root, { env, scratch });
    jobs.push(...calls.map((call) => ({ scenario, call })));
    remove(tree);
  }
  const problems = [];
  let kills = 0;
  await forEach(spread(jobs, most), async ({ scenario, call }, index) => {
    const tree = layOut(join(scratch, `kill-${index}`), SCENARIOS[scenario]);
    const file = join(scratch, `kill-${index}.trace`);
    const program = [sweeper, tree.store, "--now", String(NOW)];
    await run("strace", [...inject(file, call, KILL), ...program], { env });
    if (readFileSync(file, "utf8").includes("+++ killed by SIGKILL +++")) {
      kills++;
      const after = examine(tree).problems;
      const found = after.length > 0 ? after : await recover(sweeper, tree);
      problems.push(...found.map((it) => `${scenario}, at ${call.name} ${call.when}: ${it}`));
    }
    remove(tree);
  });
  return { kills, problems };
}

async function killThroughNode(scratch, wanted) {
  const sweeper = await buildSweeper();
  const traced = await sweepInNode(scratch, "traced-node");
  const jobs = traced.calls;
  remove(traced.tree);
  const scenarios = Object.keys(SCENARIOS);
  const problems = [];
  const count = { kills: 0, elsewhere: 0 };
  // Each call in each scenario, until there are enough kills: some hit other threads of Node.js.
  const all = scenarios.flatMap((scenario) => jobs.map((call) => ({ scenario, call })));
  const order = spread(all, Math.ceil(wanted * 1.6));
  await forEach(order, async ({ scenario, call }, index) => {
    if (count.kills >= wanted) {
      return;
    }
    const { tree, wasHit } = await sweepInNode(scratch, `node-${index}`, scenario, call);
    if (wasHit) {
      count.kills++;
      const after = examine(tree).problems;
      const found = after.length > 0 ? after : await recover(sweeper, tree);
      problems.push(
        ...found.map((it) => `Node.js, ${scenario}, at ${call.name} ${call.when}: ${it}`),
      );
    } else {
      count.elsewhere++;
    }
    remove(tree);
  });
  return { ...count, problems };
}

/**
 * Sweeps in Node.js under strace, and kills it at `call`. strace is attached when Node.js is ready, and
 * counts the calls of each thread from then on. The sweeping thread is new, so its count starts at one.
 */
async function sweepInNode(scratch, label, scenario = "plain", call = undefined) {
  const tree = layOut(join(scratch, label), SCENARIOS[scenario]);
  const file = join(scratch, `${label}.trace`);
  const node = spawn(process.execPath, [SWEEP, tree.store, String(NOW)], {
    cwd: root,
    env: { ...process.env, UV_THREADPOOL_SIZE: "1" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => node.on("close", resolve));
  await new Promise((resolve) => node.stdout.once("data", resolve));
  const what = call ? inject(file, call, KILL) : inject(file, { name: "flock", when: 9999 }, KILL);
  const strace = spawn("strace", [...what, "-p", String(node.pid)], { stdio: "ignore" });
  await attached(node.pid);
  node.stdin.write("sweep\n");
  await ended;
  if (strace.exitCode === null && strace.signalCode === null) {
    await new Promise((resolve) => strace.on("close", resolve));
  }
  const trace = existsSync(file) ? readFileSync(file, "utf8") : "";
  const ours = threadThatSweeps(trace, tree);
  const calls = parse(trace, tree.root).filter(({ thread }) => thread === ours);
  const last = calls.at(-1);
  const wasHit =
    call !== undefined &&
    trace.includes("+++ killed by SIGKILL +++") &&
    last?.name === call.name &&
    last.when === call.when;
  return { tree, calls, wasHit };
}

/** Returns the first thread whose call names the store's folder. */
function threadThatSweeps(trace, tree) {
  return parse(trace, tree.root).at(0)?.thread;
}

async function attached(pid) {
  for (let tries = 0; tries < 500; tries++) {
    const threads = readdirSync(`/proc/${pid}/task`);
    const isTraced = (thread) =>
      !/^TracerPid:\t0$/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8"));
    if (threads.every(isTraced)) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error("strace could not be attached");
}
