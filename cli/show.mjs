// What the command prints about one store or folder.

import { sep } from "node:path";
import { freedBy, isFreeable, labelOf, summed } from "./classes.mjs";
import { userHome } from "./files.mjs";
import { doneBy, dueBy, dueOf, isChange } from "./free.mjs";
import {
  ago,
  bar,
  counted,
  duration,
  grouped,
  printable,
  shortened,
  shortenedInMiddle,
  size,
  table,
  wrapped,
} from "./text.mjs";

const BAR = 20;

/** Returns a path for display, with `~` for the home folder. */
export function displayPath(path) {
  const home = userHome();
  const isBelow = home !== "" && path.startsWith(home + sep);
  return printable(isBelow ? `~${path.slice(home.length)}` : path);
}

/** Returns a progress line. It fits the terminal: a wrapped line could not be erased. */
export function progressLine(what, path, share, width) {
  return shortened([what, share, displayPath(path), "…"].filter(Boolean).join(" "), width - 1);
}

/** Below this width, tables have fewer columns. */
export const NARROW = 64;

/** What a table is indented by in a view of one store. */
const INDENT = 4;

/** Returns the inspection of a store as lines of at most `width - 2` columns. */
export function inspectionLines({ inspection, retentionMs, retentionFrom, nowMs, jobs, ...view }) {
  const { width, paints } = view;
  const { dim, cyan, yellow } = paints;
  const { kinds, runs, biggestJobs, biggestEntries } = inspection;
  const lines = [`${counted(inspection.entries, "entry", "entries")}, ${size(inspection.bytes)}`];
  const section = (title, rows, sides) => lines.push(...sectionLines(title, rows, sides, view));
  const name = (text, taken) => shortenedInMiddle(printable(text), Math.max(width - taken, 20));
  if (kinds.length > 0) {
    const most = Math.max(...kinds.map(({ bytes }) => bytes));
    const rows = kinds.map(({ kind, entries, bytes }) => [
      kind,
      grouped(entries),
      size(bytes),
      [width < NARROW ? "" : bar(bytes / most, BAR), cyan],
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
      name(jobs?.has(job) ? `${jobs.get(job)} (${job})` : job, width < NARROW ? 6 : 42),
    ]);
    section("Biggest jobs", rows, "rrrl");
  }
  if (biggestEntries.length > 0) {
    const rows = biggestEntries.map(({ key, bytes }) => [size(bytes), name(key, 16)]);
    section("Biggest entries", rows, "rl");
  }
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

/** Returns a title and a table, with an empty line before them. */
function sectionLines(title, rows, sides, { width, paints }) {
  const lines = table(rows, sides, width - INDENT).map((line) => `  ${line}`);
  return ["", paints.bold(title), ...lines];
}

/**
 * Returns what is in and beside sessions folders, by class, as lines.
 *
 * @param results Of each store or folder: `contents` (the classes of its files), `items` (what is beside
 * it), `preview` (of a sweep, if it has a store), `freeable` (files that --apply would delete), `refusal`
 * (why its store is not swept) and `shared` (the same object for all stores in one folder).
 */
export function folderLines(title, results, nowMs, view) {
  const { dim, yellow } = view.paints;
  const folders = foldersOf(results);
  const classes = summed(folders.flatMap(({ classes }) => classes));
  if (classes.length === 0) {
    return [];
  }
  const isNarrow = view.width < NARROW;
  const rows = classes.map((figures) => {
    const { files, bytes, oldestMs, isIncomplete } = figures;
    const due = { files: 0, bytes: 0 };
    const situations = [];
    for (const folder of folders) {
      const own = folder.results.map((result) => {
        return dueOf(figures.class, result.preview, result.freeable);
      });
      const inFolder = folder.classes.find((it) => it.class === figures.class)?.files ?? 0;
      const dueFiles = own.reduce((sum, { files }) => sum + files, 0);
      due.files += dueFiles;
      due.bytes += own.reduce((sum, { bytes }) => sum + bytes, 0);
      situations.push(...(inFolder > dueFiles ? [folder.situation] : []));
    }
    const paint = due.files > 0 ? yellow : dim;
    const label = labelOf(figures.class);
    const count = grouped(files) + (isIncomplete ? "+" : "");
    // Without files if a folder cannot be listed.
    const oldest = files > 0 ? ago(nowMs - oldestMs) : "–";
    const frees = freedBy(figures, due, situations);
    return isNarrow
      ? [label, size(bytes), [`${count}, ${oldest}: ${frees}`, paint]]
      : [label, count, size(bytes), oldest, [frees, paint]];
  });
  const header = isNarrow
    ? ["", "size", "files, oldest: freed by"]
    : ["", "files", "size", "oldest", "freed by"];
  const all = [header.map((text) => [text, dim]), ...rows];
  return sectionLines(title, all, isNarrow ? "lrl" : "lrrrl", view);
}

/** Returns each folder of the results once: its `results`, `classes`, and `situation` as of `freedBy`. */
function foldersOf(results) {
  const groups = new Map();
  for (const result of results) {
    groups.set(result.shared, [...(groups.get(result.shared) ?? []), result]);
  }
  return [...groups.values()].map((results) => {
    const classes = summed(results.flatMap(({ contents, items }) => [contents, items]));
    return { results, classes, situation: situationOf(results, classes) };
  });
}

function situationOf(results, classes) {
  return {
    isSwept: results.some(
      ({ isStore, refusal }) => isStore && refusal?.code !== "ERR_GATEWAY_DATABASE",
    ),
    hasDatabase:
      classes.some(({ class: name }) => name === "database") ||
      results.some(({ refusal }) => refusal?.code === "ERR_GATEWAY_DATABASE"),
    keepsArchives: results.every(({ isStore, retentionMs }) => isStore && retentionMs === null),
    // What allows --apply, if it is refused for all.
    condition: results.every(({ refusal }) => refusal)
      ? CONDITIONS[results[0].refusal.code]
      : undefined,
  };
}

/** Returns a line about the large items of a state folder; none if there are none. */
export function largeItemsLines(state, items, width) {
  const texts = items.map(
    ({ name, bytes, isIncomplete }) => `${name}/ ${isIncomplete ? "over " : ""}${size(bytes)}`,
  );
  return texts.length === 0
    ? []
    : wrapped(`Also in ${displayPath(state)}: ${texts.join(", ")}`, width);
}

/** Why a store is refused, in short, by the code of the refusal. */
const REFUSALS = {
  ERR_GATEWAY_DATABASE: "its gateway keeps the sessions in SQLite",
  ERR_GATEWAY_RUNNING: "a gateway is running",
  ERR_GATEWAY_UNKNOWN: "a gateway may be running",
};

/** When --apply is no longer refused, by the code of the refusal. */
const CONDITIONS = {
  ERR_GATEWAY_DATABASE: "after openclaw doctor --fix",
  ERR_GATEWAY_RUNNING: "while the gateway is stopped",
  ERR_GATEWAY_UNKNOWN: "while the gateway is stopped",
};

/** Returns why stores are refused, in short. */
export function refusalOf(refusals) {
  return [...new Set(refusals.map(({ code }) => REFUSALS[code]))].join(", or ");
}

/** Returns the preview of a sweep and of what else --apply would delete, as sentences. */
export function previewLines(result) {
  const { preview, contents, items, inspection, refusal, shared } = result;
  const changes = dueBy(result);
  if (refusal) {
    const { expired } = inspection.runs;
    const runs = `${counted(expired, "run")} ${expired === 1 ? "is" : "are"} expired.`;
    return [`--apply would be refused and free nothing: ${refusalOf([refusal])}. ${runs}`];
  }
  if (!isChange(changes)) {
    if (preview?.reason === "disabled") {
      return ["A sweep would do nothing: runs and archives are kept forever."];
    }
    const [{ situation }] = foldersOf(shared.results);
    const isFreeableElse = [...contents, ...items].some((it) => isFreeable(it, situation));
    const nothing = isFreeableElse
      ? "--apply would free nothing; see above for what frees the rest"
      : preview
        ? "A sweep would find nothing to do"
        : "--apply would free nothing";
    return [`${nothing}${lockedNote(preview)}.`];
  }
  const subject = preview ? "A sweep" : "--apply";
  return [
    `${subject} would ${actionsOf(["remove", "archive", "delete"], changes)}${lockedNote(preview)}.`,
    `It would free ${size(changes.bytes)}.`,
  ];
}

/** Returns what was done with a store and, if something changed, what was freed. */
export function resultLines(result) {
  const { sweep } = result;
  const changes = doneBy(result);
  if (!isChange(changes)) {
    switch (sweep?.reason) {
      case "disabled":
        return ["not swept: runs and archives are kept forever"];
      case "no-store":
        return ["not swept: the store no longer exists"];
      default:
        return [lockedNote(sweep).slice(2) || "nothing expired"];
    }
  }
  const actions = actionsOf(["removed", "archived", "deleted"], changes);
  const sizes =
    changes.runs > 0
      ? `, the store from ${size(sweep.bytes.before)} to ${size(sweep.bytes.after)}`
      : "";
  const time = sweep ? `, in ${duration(sweep.ms.total)}` : "";
  return [`${actions}${lockedNote(sweep)}`, `${size(changes.bytes)} freed${sizes}${time}`];
}

/** `removed 3 runs, archived 3 transcripts, deleted 2 old archives and 1 leftover temp file`. */
export function actionsOf([remove, archive, discard], changes) {
  const { runs, transcripts } = changes;
  const deleted = deletedOf(changes);
  return [
    runs > 0 ? `${remove} ${counted(runs, "run")}` : "",
    transcripts > 0 ? `${archive} ${counted(transcripts, "transcript")}` : "",
    deleted === "" ? "" : `${discard} ${deleted}`,
  ]
    .filter(Boolean)
    .join(", ");
}

/** `2 old archives, 1 reset and 1 leftover temp file`: the files that are deleted, not archived. */
export function deletedOf({ archives, resets, backups, temps, locks }) {
  const all = [
    [archives, "old archive"],
    [resets, "reset"],
    [backups, "store backup"],
    [temps, "leftover temp file"],
    [locks, "dead lock"],
  ].flatMap(([count, noun]) => (count > 0 ? [counted(count, noun)] : []));
  return all.length > 1 ? `${all.slice(0, -1).join(", ")} and ${all.at(-1)}` : all.join("");
}

function lockedNote(report) {
  const locked = report?.entries.locked ?? 0;
  return locked > 0 ? `; ${counted(locked, "expired run")} kept: transcript being written` : "";
}

/** The kinds of what --list names, by the fields of the addon's answer. */
const LISTED = {
  runs: "run",
  transcripts: "transcript",
  archives: "archive",
  resets: "reset",
  backups: "backup",
  temps: "temp file",
  locks: "lock",
};

/** Returns the names of everything that --apply would remove, one in each line. They are not shortened. */
export function listLines(removals, { bold, dim }) {
  const rows = Object.entries(LISTED).flatMap(([field, kind]) =>
    removals[field].map((name) => [
      [kind, dim],
      field === "runs" ? printable(name) : displayPath(name),
    ]),
  );
  return rows.length === 0
    ? []
    : [
        "",
        bold("--apply would remove or archive"),
        ...table(rows, "ll").map((line) => `  ${line}`),
      ];
}

/** Returns what the user can do about a failure, as lines below its message. */
export function adviceFor({ code, message, path, line, column, lock }) {
  const quoted = `'${String(path).replaceAll("'", "'\\''")}'`;
  switch (code) {
    case "ERR_SESSION_STORE_INVALID": {
      const from = Math.max(1, column - 40);
      const command = `sed -n '${line}p' ${quoted} | cut -b ${from}-${column + 40} | cat -v`;
      const isEmpty = /the file (is empty|contains only white space)/.test(message);
      // An escaped path does not exist.
      const isUsable = !isEmpty && printable(quoted) === quoted;
      return [
        ...(isUsable ? [`To show the position: ${command}`] : []),
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
      return [
        "A sweep first writes the kept entries to a new file, which needs free disk space.",
        "--archive-retention, --reset-retention and --backup-retention delete old files before that.",
        ...(lock
          ? [
              `Leftover temp files are deleted only with the lock ${printable(lock)}, for which there is no space.`,
              "Delete or move any other file on this disk, such as an old log: a few KB suffice. Then try again.",
            ]
          : []),
      ];
    default:
      return [];
  }
}
