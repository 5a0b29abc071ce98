// What a program asks of the kernel, told by strace.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { has, run } from "./programs.mjs";

const CALLS = "trace=%file,%desc";

export const canTrace = () => has("strace", "-qq", "-o", "/dev/null", "true");

/**
 * All calls of a program, from the first that has to do with `folder` on: what comes before is the
 * loader's. `when` is the how-manieth of its name this is in its thread.
 */
export async function callsOf(program, args, folder, options = {}) {
  const file = join(options.scratch, `trace-${crypto.randomUUID()}`);
  await run("strace", ["-f", "-y", "-qq", "-o", file, "-e", CALLS, program, ...args], options);
  return parse(readFileSync(file, "utf8"), folder);
}

export function parse(trace, folder) {
  const counts = new Map();
  const calls = [];
  let begun = false;
  for (const line of trace.split("\n")) {
    const [, thread, name, rest] = /^(\d+) +(\w+)\((.*)$/.exec(line) ?? [];
    if (!name || name === "execve") {
      continue;
    }
    const key = `${thread} ${name}`;
    const when = (counts.get(key) ?? 0) + 1;
    counts.set(key, when);
    begun ||= rest.includes(folder);
    if (begun) {
      calls.push({ thread, name, when, line });
    }
  }
  return calls;
}

/** The arguments for strace that have it do something to one call. */
export function inject(file, { name, when }, what) {
  return ["-f", "-y", "-qq", "-o", file, "-e", CALLS, "-e", `inject=${name}:${what}:when=${when}`];
}
