// A program that ignores every lock: it replaces the store in a loop, by rename, each time with one more
// key, while sweeps run without pause. In the end each key must be in the store or in a file that was
// kept beside it. The second case: the program read our new store in the microseconds before its own
// was put back. Only the owner of the data can merge the two files then.

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSweeper, reportIn, run } from "./programs.mjs";
import { bite, figure, none } from "./table.mjs";

export const name = "unlocked-writer";

export async function campaign({ short, scratch }) {
  const required = short ? 300 : 5_000;
  const { keys, lost, kept, commits, problems } = await writeUnlocked(scratch, required);
  figure("keys written by a program that ignores locks", keys, required, problems);
  // The number depends on the machine. Without commits, the keys would prove nothing.
  figure("sweeps that committed at the same time", commits, short ? 2 : 25);
  none("keys lost", lost);
  if (kept > 0) {
    console.log(`    (${kept} of the keys are in files kept beside the store)`);
  }
}

export async function bites({ scratch }) {
  const { lost, keys } = await writeUnlocked(scratch, 2_000, { FAULT: "unchecked" });
  bite("a program that ignores locks", "unchecked", lost > 0 ? [`${lost} of ${keys} lost`] : []);
}

async function writeUnlocked(scratch, keys, env = {}) {
  const folder = join(scratch, "unlocked");
  mkdirSync(folder);
  const store = join(folder, "sessions.json");
  const sweepWhile = join(folder, "sweep-while");
  writeFileSync(store, JSON.stringify({ "agent:main:main": {} }, null, 2));
  writeFileSync(sweepWhile, "");
  const program = [await buildSweeper(), store, "--while", sweepWhile];
  const sweeping = run(program[0], program.slice(1), { env, timeoutMs: 300_000 });
  for (let key = 1; key <= keys; key++) {
    const text = readFileSync(store, "utf8");
    const temporary = join(folder, `${key}.written`);
    const expired = `"agent:main:cron:j:run:${key}": {\n    "updatedAt": 1\n  }`;
    writeFileSync(temporary, `${text.slice(0, -2)},\n  "key-${key}": {},\n  ${expired}\n}`);
    renameSync(temporary, store);
    // Usually without a pause, to write during a commit; every fourth time, long enough for a commit.
    await new Promise((resolve) => setTimeout(resolve, key % 4 === 0 ? 8 : 0));
  }
  rmSync(sweepWhile);
  const { code, stdout, stderr } = await sweeping;
  const reports = stdout.trim().split("\n").map(reportIn);
  const keysOf = (path) => Object.keys(JSON.parse(readFileSync(path, "utf8")));
  const inStore = new Set(keysOf(store));
  const names = readdirSync(folder).filter((name) => name.startsWith("sessions.json.kept."));
  const inKept = new Set(names.flatMap((name) => keysOf(join(folder, name))));
  const written = Array.from({ length: keys }, (_, key) => `key-${key + 1}`);
  const missing = written.filter((key) => !inStore.has(key));
  const kept = missing.filter((key) => inKept.has(key)).length;
  rmSync(folder, { recursive: true });
  return {
    keys,
    lost: missing.length - kept,
    kept,
    commits: reports.filter(({ pruned }) => pruned > 0).length,
    problems: code === 0 ? [] : [`the sweeper crashed: ${stderr}`],
  };
}
