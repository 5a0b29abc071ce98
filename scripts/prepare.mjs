// What has to be there before anything can run: the development dependencies and the addon.
// Plain Node.js without dependencies, since it runs before there are any.

import { spawn } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Whether `npm install` ran since the lock file last changed. */
export function isInstalled() {
  // npm writes this file as the last step of an installation.
  return modified("node_modules/.package-lock.json") >= modified("package-lock.json");
}

/** Whether the addon was built since its sources last changed. */
export function isBuilt() {
  const addons = readdirSync(root).filter((name) => name.endsWith(".node"));
  if (addons.length === 0 || modified("binding.js") === 0) {
    return false;
  }
  const sources = readdirSync(join(root, "src"), { recursive: true }).map((name) => `src/${name}`);
  const newest = Math.max(
    ...["Cargo.toml", "Cargo.lock", "build.rs", ...sources].map((name) => modified(name)),
  );
  return Math.min(...addons.map((name) => modified(name))) >= newest;
}

export const install = () => run("npm", ["install", "--no-save", "--no-audit", "--no-fund"]);
export const build = () => run("npm", ["run", "--silent", "build"]);

/**
 * Runs a program to its end, without input.
 *
 * @returns `{ ok, output }`: whether it ended well, and all that it printed.
 */
export function run(program, args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      // npm is a batch file on Windows, which only a shell can start.
      shell: process.platform === "win32" && program === "npm",
    });
    let output = "";
    const collect = (chunk) => {
      output += chunk;
    };
    child.stdout.setEncoding("utf8").on("data", collect);
    child.stderr.setEncoding("utf8").on("data", collect);
    child.on("error", (error) => {
      const hint = error.code === "ENOENT" ? "; is it installed?" : "";
      resolve({ ok: false, output: `${output}cannot run ${program}: ${error.message}${hint}\n` });
    });
    child.on("close", (code, signal) => {
      resolve({ ok: code === 0, output: signal ? `${output}ended by ${signal}\n` : output });
    });
  });
}

function modified(name) {
  return statSync(join(root, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
