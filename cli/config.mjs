// Reads what the command needs from a gateway's configuration: the retention, where stores are, and the
// version of the gateway that last wrote it.

import { createRequire } from "node:module";
import { basename, isAbsolute, join, resolve } from "node:path";
import { mayExist, realPath, reasonOf, textOf } from "./files.mjs";
import { isSimilar } from "./similar.mjs";
import {
  CONFIGURATIONS,
  configurationIn,
  homeFolder,
  STATE_FOLDERS,
  stateFolder,
  underHome,
} from "./state-folder.mjs";

// Required, because under Yarn PnP a module cannot import a package without a loader.
const JSON5 = createRequire(import.meta.url)("json5");

/** All supported gateways read these; only some read the other two. */
const READ_BY_ALL = CONFIGURATIONS.slice(0, 2);

/** How the user gets the value of a setting that only the gateway can evaluate. */
const ASK_GATEWAY = '"openclaw config get cron.sessionRetention" prints it';

/** A reference to a variable of the environment, as the gateway replaces it. */
const VARIABLE = /\$\{[A-Z_][A-Z0-9_]*\}/;

/**
 * Reads the settings of the gateway that a store belongs to, so that the command keeps the same runs.
 *
 * @param states The state folders that the store may belong to.
 * @returns `{ state, file, version, retention }`. `state` and `file`: the state folder and its
 * configuration, if they are certain. `version`: of the gateway that last wrote it, such as
 * `2026.7.35`, if known. `retention`: `{ value, file }` if
 * `cron.sessionRetention` is set; `{}` if it is certainly not set; `{ unclear }`, the reason as a
 * sentence, if it cannot be determined. `retention.isOfStore`: the reason concerns only this store.
 */
export function settingsOf(states, env = process.env) {
  const standard = realPath(stateFolder(env));
  const known = [...new Set(states.map(realPath))].filter(
    (state) => state === standard || configurationIn(state),
  );
  if (known.length === 0) {
    const unclear = "no openclaw.json found for this store, so its retention is unknown";
    return { retention: { unclear, isOfStore: true } };
  }
  if (known.length > 1) {
    const unclear = `more than one state folder may set the retention of this store: ${known.join(", ")}`;
    return { retention: { unclear, isOfStore: true } };
  }
  const [state] = known;
  const { file, unclear } = configurationOf(state, env);
  if (file === undefined) {
    return { state, retention: { unclear } };
  }
  const { config, problem } = read(file);
  const version = config?.meta?.lastTouchedVersion;
  return {
    state,
    file,
    version: typeof version === "string" ? version.trim() : undefined,
    retention: config ? retentionIn(config, file) : { unclear: problem },
  };
}

/**
 * Returns where `session.store` of a state folder's configuration puts stores.
 *
 * @returns `{ setting, template }`: the setting as a sentence, and an absolute path that may contain
 * `{agentId}`; `{ unclear }`, the reason as a sentence, if it cannot be evaluated; `{ possible }`, a
 * sentence, if an include may set it; `{}` if it is not set.
 */
export function configuredStore(state, env = process.env) {
  const { file } = configurationOf(realPath(state), env);
  const { config } = file ? read(file) : {};
  const store = config?.session?.store;
  if (store === undefined || store === "") {
    const isPossible = isInclude(config) || isInclude(config?.session);
    return isPossible
      ? { possible: `${file} may set session.store in an $include; pass the paths of its stores` }
      : {};
  }
  const setting = `${file} sets session.store to ${JSON.stringify(store)}`;
  const path = typeof store === "string" ? underHome(store, homeFolder(env)) : "";
  return VARIABLE.test(path) || !isAbsolute(path)
    ? { unclear: `${setting}, which only the gateway can evaluate; pass the paths of its stores` }
    : { setting, template: resolve(path) };
}

/** Returns the configuration of a state folder's gateway: `{ file }`, `{ unclear }` or, if none, `{}`. */
function configurationOf(state, env) {
  const isSet = (name) => Boolean(env[name]?.trim());
  const home = homeFolder(env);
  if (isSet("OPENCLAW_CONFIG_PATH")) {
    return state === realPath(stateFolder(env))
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

function retentionIn(config, file) {
  const value = config.cron?.sessionRetention;
  if (isInclude(value) || (typeof value === "string" && VARIABLE.test(value))) {
    return { unclear: notEvaluated(file) };
  }
  if (value !== undefined) {
    return { value, file };
  }
  // An include here may set the retention. Elsewhere it cannot, and a setting beside it precedes it.
  if (isInclude(config) || isInclude(config.cron)) {
    return { unclear: notEvaluated(file) };
  }
  const misplaced = misplacedRetention(config);
  return misplaced
    ? { unclear: `${file} sets ${misplaced}, but the gateway reads cron.sessionRetention` }
    : {};
}

function notEvaluated(file) {
  return `cannot evaluate the retention in ${file} ($include or \${…}); ${ASK_GATEWAY}`;
}

function isInclude(value) {
  return isObject(value) && Object.hasOwn(value, "$include");
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Sections with names of other programs' choice. */
const FOREIGN = ["plugins", "channels", "skills", "env", "mcp"];

/** Returns the path of a setting that is probably meant as `cron.sessionRetention`. */
function misplacedRetention(section, path = []) {
  for (const [name, value] of Object.entries(section)) {
    const full = [...path, name].join(".");
    const [last] = name.replace(/^cron\./i, "").match(/[^.]*$/);
    const plain = last.replace(/[_-]/g, "").toLowerCase();
    if (plain === "sessionretention" || isSimilar(plain, "sessionretention")) {
      return full;
    }
    if (full === "cron.retention") {
      return full;
    }
    const isSearched = isObject(value) && path.length < 2 && !FOREIGN.includes(full);
    const inner = isSearched ? misplacedRetention(value, [...path, name]) : undefined;
    if (inner) {
      return inner;
    }
  }
  return undefined;
}

/** The last configuration that was parsed: the same one for all stores of a state folder. */
let parsed = { text: undefined, result: undefined };

/** Reads a configuration as the gateway does. Returns `{ config }` or `{ problem }`, a sentence. */
function read(file) {
  const { text, error } = textOf(file);
  if (error) {
    return { problem: `cannot read the retention from ${file}: ${reasonOf(error)}` };
  }
  if (text !== parsed.text) {
    parsed = { text, result: parse(text) };
  }
  const { config, invalid } = parsed.result;
  return config ? { config } : { problem: `cannot read the retention from ${file}${invalid}` };
}

/** Parses JSON, or else JSON5. Returns `{ config }` or `{ invalid }`: where and why it is not valid. */
function parse(text) {
  let config;
  try {
    config = JSON.parse(text);
  } catch {
    try {
      config = JSON5.parse(text);
    } catch ({ lineNumber, columnNumber }) {
      if (text.includes("\0")) {
        return { invalid: ": not a text in UTF-8 (it contains zero bytes, as UTF-16 does)" };
      }
      return { invalid: `:${lineNumber}:${columnNumber}: not valid JSON5` };
    }
  }
  return isObject(config) ? { config } : { invalid: ": not an object" };
}
