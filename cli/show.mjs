// What the command prints about one store.

import { homedir } from "node:os";
import { sep } from "node:path";
import {
  ago,
  bar,
  counted,
  duration,
  grouped,
  printable,
  shortened,
  size,
  table,
} from "./text.mjs";

const BAR = 20;

/** Returns a path for display, with `~` for the home folder. */
export function displayPath(path) {
  const home = homedir();
  const isBelow = home !== "" && path.startsWith(home + sep);
  return printable(isBelow ? `~${path.slice(home.length)}` : path);
}

/** Returns a progress line. It fits the terminal: a wrapped line could not be erased. */
export function progressLine(what, path, share, width) {
  return shortened([what, share, displayPath(path), "…"].filter(Boolean).join(" "), width - 1);
}

/** Returns the inspection of a store as lines of at most `width` characters. */
export function inspectionLines({ inspection, retentionMs, retentionFrom, nowMs, width, paints }) {
  const { bold, dim, cyan, yellow } = paints;
  const { kinds, runs, biggestJobs, biggestEntries } = inspection;
  const section = (title, rows, sides) => {
    lines.push("", bold(title), ...table(rows, sides).map((line) => `  ${line}`));
  };
  const name = (text, length) => shortened(printable(text), Math.max(length, 20));
  const lines = [`${counted(inspection.entries, "entry", "entries")}, ${size(inspection.bytes)}`];
  if (kinds.length > 0) {
    const most = Math.max(...kinds.map(({ bytes }) => bytes));
    const rows = kinds.map(({ kind, entries, bytes }) => [
      kind,
      grouped(entries),
      size(bytes),
      [bar(bytes / most, BAR), cyan],
    ]);
    section("Contents", rows, "lrrl");
  }
  const rule =
    retentionMs === null ? "runs are kept forever" : `not updated for ${duration(retentionMs)}`;
  const oldest = runs.oldestMs === null ? "" : `the oldest from ${ago(nowMs - runs.oldestMs)}`;
  const expired = grouped(runs.expired);
  const runRows = [
    ["all", grouped(runs.total), size(runs.bytes), [oldest, dim]],
    [
      "expired",
      runs.expired > 0 ? [expired, yellow] : expired,
      size(runs.expiredBytes),
      [`${rule} (${retentionFrom})`, dim],
    ],
  ];
  section("Cron runs", [...runRows, ...wrongTimes(runs, paints)], "lrrl");
  if (biggestJobs.length > 0) {
    const rows = biggestJobs.map(({ job, runs, expired, bytes }) => [
      size(bytes),
      counted(runs, "run"),
      `${grouped(expired)} expired`,
      name(job, width - 40),
    ]);
    section("Biggest jobs", rows, "rrrl");
  }
  if (biggestEntries.length > 0) {
    const rows = biggestEntries.map(({ key, bytes }) => [size(bytes), name(key, width - 14)]);
    section("Biggest entries", rows, "rl");
  }
  section("In the same folder", folderRows(inspection, nowMs, dim), "lrrl");
  return lines;
}

/** Returns a row for the runs with a wrong time, of each kind. */
function wrongTimes({ future, undated }, { dim, yellow }) {
  return [
    ["in the future", future, "updatedAt is later than now: they expire too late"],
    ["never expire", undated, "updatedAt is not a number (such as a date as text), or no entry"],
  ]
    .filter(([, count]) => count > 0)
    .map(([what, count, why]) => [what, [grouped(count), yellow], "", [why, dim]]);
}

function folderRows({ transcripts, archives, temps, others }, nowMs, dim) {
  const { oldestMs } = archives;
  const oldest = oldestMs === null ? "" : `the oldest from ${ago(nowMs - oldestMs)}`;
  const origin = temps.files > 0 ? "left by crashed writers, or being written" : "";
  const rows = [
    ["transcripts", transcripts, ""],
    ["archives", archives, oldest],
    ["temp files", temps, origin],
    ["other files", others, ""],
  ];
  return rows.map(([what, { files, bytes }, note]) => [
    what,
    grouped(files),
    size(bytes),
    [note, dim],
  ]);
}

/** Returns whether a report contains a change, made or previewed. */
export function wouldChange({ pruned, archives, temps }) {
  return pruned > 0 || archives.removed > 0 || temps.removed > 0;
}

/** Returns the preview of a sweep as sentences. */
export function previewLines({ reason, ...report }) {
  if (reason === "disabled") {
    return ["A sweep would do nothing: runs and archives are kept forever."];
  }
  if (!wouldChange(report)) {
    return [`A sweep would find nothing to do${lockedNote(report)}.`];
  }
  return [
    `A sweep would ${actionsOf(["remove", "archive", "delete"], report)}${lockedNote(report)}.`,
    `It would free ${size(report.bytes.reclaimed)}.`,
  ];
}

/** Returns what a sweep did and, if it changed something, what it freed. */
export function sweepLines({ reason, ...report }) {
  const { bytes, ms, pruned } = report;
  if (reason === "disabled") {
    return ["nothing to do: runs and archives are kept forever"];
  }
  if (reason === "no-store") {
    return ["nothing to do: the store no longer exists"];
  }
  if (!wouldChange(report)) {
    return [`nothing to do${lockedNote(report)}`];
  }
  const actions = actionsOf(["removed", "archived", "deleted"], report);
  const sizes = pruned > 0 ? `, the store from ${size(bytes.before)} to ${size(bytes.after)}` : "";
  const gain = `${size(bytes.reclaimed)} freed${sizes}, in ${duration(ms.total)}`;
  return [`${actions}${lockedNote(report)}`, gain];
}

/** `removed 3 runs, archived 3 transcripts, deleted 2 old archives and 1 leftover temp file`. */
function actionsOf([remove, archive, discard], { pruned, transcripts, archives, temps }) {
  const old = [
    archives.removed > 0 ? counted(archives.removed, "old archive") : "",
    temps.removed > 0 ? counted(temps.removed, "leftover temp file") : "",
  ].filter(Boolean);
  return [
    pruned > 0 ? `${remove} ${counted(pruned, "run")}` : "",
    transcripts.archived > 0 ? `${archive} ${counted(transcripts.archived, "transcript")}` : "",
    old.length > 0 ? `${discard} ${old.join(" and ")}` : "",
  ]
    .filter(Boolean)
    .join(", ");
}

function lockedNote({ entries }) {
  return entries.locked > 0
    ? `; ${counted(entries.locked, "expired run")} kept: transcript being written`
    : "";
}

/** Returns what the user can do about a failure, as lines below its message. */
export function adviceFor({ code, message, path, line, column }) {
  const quoted = `'${printable(String(path)).replaceAll("'", "'\\''")}'`;
  switch (code) {
    case "ERR_SESSION_STORE_INVALID": {
      const from = Math.max(1, column - 40);
      const command = `sed -n '${line}p' ${quoted} | cut -b ${from}-${column + 40} | cat -v`;
      return [
        ...(/the file (is empty|contains only white space)/.test(message)
          ? []
          : [`To show the position: ${command}`]),
        "Stop the gateway before you repair the store: its next save overwrites an unreadable store.",
      ];
    }
    case "ERR_SESSION_STORE_LOCKED":
      return [
        "Another process, usually the gateway, is writing the store. Try again in a minute.",
        "If that process hangs, end it: the next process that needs the lock takes it over.",
      ];
    case "ERR_SESSION_STORE_BUSY":
    case "ERR_SESSION_STORE_LOCK_LOST":
      return ["Nothing was lost. Try again when the gateway is less busy."];
    case "EACCES":
    case "EPERM":
      return ["Run the command as the gateway's user."];
    case "ENOSPC":
    case "EDQUOT":
      return ["A sweep first writes the kept entries to a new file, which needs free disk space."];
    default:
      return [];
  }
}
