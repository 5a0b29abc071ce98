// The designed surface over the generated binding: it reads the arguments, it logs, and it gives
// what Rust tells the form that the user sees. The first two happen in JavaScript because the
// logger's `this`, what it throws and a replaced Date.now must behave as they do with the gateway's
// own reaper. Everything else happens in Rust, off this thread.

const {
  abort,
  inspect,
  newWatch,
  parseDuration,
  progressOf,
  resetReaperThrottle,
  resolveRetentionMs: retentionOf,
  sweep,
} = require("./load.js");

function resolveRetentionMs(cronConfig) {
  const setting = cronConfig?.sessionRetention;
  return retentionOf(typeof setting === "string" || setting === false ? setting : undefined);
}

// async, as the next one: whatever goes wrong, a bad argument too, is a rejection and never thrown
// at the caller.
async function sweepCronRunSessions(params) {
  // All of params is read here, before the first await: the caller may reuse the object meanwhile.
  const name = "sweepCronRunSessions: params";
  const request = sweepRequest(params, name);
  const log = loggerOf(params.log, name);

  const { ok } = await sweepAndLog(request, log, newWatch());
  return { swept: ok?.swept ?? false, pruned: ok?.pruned ?? 0 };
}

async function sweepSessionStore(options) {
  const name = "sweepSessionStore: options";
  const request = sweepRequest(options, name);
  const { dryRun, removeTemps, archiveRetention, log: logger, signal } = options;
  request.dryRun = Boolean(dryRun);
  request.removeTemps = Boolean(removeTemps);
  request.archiveRetentionMs = archiveRetentionOf(archiveRetention, name);
  const log = logger === undefined || logger === null ? undefined : loggerOf(logger, name);
  checkSignal(signal, name);
  if (signal?.aborted) {
    throw new AbortError(signal.reason, { warnings: [] });
  }

  const watch = newWatch();
  const swept = sweepAndLog(request, log, watch);
  const { ok, error } = await abortable(swept, signal, watch);
  if (error?.code === "ABORT_ERR") {
    throw new AbortError(signal.reason, { warnings: error.warnings });
  }
  if (error) {
    throw new SweepError(error);
  }
  return ok;
}

/** Waits for the work that `watch` was handed to, and stops it if the signal asks for its end. */
async function abortable(work, signal, watch) {
  const stop = () => abort(watch);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    return await work;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** How often an inspection says how far it is, in milliseconds. */
const PROGRESS_MS = 100;

async function inspectSessionStore(options) {
  const name = "inspectSessionStore: options";
  const { storePath, nowMs, retentionMs } = sweepRequest(options, name);
  const { signal, onProgress } = options;
  const request = { storePath, nowMs, retentionMs, top: topOf(options.top, name) };
  checkSignal(signal, name);
  if (onProgress !== undefined && onProgress !== null && typeof onProgress !== "function") {
    throw wrongType(`${name}.onProgress`, "a function", onProgress);
  }
  if (signal?.aborted) {
    throw new AbortError(signal.reason);
  }

  const watch = newWatch();
  const reporting = onProgress ? report(watch, onProgress) : undefined;
  try {
    const answer = JSON.parse(await abortable(inspect(request, watch), signal, watch));
    const { ok: found, error: failure } = answer;
    if (reporting?.thrown) {
      throw reporting.thrown.value;
    }
    if (failure?.code === "ABORT_ERR") {
      throw new AbortError(signal.reason);
    }
    if (failure) {
      throw new InspectError(failure);
    }
    return inspectionOf(found);
  } finally {
    clearInterval(reporting?.timer);
  }
}

/** Calls `onProgress` again and again; what it throws ends the inspection. */
function report(watch, onProgress) {
  const reporting = { thrown: undefined };
  const tell = () => {
    try {
      onProgress(JSON.parse(progressOf(watch)));
    } catch (value) {
      reporting.thrown ??= { value };
      abort(watch);
    }
  };
  return Object.assign(reporting, { timer: setInterval(tell, PROGRESS_MS) });
}

/** Sweeps and replays the log lines. */
async function sweepAndLog(request, log, watch) {
  const answer = JSON.parse(await sweep(request, watch));
  for (const { level, fields, message } of answer.log) {
    // A method call, so that `this` is the logger; an exception rejects the promise.
    log?.[level](fields, message);
  }
  return answer;
}

/** What Rust found in a store and its folder, as the user sees it. */
function inspectionOf({ bytes, stats, transcripts, archives, oldestArchiveMs, temps, others }) {
  const { all, kinds } = stats;
  const { runs, expired } = stats.runs;
  const [oldestMs, newestMs] = stats.updatedAtMs ?? [null, null];
  return {
    bytes,
    entries: all.entries,
    kinds: kinds.map(([kind, sum]) => ({ kind, ...sum })),
    runs: {
      total: runs.entries,
      expired: expired.entries,
      bytes: runs.bytes,
      expiredBytes: expired.bytes,
      oldestMs,
      newestMs,
    },
    biggestEntries: stats.biggestEntries.map(([key, bytes]) => ({ key, bytes })),
    biggestJobs: stats.biggestJobs.map(([job, { runs, expired }]) => ({
      job,
      runs: runs.entries,
      expired: expired.entries,
      bytes: runs.bytes,
    })),
    transcripts,
    archives: { ...archives, oldestMs: oldestArchiveMs },
    temps,
    others,
  };
}

class SweepError extends Error {
  constructor({ message, ...details }) {
    super(message);
    Object.assign(this, details);
  }
}

class InspectError extends Error {
  constructor({ message, ...details }) {
    super(message);
    Object.assign(this, details);
  }
}

// What Node.js's own functions reject with: its class is not to be had.
class AbortError extends Error {
  constructor(reason, details) {
    super("The operation was aborted", { cause: reason });
    Object.assign(this, { code: "ABORT_ERR", ...details });
  }
}

for (const ErrorClass of [SweepError, InspectError, AbortError]) {
  // Where Error has its own: not among the fields that are printed.
  Object.defineProperty(ErrorClass.prototype, "name", { value: ErrorClass.name });
}

function sweepRequest(params, name) {
  if (typeof params !== "object" || params === null) {
    throw wrongType(name, "an object", params);
  }
  // An empty path is no wrong type: the gateway warns about it as a failed sweep, and so does Rust.
  const storePath = params.sessionStorePath ?? "";
  if (typeof storePath !== "string") {
    throw wrongType(`${name}.sessionStorePath`, "a string", storePath);
  }
  // The clock is looked up for every call: tests replace Date.now.
  const nowMs = params.nowMs ?? Date.now();
  if (typeof nowMs !== "number") {
    throw wrongType(`${name}.nowMs`, "a number of milliseconds", nowMs);
  }
  // The binding knows a disabled retention by its absence; napi refuses null for an optional value.
  const retentionMs = resolveRetentionMs(params.cronConfig) ?? undefined;
  const force = Boolean(params.force);
  return { storePath, nowMs, retentionMs, force, dryRun: false, removeTemps: false };
}

function loggerOf(log, name) {
  if (typeof log?.info !== "function" || typeof log.warn !== "function") {
    throw wrongType(`${name}.log`, "a logger with the methods info and warn", log);
  }
  return log;
}

/** In milliseconds; Infinity: for ever; undefined: the gateway's rule. */
function archiveRetentionOf(retention, name) {
  if (retention === undefined || retention === null) {
    return undefined;
  }
  if (retention === false) {
    return Number.POSITIVE_INFINITY;
  }
  const expected = 'a duration such as "30d", or false';
  if (typeof retention !== "string") {
    throw wrongType(`${name}.archiveRetention`, expected, retention);
  }
  const ms = parseDuration(retention);
  // Not 24 hours, as for runs: a slip of the pen must not cost anyone their archives.
  if (ms === null) {
    const got = JSON.stringify(retention);
    throw new TypeError(`${name}.archiveRetention must be ${expected}, got ${got}`);
  }
  return ms;
}

function checkSignal(signal, name) {
  // By its looks: one of another realm is no instance of this one's AbortSignal.
  const isSignal =
    typeof signal?.aborted === "boolean" &&
    typeof signal.addEventListener === "function" &&
    typeof signal.removeEventListener === "function";
  if (signal !== undefined && signal !== null && !isSignal) {
    throw wrongType(`${name}.signal`, "an AbortSignal", signal);
  }
}

/** How many to name. No inspection names more than 1000, so the binding need not count further. */
function topOf(top, name) {
  const wanted = top ?? 5;
  if (!Number.isSafeInteger(wanted) || wanted < 0) {
    const got = typeof wanted === "number" ? wanted : typeof wanted;
    throw new TypeError(`${name}.top must be a whole number from 0, got ${got}`);
  }
  return Math.min(wanted, 1000);
}

function wrongType(name, expected, value) {
  const got = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  return new TypeError(`${name} must be ${expected}, got ${got}`);
}

module.exports = {
  inspectSessionStore,
  resetReaperThrottle,
  resolveRetentionMs,
  sweepCronRunSessions,
  sweepSessionStore,
};
