// A system, a file system or a sandbox lacks a call that only improves the quality of a sweep: each such
// call fails with each error that such situations report, from the first or from a later one on.

import { chownSync, lstatSync, mkdirSync, readdirSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { compileShim, sweepWith } from "./errno.mjs";
import { buildSweeper, forEach, has, recover, spread } from "./programs.mjs";
import { examine, layOut, leftovers, remove, SCENARIOS } from "./store.mjs";
import { bite, figure, skipped } from "./table.mjs";

export const name = "capabilities";

const TITLE = "calls that a system lacks";

/** What situations report for a call that they lack. */
const ANSWERS = ["EINVAL", "ENOSYS", "EOPNOTSUPP", "EPERM", "EBADF"];

/** The calls as the shim names them, and what else is reported for them. */
const CALLS = {
  "openat:O_TMPFILE": ["EISDIR"],
  // ENOENT: there is no /proc, through which the file is named.
  linkat: ["ENOENT", "EACCES"],
  renameat2: [],
  // A file system that ignores the flags.
  "renameat2:EXCHANGE": ["plain"],
  "renameat2:NOREPLACE": [],
  openat2: [],
  // Network file situations without a lock service.
  flock: ["ENOLCK"],
  // Contents are synced by fdatasync, names by fsync.
  fsync: [],
  fchmod: [],
  fchown: [],
  flistxattr: ["EACCES"],
  sync_file_range: [],
  statx: [],
};

/** Not in the shim's log: a mount, and a call that is not repeated after the log has begun. */
const UNLOGGED = ["/proc", "statx"];

/** Runs a program with an empty folder in the place of `/proc`. */
const WITHOUT_PROC = [
  ...["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"],
];

/** An owner and a group that are not the sweeper's. */
const OTHER = 4242;

const SITUATIONS = {
  ...SCENARIOS,
  "store of another user": { uid: OTHER },
  "store of another group": { gid: OTHER },
};

export async function campaign({ short, scratch }) {
  const shim = await compileShim(scratch);
  if (!shim) {
    skipped(TITLE, "no C compiler is available");
    return;
  }
  const choose = short ? oneOfEach : (jobs) => spread(jobs, 1_500);
  const { combinations, problems } = await lackEach(shim, scratch, choose);
  figure(TITLE, combinations, short ? 50 : 150, problems);
}

export async function bites({ scratch }) {
  const shim = await compileShim(scratch);
  if (!shim) {
    skipped(TITLE, "no C compiler is available");
    return;
  }
  const fault = { FAULT: "no-fallback" };
  const { problems } = await lackEach(shim, scratch, oneOfEach, { env: fault });
  bite(TITLE, "no-fallback", problems);
}

/** Sweeps without each call. Returns the number of sweeps that made the call, and what was wrong. */
async function lackEach(shim, scratch, choose, { env = {} } = {}) {
  const problems = [];
  let combinations = 0;
  const folder = join(scratch, "capabilities");
  mkdirSync(folder);
  const jobs = choose(await jobsOf(shim, folder, env));
  await forEach(jobs, async (job, index) => {
    const tree = layOutFor(join(folder, String(index)), job.situation);
    const before = namesIn(tree);
    const swept = await sweepLacking(shim, tree, job, env);
    combinations += UNLOGGED.includes(job.call) || swept.calls.some(({ hit }) => hit) ? 1 : 0;
    const found = problemsOf(tree, job, swept, before);
    if (found.length === 0 && !swept.report.swept) {
      found.push(...(await recover(await buildSweeper(), tree)));
    }
    const what = `${job.situation}, ${job.call} ${job.answer} from call ${job.from} on`;
    problems.push(...found.map((it) => `${what}: ${it}`));
    remove(tree);
  });
  return { combinations, problems };
}

/** Returns one job for each call and each answer, each time in the next situation. */
function oneOfEach(jobs) {
  const groups = new Map();
  for (const job of jobs.filter(({ from }) => from === 1)) {
    const key = `${job.call} ${job.answer}`;
    groups.set(key, [...(groups.get(key) ?? []), job]);
  }
  return [...groups.values()].map((group, index) => group[index % group.length]);
}

const possibleSituations = () =>
  Object.keys(SITUATIONS).filter((it) => process.getuid() === 0 || !it.includes("another"));

async function jobsOf(shim, folder, env) {
  const jobs = [];
  for (const situation of possibleSituations()) {
    const counts = await countsIn(shim, join(folder, "counted"), situation, env);
    for (const [call, more] of Object.entries(CALLS)) {
      // The standard library decides at the first call of statx whether to use it.
      const last = call === "statx" ? 1 : counts(call);
      const froms = Array.from({ length: last }, (_, index) => index + 1);
      jobs.push(
        ...[...ANSWERS, ...more].flatMap((answer) =>
          froms.map((from) => ({ situation, call, answer, from })),
        ),
      );
    }
    // Without /proc, a temp file whose writer's pid is used again is not recognised as left behind.
    if (situation !== "temps left" && has("unshare", "--mount", "true")) {
      jobs.push({ situation, call: "/proc", answer: "is not mounted", from: 1 });
    }
  }
  return jobs;
}

/** Returns how often a sweep that lacks nothing makes each call. */
async function countsIn(shim, root, situation, env) {
  const tree = layOutFor(root, situation);
  const { calls } = await sweepWith(shim, tree, {}, { env });
  remove(tree);
  return (name) => calls.filter(({ call }) => call === name.split(":")[0]).length;
}

function layOutFor(root, situation) {
  const { uid, gid, ...scenario } = SITUATIONS[situation];
  const tree = layOut(root, scenario);
  if (uid !== undefined || gid !== undefined) {
    chownSync(tree.real, uid ?? process.getuid(), gid ?? process.getgid());
  }
  return tree;
}

function sweepLacking(shim, tree, { call, answer, from }, env) {
  if (call === "/proc") {
    return sweepWith(shim, tree, {}, { env, through: WITHOUT_PROC });
  }
  const how = answer === "plain" ? answer : `errno:${constants.errno[answer]}`;
  const settings = { FAULT_CALL: call, FAULT_FROM: String(from), FAULT_HOW: how };
  return sweepWith(shim, tree, settings, { env });
}

/** The only case in which a sweep may refuse: the store's owner cannot be preserved. */
const mayRefuse = ({ situation, call }) =>
  call === "fchown" && SITUATIONS[situation].uid !== undefined;

/** Returns what is wrong after a sweep without a call: it is complete, or nothing has changed. */
function problemsOf(tree, job, swept, before) {
  const { code, signal, timedOut, stderr, report } = swept;
  if (timedOut) {
    return ["the sweep hangs"];
  }
  if (!report) {
    return [`the sweep crashed (${signal ?? code}): ${stderr}`];
  }
  const { problems, isNew, pruned } = examine(tree);
  const logged = JSON.stringify(report.log);
  if (report.swept) {
    problems.push(...leftovers(tree), ...changedOwner(tree, job));
    // The shim finds the paths of descriptors in /proc.
    problems.push(...(job.call === "/proc" ? [] : withoutLock(tree, swept)));
    if (!isNew || report.pruned !== pruned) {
      problems.push(`reported as swept, but ${pruned} runs are removed: ${logged}`);
    }
    if (report.log.some(({ level }) => level === "warn" || level === "error")) {
      problems.push(`swept with a warning: ${logged}`);
    }
    return problems;
  }
  if (!mayRefuse(job)) {
    problems.push(`not swept: ${logged}`);
  }
  if (pruned > 0) {
    problems.push("reported as failed, but runs are removed");
  }
  const added = namesIn(tree).filter((it) => !before.includes(it));
  problems.push(...added.map((it) => `refused, but this is new: ${it}`));
  if (!report.log.some(({ level, fields }) => level === "warn" && fields.err)) {
    problems.push("refused without a warning");
  }
  return problems;
}

const namesIn = ({ root }) => readdirSync(root, { recursive: true });

/** Returns whether the store was replaced before a lock was at its path. */
function withoutLock(tree, { calls }) {
  const lock = `${tree.store}.lock`;
  const isDone = ({ result }) => result >= 0;
  const creates = ["linkat", "openat", "renameat2", "renameat"];
  const created = calls.findIndex(
    (it) => creates.includes(it.call) && it.where === lock && isDone(it),
  );
  const replaced = calls.findLastIndex(
    (it) => it.call.startsWith("rename") && it.where === tree.real && isDone(it),
  );
  return created < 0 || replaced < created ? ["the store was replaced without its lock"] : [];
}

/** Returns whether the store has another owner or mode than it must have. */
function changedOwner(tree, { situation, call }) {
  const { uid, gid, mode } = lstatSync(tree.real);
  const expected = { uid: process.getuid(), gid: process.getgid(), ...SITUATIONS[situation] };
  const problems = [];
  if (uid !== expected.uid || (mode & 0o777) !== 0o600) {
    problems.push(`the store belongs to ${uid}, with mode ${(mode & 0o777).toString(8)}`);
  }
  if (gid !== expected.gid && call !== "fchown") {
    problems.push(`the store belongs to the group ${gid}`);
  }
  return problems;
}
