// Reads what is beside a store: the agent's database, the archive of a migration, subfolders, and the
// large items in the state folder. Only names and sizes are read, and the header of the database.

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { isMissing } from "./files.mjs";
import { isStateFolder } from "./state-folder.mjs";

/** The most files and folders that are counted in one folder, so that a huge one does not take long. */
const MOST_COUNTED = 100_000;

/** The largest `cron/jobs.json` that is read, in bytes. */
const LARGEST_JOBS = 16e6;

/** Folders in a state folder that can become large. */
const STATE_ITEMS = ["logs", "media", join("cron", "runs"), "tmp"];

/** The folder of prompts in a sessions folder: gateways from 2026.5.28 on. */
const PROMPTS = "skills-prompts";

/** Links are not followed, and a FIFO is not waited for. Windows has neither flag. */
const READ_SAFELY = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/**
 * Returns the state folder of a sessions folder at the usual path, `agents/<agent>/sessions`, and the
 * agent; `{}` for any other path.
 */
export function placeOf(sessions) {
  const agents = dirname(dirname(sessions));
  const isUsual = basename(sessions) === "sessions" && basename(agents) === "agents";
  return isUsual ? { state: dirname(agents), agent: basename(dirname(sessions)) } : {};
}

/**
 * Returns what is beside a sessions folder, in the same form as the classes of its files:
 * `{ class, files, bytes, oldestMs }`. Missing items are left out. `freeBytes` of a database are those of
 * its free pages. `foreign`: the names of subfolders that are not the store's.
 */
export function itemsBeside(sessions, foreign) {
  const agent = dirname(sessions);
  const items = [];
  const prompts = contentsOf(join(sessions, PROMPTS));
  // The subfolders of a state folder and of an agent's folder are not the store's.
  const isOwner = !isStateFolder(sessions) && basename(agent) !== "agents";
  const isOther = (name) => name !== PROMPTS && !foreign.has(name);
  const subfolders = isOwner ? foldersIn(sessions).filter(isOther) : [];
  const others = subfolders.map((name) => contentsOf(join(sessions, name)));
  items.push({ class: "caches", ...prompts }, { class: "others", ...sumOf(others) });
  if (placeOf(sessions).agent !== undefined) {
    const archive = contentsOf(join(agent, "session-sqlite-import-archive"));
    const database = join(agent, "agent", "openclaw-agent.sqlite");
    items.push(
      { class: "database", ...fileAt(database), ...freeBytesOf(database) },
      { class: "log", ...fileAt(`${database}-wal`) },
      { class: "imported", ...archive },
    );
  }
  // After it was checkpointed, a write-ahead log is empty.
  return items.filter(
    ({ files, bytes, isIncomplete, ...item }) =>
      isIncomplete || (files > 0 && (bytes > 0 || item.class !== "log")),
  );
}

/** Returns the items of a state folder that can become large, the largest first. */
export function largeItems(state) {
  return STATE_ITEMS.map((name) => ({ name, ...contentsOf(join(state, name)) }))
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes);
}

/** Returns the names of cron jobs by id, from `cron/jobs.json` of a state folder. */
export function jobNames(state) {
  const names = new Map();
  try {
    const { jobs } = JSON.parse(textOf(join(state, "cron", "jobs.json"), LARGEST_JOBS));
    for (const job of Array.isArray(jobs) ? jobs : []) {
      if (typeof job?.id === "string" && typeof job.name === "string") {
        names.set(job.id, job.name.trim());
      }
    }
  } catch {
    // Without the file, or with an invalid one, jobs are shown by their ids.
  }
  return names;
}

/** Returns the number of files in a folder and its subfolders, their size, and when the oldest was written. */
function contentsOf(folder) {
  const found = { files: 0, bytes: 0, oldestMs: Number.POSITIVE_INFINITY };
  const folders = [folder];
  let counted = 0;
  let isListed = true;
  while (folders.length > 0 && counted < MOST_COUNTED) {
    const path = folders.pop();
    const entries = entriesOf(path);
    isListed &&= entries !== undefined;
    for (const entry of entries ?? []) {
      counted++;
      const below = join(path, entry.name);
      if (entry.isDirectory()) {
        folders.push(below);
      } else if (entry.isFile()) {
        const { files, bytes, oldestMs } = fileAt(below);
        found.files += files;
        found.bytes += bytes;
        found.oldestMs = Math.min(found.oldestMs, oldestMs);
      }
    }
  }
  return { ...found, isIncomplete: folders.length > 0 || !isListed };
}

function sumOf(all) {
  const sum = { files: 0, bytes: 0, oldestMs: Number.POSITIVE_INFINITY, isIncomplete: false };
  for (const { files, bytes, oldestMs, isIncomplete } of all) {
    sum.files += files;
    sum.bytes += bytes;
    sum.oldestMs = Math.min(sum.oldestMs, oldestMs);
    sum.isIncomplete ||= isIncomplete;
  }
  return sum;
}

function foldersIn(path) {
  return (entriesOf(path) ?? []).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}

/** Returns the entries of a folder: none if it is missing or not a folder, undefined if it cannot be listed. */
function entriesOf(path) {
  try {
    return lstatSync(path).isDirectory() ? readdirSync(path, { withFileTypes: true }) : [];
  } catch (error) {
    return isMissing(error) ? [] : undefined;
  }
}

/** Returns the figures of a regular file. */
function fileAt(path) {
  const stat = lstatOrUndefined(path);
  return stat?.isFile()
    ? { files: 1, bytes: stat.size, oldestMs: stat.mtimeMs }
    : { files: 0, bytes: 0, oldestMs: Number.POSITIVE_INFINITY };
}

function lstatOrUndefined(path) {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

/**
 * Returns `{ freeBytes }`, the size of the free pages of an SQLite database; `{}` for any other file and a
 * damaged header. Only the header is read: opening a database that a gateway uses would break its locks.
 */
function freeBytesOf(path) {
  const header = beginningOf(path, 100);
  if (header?.length !== 100 || header.toString("latin1", 0, 16) !== "SQLite format 3\0") {
    return {};
  }
  const pageSize = header.readUInt16BE(16);
  // 1 stands for 65,536, which does not fit.
  const freeBytes = (pageSize === 1 ? 65_536 : pageSize) * header.readUInt32BE(36);
  return freeBytes <= fileAt(path).bytes ? { freeBytes } : {};
}

function beginningOf(path, length) {
  return reading(path, (file) => {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(file, bytes));
  });
}

function textOf(path, largest) {
  return reading(path, (file, size) => (size <= largest ? readFileSync(file, "utf8") : undefined));
}

/** Opens a regular file and calls `read`. Returns undefined if there is none, or it cannot be read. */
function reading(path, read) {
  let file;
  try {
    file = openSync(path, READ_SAFELY);
    const stat = fstatSync(file);
    return stat.isFile() ? read(file, stat.size) : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
