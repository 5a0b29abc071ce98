// Where the stores of a gateway are, and what its configuration says about them.

import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";

/**
 * The stores that `paths` lead to, or without any those of the gateway's state folder.
 *
 * @returns `{ stores, missing, failed }`: the paths of stores, each store once; a sentence for each
 * path that leads to none; and `{ path, error }` for what could not be looked into.
 */
export function findStores(paths, env = process.env) {
  const found = { stores: [], missing: [], failed: [] };
  const seen = new Set();
  for (const path of paths.length > 0 ? paths.map((path) => resolve(path)) : [stateFolder(env)]) {
    const failedBefore = found.failed.length;
    try {
      const stores = storesAt(path, found.failed);
      if (stores.length === 0 && found.failed.length === failedBefore) {
        found.missing.push(`there is no sessions.json in ${path}`);
      }
      for (const store of stores) {
        const real = realpathSync(store);
        if (!seen.has(real)) {
          seen.add(real);
          found.stores.push(store);
        }
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

/** Node.js's `EACCES: permission denied, stat '/a'`, as a sentence. */
function closed(path, error) {
  const [, reason] = error.message.match(/^[A-Z]+: (.*), /) ?? [undefined, error.message];
  const message = `cannot look at ${path}: ${reason}`;
  return { path, error: Object.assign(new Error(message), { code: error.code, path }) };
}

function isMissing(error) {
  return error.code === "ENOENT" || error.code === "ENOTDIR";
}

/**
 * The gateway's state folder by the gateway's own rule: `OPENCLAW_STATE_DIR`; else `.openclaw` in
 * the home that `OPENCLAW_HOME` names, or in the user's; else, if only that is there, the
 * `.clawdbot` of earlier versions.
 */
export function stateFolder(env = process.env) {
  const home = homeFolder(env);
  const named = env.OPENCLAW_STATE_DIR?.trim();
  if (named) {
    return resolve(underHome(named, home));
  }
  const folders = [".openclaw", ".clawdbot"].map((name) => join(home, name));
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
 * @returns `{ value, file }`; nothing where it is not set; `{ unclear: true, file }` where it seems
 * to be set in a way that only the gateway can read (comments, included files).
 */
export function configuredRetention(storePath, env = process.env) {
  const state = dirname(dirname(dirname(dirname(storePath))));
  const named = state === stateFolder(env) && env.OPENCLAW_CONFIG_PATH?.trim();
  const file = named ? resolve(underHome(named, homeFolder(env))) : join(state, "openclaw.json");
  let text;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
  const config = parsed(text);
  const value = config?.cron?.sessionRetention;
  if (value === false || (typeof value === "string" && !value.includes("${"))) {
    return { value, file };
  }
  // Comments make it no JSON; what is included, and the environment, only the gateway looks up.
  const mayBeSet = config === undefined ? /sessionRetention|\$include/ : /"\$include"/;
  return typeof value === "string" || mayBeSet.test(text) ? { unclear: true, file } : undefined;
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return undefined;
  }
}
