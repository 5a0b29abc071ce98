// The classes of what is in and beside a sessions folder: their names, and what frees each of them.

import { counted, size } from "./text.mjs";

/** The gateway's commands that free what this command does not touch. */
const DOCTOR = "openclaw doctor";
const CLEANUP = "openclaw sessions cleanup --enforce";
const UPDATE_CLEANUP = "openclaw update cleanup";
const COMPACT = "openclaw doctor --session-sqlite compact --session-sqlite-all-agents";

/** What each class is called, in the order in which the classes are shown. */
const LABELS = {
  database: "database (SQLite)",
  log: "write-ahead log",
  transcripts: "transcripts",
  orphans: "orphaned transcripts",
  archives: "archives",
  resets: "resets",
  backups: "store backups",
  checkpoints: "checkpoints",
  trajectories: "trajectories",
  imported: "import archive",
  exports: "exports (zst)",
  temps: "temp files",
  locks: "dead locks",
  kept: "kept temp files",
  caches: "caches",
  others: "others",
};

/** Classes of which files are deleted on request, by the option that names their age. */
const OPTIONS = {
  archives: "--archive-retention",
  resets: "--reset-retention",
  backups: "--backup-retention",
};

/**
 * Returns the figures of all classes with files, summed over `lists` of `{ class, files, bytes,
 * oldestMs }` and perhaps `freeBytes` and `isIncomplete`, in the order in which they are shown.
 */
export function summed(lists) {
  const sums = new Map();
  for (const figures of lists.flat()) {
    const sum = sums.get(figures.class) ?? { class: figures.class, files: 0, bytes: 0 };
    sum.files += figures.files;
    sum.bytes += figures.bytes;
    sum.oldestMs = Math.min(sum.oldestMs ?? Number.POSITIVE_INFINITY, figures.oldestMs);
    if (figures.freeBytes !== undefined) {
      sum.freeBytes = (sum.freeBytes ?? 0) + figures.freeBytes;
    }
    if (figures.isIncomplete !== undefined) {
      sum.isIncomplete ||= figures.isIncomplete;
    }
    sums.set(figures.class, sum);
  }
  return Object.keys(LABELS).flatMap((name) => sums.get(name) ?? []);
}

export const labelOf = (name) => LABELS[name];

/**
 * Returns what frees the files of a class. `due`: `{ files, bytes }` of those that --apply would delete,
 * or archive, now. `situations`: of the folders with the others. `isSwept`, whether they are beside a store
 * that a sweep uses; `hasDatabase`, whether they are beside a database; `keepsArchives`, whether runs and
 * archives are kept forever; `condition`, when --apply is possible, if it is refused now.
 */
export function freedBy(figures, due, situations) {
  const verb = figures.class === "transcripts" ? "archives" : "frees";
  const now = due.files > 0 ? `--apply ${verb} ${size(due.bytes)}` : "";
  const others = situations.map((situation) => whatElseFrees(figures, situation));
  const later = [...new Set(others)].join("; elsewhere ");
  if (now === "" || later === "") {
    return now || later;
  }
  return `${now} (${counted(due.files, "file")}); the rest: ${later}`;
}

function whatElseFrees({ class: name, freeBytes }, situation) {
  const { isSwept, hasDatabase, keepsArchives, condition } = situation;
  const imports = hasDatabase
    ? `${DOCTOR} --fix, which imports them`
    : "nothing: their store is missing";
  const later = condition ? `, ${condition}` : "";
  if (name === "archives" && keepsArchives) {
    return "nothing: archives are kept as long as runs, forever";
  }
  if (name === "backups" && !isSwept && !hasDatabase) {
    return "nothing: they may be the only copy of sessions";
  }
  if (OPTIONS[name] !== undefined) {
    return `--apply ${OPTIONS[name]} <time>${later}`;
  }
  if (name === "locks" && condition) {
    return `--apply${later}`;
  }
  switch (name) {
    case "orphans":
      return `${DOCTOR}, which archives them`;
    case "transcripts":
      return isSwept ? "in use" : imports;
    case "checkpoints":
      return isSwept ? "the gateway, with their sessions" : imports;
    case "temps":
      if (isSwept) {
        return "nothing yet: they may be in use";
      }
      return hasDatabase ? CLEANUP : "nothing: they may be the only copy of sessions";
    case "imported":
      return `${UPDATE_CLEANUP}, offline`;
    case "exports":
      return "the gateway, with their rows";
    case "database":
      return freeBytes > 0 ? `${COMPACT}, offline (${size(freeBytes)})` : "in use";
    case "log":
      return "the gateway, when it is stopped";
    case "kept":
      return "nothing: they may be the only copy of sessions";
    case "caches":
      return isSwept ? CLEANUP : "the gateway";
    default:
      return name === "trajectories" ? "the gateway, with their sessions" : "nothing";
  }
}

/** Returns whether an option or a command frees files of a class that --apply would not delete now. */
export function isFreeable(figures, situation) {
  return /^(--apply|openclaw) /.test(whatElseFrees(figures, situation));
}
