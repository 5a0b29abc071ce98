// Frees what no sweep frees: on request old resets and backups, always dead locks, and in folders whose
// store was migrated to a database also old archives and temp files.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** Errors after which a sweep is tried again once something was deleted. */
const DISK_FULL = ["ENOSPC", "EDQUOT"];

/** What the addon's function returns for a folder that cannot be accessed. */
class FolderError extends Error {
  constructor({ message, ...details }) {
    super(message);
    Object.assign(this, details);
  }
}

/** Calls a function of the addon, which resolves to JSON, and aborts it by the signal. */
async function call(name, args, signal) {
  const { abort, newWatch, [name]: work } = require("../load.js");
  const watch = newWatch();
  const stop = () => abort(watch);
  signal.addEventListener("abort", stop, { once: true });
  try {
    if (signal.aborted) {
      // Not the reason of the signal, which may be a text.
      throw Object.assign(new Error("aborted"), { code: "ABORT_ERR" });
    }
    const { ok, error } = JSON.parse(await work(...args, watch));
    if (error) {
      throw new FolderError(error);
    }
    return ok;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/**
 * Returns the files in a store's folder by class: `[{ class, files, bytes, oldestMs }]`. `others`: the names
 * of other stores in it.
 */
export async function contentsOf(storePath, others, signal) {
  const { classes } = await call("folderContents", [storePath, others], signal);
  return classes;
}

/**
 * Returns by name what a sweep would remove: `{ runs, transcripts, archives, temps }`. `request` has the
 * fields of the addon's `SweepRequest`.
 */
export function removalsOf(request, signal) {
  return call("listRemovals", [request], signal);
}

/**
 * Deletes files in the folder of a store, or only returns them with `dryRun`: `{ files, failures }`.
 * `what` names the classes: `archives`, `resets`, `backups` and `dead` (locks and temp files). Those with
 * an age are deleted only if `ages` has one, in milliseconds. `stores` are names of stores in the folder, which
 * are not deleted.
 */
export function free({ storePath, nowMs, ages, what, stores, dryRun, signal }) {
  const cutoff = (name) =>
    what.includes(name) && ages[name] !== undefined ? nowMs - ages[name] : undefined;
  const request = {
    storePath,
    archivesBeforeMs: cutoff("archives"),
    resetsBeforeMs: cutoff("resets"),
    backupsBeforeMs: cutoff("backups"),
    dead: what.includes("dead"),
    stores,
    readable: [],
    dryRun,
  };
  return call("freeFolder", [request], signal);
}

/** Rejects if one of the stores `readable`, names in the folder of a store, exists and cannot be read. */
export async function checkReadable(storePath, readable, signal) {
  if (readable.length > 0) {
    const request = { storePath, dead: false, stores: [], readable, dryRun: true };
    await call("freeFolder", [request], signal);
  }
}

export const isDiskFull = (error) => DISK_FULL.includes(error?.code);

export const NOTHING = Object.freeze({ files: [], failures: [] });

/** Returns what two calls of {@link free} deleted together. */
export function merged(a, b) {
  return { files: [...a.files, ...b.files], failures: [...a.failures, ...b.failures] };
}

/**
 * Returns the changes of a sweep's report (or preview) and of deleted files as counts, and the bytes that
 * they free.
 */
export function changesOf(report, { files } = NOTHING) {
  const count = (name) => files.filter((file) => file.class === name).length;
  return {
    runs: report?.pruned ?? 0,
    transcripts: report?.transcripts.archived ?? 0,
    archives: (report?.archives.removed ?? 0) + count("archives"),
    temps: (report?.temps.removed ?? 0) + count("temps"),
    resets: count("resets"),
    backups: count("backups"),
    locks: count("locks"),
    bytes: (report?.bytes.reclaimed ?? 0) + files.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** Returns the sum of several {@link changesOf}. */
export function sumOf(all) {
  const sum = changesOf(undefined);
  for (const changes of all) {
    for (const name of Object.keys(sum)) {
      sum[name] += changes[name];
    }
  }
  return sum;
}

/** Returns the changes that --apply would make, by what was found before. */
export const dueBy = ({ preview, freeable }) => changesOf(preview, freeable);

/** Returns the changes that were made. `cleared`: the report of a sweep that made space for another one. */
export const doneBy = ({ sweep, freed, cleared }) =>
  sumOf([changesOf(sweep, freed), changesOf(cleared)]);

export function isChange({ bytes, ...counts }) {
  return Object.values(counts).some((count) => count > 0);
}

/** Returns what of a class is due, by the preview of a sweep and the files that would be deleted. */
export function dueOf(name, preview, { files }) {
  if (name === "transcripts") {
    const { archived = 0, bytes = 0 } = preview?.transcripts ?? {};
    return { files: archived, bytes };
  }
  const own = files.filter((file) => file.class === name);
  const swept = preview && ["archives", "temps"].includes(name) ? preview[name] : undefined;
  return {
    files: own.length + (swept?.removed ?? 0),
    bytes: own.reduce((sum, { bytes }) => sum + bytes, swept?.bytes ?? 0),
  };
}
