// Prepares a clone: installs the development dependencies and builds the addon. Runs before any
// dependency is installed, so it uses only Node.js itself.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Returns whether node_modules holds the versions that package-lock.json names. It compares versions
 * and not file times, because a checkout changes the times.
 */
export function isInstalled() {
  // npm writes this file as the last step of an installation. It leaves out the optional packages of
  // other platforms.
  const installed = packagesIn("node_modules/.package-lock.json");
  return (
    installed !== undefined &&
    Object.entries(packagesIn("package-lock.json")).every(([path, { version, optional }]) =>
      path in installed ? installed[path].version === version : optional || path === "",
    )
  );
}

function packagesIn(lockFile) {
  try {
    return JSON.parse(readFileSync(join(root, lockFile), "utf8")).packages;
  } catch (error) {
    if (error.code === "ENOENT") {
      return undefined;
    }
    throw error;
  }
}

/** Returns whether the addon was built after the last change of its sources. */
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

function modified(name) {
  return statSync(join(root, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Installs the development dependencies; calls `onProgress` with a text for each package. */
export function install(onProgress = () => {}) {
  let fetched = 0;
  return run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=http"], {}, (line) => {
    if (!line.startsWith("npm http ")) {
      return false;
    }
    if (line.includes(".tgz ")) {
      fetched++;
      onProgress(`${fetched} packages fetched`);
    }
    return true;
  });
}

/** Builds the addon; calls `onProgress` with a text for each crate. */
export function build(onProgress = () => {}) {
  // Without a terminal cargo shows no progress unless it is asked to.
  const env = { CARGO_TERM_PROGRESS_WHEN: "always", CARGO_TERM_PROGRESS_WIDTH: "100" };
  return run("npm", ["run", "--silent", "build"], env, (line) => {
    const [, count, crates] = /^ *Building \[[^\]]*\] (\d+\/\d+)(?:: (.*))?$/.exec(line) ?? [];
    if (count !== undefined) {
      onProgress(`compiling ${count}${crates ? `: ${crates}` : ""}`);
      return true;
    }
    if (/^ *(Blocking|Updating|Downloading|Downloaded|Compiling) /.test(line)) {
      onProgress(line.trim());
    }
    return false;
  });
}

/**
 * Runs a program to its end, without input.
 *
 * @param onLine Called with each line that the program prints. A line for which it returns true only
 * shows progress and does not belong to the output.
 * @returns `{ ok, output }`: whether the program succeeded, and what it printed.
 */
export function run(program, args, env = {}, onLine = () => false) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      // On Windows npm is a batch file, which only a shell can start.
      shell: process.platform === "win32" && program === "npm",
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      const take = (line) => {
        if (!onLine(line.trimEnd())) {
          output += line;
        }
      };
      stream.setEncoding("utf8").on("data", (chunk) => {
        // A carriage return ends a line too: progress is shown by overwriting a line.
        const lines = (rest + chunk).split(/(?<=\n|\r(?!\n))/);
        rest = lines.pop();
        lines.forEach(take);
      });
      stream.on("end", () => {
        if (rest !== "") {
          take(rest);
        }
      });
    }
    child.on("error", (error) => {
      const hint = error.code === "ENOENT" ? "; is it installed?" : "";
      resolve({ ok: false, output: `${output}cannot run ${program}: ${error.message}${hint}\n` });
    });
    child.on("close", (code, signal) => {
      resolve({ ok: code === 0, output: signal ? `${output}ended by ${signal}\n` : output });
    });
  });
}
