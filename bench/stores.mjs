// The measured stores: their sizes and numbers of entries are those that owners of gateways report.

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createSampleStore } from "../scripts/sample-store.mjs";

/** The real time: the gateway also compares entries with the wall clock, and drops month-old ones. */
export const NOW = Date.now();
export const MB = 1e6;

const HOUR = 3_600_000;
/** How the session ids of createSampleStore begin. */
const ID_PREFIX = "0c5e55ed";
/** The smallest entry in reports of large stores, in bytes. */
const SMALLEST = 15_000;
/** The bytes of an entry without its text, and the factor by which escaping lengthens the text. */
const FRAME = 450;
const ESCAPING = 1.085;

/** `mb`: the size; `expired`: how many of the entries a sweep removes. */
export const SIZES = [
  { mb: 10, entries: 190 },
  { mb: 31, entries: 470 },
  { mb: 56, entries: 1_400 },
  { mb: 116, entries: 2_700 },
  { mb: 1_000, entries: 25_000 },
].map((size) => ({ ...size, expired: Math.round(size.entries / 5) }));

export const SMALL_ENTRIES = { entries: 1_000_000, expired: 200_000 };

/**
 * Builds a store that can be swept repeatedly. `renew` restores it from an unmodified copy beside it,
 * with the transcripts of all expired runs and without the archives of earlier sweeps, and syncs it.
 */
export function buildStore(folder, { mb, entries, expired, transcripts = true }) {
  const text =
    mb === undefined
      ? { smallest: 40, largest: 80 }
      : { smallest: SMALLEST, largest: largestText(mb, entries) };
  const path = createSampleStore(folder, {
    ...text,
    entries,
    expired,
    nowMs: NOW,
    transcripts: false,
    root: folder,
  });
  const master = join(folder, "master");
  execFileSync("cp", [path, master]);
  execFileSync("sync", [master]);
  const ids = transcripts ? expiredIds(entries, expired) : [];
  return {
    folder,
    path,
    master,
    entries,
    expired,
    bytes: statSync(path).size,
    renew() {
      // Otherwise each round would list more archives than the one before it.
      const isArchive = (name) => name.startsWith(ID_PREFIX) && name.includes(".deleted.");
      for (const name of readdirSync(folder).filter(isArchive)) {
        rmSync(join(folder, name));
      }
      for (const id of ids) {
        writeFileSync(join(folder, `${id}.jsonl`), `{"type":"session","id":"${id}"}\n`);
      }
      execFileSync("cp", [master, `${path}.new`]);
      execFileSync("mv", [`${path}.new`, path]);
      // The folder is synced, too, so that the next measurement does not wait for it.
      execFileSync("sync", [path, folder]);
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Adds empty archives that expired long ago. */
export function addArchives(folder, count) {
  const stamp = new Date(NOW - 100 * HOUR).toISOString().replaceAll(":", "-");
  for (let index = 0; index < count; index++) {
    writeFileSync(join(folder, `a${String(index).padStart(8, "0")}.jsonl.deleted.${stamp}`), "");
  }
  execFileSync("sync", [folder]);
}

/** Builds a store with one chat, for the first sweep of a process, which is not measured. */
export function buildTinyStore(folder) {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, "sessions.json");
  writeFileSync(path, '{\n  "agent:main:main": {\n    "updatedAt": 1\n  }\n}');
  return path;
}

/** Fails before the run fills the disk, which contains up to five copies of a store at a time. */
export function expectFreeSpace(folder, sizes) {
  const { bavail, bsize } = statfsSync(folder);
  const needed = 5 * Math.max(...sizes.map(({ mb }) => mb), 450) * MB;
  if (bavail * bsize < needed) {
    const free = Math.floor((bavail * bsize) / MB);
    throw new Error(`not enough space in ${folder}: ${free} MB free, ${needed / MB} MB needed`);
  }
}

function largestText(mb, entries) {
  const mean = ((mb * MB) / entries - FRAME) / ESCAPING;
  return Math.round(2 * mean - SMALLEST);
}

/** Returns the ids of the expired runs, distributed as by createSampleStore. */
function expiredIds(entries, expired) {
  const ids = [];
  for (let index = 0; index < entries; index++) {
    if (Math.floor(((index + 1) * expired) / entries) > Math.floor((index * expired) / entries)) {
      ids.push(`${ID_PREFIX}-0000-4000-8000-${index.toString(16).padStart(12, "0")}`);
    }
  }
  return ids;
}
