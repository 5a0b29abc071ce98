// The stores that are measured: as large, and with as many entries, as owners of gateways report.

import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createSampleStore } from "../scripts/sample-store.mjs";

/** The present: the gateway compares entries with the wall clock, too, and drops what is a month old. */
export const NOW = Date.now();
export const MB = 1e6;

const HOUR = 3_600_000;
/** What the gateway reports as the smallest entry of a grown store, in bytes. */
const SMALLEST = 15_000;
/** Bytes of an entry beside its text, and how much longer its text gets by escaping. */
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
 * A store that can be swept again and again: beside it stands a copy that nothing changes, and
 * `renew` puts a copy of that copy in its place, synced, with the transcripts of all expired runs.
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
      for (const id of ids) {
        writeFileSync(join(folder, `${id}.jsonl`), `{"type":"session","id":"${id}"}\n`);
      }
      execFileSync("cp", [master, `${path}.new`]);
      execFileSync("mv", [`${path}.new`, path]);
      // The folder, too: what waits for the disk must not be counted against who comes next.
      execFileSync("sync", [path, folder]);
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** So many empty archives, of transcripts that expired long ago. */
export function addArchives(folder, count) {
  const stamp = new Date(NOW - 100 * HOUR).toISOString().replaceAll(":", "-");
  for (let index = 0; index < count; index++) {
    writeFileSync(join(folder, `a${String(index).padStart(8, "0")}.jsonl.deleted.${stamp}`), "");
  }
  execFileSync("sync", [folder]);
}

/** A store of one chat, for a process to do everything once before it is measured. */
export function buildTinyStore(folder) {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, "sessions.json");
  writeFileSync(path, '{\n  "agent:main:main": {\n    "updatedAt": 1\n  }\n}');
  return path;
}

/** Ends the run before it fills the disk: a store stands there up to five times at once. */
export function expectFreeSpace(folder, sizes) {
  const { bavail, bsize } = statfsSync(folder);
  const needed = 5 * Math.max(...sizes.map(({ mb }) => mb), 450) * MB;
  if (bavail * bsize < needed) {
    const free = Math.floor((bavail * bsize) / MB);
    throw new Error(`${folder} has ${free} MB free, ${needed / MB} MB are needed`);
  }
}

function largestText(mb, entries) {
  const mean = ((mb * MB) / entries - FRAME) / ESCAPING;
  return Math.round(2 * mean - SMALLEST);
}

/** As createSampleStore spreads them. */
function expiredIds(entries, expired) {
  const ids = [];
  for (let index = 0; index < entries; index++) {
    if (Math.floor(((index + 1) * expired) / entries) > Math.floor((index * expired) / entries)) {
      ids.push(`0c5e55ed-0000-4000-8000-${index.toString(16).padStart(12, "0")}`);
    }
  }
  return ids;
}
