// Finds the stores of a gateway and reads their retention from its configuration.

import {
  closeSync,
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  statSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, isAbsolute, join, normalize, resolve } from "node:path";

/** State folders in the home folder, and configurations in a state folder; earlier names come last. */
const STATE_FOLDERS = [".openclaw", ".clawdbot", ".moldbot", ".moltbot"];
const CONFIGURATIONS = ["openclaw.json", "clawdbot.json", "moldbot.json", "moltbot.json"];
/** All supported gateways read these; only some read the other two. */
const READ_BY_ALL = CONFIGURATIONS.slice(0, 2);

/**
 * Finds the stores at `paths` or, without paths, those of the gateway's state folder.
 *
 * @returns `{ stores, folders, missing, failed }`. `stores`: `{ path, states }` once for each store, where
 * `states` are the state folders that it may belong to. `missing`: one sentence for each path
 * without a store. `failed`: `{ path, error }` for each path that cannot be accessed.
 */
export function findStores(paths, env = process.env) {
  const found = { stores: [], folders: [], missing: [], failed: [] };
  const seen = new Map();
  const isNamed = paths.length > 0;
  for (const given of isNamed ? paths : [stateFolder(env)]) {
    const path = absolute(given);
    if (path === undefined) {
      const message = `cannot resolve ${given}: the working directory no longer exists; pass an absolute path`;
      const error = Object.assign(new Error(message), { code: "ENOENT", path: given });
      found.failed.push({ path: given, error });
      continue;
    }
    const failedBefore = found.failed.length;
    try {
      const other = otherKindOf(path);
      if (other) {
        const message = `${path} is ${other}, not a session store; name a sessions.json or its folder`;
        const error = Object.assign(new Error(message), { code: "ERR_NOT_A_STORE", path });
        found.failed.push({ path, error });
        continue;
      }
      const stores = storesAt(path, found.failed);
      const folders = foldersWithoutStore(path);
      found.folders.push(...folders);
      if (stores.length === 0 && folders.length === 0 && found.failed.length === failedBefore) {
        found.missing.push(`no sessions.json in ${path}`);
      }
      for (const store of stores) {
        const real = realpathSync(store);
        const states = isNamed ? statesOf(store, real) : [path, stateAbove(real)].filter(Boolean);
        if (seen.has(real)) {
          seen.get(real).states.push(...states);
          continue;
        }
        // Transcripts are beside the gateway's store, not beside a link elsewhere that leads to it.
        const isLink = stateAbove(store) === undefined && lstatSync(store).isSymbolicLink();
        const entry = { path: isNamed && isLink ? real : store, states };
        seen.set(real, entry);
        found.stores.push(entry);
      }
    } catch (error) {
      if (isMissing(error)) {
        found.missing.push(`${path} does not exist`);
      } else {
        found.failed.push(inaccessible(path, error));
      }
    }
  }
  return found;
}

/** How files begin that are sometimes named instead of a store. */
const BEGINNINGS = [
  ["an SQLite database (gateways from 2026.8.1 on)", Buffer.from("SQLite format 3\0")],
  ["a gzip file", Buffer.from([0x1f, 0x8b])],
  ["a text in UTF-16", Buffer.from([0xff, 0xfe])],
  ["a text in UTF-16", Buffer.from([0xfe, 0xff])],
];

/** Returns what a file is that is certainly not a store; `undefined` for stores and folders. */
function otherKindOf(path) {
  const stat = statSync(path);
  if (stat.isDirectory()) {
    return undefined;
  }
  if (!stat.isFile()) {
    return "a special file";
  }
  if (CONFIGURATIONS.includes(basename(path))) {
    return "a gateway's configuration";
  }
  if (/\.jsonl(\.(deleted|reset)\..*)?$/.test(path)) {
    return "a transcript";
  }
  const beginning = Buffer.alloc(16);
  const file = openSync(path);
  try {
    readSync(file, beginning);
  } finally {
    closeSync(file);
  }
  const isAtBeginning = (magic) => beginning.subarray(0, magic.length).equals(magic);
  return BEGINNINGS.find(([, magic]) => isAtBeginning(magic))?.[0];
}

/** Returns an absolute path; `undefined` for a relative one if the working directory was removed. */
function absolute(path) {
  try {
    return isAbsolute(path) ? normalize(path) : resolve(path);
  } catch {
    return undefined;
  }
}

/** Returns the state folders that the store at a path may belong to. */
function statesOf(store, real) {
  const above = [store, real].map(stateAbove).filter(Boolean);
  // `session.store` may name any path; usually it is in the state folder or one level below.
  const near = [store, real].flatMap((path) => [dirname(path), dirname(dirname(path))]);
  return above.length > 0 ? above : near;
}

/** Returns the state folder of a store at the usual path, `agents/<name>/sessions`, or undefined. */
function stateAbove(store) {
  const sessions = dirname(store);
  const agents = dirname(dirname(sessions));
  const isUsual = basename(sessions) === "sessions" && basename(agents) === "agents";
  return isUsual ? dirname(agents) : undefined;
}

/** Returns the stores at a path: a store, a sessions folder, an agent's folder or a state folder. */
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
      failed.push(inaccessible(agents, error));
    }
  }
  return [path, join(path, "sessions"), ...names.map((name) => join(agents, name, "sessions"))]
    .map((folder) => join(folder, "sessions.json"))
    .filter((store) => {
      try {
        return statSync(store).isFile();
      } catch (error) {
        if (!isMissing(error)) {
          failed.push(inaccessible(store, error));
        }
        return false;
      }
    });
}

/** Returns the sessions folders at a path that contain no store: those of gateways with a database. */
function foldersWithoutStore(path) {
  if (!statSync(path).isDirectory()) {
    return [];
  }
  const agents = basename(path) === "agents" ? path : join(path, "agents");
  const names = existsSync(agents) ? readdirSync(agents).sort() : [];
  const usual = names.map((name) => join(agents, name, "sessions"));
  const own = basename(path) === "sessions" ? [path] : [];
  return [...own, join(path, "sessions"), ...usual]
    .filter((folder) => !existsSync(join(folder, "sessions.json")))
    .filter((folder) => existsSync(join(dirname(folder), "agent", "openclaw-agent.sqlite")))
    .map((folder) => ({ path: folder }));
}

function inaccessible(path, error) {
  const message = `cannot access ${path}: ${reasonOf(error)}`;
  return { path, error: Object.assign(new Error(message), { code: error.code, path }) };
}

/** Returns `EACCES: permission denied` of Node.js's `EACCES: permission denied, stat '/a'`. */
function reasonOf({ message }) {
  return message.match(/^([A-Z]+: .*?), /)?.[1] ?? message;
}

function isMissing(error) {
  return error.code === "ENOENT" || error.code === "ENOTDIR";
}

/**
 * Returns the gateway's state folder, by the gateway's own rule: `OPENCLAW_STATE_DIR`, else
 * `.openclaw-<profile>` with `OPENCLAW_PROFILE`, else `.openclaw` in the home folder, which
 * `OPENCLAW_HOME` overrides. If `.openclaw` does not exist, a folder of an earlier name is used.
 */
export function stateFolder(env = process.env) {
  const home = homeFolder(env);
  const named = env.OPENCLAW_STATE_DIR?.trim();
  if (named) {
    return resolve(underHome(named, home));
  }
  const profile = env.OPENCLAW_PROFILE?.trim();
  if (profile && profile.toLowerCase() !== "default") {
    return join(home, `${STATE_FOLDERS[0]}-${profile}`);
  }
  const folders = STATE_FOLDERS.map((name) => join(home, name));
  return folders.find((folder) => existsSync(folder)) ?? folders[0];
}

function homeFolder(env) {
  // A script may pass an unset variable as the text "undefined" or "null".
  const set = (value) =>
    ["undefined", "null"].includes(value?.trim()) ? undefined : value?.trim();
  const own = set(env.HOME) || set(env.USERPROFILE) || homedir();
  return resolve(underHome(set(env.OPENCLAW_HOME) || own, own));
}

function underHome(path, home) {
  return path.replace(/^~(?=$|[\\/])/, () => home);
}

/**
 * Reads `cron.sessionRetention` of the gateway that a store belongs to, so that the command keeps
 * the same runs as the gateway.
 *
 * @param states the state folders that the store may belong to.
 * @returns `{ value, file }` if it is set; `undefined` if it is certainly not set; `{ unclear }`, the
 * reason as a sentence, if it cannot be determined.
 */
export function configuredRetention(states, env = process.env) {
  const standard = realPath(stateFolder(env));
  const known = [...new Set(states.map(realPath))].filter(
    (state) => state === standard || configurationIn(state),
  );
  if (known.length === 0) {
    return { unclear: "no openclaw.json found for this store, so its retention is unknown" };
  }
  if (known.length > 1) {
    return {
      unclear: `more than one state folder may set the retention of this store: ${known.join(", ")}`,
    };
  }
  const [state] = known;
  const { file, unclear } = configurationOf(state, state === standard, env);
  return file ? retentionIn(file) : unclear && { unclear };
}

/** Returns the configuration of a state folder's gateway: `{ file }`, `{ unclear }` or, if none, `{}`. */
function configurationOf(state, isStandard, env) {
  const isSet = (name) => Boolean(env[name]?.trim());
  const home = homeFolder(env);
  if (isSet("OPENCLAW_CONFIG_PATH")) {
    return isStandard
      ? { file: resolve(underHome(env.OPENCLAW_CONFIG_PATH.trim(), home)) }
      : { unclear: `the retention in OPENCLAW_CONFIG_PATH may not apply to ${state}` };
  }
  const ignored = isSet("OPENCLAW_STATE_DIR") ? [] : ["CLAWDBOT_STATE_DIR"];
  const earlier = ["CLAWDBOT_CONFIG_PATH", ...ignored].find(isSet);
  if (earlier) {
    return { unclear: `only some gateway versions read the retention from ${earlier}` };
  }
  for (const file of [join(state, ".env"), join(home, ".config", "openclaw", "gateway.env")]) {
    if (mayExist(file) && maySelectConfiguration(file)) {
      return { unclear: `${file} may select another configuration, which sets the retention` };
    }
  }
  const file = configurationIn(state);
  if (file) {
    return READ_BY_ALL.includes(basename(file))
      ? { file }
      : { unclear: `only some gateway versions read the retention from ${file}` };
  }
  // Without a configuration in its state folder, the gateway reads one from the other usual folders.
  const other = STATE_FOLDERS.map((name) => configurationIn(join(home, name))).find(Boolean);
  return other
    ? { unclear: `${other} may set the retention, because ${state} contains no openclaw.json` }
    : {};
}

/** Returns whether an .env file, which the gateway reads, may select another configuration. */
function maySelectConfiguration(file) {
  const { text, error } = textOf(file);
  return (
    Boolean(error) ||
    /^\s*(export\s+)?(OPENCLAW|CLAWDBOT)_(CONFIG_PATH|STATE_DIR|HOME)\b/m.test(text)
  );
}

function configurationIn(state) {
  return CONFIGURATIONS.map((name) => join(state, name)).find(mayExist);
}

function retentionIn(file) {
  const { text, error } = textOf(file);
  if (error) {
    return { unclear: `cannot read the retention from ${file}: ${reasonOf(error)}` };
  }
  const config = parsed(text);
  if (config === undefined) {
    return { unclear: `cannot evaluate the retention in ${file} (not plain JSON)` };
  }
  const value = config.cron?.sessionRetention;
  const isSet = value !== undefined;
  // An include anywhere may set the retention; `${…}` matters only in the retention itself.
  const relevant = JSON.stringify(isSet ? value : config);
  if (relevant.includes('"$include"') || (isSet && relevant.includes("${"))) {
    return { unclear: `cannot evaluate the retention in ${file} ($include or \${…})` };
  }
  const misplaced = isSet ? undefined : misplacedRetention(config);
  if (misplaced) {
    return { unclear: `${file} sets ${misplaced}, but the gateway reads cron.sessionRetention` };
  }
  return isSet ? { value, file } : undefined;
}

/** Returns a sentence if the configuration of a state folder puts stores elsewhere. */
export function storesElsewhere(state) {
  const file = configurationIn(state);
  const config = file ? parsed(textOf(file).text ?? "") : undefined;
  const store = config?.session?.store;
  return store === undefined
    ? undefined
    : `${file} sets session.store to ${JSON.stringify(store)}; to see these stores, pass their paths`;
}

/** Returns the name of a setting that is probably meant as `cron.sessionRetention`. */
function misplacedRetention(config) {
  const isMeant = (name) => /^(cron\.)?session[._-]?retention$/i.test(name);
  for (const section of ["", "cron", "session", "sessions", "agents"]) {
    const settings = section === "" ? config : config[section];
    const name = Object.keys(Object(settings)).find(isMeant);
    if (name) {
      return section === "" ? name : `${section}.${name}`;
    }
  }
  return undefined;
}

/** Reads a text file. Anything but a regular file is refused: reading a FIFO would wait for its writer. */
function textOf(file) {
  try {
    if (!statSync(file).isFile()) {
      throw Object.assign(new Error(), { code: "ERR_NOT_A_FILE", message: "not a regular file" });
    }
    // Without the byte order mark that some editors write.
    return { text: readFileSync(file, "utf8").replace(/^\uFEFF/, "") };
  } catch (error) {
    return { error };
  }
}

/** Returns true also for a dangling link and an inaccessible path. */
function mayExist(path) {
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
