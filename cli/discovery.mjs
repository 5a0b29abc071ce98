// Finds the session stores and databases of a gateway.

import { existsSync, lstatSync, statSync } from "node:fs";
import { basename, dirname, join, sep } from "node:path";
import { configuredStore, settingsOf } from "./config.mjs";
import { kindByName, otherKindOf } from "./file-kind.mjs";
import {
  absolute,
  inaccessible,
  isMissing,
  mayExist,
  namesIn,
  problemAt,
  realPath,
} from "./files.mjs";
import { displayPath } from "./show.mjs";
import { DATABASE, stateAbove, stateFolder } from "./state-folder.mjs";

/** What stands for the agent's name in `session.store`, and the names that the gateway gives agents. */
const AGENT = "{agentId}";
const AGENT_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/i;

/**
 * Finds the stores at `paths` or, without paths, those of the gateway's state folder, including those
 * that its configuration puts elsewhere (`session.store`).
 *
 * @returns `{ stores, folders, missing, failed, notes }`. `stores`: `{ path, database, states }` once for
 * each store, where `states` are the state folders that it may belong to. The others: as of
 * {@link findFolders}.
 */
export function findStores(paths, env = process.env) {
  const found = findFolders(paths, env);
  const stores = found.folders
    .filter(({ store }) => store !== undefined)
    .map(({ store, database, states }) => ({ path: store, database, states }));
  return { ...found, stores };
}

/**
 * Finds the sessions folders at `paths` or, without paths, those of the gateway's state folder.
 *
 * @returns `{ folders, missing, failed, notes }`. `folders`: `{ path, store, database, states }`, once
 * for each store, and once for each folder with a database or leftovers only. `path` is the folder,
 * which may be missing beside a database; `store` and `database` (SQLite) are paths or undefined.
 * `missing`: one sentence for each path without any. `failed`: `{ path, error }` for each path that
 * cannot be accessed. `notes`: sentences about stores that are not swept, or not found.
 */
export function findFolders(paths, env = process.env) {
  const found = { folders: [], missing: [], failed: [], notes: [] };
  const seen = new Map();
  const standard = stateFolder(env);
  const elsewhere = foldersElsewhere(standard, env);
  for (const given of paths.length > 0 ? paths : [standard]) {
    const path = absolute(given);
    if (path === undefined) {
      const message = `cannot resolve ${given}: the working directory no longer exists; pass an absolute path`;
      found.failed.push(problemAt(given, "ENOENT", message));
      continue;
    }
    const failedBefore = found.failed.length;
    const folders = [];
    let absence = `no sessions.json in ${path}`;
    try {
      folders.push(...foldersAt(path, found.failed));
    } catch (error) {
      if (isMissing(error)) {
        absence = `${path} does not exist`;
      } else {
        found.failed.push(inaccessible(path, error));
      }
    }
    // Also if the state folder is missing or cannot be accessed: the stores are elsewhere.
    if (realPath(path) === realPath(standard)) {
      folders.push(...elsewhere.folders);
      found.failed.push(...elsewhere.failed);
      found.notes.push(...elsewhere.notes);
      if (elsewhere.possible && folders.every(({ store }) => store === undefined)) {
        found.notes.push(elsewhere.possible);
      }
    }
    if (folders.length === 0 && found.failed.length === failedBefore) {
      found.missing.push(absence);
    }
    for (const folder of folders) {
      add(found.folders, seen, paths.length > 0 ? named(folder) : { ...folder, states: [path] });
    }
  }
  for (const folder of elsewhere.folders) {
    seen.get(realPath(folder.store))?.states.push(standard);
  }
  const withStore = new Set(found.folders.flatMap(({ path, store }) => (store ? [path] : [])));
  found.folders = found.folders.filter(({ path, store }) => store || !withStore.has(path));
  found.notes.push(...notesOn(found.folders, env));
  return found;
}

/** Adds a folder, or the state folders of one that was found before under another path. */
function add(folders, seen, folder) {
  const real = realPath(folder.store ?? folder.path);
  const above = stateAbove(folder.store ? dirname(real) : real);
  const states = above ? [...folder.states, above] : folder.states;
  if (seen.has(real)) {
    seen.get(real).states.push(...states);
    return;
  }
  const entry = { ...folder, states };
  seen.set(real, entry);
  folders.push(entry);
}

/** Returns a folder that the user named, with the state folders that it may belong to. */
function named({ path, store, database }) {
  const above = stateAbove(path);
  if (above !== undefined) {
    return { path, store, database, states: [above] };
  }
  const real = realPath(store ?? path);
  const folder = store ? dirname(real) : real;
  // Transcripts are beside the gateway's store, not beside a link elsewhere that leads to it.
  const isLink =
    store !== undefined && lstatSync(store, { throwIfNoEntry: false })?.isSymbolicLink();
  // `session.store` may name any path; usually it is in the state folder or one level below.
  const near = [path, folder].flatMap((folder) => [folder, dirname(folder)]);
  return {
    ...(isLink ? folderWith(folder, real) : { path, store, database }),
    states: stateAbove(folder) ? [] : near,
  };
}

/** Returns the sessions folders at a path: a store, a sessions folder, an agent's or a state folder. */
function foldersAt(path, failed) {
  if (!statSync(path).isDirectory()) {
    const other = otherKindOf(path);
    if (other === undefined) {
      return [folderWith(dirname(path), path)];
    }
    failed.push(notAStore(path, other, "name a sessions.json or its folder"));
    return [];
  }
  const agents = basename(path) === "agents" ? path : join(path, "agents");
  const usual = namesIn(agents, failed).map((name) => join(agents, name, "sessions"));
  return [path, join(path, "sessions"), ...usual].flatMap((folder) => {
    const failedBefore = failed.length;
    const found = folderWith(folder, fileAt(join(folder, "sessions.json"), failed));
    const isListed = found.store || found.database || hasLeftovers(folder);
    return isListed && failed.length === failedBefore ? [found] : [];
  });
}

function notAStore(path, kind, advice) {
  return problemAt(path, "ERR_NOT_A_STORE", `${path} is ${kind}, not a session store; ${advice}`);
}

/** Returns a folder with a store, or without one, and the database of its agent. */
function folderWith(path, store) {
  const database = join(dirname(path), DATABASE);
  const hasDatabase = basename(path) === "sessions" && existsSync(database);
  return { path, store, database: hasDatabase ? database : undefined };
}

/** Returns the path of a regular file; undefined if there is none. Anything else there is a problem. */
function fileAt(path, failed) {
  let found;
  try {
    const stat = statSync(path);
    if (stat.isFile()) {
      return path;
    }
    found = stat.isDirectory() ? "a directory" : "a special file";
  } catch (error) {
    if (!isMissing(error)) {
      failed.push(inaccessible(path, error));
    }
    found = isMissing(error) && mayExist(path) ? "a link that leads nowhere" : undefined;
  }
  if (found) {
    const message = `expected a regular file at ${path}, found ${found}`;
    failed.push(problemAt(path, "ERR_SESSION_STORE_NOT_A_FILE", message));
  }
  return undefined;
}

/** Returns whether a sessions folder contains files that a gateway left without a store. */
function hasLeftovers(folder) {
  const isOurs = (name) => /\.jsonl(\.|$)|^sessions\.json\./.test(name);
  return basename(folder) === "sessions" && namesIn(folder, []).some(isOurs);
}

/** Returns the folders with the stores that `session.store` of a state folder's configuration names. */
function foldersElsewhere(state, env) {
  const { setting, template, unclear, possible } = configuredStore(state, env);
  const failed = [];
  if (template === undefined) {
    return { folders: [], failed, notes: unclear ? [unclear] : [], possible };
  }
  // If the agent is the whole name, every folder there matches.
  const problems = basename(template) === AGENT ? [] : failed;
  // A file that cannot be read, or is not JSON, is a store as well: its inspection reports the reason, and
  // nothing is deleted beside it.
  const files = expanded(template, failed).filter((file) => fileAt(file, problems));
  const stores = files.filter((file) => kindByName(file) === undefined);
  if (files[0] === template && stores.length === 0) {
    failed.push(notAStore(template, kindByName(template), setting));
  }
  const isNone = stores.length === 0 && failed.length === 0;
  return {
    folders: stores.map((store) => folderWith(dirname(store), store)),
    failed,
    notes: isNone ? [`${setting}, but no store exists there`] : [],
  };
}

/** Returns the paths that a template may stand for: one for each name in the folder of the agents. */
function expanded(template, failed) {
  const at = template.indexOf(AGENT);
  if (at === -1) {
    return [template];
  }
  const start = template.lastIndexOf(sep, at) + 1;
  const [name] = template.slice(start).split(sep);
  const before = at - start;
  const after = name.length - before - AGENT.length;
  return namesIn(template.slice(0, start), failed)
    .map((found) => found.slice(before, found.length - after))
    .filter((agent) => AGENT_NAME.test(agent))
    .map((agent) => template.replaceAll(AGENT, agent));
}

/** Returns sentences about the agents without a store, one for each state folder and reason. */
function notesOn(folders, env) {
  const counts = new Map();
  for (const { path, store, database, states } of folders) {
    if (store === undefined) {
      const state = stateAbove(path) ?? states[0] ?? path;
      const count = counts.get(state) ?? { inDatabase: 0, without: 0 };
      count[database === undefined ? "without" : "inDatabase"]++;
      counts.set(state, count);
    }
  }
  return [...counts].flatMap(([state, { inDatabase, without }]) => {
    const { version = "2026.8.1 or later" } = settingsOf([state], env);
    const shown = displayPath(state);
    return [
      inDatabase > 0
        ? `the sessions of ${agents(inDatabase)} in ${shown} are in SQLite (gateway ${version}), which is not swept`
        : "",
      without > 0 ? `the sessions folders of ${agents(without)} in ${shown} contain no store` : "",
    ].filter(Boolean);
  });
}

function agents(count) {
  return count === 1 ? "one agent" : `${count} agents`;
}
