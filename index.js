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

  const { report } = await sweepAndLog(request, log, newWatch());
  return { swept: report.swept, pruned: report.pruned };
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
  const { report, warnings, failure } = await abortable(swept, signal, watch);
  if (failure?.code === "ABORT_ERR") {
    throw new AbortError(signal.reason, { warnings });
  }
  if (failure) {
    throw new SweepError(failure, warnings);
  }
  return { dryRun: request.dryRun, retentionMs: request.retentionMs ?? null, ...report, warnings };
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
    const { ok, error } = JSON.parse(await abortable(inspect(request, watch), signal, watch));
    if (reporting?.thrown) {
      throw reporting.thrown.value;
    }
    if (error?.code === "ABORT_ERR") {
      throw new AbortError(signal.reason);
    }
    if (error) {
      throw new InspectError(error);
    }
    return ok;
  } finally {
    clearInterval(reporting?.timer);
  }
}

/** Calls `onProgress` again and again; what it throws ends the inspection. */
function report(watch, onProgress) {
  const reporting = { thrown: undefined };
  const tell = () => {
    try {
      onProgress(JSON.parse(progressOf(watch)).ok);
    } catch (value) {
      reporting.thrown ??= { value };
      abort(watch);
    }
  };
  return Object.assign(reporting, { timer: setInterval(tell, PROGRESS_MS) });
}

/** Sweeps, replays the log lines, and gives those that warn as data too. */
async function sweepAndLog(request, log, watch) {
  const { report, reclaimed } = JSON.parse(await sweep(request, watch));
  const warnings = [];
  for (const { level, fields, message } of report.log) {
    if (fields.err !== undefined) {
      warnings.push({ message, error: fields.err });
    }
    // A method call, so that `this` is the logger; what it throws rejects the promise as it is.
    log?.[level](fields, message);
  }
  return { report: reportOf(report, reclaimed), warnings, failure: report.failure };
}

/** What Rust tells of a sweep, as the user sees it. */
function reportOf(
  { swept, reason, pruned, entries, transcripts, archives, temps, size, times },
  reclaimed,
) {
  const { seen, kept, locked } = entries;
  const inMs = ({ secs, nanos }) => secs * 1e3 + nanos / 1e6;
  return {
    swept,
    reason,
    pruned,
    entries: { seen, kept, pruned, locked },
    transcripts: { archived: transcripts.files, bytes: transcripts.bytes },
    archives: { removed: archives.files, bytes: archives.bytes },
    temps,
    bytes: { ...size, reclaimed },
    ms: {
      surveying: inMs(times.surveying),
      waiting: inMs(times.waiting),
      holding: inMs(times.holding),
      total: inMs(times.total),
    },
  };
}

class SweepError extends Error {
  constructor(failure, warnings) {
    super(failure.message);
    Object.assign(this, detailsOf(failure), { warnings });
  }
}

class InspectError extends Error {
  constructor({ message, ...details }) {
    super(message);
    Object.assign(this, details);
  }
}

/** What an error tells beside its message; what is not known is absent. */
function detailsOf({ code, path, position }) {
  const details = { code };
  if (path !== null) {
    details.path = path;
  }
  if (position !== null) {
    [details.line, details.column] = position;
  }
  return details;
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

/** How many entries and jobs to list. Rust limits the number. */
function topOf(top, name) {
  const wanted = top ?? 5;
  if (!Number.isSafeInteger(wanted) || wanted < 0) {
    const got = typeof wanted === "number" ? wanted : typeof wanted;
    throw new TypeError(`${name}.top must be a whole number from 0, got ${got}`);
  }
  return wanted;
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
