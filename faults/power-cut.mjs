// The power goes: a file system is shut down at a call and nothing more reaches its disk.

import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileShim, sweepWith } from "./errno.mjs";
import { buildSweeper, has, recover, run, spread } from "./programs.mjs";
import { examine, layOut, remove, SCENARIOS } from "./store.mjs";
import { bite, figure, skipped } from "./table.mjs";

export const name = "power-cut";

const MIB = 1 << 20;
const EXT4 = { make: ["mkfs.ext4", "-q", "-F"], size: 64 * MIB };
const DISKS = {
  ext4: { ...EXT4, options: [] },
  "ext4, noauto_da_alloc": { ...EXT4, options: ["noauto_da_alloc"] },
  "ext4, data=writeback": { ...EXT4, options: ["data=writeback"] },
  xfs: { make: ["mkfs.xfs", "-q", "-f"], size: 320 * MIB, options: [] },
};

/** As `FS_IOC_SHUTDOWN` has them: the journal still gets to the disk, or it does not either. */
const FLAGS = { "journal written": 1, "journal lost": 2 };

/** Before and after each of these something else is on the disk. */
const CHANGES = ["pwrite64", "fdatasync", "fsync", "linkat", "renameat2", "unlink"];

export async function campaign({ short, scratch }) {
  const shim = await compileShim(scratch);
  for (const [disk, settings] of Object.entries(DISKS)) {
    const what = `power cuts, ${disk}`;
    const why = shim ? whyNot(settings) : "there is no C compiler";
    const cut = why ? { why } : await cutAll(shim, scratch, settings, short ? 4 : 40);
    if (cut.why) {
      skipped(what, cut.why);
    } else {
      figure(what, cut.cuts, short ? 3 : 20, cut.problems);
    }
  }
}

export async function bites({ scratch }) {
  const shim = await compileShim(scratch);
  for (const fault of ["no-sync", "no-folder-sync"]) {
    const why = shim ? whyNot(EXT4) : "there is no C compiler";
    const disk = DISKS["ext4, noauto_da_alloc"];
    const cut = why ? { why } : await cutAll(shim, scratch, disk, 40, { FAULT: fault });
    if (cut.why) {
      skipped("power cuts", cut.why);
    } else {
      bite("power cuts", fault, cut.problems);
    }
  }
}

function whyNot({ make: [program] }) {
  return has(program, "-V") ? undefined : `there is no ${program}`;
}

async function cutAll(shim, scratch, { make, size, options }, most, env = {}) {
  const image = join(scratch, "disk.img");
  const folder = join(scratch, "disk");
  writeFileSync(image, "");
  truncateSync(image, size);
  mkdirSync(folder, { recursive: true });
  const [program, ...args] = make;
  const made = await run(program, [...args, image]);
  const mount = () => run("mount", ["-o", ["loop", ...options].join(","), image, folder]);
  const mounted = made.code === 0 ? await mount() : made;
  if (mounted.code !== 0) {
    return { why: `it cannot be mounted here: ${mounted.stderr.trim().split("\n")[0]}` };
  }
  try {
    return await cutEach({ shim, scratch, folder, mount, env }, most);
  } finally {
    await run("umount", ["-l", folder]);
    rmSync(image);
  }
}

async function cutEach(disk, most) {
  const sweeper = await buildSweeper();
  const moments = await momentsOf(disk);
  const problems = [];
  let cuts = 0;
  for (const { flag, nth } of spread(moments, most)) {
    const tree = layOut(join(disk.folder, "gateway"), SCENARIOS.plain);
    await run("sync", ["-f", disk.folder]);
    const { report, calls } = await sweepUntilCut(disk, tree, flag, nth);
    const unmounted = await run("umount", [disk.folder]);
    const mounted = await disk.mount();
    if (unmounted.code !== 0 || mounted.code !== 0) {
      problems.push(`the disk does not come back: ${unmounted.stderr}${mounted.stderr}`);
      break;
    }
    cuts++;
    const { problems: found, isNew } = examine(tree);
    if (report?.swept && report.pruned > 0 && !isNew) {
      found.push("it said that it was done, and it is not");
    }
    // A machine takes longer than this to come back. A lock whose text did not get to the disk is
    // in the way for half a minute, to the gateway and to a sweep alike.
    const later = { LD_PRELOAD: disk.shim, FAULT_AHEAD: "60" };
    found.push(...(await recover(sweeper, tree, { env: later })));
    const at = nth
      ? `before ${calls.find((it) => it.nth === nth)?.call} (call ${nth})`
      : "afterwards";
    problems.push(...found.map((it) => `${flag}, ${at}: ${it}`));
    remove(tree);
  }
  return { cuts, problems };
}

/** When to cut: before and after each change, and once the sweep is over. */
async function momentsOf({ shim, scratch, folder, env }) {
  const tree = layOut(join(folder, "gateway"), SCENARIOS.plain);
  const { calls } = await sweepWith(shim, tree, { FAULT_LOG: join(scratch, "calls.log") }, env);
  remove(tree);
  const changes = calls.filter(({ call }) => CHANGES.includes(call)).map(({ nth }) => nth);
  const during = [...new Set(changes.flatMap((nth) => [nth, nth + 1]))];
  return Object.keys(FLAGS).flatMap((flag) => [undefined, ...during].map((nth) => ({ flag, nth })));
}

async function sweepUntilCut({ shim, scratch, env }, tree, flag, nth) {
  const settings = { FAULT_LOG: join(scratch, "cut.log"), FAULT_HOW: `cut:${FLAGS[flag]}` };
  if (nth) {
    return await sweepWith(shim, tree, { ...settings, FAULT_AT: String(nth) }, env);
  }
  const swept = await sweepWith(shim, tree, settings, env);
  // Any program that looks at the disk will do to cut the power.
  const elsewhere = { ...tree, store: join(tree.root, "nothing.json") };
  await sweepWith(shim, elsewhere, { ...settings, FAULT_AT: "1" });
  return swept;
}
