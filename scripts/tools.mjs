// The tools in scripts/tools/package.json: package managers, bundlers, checkers. They are installed
// into target/tools when a script needs them, so that a clone without these scripts does not.

import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root, run } from "./prepare.mjs";

const PINNED = join(root, "scripts", "tools");
const FOLDER = join(root, "target", "tools");
const FILES = ["package.json", "package-lock.json"];

/** Returns the path of a file of an installed tool, such as `pnpm/bin/pnpm.cjs`. */
export function toolPath(path) {
  return join(FOLDER, "node_modules", path);
}

/** Installs the pinned versions, unless they are installed. Throws with npm's output if it fails. */
export async function installTools() {
  const marker = join(FOLDER, "installed.json");
  const pinned = join(PINNED, "package-lock.json");
  if (contents(marker) === contents(pinned)) return;
  mkdirSync(FOLDER, { recursive: true });
  for (const file of FILES) copyFileSync(join(PINNED, file), join(FOLDER, file));
  // No scripts: those of bun and deno replace files that these scripts do not use.
  const options = ["--ignore-scripts", "--no-audit", "--no-fund"];
  const { ok, output } = await run("npm", ["ci", "--prefix", FOLDER, ...options]);
  if (!ok) throw new Error(`cannot install the tools from npm:\n${output}`);
  // Last, so that an interrupted installation is repeated.
  copyFileSync(pinned, marker);
}

function contents(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
