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

/** A path as its owner knows it, with `~` for the home folder. */
export function pathShown(path) {
  const home = homedir();
  const isBelow = home !== "" && path.startsWith(home + sep);
  return printable(isBelow ? `~${path.slice(home.length)}` : path);
}

/** What is going on: one line, however narrow the terminal is, or it could not be taken back. */
export function progressLine(what, path, share, width) {
  return shortened([what, share, pathShown(path), "…"].filter(Boolean).join(" "), width - 1);
}

/** All about a store, line by line. `width`: how many characters a line may have. */
export function inspectionLines({ found, retentionMs, retentionFrom, nowMs, width, paints }) {
  const { bold, dim, cyan, yellow } = paints;
  const { kinds, runs, biggestJobs, biggestEntries } = found;
  const section = (title, rows, sides) => {
    lines.push("", bold(title), ...table(rows, sides).map((line) => `  ${line}`));
  };
  const name = (text, room) => shortened(printable(text), Math.max(room, 20));
  const lines = [`${counted(found.entries, "entry", "entries")}, ${size(found.bytes)}`];
  if (kinds.length > 0) {
    const most = Math.max(...kinds.map(({ bytes }) => bytes));
    const rows = kinds.map(({ kind, entries, bytes }) => [
      kind,
      grouped(entries),
      size(bytes),
      [bar(bytes / most, BAR), cyan],
    ]);
    section("What is in it", rows, "lrrl");
  }
  const rule =
    retentionMs === null ? "runs are kept for ever" : `not updated for ${duration(retentionMs)}`;
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
  section("Cron runs", runRows, "lrrl");
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
  section("Beside it in the folder", folderRows(found, nowMs, dim), "lrrl");
  return lines;
}

function folderRows({ transcripts, archives, temps, others }, nowMs, dim) {
  const { oldestMs } = archives;
  const oldest = oldestMs === null ? "" : `the oldest from ${ago(nowMs - oldestMs)}`;
  const origin = temps.files > 0 ? "left by writers that crashed, or being written" : "";
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

/** Whether a report of a dry run has anything that a sweep would do. */
export function wouldChange({ pruned, archives, temps }) {
  return pruned > 0 || archives.removed > 0 || temps.removed > 0;
}

/** What a sweep would do, in sentences. */
export function previewLines({ reason, ...report }) {
  if (reason === "disabled") {
    return ["A sweep would do nothing: runs are kept for ever, and with them their archives."];
  }
  if (!wouldChange(report)) {
    return [`A sweep would find nothing to do${lockedNote(report)}.`];
  }
  return [
    `A sweep would ${worksOf(["remove", "archive", "delete"], report)}${lockedNote(report)}.`,
    `It would free ${size(report.bytes.reclaimed)}.`,
  ];
}

/** What a sweep did, and what came of it; the second only if it did something. */
export function sweepLines({ reason, ...report }) {
  const { bytes, ms, pruned } = report;
  if (reason === "disabled") {
    return ["nothing to do: runs are kept for ever, and with them their archives"];
  }
  if (reason === "no-store") {
    return ["nothing to do: the store is gone"];
  }
  if (!wouldChange(report)) {
    return [`nothing to do${lockedNote(report)}`];
  }
  const works = worksOf(["removed", "archived", "deleted"], report);
  const sizes = pruned > 0 ? `, the store from ${size(bytes.before)} to ${size(bytes.after)}` : "";
  const gain = `${size(bytes.reclaimed)} freed${sizes}, in ${duration(ms.total)}`;
  return [`${works}${lockedNote(report)}`, gain];
}

/** `removed 3 runs, archived 3 transcripts, deleted 2 old archives and 1 dead temp file`. */
function worksOf([remove, archive, discard], { pruned, transcripts, archives, temps }) {
  const old = [
    archives.removed > 0 ? counted(archives.removed, "old archive") : "",
    temps.removed > 0 ? counted(temps.removed, "dead temp file") : "",
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
    ? `; ${counted(entries.locked, "expired run")} left, whose transcript is being written`
    : "";
}

/** What somebody can do about a failure, in lines below its message. */
export function adviceFor({ code, message, path, line, column }) {
  const quoted = `'${printable(String(path)).replaceAll("'", "'\\''")}'`;
  switch (code) {
    case "ERR_SESSION_STORE_INVALID": {
      const from = Math.max(1, column - 40);
      const look = `sed -n '${line}p' ${quoted} | cut -b ${from}-${column + 40}`;
      return [
        ...(/the file (is empty|contains only white space)/.test(message) ? [] : [`To see the place: ${look}`]),
        "Stop the gateway before you mend it: with its next save it overwrites a store that it cannot read.",
      ];
    }
    case "ERR_SESSION_STORE_LOCKED":
      return [
        "Another process, nearly always the gateway, is writing the store. Try again in a minute.",
        "If that process hangs, end it: its lock is then taken away by whoever comes next.",
      ];
    case "ERR_SESSION_STORE_BUSY":
    case "ERR_SESSION_STORE_LOCK_LOST":
      return ["Nothing was lost. Try again when the gateway is less busy."];
    case "EACCES":
    case "EPERM":
      return ["Run it as the user that the gateway runs as."];
    case "ENOSPC":
    case "EDQUOT":
      return [
        "A sweep writes what stays to a new file first, and needs that much room on the disk.",
      ];
    default:
      return [];
  }
}
