// Sweeps on a disk without space for the new store, or for one more name.

import { mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSweeper, recover, reportIn, run, spread } from "./programs.mjs";
import { examine, layOut, leftovers, NOW } from "./store.mjs";
import { bite, figure, skipped } from "./table.mjs";

export const name = "full-disk";

/** About 430 KB before the sweep, and half of that after it. */
const STORE = { padding: 3_500 };
const PAGE = 4096;

export async function campaign({ short, scratch }) {
  const what = "sweeps on a full disk";
  const swept = await sweepFull(scratch, short ? 6 : 60);
  if (swept) {
    figure(what, swept.full, short ? 3 : 30, swept.problems);
  } else {
    skipped(what, "a tmpfs cannot be mounted");
  }
}

export async function bites({ scratch }) {
  const swept = await sweepFull(scratch, 6, { FAULT: "ignored-errors" });
  if (swept) {
    bite("sweeps on a full disk", "ignored-errors", swept.problems);
  } else {
    skipped("sweeps on a full disk", "a tmpfs cannot be mounted");
  }
}

async function sweepFull(scratch, most, env = {}) {
  const disk = join(scratch, "disk");
  mkdirSync(disk);
  const mounted = await run("mount", ["-t", "tmpfs", "-o", "size=1m,mode=700", "faults", disk]);
  if (mounted.code !== 0) {
    return undefined;
  }
  try {
    const levels = Array.from({ length: 60 }, (_, pages) => pages * PAGE);
    const results = [];
    for (const free of spread(levels, most)) {
      results.push(await sweepWithFreeSpace(disk, free, env));
    }
    return {
      full: results.filter(({ isFull }) => isFull).length,
      problems: results.flatMap(({ problems }) => problems),
    };
  } finally {
    await run("umount", ["-l", disk]);
  }
}

async function sweepWithFreeSpace(disk, bytes, env) {
  const sweeper = await buildSweeper();
  for (const left of readdirSync(disk)) {
    rmSync(join(disk, left), { recursive: true });
  }
  const tree = layOut(join(disk, "gateway"), STORE);
  const filler = join(disk, "filler");
  const free = statfsSync(disk).bavail * PAGE;
  writeFileSync(filler, Buffer.alloc(Math.max(0, free - bytes)));
  const { stdout, stderr, code } = await run(sweeper, [tree.store, "--now", String(NOW)], { env });
  const report = code === 0 ? reportIn(stdout) : undefined;
  const problems = report ? problemsOf(tree, report) : [`the sweep crashed: ${stderr}`];
  rmSync(filler);
  problems.push(...(await recover(sweeper, tree)));
  return {
    isFull: report?.swept === false,
    problems: problems.map((problem) => `with ${bytes} bytes free: ${problem}`),
  };
}

/** Returns what is wrong after a sweep on the full disk. */
function problemsOf(tree, report) {
  const { problems, isNew, pruned } = examine(tree);
  if (report.swept !== isNew || report.pruned !== pruned) {
    problems.push(`the report is wrong: ${JSON.stringify(report)}`);
  }
  if (!report.swept && !report.log.some(({ fields }) => /ENOSPC: /.test(fields.err ?? ""))) {
    problems.push(`no clear error was logged: ${JSON.stringify(report.log)}`);
  }
  return [...problems, ...leftovers(tree)];
}
