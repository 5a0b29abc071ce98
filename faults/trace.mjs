// Traces the system calls of a program with strace.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { has, run } from "./programs.mjs";

const CALLS = "trace=%file,%desc";

export const canTrace = () => has("strace", "-qq", "-o", "/dev/null", "true");

/**
 * Returns the calls of a program from the first that names `folder`; those before it are the loader's.
 * `when` counts the calls of the same name in the same thread.
 */
export async function callsOf(program, args, folder, options = {}) {
  const file = join(options.scratch, `trace-${crypto.randomUUID()}`);
  await run("strace", ["-f", "-y", "-qq", "-o", file, "-e", CALLS, program, ...args], options);
  return parse(readFileSync(file, "utf8"), folder);
}

export function parse(trace, folder) {
  const counts = new Map();
  const calls = [];
  let started = false;
  for (const line of trace.split("\n")) {
    const [, thread, name, rest] = /^(\d+) +(\w+)\((.*)$/.exec(line) ?? [];
    if (!name || name === "execve") {
      continue;
    }
    const key = `${thread} ${name}`;
    const when = (counts.get(key) ?? 0) + 1;
    counts.set(key, when);
    started ||= rest.includes(folder);
    if (started) {
      calls.push({ thread, name, when, line });
    }
  }
  return calls;
}

/** Returns the arguments with which strace injects `what` into one call. */
export function inject(file, { name, when }, what) {
  return ["-f", "-y", "-qq", "-o", file, "-e", CALLS, "-e", `inject=${name}:${what}:when=${when}`];
}
