// The gateway's state folder and the names in it, by the gateway's own rules.

import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { mayExist, realPath, userHome } from "./files.mjs";

/** State folders in the home folder, and configurations in a state folder; earlier names come last. */
export const STATE_FOLDERS = [".openclaw", ".clawdbot", ".moldbot", ".moltbot"];
export const CONFIGURATIONS = ["openclaw.json", "clawdbot.json", "moldbot.json", "moltbot.json"];

/** The database of an agent, beside its sessions folder: gateways from 2026.8.1 on. */
export const DATABASE = join("agent", "openclaw-agent.sqlite");

/**
 * Returns the gateway's state folder: `OPENCLAW_STATE_DIR`, else `.openclaw-<profile>` with
 * `OPENCLAW_PROFILE`, else `.openclaw` in the home folder, which `OPENCLAW_HOME` overrides. If
 * `.openclaw` does not exist, a folder of an earlier name is used. Relative paths are resolved against
 * `cwd`, by default the working directory.
 */
export function stateFolder(env = process.env, cwd = "") {
  const home = homeFolder(env, cwd);
  const named = env.OPENCLAW_STATE_DIR?.trim();
  if (named) {
    return resolve(cwd, underHome(named, home));
  }
  const profile = env.OPENCLAW_PROFILE?.trim();
  if (profile && profile.toLowerCase() !== "default") {
    return join(home, `${STATE_FOLDERS[0]}-${profile}`);
  }
  const folders = STATE_FOLDERS.map((name) => join(home, name));
  return folders.find((folder) => existsSync(folder)) ?? folders[0];
}

export function homeFolder(env, cwd = "") {
  // A script may pass an unset variable as the text "undefined" or "null".
  const set = (value) =>
    ["undefined", "null"].includes(value?.trim()) ? undefined : value?.trim();
  const own = set(env.HOME) || set(env.USERPROFILE) || userHome();
  return resolve(cwd, underHome(set(env.OPENCLAW_HOME) || own, own));
}

/** Replaces `~` at the beginning of a path. */
export function underHome(path, home) {
  return path.replace(/^~(?=$|[\\/])/, () => home);
}

/** Returns the configuration in a state folder, or undefined. */
export function configurationIn(state) {
  return CONFIGURATIONS.map((name) => join(state, name)).find(mayExist);
}

/** Returns whether a folder is a state folder: the gateway's, or one with a configuration or with agents. */
export function isStateFolder(folder) {
  const isStandard = realPath(folder) === realPath(stateFolder());
  return isStandard || configurationIn(folder) !== undefined || mayExist(join(folder, "agents"));
}

/** Returns the state folder above a usual sessions folder, `agents/<name>/sessions`, or undefined. */
export function stateAbove(sessions) {
  const agents = dirname(dirname(sessions));
  const isUsual = basename(sessions) === "sessions" && basename(agents) === "agents";
  return isUsual ? dirname(agents) : undefined;
}
