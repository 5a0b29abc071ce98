// The interface of index.d.ts over the generated binding: checks the arguments, reads the clock,
// calls the logger, and turns what Rust reports into promises. These parts are in JavaScript so that
// the logger's `this`, its exceptions and a replaced Date.now behave as with the gateway's own reaper.
// Everything else happens in Rust, on other threads.

const {
  abort,
  commitSweep,
  finishSweep,
  inspect,
  newSweep,
  newWatch,
  parseDuration,
  prepareSweep,
  progressOf,
  resetReaperThrottle,
  resolveRetentionMs: retentionOf,
  sweep,
} = require("./load.js");

function resolveRetentionMs(cronConfig) {
  const setting = cronConfig?.sessionRetention;
  return retentionOf(typeof setting === "string" || setting === false ? setting : undefined);
}

// Async functions, so that every failure rejects the promise, even a wrong argument.
async function sweepCronRunSessions(params) {
  // All of params is read before the first await: the caller may modify the object afterwards.
  const name = "sweepCronRunSessions: params";
  const request = sweepRequest(params, name);
  const log = loggerOf(params.log, name);

  const { ok } = await sweepAndLog(request, log, newWatch());
  return { swept: ok?.swept ?? false, pruned: ok?.pruned ?? 0 };
}

function createCronSessionReaper(storeWriter, options) {
  const name = "createCronSessionReaper";
  checkStoreWriter(storeWriter, `${name}: storeWriter`);
  const descendants = runKeysOf(options, `${name}: options`) === "runs-and-descendants";
  return {
    resolveRetentionMs,
    resetReaperThrottle,
    async sweepCronRunSessions(params) {
      const name = "sweepCronRunSessions: params";
      const request = sweepRequest(params, name);
      const log = loggerOf(params.log, name);

      const { ok } = await sweepExclusively(request, descendants, storeWriter, log);
      return { swept: ok?.swept ?? false, pruned: ok?.pruned ?? 0 };
    },
  };
}

/** How often a sweep is prepared outside the exclusive section. As for the lock file, see Rust. */
const ATTEMPTS_OUTSIDE = 2;

/** Sweeps, commits in the exclusive section of the store's writer, and replays the log lines. */
async function sweepExclusively(request, descendants, writer, log) {
  const sweep = newSweep(request, descendants);
  let failure;
  try {
    for (let attempt = 1; ; attempt++) {
      const isOutside = attempt <= ATTEMPTS_OUTSIDE;
      let step = isOutside ? await stepOf(prepareSweep(sweep)) : "changed";
      if (step === "ready" || !isOutside) {
        step = await exclusively(writer, request.storePath, () =>
          isOutside ? commit(sweep, writer, request) : prepareAndCommit(sweep, writer, request),
        );
      }
      if (step !== "changed") {
        break;
      }
    }
  } catch (error) {
    failure = { error };
  }
  // Also after an exception: makes a commit durable, or discards what was prepared, and logs it.
  const answer = await answerOf(finishSweep(sweep));
  try {
    replay(answer.log, log);
  } catch (error) {
    // An exception of the writer is the more important one: its cache may not fit the store.
    failure ??= { error };
  }
  if (failure) {
    throw failure.error;
  }
  return answer;
}

const stepOf = async (promise) => (await answerOf(promise)).step;

/** Returns what the addon answers. Its promise rejects only after an internal error. */
async function answerOf(promise) {
  try {
    return JSON.parse(await promise);
  } catch (error) {
    // napi's own code is "GenericFailure".
    throw Object.assign(error, { code: "ERR_CRON_SESSION_REAPER_INTERNAL" });
  }
}

/** Prepares and commits inside the exclusive section, until one of the two ends the sweep. */
async function prepareAndCommit(sweep, writer, request) {
  for (;;) {
    let step = await stepOf(prepareSweep(sweep));
    if (step === "ready") {
      step = await commit(sweep, writer, request);
    }
    if (step !== "changed") {
      return step;
    }
  }
}

/** Commits, and calls `changed` before any other writer can run. */
async function commit(sweep, writer, { storePath }) {
  const { step, change } = await answerOf(commitSweep(sweep));
  if (change) {
    await writer.changed(storePath, change);
  }
  return step;
}

/** Runs `work` once in the exclusive section, and waits for both to end. */
async function exclusively(writer, storePath, work) {
  let running;
  try {
    await writer.exclusively(storePath, () => (running ??= work()));
  } catch (error) {
    await running?.catch(() => {});
    throw error;
  }
  if (running === undefined) {
    const message = "createCronSessionReaper: storeWriter.exclusively did not call its callback";
    throw Object.assign(new Error(message), { code: "ERR_SESSION_STORE_WRITER" });
  }
  return running;
}

async function sweepSessionStore(options) {
  const name = "sweepSessionStore: options";
  const request = sweepRequest(options, name);
  checkCronConfig(request.given, name);
  checkNow(request.nowMs, name);
  const { dryRun, removeTemps, archiveRetention, log: logger, signal } = options;
  request.force = booleanOf(request.given.force, `${name}.force`);
  request.dryRun = booleanOf(dryRun, `${name}.dryRun`);
  request.removeTemps = booleanOf(removeTemps, `${name}.removeTemps`);
  request.archiveRetentionMs = archiveRetentionOf(archiveRetention, name);
  const log = logger === undefined || logger === null ? undefined : loggerOf(logger, name);
  checkSignal(signal, name);
  if (signal?.aborted) {
    throw new AbortError(signal.reason, { warnings: [] });
  }

  const watch = newWatch();
  const { ok, error } = await abortable(sweepAndLog(request, log, watch), signal, watch);
  if (error?.code === "ABORT_ERR") {
    throw new AbortError(signal.reason, { warnings: error.warnings });
  }
  if (error) {
    throw new SweepError(error);
  }
  return ok;
}

/** Waits for the work that `watch` belongs to, and aborts it when the signal fires. */
async function abortable(work, signal, watch) {
  const stop = () => abort(watch);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    return await work;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** Sweeps and replays the log lines. */
async function sweepAndLog(request, log, watch) {
  const answer = await answerOf(sweep(request, watch));
  replay(answer.log, log);
  return answer;
}

function replay(lines, log) {
  for (const { level, fields, message } of lines) {
    // A method call, so that `this` is the logger. An exception rejects the promise.
    log?.[level](fields, message);
  }
}

/** The interval between two calls of `onProgress`, in milliseconds. */
const PROGRESS_MS = 100;

async function inspectSessionStore(options) {
  const name = "inspectSessionStore: options";
  const { storePath, nowMs, retentionMs, given } = sweepRequest(options, name);
  checkCronConfig(given, name);
  checkNow(nowMs, name);
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
  const reporting = onProgress ? reportProgress(watch, onProgress) : undefined;
  try {
    const { ok, error } = await abortable(answerOf(inspect(request, watch)), signal, watch);
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

/** Calls `onProgress` at intervals. An exception aborts the inspection and is kept in `thrown`. */
function reportProgress(watch, onProgress) {
  const reporting = { thrown: undefined };
  const report = () => {
    try {
      onProgress(JSON.parse(progressOf(watch)).ok);
    } catch (value) {
      reporting.thrown ??= { value };
      abort(watch);
    }
  };
  return Object.assign(reporting, { timer: setInterval(report, PROGRESS_MS) });
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

// Equals the error with which Node.js's own functions reject. Node.js does not export its class.
class AbortError extends Error {
  constructor(reason, details) {
    super("The operation was aborted", { cause: reason });
    Object.assign(this, { code: "ABORT_ERR", ...details });
  }
}

// Written out, because a minifier renames classes.
for (const [name, ErrorClass] of Object.entries({ SweepError, InspectError, AbortError })) {
  // On the prototype, as in Error: a property of the instance would be printed among its fields.
  Object.defineProperty(ErrorClass.prototype, "name", { value: name });
}

function sweepRequest(params, name) {
  if (typeof params !== "object" || params === null) {
    throw wrongType(name, "an object", params);
  }
  // An empty or absent path is not a TypeError: the gateway logs it as a failed sweep, as Rust does.
  const storePath = params.sessionStorePath ?? "";
  if (typeof storePath !== "string") {
    throw wrongType(`${name}.sessionStorePath`, "a string", storePath);
  }
  // Date.now is looked up in each call, because tests replace it.
  const nowMs = params.nowMs ?? Date.now();
  if (typeof nowMs !== "number") {
    throw wrongType(`${name}.nowMs`, "a number of milliseconds", nowMs);
  }
  const { cronConfig, force } = params;
  // Read once, so that the value that is checked is the value that is used.
  const sessionRetention = cronConfig?.sessionRetention;
  return {
    storePath,
    nowMs,
    // Absent for a disabled retention: napi rejects null for an optional value.
    retentionMs: resolveRetentionMs({ sessionRetention }) ?? undefined,
    force: Boolean(force),
    dryRun: false,
    removeTemps: false,
    // To be checked. Rust does not read it.
    given: { cronConfig, sessionRetention, force },
  };
}

function checkStoreWriter(writer, name) {
  if (typeof writer?.exclusively !== "function" || typeof writer.changed !== "function") {
    throw wrongType(name, "an object with the methods exclusively and changed", writer);
  }
}

function runKeysOf(options, name) {
  if (typeof (options ?? {}) !== "object" || Array.isArray(options)) {
    throw wrongType(name, "an object", options);
  }
  const keys = options?.runKeys ?? "runs";
  if (keys !== "runs" && keys !== "runs-and-descendants") {
    const got = typeof keys === "string" ? JSON.stringify(keys) : typeof keys;
    throw wrongValue(`${name}.runKeys`, '"runs" or "runs-and-descendants"', got);
  }
  return keys;
}

function loggerOf(log, name) {
  if (typeof log?.info !== "function" || typeof log.warn !== "function") {
    throw wrongType(`${name}.log`, "a logger with the methods info and warn", log);
  }
  return log;
}

/** Returns the retention in milliseconds; Infinity for ever; undefined for the gateway's rule. */
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
  if (ms === null) {
    throw wrongValue(`${name}.archiveRetention`, expected, JSON.stringify(retention));
  }
  return ms;
}

/**
 * The drop-in replaces an invalid configuration or retention by 24 hours, as the gateway does. Here it
 * is an error: a typing error must not delete anything, nor announce what no sweep would delete.
 */
function checkCronConfig({ cronConfig, sessionRetention: retention }, name) {
  if (typeof (cronConfig ?? {}) !== "object" || Array.isArray(cronConfig)) {
    const expected = 'an object such as { sessionRetention: "24h" }';
    throw wrongType(`${name}.cronConfig`, expected, cronConfig);
  }
  const isDefault = (retention ?? "") === "" || retention === false;
  const expected = 'a duration such as "24h", or false';
  if (!isDefault && typeof retention !== "string") {
    throw wrongType(`${name}.cronConfig.sessionRetention`, expected, retention);
  }
  if (!isDefault && retention.trim() !== "" && parseDuration(retention) === null) {
    const got = JSON.stringify(retention);
    throw wrongValue(`${name}.cronConfig.sessionRetention`, expected, got);
  }
}

/** Unlike the gateway's functions, for which every truthy value is `true`: `"false"` is a mistake. */
function booleanOf(value, name) {
  if (typeof (value ?? false) !== "boolean") {
    throw wrongType(name, "a boolean", value);
  }
  return value ?? false;
}

/** A time in microseconds or nanoseconds would make every run and every archive old. */
function checkNow(nowMs, name) {
  const endOf9999 = 253_402_300_799_999;
  if (!(nowMs <= endOf9999)) {
    const expected = "milliseconds since 1970, before the year 10000";
    throw wrongValue(`${name}.nowMs`, expected, nowMs);
  }
}

function checkSignal(signal, name) {
  // By its properties: a signal of another realm is not an instance of this realm's AbortSignal.
  const isSignal =
    typeof signal?.aborted === "boolean" &&
    typeof signal.addEventListener === "function" &&
    typeof signal.removeEventListener === "function";
  if (signal !== undefined && signal !== null && !isSignal) {
    throw wrongType(`${name}.signal`, "an AbortSignal", signal);
  }
}

/** Returns how many entries and jobs to list. Rust limits the number. */
function topOf(top, name) {
  const wanted = top ?? 5;
  if (!Number.isSafeInteger(wanted) || wanted < 0) {
    const got = typeof wanted === "number" ? wanted : typeof wanted;
    throw wrongValue(`${name}.top`, "a whole number from 0", got);
  }
  return wanted;
}

function wrongType(name, expected, value) {
  const got = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  const error = new TypeError(`${name} must be ${expected}, got ${got}`);
  return Object.assign(error, { code: "ERR_INVALID_ARG_TYPE" });
}

function wrongValue(name, expected, got) {
  const error = new TypeError(`${name} must be ${expected}, got ${got}`);
  return Object.assign(error, { code: "ERR_INVALID_ARG_VALUE" });
}

module.exports = {
  InspectError,
  SweepError,
  createCronSessionReaper,
  inspectSessionStore,
  resetReaperThrottle,
  resolveRetentionMs,
  sweepCronRunSessions,
  sweepSessionStore,
};
