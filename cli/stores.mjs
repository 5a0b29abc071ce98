// Where the stores of a gateway are, and what its configuration says about them.

import { existsSync, lstatSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";

/** Folders in the home folder, and configurations in such a folder; the earlier names come last. */
const STATE_FOLDERS = [".openclaw", ".clawdbot", ".moldbot", ".moltbot"];
const CONFIGURATIONS = ["openclaw.json", "clawdbot.json", "moldbot.json", "moltbot.json"];
/** Every gateway that this is for reads these; the other two only some. */
const READ_BY_ALL = CONFIGURATIONS.slice(0, 2);

/**
 * The stores that `paths` lead to, or without any those of the gateway's state folder.
 *
 * @returns `{ stores, missing, failed }`: `{ path, states }` for each store once, `states` being the
 * state folders that it may belong to; a sentence for each path that leads to none; and
 * `{ path, error }` for what could not be looked into.
 */
export function findStores(paths, env = process.env) {
  const found = { stores: [], missing: [], failed: [] };
  const seen = new Map();
  const isNamed = paths.length > 0;
  for (const path of isNamed ? paths.map((path) => resolve(path)) : [stateFolder(env)]) {
    const failedBefore = found.failed.length;
    try {
      const stores = storesAt(path, found.failed);
      if (stores.length === 0 && found.failed.length === failedBefore) {
        found.missing.push(`there is no sessions.json in ${path}`);
      }
      for (const store of stores) {
        const real = realpathSync(store);
        const states = isNamed ? statesOf(store, real) : [path, stateAbove(real)].filter(Boolean);
        if (seen.has(real)) {
          seen.get(real).states.push(...states);
          continue;
        }
        // The transcripts lie where the gateway has its store, not beside any link to it.
        const isLink = stateAbove(store) === undefined && lstatSync(store).isSymbolicLink();
        const entry = { path: isNamed && isLink ? real : store, states };
        seen.set(real, entry);
        found.stores.push(entry);
      }
    } catch (error) {
      if (isMissing(error)) {
        found.missing.push(`there is no ${path}`);
      } else {
        found.failed.push(closed(path, error));
      }
    }
  }
  return found;
}

/** The state folders that a store may belong to of which only the path is known. */
function statesOf(store, real) {
  const above = [store, real].map(stateAbove).filter(Boolean);
  // `session.store` may put it anywhere; nearly always that is the state folder or one below.
  const near = [store, real].flatMap((path) => [dirname(path), dirname(dirname(path))]);
  return above.length > 0 ? above : near;
}

/** The folder that has a store as the gateway lays it out: in `agents/<name>/sessions`. */
function stateAbove(store) {
  const sessions = dirname(store);
  const agents = dirname(dirname(sessions));
  const isUsual = basename(sessions) === "sessions" && basename(agents) === "agents";
  return isUsual ? dirname(agents) : undefined;
}

/** A store itself, a sessions folder, an agent's folder, a state folder. */
function storesAt(path, failed) {
  if (!statSync(path).isDirectory()) {
    return [path];
  }
  const agents = basename(path) === "agents" ? path : join(path, "agents");
  let names = [];
  try {
    names = readdirSync(agents).sort();
  } catch (error) {
    if (!isMissing(error)) {
      failed.push(closed(agents, error));
    }
  }
  return [path, join(path, "sessions"), ...names.map((name) => join(agents, name, "sessions"))]
    .map((folder) => join(folder, "sessions.json"))
    .filter((store) => {
      try {
        return statSync(store).isFile();
      } catch (error) {
        if (!isMissing(error)) {
          failed.push(closed(store, error));
        }
        return false;
      }
    });
}

function closed(path, error) {
  const message = `cannot look at ${path}: ${reasonOf(error)}`;
  return { path, error: Object.assign(new Error(message), { code: error.code, path }) };
}

/** Of Node.js's `EACCES: permission denied, stat '/a'` what says why. */
function reasonOf({ message }) {
  return message.match(/^[A-Z]+: (.*?), /)?.[1] ?? message;
}

function isMissing(error) {
  return error.code === "ENOENT" || error.code === "ENOTDIR";
}

/**
 * The gateway's state folder by the gateway's own rule: `OPENCLAW_STATE_DIR`; else `.openclaw` in
 * the home that `OPENCLAW_HOME` names, or in the user's; else, if only one of those is there, the
 * folder of an earlier name.
 */
export function stateFolder(env = process.env) {
  const home = homeFolder(env);
  const named = env.OPENCLAW_STATE_DIR?.trim();
  if (named) {
    return resolve(underHome(named, home));
  }
  const folders = STATE_FOLDERS.map((name) => join(home, name));
  return folders.find((folder) => existsSync(folder)) ?? folders[0];
}

function homeFolder(env) {
  // What a shell script makes of an unset variable counts as none.
  const set = (value) =>
    ["undefined", "null"].includes(value?.trim()) ? undefined : value?.trim();
  const own = set(env.HOME) || set(env.USERPROFILE) || homedir();
  return resolve(underHome(set(env.OPENCLAW_HOME) || own, own));
}

function underHome(path, home) {
  return path.replace(/^~(?=$|[\\/])/, () => home);
}

/**
 * `cron.sessionRetention` of the gateway that a store belongs to, so that a sweep from here keeps
 * what the gateway is told to keep.
 *
 * @param states the state folders that the store may belong to.
 * @returns `{ value, file }`; `undefined` where it is certain that it is not set; `{ unclear }`, a
 * sentence, where anything else may apply than what can be read here.
 */
export function configuredRetention(states, env = process.env) {
  const standard = realPath(stateFolder(env));
  const known = [...new Set(states.map(realPath))].filter(
    (state) => state === standard || configurationIn(state),
  );
  if (known.length === 0) {
    return { unclear: "no openclaw.json says how long runs are kept here" };
  }
  if (known.length > 1) {
    return {
      unclear: `more than one state folder says how long runs are kept here: ${known.join(", ")}`,
    };
  }
  const [state] = known;
  const { file, unclear } = configurationOf(state, state === standard, env);
  return file ? retentionIn(file) : unclear && { unclear };
}

/** The file that decides for the gateway of a state folder: `{ file }`, `{ unclear }`, or `{}`. */
function configurationOf(state, isStandard, env) {
  const isSet = (name) => Boolean(env[name]?.trim());
  const home = homeFolder(env);
  if (isSet("OPENCLAW_CONFIG_PATH")) {
    return isStandard
      ? { file: resolve(underHome(env.OPENCLAW_CONFIG_PATH.trim(), home)) }
      : {
          unclear: `OPENCLAW_CONFIG_PATH says how long runs are kept, but perhaps not those in ${state}`,
        };
  }
  const ignored = isSet("OPENCLAW_STATE_DIR") ? [] : ["CLAWDBOT_STATE_DIR"];
  const earlier = ["CLAWDBOT_CONFIG_PATH", ...ignored].find(isSet);
  if (earlier) {
    return {
      unclear: `${earlier} says to some versions of the gateway only how long runs are kept`,
    };
  }
  for (const file of [join(state, ".env"), join(home, ".config", "openclaw", "gateway.env")]) {
    if (isThere(file) && mayName(file)) {
      return { unclear: `${file} may name another file that says how long runs are kept` };
    }
  }
  const file = configurationIn(state);
  if (file) {
    return READ_BY_ALL.includes(basename(file))
      ? { file }
      : { unclear: `${file} says to some versions of the gateway only how long runs are kept` };
  }
  // In a state folder without one, the gateway goes on looking in the other usual ones.
  const other = STATE_FOLDERS.map((name) => configurationIn(join(home, name))).find(Boolean);
  return other
    ? { unclear: `${other} may say how long runs are kept, as ${state} has no openclaw.json` }
    : {};
}

/** Whether a file of variables, which the gateway reads too, sends it to another configuration. */
function mayName(file) {
  const { text, error } = textOf(file);
  return (
    Boolean(error) ||
    /^\s*(export\s+)?(OPENCLAW|CLAWDBOT)_(CONFIG_PATH|STATE_DIR|HOME)\b/m.test(text)
  );
}

function configurationIn(state) {
  return CONFIGURATIONS.map((name) => join(state, name)).find(isThere);
}

function retentionIn(file) {
  const { text, error } = textOf(file);
  if (error) {
    return { unclear: `how long runs are kept cannot be read from ${file}: ${reasonOf(error)}` };
  }
  const config = parsed(text);
  const value = config?.cron?.sessionRetention;
  if (value === false || (typeof value === "string" && !value.includes("${"))) {
    return { value, file };
  }
  // What is included, and the environment, only the gateway looks up. And what is no JSON, for
  // comments or because somebody is just writing it, may say anything.
  const isSet = value !== undefined || JSON.stringify(config ?? {}).includes('"$include"');
  if (config !== undefined && !isSet) {
    return undefined;
  }
  const seems = isSet || text.includes("sessionRetention") ? "seems to" : "may";
  return {
    unclear: `${file} ${seems} say how long runs are kept, in a way that only the gateway can read`,
  };
}

function textOf(file) {
  try {
    return { text: readFileSync(file, "utf8") };
  } catch (error) {
    return { error };
  }
}

/** Also where something is that cannot be looked at, or a link that leads nowhere. */
function isThere(path) {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    return !isMissing(error);
  }
}

function realPath(path) {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return undefined;
  }
}
