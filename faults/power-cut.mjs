// Cuts the power: shuts a file system down at a system call, so that nothing more reaches its disk.

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

/** The flags of `FS_IOC_SHUTDOWN`: whether the journal still reaches the disk. */
const FLAGS = { "journal written": 1, "journal lost": 2 };

/** The calls that change what is on the disk. */
const CHANGES = ["pwrite64", "fdatasync", "fsync", "linkat", "renameat2", "unlinkat"];

export async function campaign({ short, scratch }) {
  const shim = await compileShim(scratch);
  for (const [disk, settings] of Object.entries(DISKS)) {
    const what = `power cuts, ${disk}`;
    const why = shim ? missingTool(settings) : "no C compiler is available";
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
    const why = shim ? missingTool(EXT4) : "no C compiler is available";
    const disk = DISKS["ext4, noauto_da_alloc"];
    const cut = why ? { why } : await cutAll(shim, scratch, disk, 40, { FAULT: fault });
    if (cut.why) {
      skipped("power cuts", cut.why);
    } else {
      bite("power cuts", fault, cut.problems);
    }
  }
}

function missingTool({ make: [program] }) {
  return has(program, "-V") ? undefined : `${program} is not available`;
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
    return { why: `the disk cannot be mounted: ${mounted.stderr.trim().split("\n")[0]}` };
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
      problems.push(`the disk cannot be mounted again: ${unmounted.stderr}${mounted.stderr}`);
      break;
    }
    cuts++;
    const { problems: found, isNew } = examine(tree);
    if (report?.swept && report.pruned > 0 && !isNew) {
      found.push("the sweep was reported as done, but the store is the old one");
    }
    // A restart takes at least a minute. A lock file whose text did not reach the disk blocks the
    // gateway and a sweep until it is 30 s old.
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

/** Returns when to cut the power: before and after each change, and after the sweep. */
async function momentsOf({ shim, scratch, folder, env }) {
  const tree = layOut(join(folder, "gateway"), SCENARIOS.plain);
  const { calls } = await sweepWith(shim, tree, { FAULT_LOG: join(scratch, "calls.log") }, { env });
  remove(tree);
  const changes = calls.filter(({ call }) => CHANGES.includes(call)).map(({ nth }) => nth);
  const during = [...new Set(changes.flatMap((nth) => [nth, nth + 1]))];
  return Object.keys(FLAGS).flatMap((flag) => [undefined, ...during].map((nth) => ({ flag, nth })));
}

async function sweepUntilCut({ shim, scratch, env }, tree, flag, nth) {
  const settings = { FAULT_LOG: join(scratch, "cut.log"), FAULT_HOW: `cut:${FLAGS[flag]}` };
  if (nth) {
    return await sweepWith(shim, tree, { ...settings, FAULT_AT: String(nth) }, { env });
  }
  const swept = await sweepWith(shim, tree, settings, { env });
  // Any later call on the disk can trigger the cut; a sweep of a missing store makes one.
  const elsewhere = { ...tree, store: join(tree.root, "nothing.json") };
  await sweepWith(shim, elsewhere, { ...settings, FAULT_AT: "1" });
  return swept;
}
