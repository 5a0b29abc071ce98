// The designed surface over the generated binding: it reads the arguments, and it logs. Both happen
// in JavaScript because the logger's `this`, what it throws and a replaced Date.now must behave as
// they do with the gateway's own reaper. Everything else happens in Rust, off this thread.

const { resetReaperThrottle, resolveRetentionMs: retentionOf, sweep } = require("./binding.js");

function resolveRetentionMs(cronConfig) {
  const setting = cronConfig?.sessionRetention;
  return retentionOf(typeof setting === "string" || setting === false ? setting : undefined);
}

// async: whatever goes wrong, a bad argument too, is a rejection and never thrown at the caller.
async function sweepCronRunSessions(params) {
  // All of params is read here, before the first await: the caller may reuse the object meanwhile.
  const request = sweepRequest(params);
  const log = loggerOf(params);

  const outcome = await sweep(request);

  for (const { level, message, err, pruned, retentionMs } of outcome.log) {
    // A method call, so that `this` is the logger; what it throws rejects the promise as it is.
    log[level](err === undefined ? { pruned, retentionMs } : { err }, message);
  }
  return { swept: outcome.swept, pruned: outcome.pruned };
}

function sweepRequest(params) {
  if (typeof params !== "object" || params === null) {
    throw wrongType("params", "an object", params);
  }
  // An empty path is no wrong type: the gateway warns about it as a failed sweep, and so does Rust.
  const storePath = params.sessionStorePath ?? "";
  if (typeof storePath !== "string") {
    throw wrongType("params.sessionStorePath", "a string", storePath);
  }
  // The clock is looked up for every call: tests replace Date.now.
  const nowMs = params.nowMs ?? Date.now();
  if (typeof nowMs !== "number") {
    throw wrongType("params.nowMs", "a number of milliseconds", nowMs);
  }
  // The binding knows a disabled retention by its absence; napi refuses null for an optional value.
  const retentionMs = resolveRetentionMs(params.cronConfig) ?? undefined;
  return { storePath, nowMs, retentionMs, force: Boolean(params.force) };
}

function loggerOf({ log }) {
  if (typeof log?.info !== "function" || typeof log.warn !== "function") {
    throw wrongType("params.log", "a logger with the methods info and warn", log);
  }
  return log;
}

function wrongType(name, expected, value) {
  const got = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  return new TypeError(`sweepCronRunSessions: ${name} must be ${expected}, got ${got}`);
}

module.exports = { resetReaperThrottle, resolveRetentionMs, sweepCronRunSessions };
