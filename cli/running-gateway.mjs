// Finds out whether a gateway is running on a state folder, by the gateway's own lock files.

import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { inaccessible, isMissing, namesIn, realPath, textOf } from "./files.mjs";
import { stateFolder } from "./state-folder.mjs";

const LOCK = /^gateway\.([0-9a-f]{8}|state)\.lock$/;

/** A lock file without a pid is being written, if it is not older than this. */
const WRITING_MS = 30_000;

const gateways = createRequire(import.meta.url)("../swap-in/gateways.json");

/** The first versions that do not lock their store, and that keep their sessions in SQLite. */
const UNLOCKED = [2026, 5, 0];
const DATABASE = numbersOf(gateways.database);

/**
 * Returns whether a sweep of a store would be safe.
 *
 * Up to 2026.4.29 the gateway locks its store, so it may be running. From 2026.5.2 on it does not: rows
 * that a sweep in another process removes may reappear. From 2026.8.1 on it does not use the store.
 *
 * @param store The store and, if there is one, the database of its agent; `states`: the state folders
 * that it may belong to.
 * @param settings Its configuration and the gateway's version, as of `settingsOf`.
 * @param options.offline The user guarantees that no gateway is running, if that is uncertain.
 * @returns `{ refusal }`, an error, if it must not be swept; `{ note }`, a sentence, if no gateway was
 * found but that matters; otherwise `{}`.
 */
export function safetyOf({ path, database, states }, settings, { offline }) {
  const { version, state = states[0] } = settings;
  const numbers = numbersOf(version);
  const is = (first) => numbers !== undefined && compare(numbers, first) >= 0;
  const isBeta = version?.startsWith("2026.7.2-beta");
  if (is(DATABASE) || isBeta || (numbers === undefined && database !== undefined)) {
    const gateway = version === undefined ? "a gateway from 2026.8.1 on" : `gateway ${version}`;
    return refused(
      "ERR_GATEWAY_DATABASE",
      `${path} is not swept: ${gateway} keeps the sessions of its state folder in SQLite; "openclaw doctor --fix" migrates what is left in it`,
    );
  }
  if (numbers !== undefined && !is(UNLOCKED)) {
    return {};
  }
  const { pid, lock, unclear } = findGateway(states, settings.file);
  const advice =
    "sweep inside the gateway (cron-session-reaper/register), or stop the gateway before the sweep";
  if (pid !== undefined && numbers !== undefined) {
    return refused(
      "ERR_GATEWAY_RUNNING",
      `a gateway is running on ${state} (pid ${pid} in ${lock}), and gateway ${version} does not lock its stores, so that removed runs would reappear; ${advice}`,
    );
  }
  if (offline) {
    return {};
  }
  if (pid !== undefined) {
    return refused(
      "ERR_GATEWAY_RUNNING",
      `a gateway of unknown version is running on ${state} (pid ${pid} in ${lock}): from 2026.5.2 on, removed runs would reappear; ${advice}; for an earlier gateway, pass --offline`,
    );
  }
  if (unclear !== undefined) {
    return refused(
      "ERR_GATEWAY_UNKNOWN",
      `cannot determine whether a gateway is running on ${state}: ${unclear}; if none is running, pass --offline`,
    );
  }
  return numbers === undefined ? {} : { note: `no gateway found on ${state} (last: ${version})` };
}

function refused(code, message) {
  return { refusal: Object.assign(new Error(message), { code }) };
}

/** Returns `[2026, 7, 1]` of `2026.7.1-2`; undefined for an unknown version. */
function numbersOf(version) {
  const [, ...numbers] = /^(\d+)\.(\d+)\.(\d+)(?=$|[-+])/.exec(version ?? "") ?? [];
  return numbers.length > 0 ? numbers.map(Number) : undefined;
}

function compare(a, b) {
  const at = a.findIndex((number, index) => number !== b[index]);
  return at === -1 ? 0 : a[at] - b[at];
}

/**
 * Searches for a running gateway.
 *
 * @param states State folders.
 * @param file The configuration of the store, if it is known.
 * @returns `{ pid, lock }` of the first one on one of the state folders; `{ unclear }`, a
 * reason, if it cannot be determined; `{}` if none was found. A gateway in a container, with another
 * temporary folder or with `OPENCLAW_ALLOW_MULTI_GATEWAY=1` is not found.
 */
export function findGateway(states, file) {
  const reals = [...new Set(states.map(realPath))];
  const inaccessibleStates = [];
  const folders = lockFolders(reals, inaccessibleStates);
  let unclear = inaccessibleStates[0]?.error.message;
  for (const folder of folders) {
    const failed = [];
    const locks = namesIn(folder, failed).filter((name) => LOCK.test(name));
    unclear ??= failed[0]?.error.message;
    for (const lock of locks.map((name) => join(folder, name))) {
      const holder = holderOf(lock);
      if (holder.pid !== undefined && usesOneOf(reals, holder, file)) {
        return { pid: holder.pid, lock };
      }
      unclear ??= holder.unclear;
    }
  }
  return { unclear };
}

/**
 * Returns the folders in which a gateway on one of the state folders has its lock file. Adds the state
 * folders that cannot be accessed to `failed`: their owner is unknown.
 */
function lockFolders(states, failed) {
  if (process.platform === "win32") {
    return [tmpdir(), ...states.map((state) => join(state, "tmp"))].map((folder) =>
      join(folder, "openclaw"),
    );
  }
  // The gateway's user is this one, or the owner of its state folder.
  const owners = states.map((state) => ownerOf(state, failed));
  const uids = [process.getuid(), ...owners.filter((uid) => uid !== undefined)];
  const temporary = [tmpdir(), "/tmp", darwinTemporary(), ...states.map((it) => join(it, "tmp"))];
  const folders = temporary.filter(Boolean).flatMap((folder) => {
    return uids.map((uid) => join(realPath(folder), `openclaw-${uid}`));
  });
  return new Set(folders);
}

function ownerOf(state, failed) {
  try {
    return statSync(state).uid;
  } catch (error) {
    if (!isMissing(error)) {
      failed.push(inaccessible(state, error));
    }
    return undefined;
  }
}

/** What `darwinTemporary` returned first, because it starts a process. */
let darwinFolder;

/** On macOS, a service has another `TMPDIR` than a login shell over SSH: both are derived from this. */
function darwinTemporary() {
  if (process.platform === "darwin" && darwinFolder === undefined) {
    try {
      darwinFolder = execFileSync("/usr/bin/getconf", ["DARWIN_USER_TEMP_DIR"], {
        encoding: "utf8",
      }).trim();
    } catch {
      darwinFolder = "";
    }
  }
  return darwinFolder;
}

/** Returns the payload of a lock file whose process is alive; `{ unclear }`; or `{}` if it is stale. */
function holderOf(lock) {
  const { text, error } = textOf(lock);
  if (error) {
    return isMissing(error) ? {} : { unclear: `cannot read ${lock}: ${error.message}` };
  }
  const payload = payloadOf(text);
  const { pid, role, startTime } = payload;
  if (!Number.isInteger(pid) || pid < 1 || pid >= 2 ** 31) {
    const modified = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    return Date.now() - modified < WRITING_MS ? { unclear: `${lock} is being written` } : {};
  }
  const isGateway = role === undefined || role === null || role === "gateway";
  return isGateway && isAlive(pid, startTime) ? payload : {};
}

function payloadOf(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

/** Returns whether a process is alive and, on Linux, is the one that was started at `startTime`. */
function isAlive(pid, startTime) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code === "ESRCH") {
      return false;
    }
  }
  if (process.platform !== "linux") {
    return true;
  }
  const text = procFile(pid, "stat");
  if (text === undefined) {
    return true;
  }
  // The name of the program, in brackets, may contain anything. After it come fields 3, 4, …
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const isZombie = ["Z", "X"].includes(fields[0]);
  return !isZombie && (!Number.isInteger(startTime) || startTime === Number(fields[22 - 3]));
}

/** Returns whether a gateway uses one of the state folders. */
function usesOneOf(states, { pid, stateDir, configPath }, file) {
  if (typeof stateDir === "string") {
    return states.includes(realPath(stateDir));
  }
  const state = stateInEnvironment(pid);
  if (state !== undefined && states.includes(realPath(state))) {
    return true;
  }
  if (typeof configPath !== "string") {
    return false;
  }
  // A configuration may be outside its state folder, by OPENCLAW_CONFIG_PATH.
  const isConfiguration = file !== undefined && realPath(configPath) === realPath(file);
  return isConfiguration || states.includes(realPath(dirname(configPath)));
}

/**
 * Returns the state folder of a running process by its environment, or undefined. If that sets neither
 * the state folder nor the configuration, an option (`--profile`) may, and the configuration is in it.
 */
function stateInEnvironment(pid) {
  const lines = (procFile(pid, "environ") ?? "").split("\0");
  const env = Object.fromEntries(lines.map((line) => line.split(/=(.*)/s, 2)));
  const isSet = env.OPENCLAW_STATE_DIR?.trim() || env.OPENCLAW_CONFIG_PATH?.trim();
  // The paths may be relative to the folder in which the process was started.
  return isSet ? stateFolder(env, realPath(`/proc/${pid}/cwd`)) : undefined;
}

/** Returns a file of a process on Linux; undefined if it cannot be read. */
function procFile(pid, name) {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return undefined;
  }
}
