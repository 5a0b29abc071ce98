// Each call of the C library fails in turn, with each error number: once, and permanently.

import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { buildSweeper, compile, forEach, recover, reportIn, run, spread } from "./programs.mjs";
import { examine, layOut, NOW, remove, SCENARIOS } from "./store.mjs";
import { bite, figure, skipped } from "./table.mjs";
import { callsOf, canTrace } from "./trace.mjs";

export const name = "errno";

/**
 * The error numbers. `ENOENT` and `ESRCH` are not included: they report the absence of a file or a
 * process, and a program has to rely on that.
 */
const ERRNOS = [
  ...["EIO", "ENOSPC", "EACCES", "EPERM", "EMFILE", "ENFILE", "EROFS", "EDQUOT", "ENOMEM"],
  ...["ESTALE", "EBUSY", "EXDEV", "EINVAL", "ENOSYS", "EOPNOTSUPP", "ELOOP", "ENAMETOOLONG"],
  ...["EFBIG", "EAGAIN", "EINTR"],
];

/** Not injected permanently: an interrupted call is retried, so the sweep would never end. */
const ONCE_ONLY = ["EINTR"];

/** Mean that a call is not available: `ANY_CALL` in `src/system/unsupported.rs`. */
const UNAVAILABLE = ["ENOSYS", "EINVAL", "ENOTSUP", "EOPNOTSUPP", "EPERM", "EBADF", "ENOTTY"];

/** The kernel call has the same name, so strace can verify that the shim sees every call. */
const VERIFIED_BY_STRACE = [
  "linkat",
  "renameat2",
  "unlink",
  "unlinkat",
  "fsync",
  "fdatasync",
  "pwrite64",
  "flock",
];

export async function campaign({ short, scratch }) {
  const errors = "failing calls, once and permanently";
  const transfers = "short reads and writes";
  const shim = await compileShim(scratch);
  if (!shim) {
    skipped(errors, "no C compiler is available");
    skipped(transfers, "no C compiler is available");
    return;
  }
  const unseen = canTrace() ? await unseenCalls(shim, scratch) : [];
  const injected = await injectAll(shim, scratch, short ? 150 : 2_600);
  figure(errors, injected.hits, short ? 100 : 2_000, [...unseen, ...injected.problems]);
  const shortened = await shortenAll(shim, scratch, short ? 10 : 100);
  figure(transfers, shortened.hits, short ? 8 : 40, shortened.problems);
}

export async function bites({ scratch }) {
  const shim = await compileShim(scratch);
  if (!shim) {
    skipped("failing calls", "no C compiler is available");
    return;
  }
  const { problems } = await injectAll(shim, scratch, 400, { FAULT: "ignored-errors" }, ["plain"]);
  bite("failing calls", "ignored-errors", problems);
}

export const compileShim = (scratch) =>
  compile(
    "shim.c",
    join(scratch, "shim.so"),
    ...["-fPIC", "-shared", "-fno-delete-null-pointer-checks", "-fno-builtin"],
  );

/**
 * Sweeps with the shim preloaded. Returns the output, the calls and the exit status. `through` is a
 * program with its arguments that runs the sweeper.
 */
export async function sweepWith(shim, tree, settings, { env = {}, through = [] } = {}) {
  const log = settings.FAULT_LOG ?? `${tree.root}.log`;
  const preload = { LD_PRELOAD: shim, FAULT_ROOT: tree.root, FAULT_LOG: log };
  const sweep = [await buildSweeper(), tree.store, "--now", String(NOW)];
  const [program, ...args] = [...through, ...sweep];
  const ended = await run(program, args, { env: { ...env, ...preload, ...settings } });
  const calls = readLog(log);
  rmSync(log, { force: true });
  return { ...ended, calls, report: ended.code === 0 ? reportIn(ended.stdout) : undefined };
}

function readLog(path) {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return []; // No call named a path under the root.
  }
  const lines = text.trimEnd().split("\n");
  return lines.map((line) => {
    const [nth, call, where, result, error, hit] = line.split("\t");
    return {
      ...{ nth: Number(nth), call, where, result: Number(result) },
      ...{ errno: Number(error), hit: hit === "1" },
    };
  });
}

/** Returns the calls that strace counts differently from the shim. */
async function unseenCalls(shim, scratch) {
  const tree = layOut(join(scratch, "witness"), SCENARIOS["native lock left"]);
  const seen = await sweepWith(shim, tree, {});
  remove(tree);
  const again = layOut(join(scratch, "witness"), SCENARIOS["native lock left"]);
  const traced = await callsOf(
    await buildSweeper(),
    [again.store, "--now", String(NOW)],
    again.root,
    { scratch },
  );
  remove(again);
  const count = (calls, key, name) => calls.filter((it) => it[key] === name).length;
  return VERIFIED_BY_STRACE.filter(
    (name) => count(seen.calls, "call", name) !== count(traced, "name", name),
  ).map((name) => `strace and the shim count different numbers of ${name} calls`);
}

async function callsIn(shim, scratch, scenario, env = {}) {
  // As deep as the trees of the campaign: each component of the path costs a call.
  const tree = layOut(join(scratch, "errno", crypto.randomUUID()), SCENARIOS[scenario]);
  const { calls } = await sweepWith(shim, tree, {}, { env });
  remove(tree);
  // Consecutive reads of one folder fail in the same way: only the first is used.
  return calls.filter(({ call, where }, index) => {
    const before = calls[index - 1];
    return !(before?.call === call && before.where === where && call.startsWith("read"));
  });
}

async function injectAll(
  shim,
  scratch,
  most,
  env = {},
  scenarios = ["plain", "linked", "native lock left", "temps left"],
) {
  const jobs = [];
  for (const scenario of scenarios) {
    for (const { nth, call } of await callsIn(shim, scratch, scenario, env)) {
      for (const error of ERRNOS) {
        jobs.push({ scenario, nth, call, error, sticky: "0" });
        if (!ONCE_ONLY.includes(error)) {
          jobs.push({ scenario, nth, call, error, sticky: "1" });
        }
      }
    }
  }
  return await injectEach(shim, scratch, spread(jobs, most), env);
}

async function shortenAll(shim, scratch, most) {
  const jobs = [];
  for (const scenario of ["plain", "large", "linked"]) {
    const calls = await callsIn(shim, scratch, scenario);
    const transfers = calls.filter(({ call }) => ["pread64", "pwrite64", "read"].includes(call));
    jobs.push(
      ...["0", "1"].flatMap((sticky) => transfers.map((it) => ({ ...it, scenario, sticky }))),
    );
  }
  return await injectEach(shim, scratch, spread(jobs, most), {});
}

async function injectEach(shim, scratch, jobs, env) {
  const sweeper = await buildSweeper();
  const problems = [];
  let hits = 0;
  mkdirSync(join(scratch, "errno"), { recursive: true });
  await forEach(jobs, async ({ scenario, nth, call, error, sticky }, index) => {
    const tree = layOut(join(scratch, "errno", String(index)), SCENARIOS[scenario]);
    const how = error ? `errno:${constants.errno[error]}` : "short";
    const settings = { FAULT_AT: String(nth), FAULT_HOW: how, FAULT_STICKY: sticky };
    const swept = await sweepWith(shim, tree, settings, { env });
    hits += swept.calls.filter(({ hit }) => hit).length > 0 ? 1 : 0;
    const found = problemsOf(tree, swept, error);
    if (found.length === 0) {
      const archived = !mayNotArchive(swept);
      found.push(...(await recover(sweeper, tree, { archived })));
    }
    const what = `${scenario}, ${call} (call ${nth}) ${error ?? "short"}${sticky === "1" ? " permanently" : ""}`;
    problems.push(...found.map((it) => `${what}: ${it}`));
    remove(tree);
  });
  return { hits, problems };
}

const hitsOn = ({ calls }, text) => calls.some(({ hit, where }) => hit && where.includes(text));

/**
 * Returns whether a transcript may keep its name: a call on it or its subfolder failed, or its folder
 * could not be opened.
 */
const mayNotArchive = (swept) =>
  [".jsonl", "/sub"].some((path) => hitsOn(swept, path)) ||
  swept.calls.some(({ hit, call }) => hit && call === "openat2");

/** Returns what is wrong after a sweep with an injected failure. */
function problemsOf(tree, swept, error) {
  const { code, signal, timedOut, stderr, report, calls } = swept;
  if (timedOut) {
    return ["the sweep hangs"];
  }
  if (!report) {
    return [`the sweep crashed (${signal ?? code}): ${stderr}`];
  }
  const { problems, pruned } = examine(tree, {
    archived: !mayNotArchive(swept),
    partial: hitsOn(swept, ".jsonl.lock"),
  });
  if (report.swept && report.pruned !== pruned) {
    problems.push(`the report counts ${report.pruned} removed runs, but it is ${pruned}`);
  }
  if (report.swept && report.pruned > 0) {
    problems.push(...unsynced(calls));
  }
  if (!report.swept && !report.log.some(({ level, fields }) => level === "warn" && fields.err)) {
    problems.push("the sweep failed and logged no warning");
  }
  if (!error && (!report.swept || pruned === 0)) {
    problems.push(`the sweep failed after a short transfer: ${JSON.stringify(report)}`);
  }
  return problems;
}

/**
 * Returns whether a call reported that the file system cannot sync folders. A sweep goes on then: see
 * `Call::SyncFolder` in `src/system/unsupported.rs`.
 */
function isUnavailable({ call, errno }) {
  return call === "fsync" && UNAVAILABLE.some((name) => constants.errno[name] === errno);
}

/** Returns the syncs that are missing or failed although the sweep was reported as done. */
function unsynced(calls) {
  const last = new Map();
  for (const it of calls) {
    if (it.call === "fsync") {
      last.set(`fsync ${it.where}`, it);
    }
    // On a full disk the sweep writes a second store, after it has made room.
    if (it.call === "fdatasync") {
      last.set("fdatasync", it);
    }
  }
  const failed = [...last.values()].filter((it) => it.result !== 0 && !isUnavailable(it));
  const problems = failed.map(
    ({ call, where }) => `reported as done, but this failed: ${call} ${where}`,
  );
  if (!last.has("fdatasync")) {
    problems.push("reported as done, but the store was never synced");
  }
  const exchange = calls.findLast(
    ({ call, where }) => call.startsWith("rename") && where.endsWith(".json"),
  );
  const folder = exchange?.where.slice(0, exchange.where.lastIndexOf("/"));
  const after = calls.filter(
    ({ nth, call, where }) => nth > exchange?.nth && call === "fsync" && where === folder,
  );
  if (after.length === 0) {
    problems.push("reported as done, but the store's folder was never synced");
  }
  return problems;
}
