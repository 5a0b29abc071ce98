// npx cron-session-reaper: shows what is in a gateway's session stores; with --apply, sweeps them.

import { accessSync, constants, lstatSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, parse, sep } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { summed } from "./classes.mjs";
import { settingsOf } from "./config.mjs";
import { findStores } from "./discovery.mjs";
import { realPath, reasonOf } from "./files.mjs";
import { itemsBeside, jobNames, largeItems, placeOf } from "./folder.mjs";
import {
  checkReadable,
  contentsOf,
  doneBy,
  dueBy,
  free,
  isChange,
  isDiskFull,
  merged,
  NOTHING,
  removalsOf,
  sumOf,
} from "./free.mjs";
import { nameOf, overviewLines, questionOf, statesOf } from "./overview.mjs";
import { safetyOf } from "./running-gateway.mjs";
import {
  actionsOf,
  adviceFor,
  displayPath,
  folderLines,
  inspectionLines,
  largeItemsLines,
  listLines,
  previewLines,
  progressLine,
  resultLines,
} from "./show.mjs";
import { isSimilar } from "./similar.mjs";
import { stateFolder } from "./state-folder.mjs";
import {
  counted,
  duration,
  jsonText,
  paintsFor,
  printable,
  shortenedInMiddle,
  size,
  wrapped,
} from "./text.mjs";

const SUCCESS = 0;
const FAILED = 1;
const WRONG_USAGE = 2;
const NOT_FOUND = 3;

const HELP = `Usage: cron-session-reaper [options] [path …]

Shows what is in the session stores of an OpenClaw gateway and what a sweep would
remove: the sessions of expired cron runs. Changes nothing without --apply.

A path is a sessions.json, a folder that contains one, an agent's folder or a state
folder. Default: the gateway's state folder, which is OPENCLAW_STATE_DIR, else
.openclaw-<OPENCLAW_PROFILE>, else .openclaw, in OPENCLAW_HOME or the home folder.

  --apply             sweep: remove expired runs, archive their transcripts, and
                      delete old archives, leftover temp files and dead locks;
                      asks first
  --yes, -y           do not ask
  --retention <time>  how long runs are kept: 90m, 24h, 7d
                      (default: as set in openclaw.json, else 24h; if it cannot
                      be determined, --apply requires --retention)
  --archive-retention <time>
                      how long archives are kept, or "never" to delete none
                      (default: as long as runs, and only in folders in which
                      this sweep archives a transcript). If runs are kept
                      forever, nothing is swept and no archive is deleted
  --reset-retention <time>
                      how long transcripts of reset sessions are kept
                      (*.jsonl.reset.*; default: none is deleted)
  --backup-retention <time>
                      how long backups of stores are kept (sessions.json.bak.*;
                      default: none is deleted)
  --watch <time>      with --apply: sweep every 5m, 1h, … until stopped
  --offline           with --apply: sweep although it is unclear whether a gateway
                      from 2026.5.2 on is running; you guarantee that none is
  --details           show each store in full, not in one line
  --list              name each run, transcript and other file that --apply would
                      remove or archive
  --top <number>      how many of the biggest entries and jobs to show, up to 1000
                      (default: 5)
  --json              print one JSON document on stdout
  --dry-run, -n       change nothing: the default, without --apply
  --help, -h          print this text
  --version, -V       print the version

Exit codes:
  0  success, including nothing to do and prompt declined
  1  a store could not be read or swept, or no binary fits this machine
  2  wrong usage, or no terminal for the prompt (add --yes)
  3  no store found, or none at one of the paths

Colours are used on terminals only; NO_COLOR and FORCE_COLOR are respected.
`;

/** The first of these signals ends the command cleanly, the second one immediately. */
const SIGNALS = ["SIGINT", "SIGTERM"];

/** Why the work is stopped if its output cannot be written. */
const NO_OUTPUT = "no output";

/** The longest delay of a JavaScript timer. */
const LONGEST_WAIT_MS = 2 ** 31 - 1;

/** Runs that ended within this time are never meant to be removed. */
const SHORTEST_RETENTION_MS = 60_000;

/** The most entries and jobs that an inspection lists. */
const MOST_SHOWN = 1000;

/** A retention with which a sweep removes no run: about 270 years. */
const KEEPS_RUNS = "100000d";

/** Work that takes less time shows no progress. */
const PROGRESS_AFTER_MS = 400;

/** A wrong command line, or another reason why the command cannot start. */
class UsageError extends Error {
  constructor(message, exitCode = WRONG_USAGE) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Runs the command with its arguments. Resolves to the exit code of the process. */
export async function run(args) {
  const output = { stop: new AbortController(), isNeeded: true, error: undefined };
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error) => {
      // With EPIPE the reader closed the pipe, as `head` does, and needs no more.
      if (error.code !== "EPIPE") {
        output.error ??= error;
      }
      // Only a requested sweep is still completed.
      if (output.isNeeded) {
        output.stop.abort(NO_OUTPUT);
      }
    });
  }
  const exitCode = await runWith(args, output);
  // The event of the last write comes later than the write.
  await new Promise(setImmediate);
  if (output.error === undefined) {
    return exitCode;
  }
  printFailure(`cannot write the output: ${reasonOf(output.error)}; write it to another place`);
  return FAILED;
}

/** Runs the command. `output.isNeeded`: nothing is left to do if its output cannot be written. */
async function runWith(args, output) {
  const { stop } = output;
  const onSignal = (signal) => stop.abort(signal);
  for (const signal of SIGNALS) {
    process.once(signal, onSignal);
  }
  try {
    const options = readArguments(args);
    if (options.help || options.version) {
      print(options.help ? HELP.trimEnd() : version());
      return SUCCESS;
    }
    output.isNeeded = !options.apply || options.watch !== undefined;
    const command = new Command(options, stop.signal);
    return await (options.watch === undefined ? command.once() : command.watch());
  } catch (error) {
    if (error instanceof UsageError) {
      printFailure(error.message);
      return error.exitCode;
    }
    if (error.syscall === "uv_cwd") {
      // From `resolve` of a relative path, wherever it comes from.
      printFailure(
        "the working directory no longer exists; change to another folder, or make the paths in HOME and OPENCLAW_… absolute",
      );
      return FAILED;
    }
    if (error.code !== "ABORT_ERR") {
      throw error;
    }
    if (stop.signal.reason !== NO_OUTPUT) {
      // The work was stopped cleanly. Without our handler, which `once` removed, the repeated signal
      // ends the process with the status that its parent expects.
      process.kill(process.pid, stop.signal.reason);
    }
    return SUCCESS;
  } finally {
    for (const signal of SIGNALS) {
      process.off(signal, onSignal);
    }
  }
}

/**
 * Prints a text and a line break. Node.js ignores that only a part of a text was written; then the write of
 * the line break fails.
 */
function print(text) {
  process.stdout.write(text);
  process.stdout.write("\n");
}

function printFailure(message) {
  const { red } = paintsFor(process.stderr);
  // The message may quote an argument or a path.
  process.stderr.write(`${red("cron-session-reaper:")} ${printable(message)}\n`);
}

function readArguments(args) {
  let parsed;
  try {
    parsed = parseArgs({
      args,
      allowPositionals: true,
      options: {
        apply: { type: "boolean", default: false },
        yes: { type: "boolean", short: "y", default: false },
        retention: { type: "string" },
        "archive-retention": { type: "string" },
        "reset-retention": { type: "string" },
        "backup-retention": { type: "string" },
        details: { type: "boolean", default: false },
        list: { type: "boolean", default: false },
        watch: { type: "string" },
        top: { type: "string", default: "5" },
        json: { type: "boolean", default: false },
        "dry-run": { type: "boolean", short: "n", default: false },
        offline: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        version: { type: "boolean", short: "V", default: false },
      },
    });
  } catch (error) {
    const [, option] = /'(--[a-z-]+)' argument is ambiguous/.exec(error.message) ?? [];
    if (option !== undefined) {
      // The option may also be there with a valid value.
      const next = args.find((arg, at) => args[at - 1] === option && arg.startsWith("-"));
      throw new UsageError(`${option} needs a value, and ${next} begins with a dash; see --help`);
    }
    // The rest of the message explains arguments that begin with a dash.
    const problem = error.message.split(/\.? To specify|\.?\n/)[0];
    throw new UsageError(`${problem}; ${hintFor(/'(--?[^' ]+)/.exec(problem)?.[1] ?? "", args)}`);
  }
  const { values, positionals: paths } = parsed;
  const { apply, yes, json, help, version } = values;
  if (help || version) {
    return { help, version };
  }
  if (paths.includes("")) {
    throw new UsageError("a path is empty; write . for the current folder");
  }
  if (apply && values["dry-run"]) {
    throw new UsageError("--apply cannot be used with --dry-run");
  }
  for (const [needs, name] of [
    [yes, "--yes"],
    [values.watch !== undefined, "--watch"],
    [values.offline, "--offline"],
  ]) {
    if (needs && !apply) {
      throw new UsageError(`${name} requires --apply`);
    }
  }
  for (const name of ["json", "list"]) {
    if (values[name] && values.watch !== undefined) {
      throw new UsageError(`--${name} cannot be used with --watch`);
    }
  }
  if (!/^\d{1,4}$/.test(values.top) || Number(values.top) > MOST_SHOWN) {
    throw new UsageError(`--top ${values.top}: not a number from 0 to ${MOST_SHOWN}`);
  }
  checkRetention("--retention", values.retention);
  const archiveRetention = values["archive-retention"];
  if (archiveRetention !== "never") {
    checkRetention("--archive-retention", archiveRetention, 'write 7d, or "never"');
  }
  checkRetention("--reset-retention", values["reset-retention"]);
  checkRetention("--backup-retention", values["backup-retention"]);
  const watch = durationOf("--watch", values.watch, "write 5m or 1h");
  // The gateway reads a number without a unit as hours, which `--watch 5` hardly means.
  if (/^\s*[\d.]+\s*$/.test(values.watch ?? "") || watch < 1000 || watch > LONGEST_WAIT_MS) {
    throw new UsageError(`--watch ${values.watch}: write a time from 1s to 24d, such as 5m`);
  }
  return {
    paths,
    apply,
    yes,
    json,
    watch,
    top: Number(values.top),
    retention: values.retention,
    archiveRetention: archiveRetention === "never" ? false : archiveRetention,
    offline: values.offline,
    ages: {
      archives:
        archiveRetention === "never"
          ? undefined
          : durationOf("--archive-retention", archiveRetention),
      resets: durationOf("--reset-retention", values["reset-retention"]),
      backups: durationOf("--backup-retention", values["backup-retention"]),
    },
    details: values.details,
    list: values.list,
  };
}

/** What users of `openclaw sessions cleanup` and similar commands type, and what it is called here. */
const OTHER_NAMES = {
  "--enforce": "to sweep, use --apply",
  "--all-agents": "all agents' stores are the default; without a path they are all used",
  "--store": "name a store without an option: cron-session-reaper <sessions.json>",
  "--agent": "name the agent's folder without an option: cron-session-reaper <folder>",
  "--active-key": "only expired runs are removed; no session needs protection",
  "--fix-missing": 'only expired runs are removed; use "openclaw sessions cleanup" for this',
  "--fix-dm-scope": 'only expired runs are removed; use "openclaw sessions cleanup" for this',
  "--force": "to sweep without a question, use --apply --yes",
  "-f": "to sweep without a question, use --apply --yes",
  "--older-than": "write --retention, such as --retention 7d",
  "--days": "write --retention, such as --retention 7d",
  "--state-dir": "name the state folder without an option: cron-session-reaper <folder>",
  "--profile": "set OPENCLAW_PROFILE, or name the state folder: cron-session-reaper <folder>",
};

const OPTION_NAMES = [...HELP.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, name]) => name);

/** Returns what an unknown or incomplete option of the arguments probably means. */
function hintFor(option, args) {
  if (OPTION_NAMES.includes(option)) {
    return "see --help";
  }
  // `-apply` is read as `-a -p …`.
  const typed = option.startsWith("--") ? option : (args.find((it) => it.startsWith(option)) ?? "");
  const name = `--${typed.replace(/^-+|=.*/g, "").toLowerCase()}`;
  const isMeant = (known) =>
    isSimilar(known, name) || known === name || (name.length > 4 && known.startsWith(name));
  const meant = OPTION_NAMES.find(isMeant);
  return (
    OTHER_NAMES[option] ??
    OTHER_NAMES[name] ??
    (meant ? `did you mean ${meant}? See --help` : "see --help")
  );
}

/**
 * Refuses a retention that is probably a mistake: a number without a unit, which the gateway reads as
 * hours, and less than a minute, which would remove runs that have just ended.
 */
function checkRetention(name, text, hint) {
  const ms = durationOf(name, text, hint);
  if (ms === undefined) {
    return;
  }
  if (ms < SHORTEST_RETENTION_MS) {
    throw new UsageError(`${name} ${text}: write at least 1m, such as 24h or 7d`);
  }
  const [, number] = /^\s*([\d.]+)\s*$/.exec(text) ?? [];
  if (number) {
    throw new UsageError(`${name} ${number}: add a unit; do you mean ${number}d or ${number}h?`);
  }
  // Elsewhere, for example in ISO 8601, M stands for months.
  const [, minutes] = /([\d.]+)M(?!s)/.exec(text) ?? [];
  if (minutes) {
    throw new UsageError(
      `${name} ${text}: M counts minutes, not months; write ${minutes}m, or a number of days such as 30d`,
    );
  }
}

/** Returns why a configured retention is not used, if that is so. */
function problemOf(value, file) {
  if (value === false) {
    return undefined;
  }
  const text = typeof value === "number" ? String(value) : JSON.stringify(value);
  const setting = `cron.sessionRetention in ${file} is ${text}`;
  if (typeof value === "string" && value.trim() !== "") {
    const ms = addon("load.js").parseDuration(value);
    if (ms === null) {
      return `${setting}, which is not a duration such as "24h" or "7d"`;
    }
    return ms < SHORTEST_RETENTION_MS
      ? `${setting}, which removes every run as soon as it has ended (to keep runs forever, write false)`
      : undefined;
  }
  return `${setting}, which the gateway rejects: ${INSTEAD[value] ?? INSTEAD[typeof value]}`;
}

/** What to write instead of a retention that is not a text, by value or type. */
const INSTEAD = {
  number: 'write a text with a unit, such as "24h" or "7d"',
  0: 'write false to keep runs forever, or a text such as "24h"',
  true: 'write a text such as "24h", or false to keep runs forever',
  null: "remove it for the default of 24 hours, or write false to keep runs forever",
  string: "remove it for the default of 24 hours, or write false to keep runs forever",
  object: 'write a text such as "24h", or false to keep runs forever',
};

/** Parses a duration to milliseconds. Refuses an invalid one, which the gateway would read as 24 hours. */
function durationOf(name, text, hint = "write 90m, 24h or 7d") {
  if (text === undefined) {
    return undefined;
  }
  const ms = addon("load.js").parseDuration(text);
  if (ms === null) {
    throw new UsageError(`${name} ${text}: not a duration; ${hint}`);
  }
  return ms;
}

function addon(file) {
  try {
    return createRequire(import.meta.url)(`../${file}`);
  } catch (error) {
    // The message is complete; a stack trace would not help the user.
    throw new UsageError(error.message.replace(/^cron-session-reaper /, ""), FAILED);
  }
}

function version() {
  return JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version;
}

/** One run of the command. */
class Command {
  constructor(options, signal) {
    this.options = options;
    this.signal = signal;
    this.reaper = addon("index.js");
    this.paints = paintsFor(process.stdout);
    this.errorPaints = paintsFor(process.stderr);
    /** The messages that have been printed and are not repeated. */
    this.printed = new Set();
    /** The paths that --apply would remove, by what was inspected before. */
    this.announced = new Set();
  }

  /** Shows every store or, with --apply, sweeps them, if the user agrees. */
  async once() {
    const { apply, yes, json, list } = this.options;
    const asks = apply && !yes;
    if (asks && !(process.stdin.isTTY && process.stderr.isTTY)) {
      throw new UsageError("--apply needs a terminal to ask for confirmation; add --yes");
    }
    const { targets, missing, failed, notes } = this.#find();
    this.#printPathProblems(missing, failed);
    this.#printNotes(notes);

    // With --yes alone, nothing is shown, and only the sweep reads the stores.
    const isInspected = !yes || json || list;
    const results = await this.#lookAtAll(targets, isInspected);
    if (!json && isInspected) {
      this.#showAll(results);
    }
    if (apply && (yes || (await this.#confirm(results)))) {
      await this.#applyAndPrint(results.filter(({ error }) => !error));
    }
    const hasFailed = failed.length > 0 || results.some(({ error }) => error !== undefined);
    const code = hasFailed ? FAILED : missing.length > 0 ? NOT_FOUND : SUCCESS;
    if (json) {
      this.#printJson(results, { missing, failed, notes }, code);
    }
    return code;
  }

  /** Sweeps every store repeatedly, until a signal arrives. */
  async watch() {
    const { yes, watch } = this.options;
    const printed = new PrintedProblems();
    const find = () => {
      const { targets, missing, failed, notes } = this.#find();
      const messages = failed.map(({ error }) => error.message);
      // A missing store does not end the command: the gateway may create it later.
      if (printed.isNew("", [...missing, ...notes, ...messages])) {
        this.#printPathProblems(missing, failed);
        this.#printNotes(notes);
      }
      return targets;
    };
    if (!yes) {
      const isTerminal = process.stdin.isTTY && process.stderr.isTTY;
      if (!isTerminal) {
        throw new UsageError("--watch needs a terminal to ask for confirmation; add --yes");
      }
      this.#showAll(await this.#lookAtAll(find(), true));
      if (!(await this.#ask(`Sweep every ${duration(watch)} without asking again?`))) {
        return SUCCESS;
      }
    }
    process.stderr.write(`Sweeping every ${duration(watch)}. Stop with Ctrl-C or SIGTERM.\n`);
    while (!this.signal.aborted) {
      this.printed.clear();
      const targets = find();
      const results = targets.map((target) => this.#begin(target));
      try {
        await this.#applyToAll(results, (result) => this.#printAgain(result, printed));
      } catch (error) {
        if (error.code !== "ABORT_ERR") {
          throw error;
        }
      }
      await wait(watch, undefined, { signal: this.signal }).catch(() => {});
    }
    return SUCCESS;
  }

  /** Prints what one of repeated sweeps changed, and its problems if they are new. */
  #printAgain(result, printed) {
    const { path, sweep, freed, error, note } = result;
    if (isChange(doneBy(result))) {
      const time = new Date().toISOString();
      print(`${this.paints.dim(time)} ${displayPath(path)}: ${resultLines(result).join(": ")}`);
    }
    const warnings = (sweep?.warnings ?? []).map(({ error }) => error);
    const failures = freed?.failures ?? [];
    // A problem that persists for hours is printed once.
    if (printed.isNew(path, [error?.message ?? note, ...warnings, ...failures])) {
      this.#printProblems(result);
    }
  }

  /**
   * Finds the stores, and the folders without one. Those in the same folder have the same `shared`: the
   * `names` of the stores, their `results`, the `subfolders` with other stores or folders that were found,
   * whether the folder `overlaps` with the one of another store, and the `check` whether its stores can be
   * read: a promise, so that each is read once.
   */
  #find() {
    const { stores, folders, ...problems } = findStores(this.options.paths);
    const inFolders = new Map();
    const targetOf = (target, folder, names) => {
      const real = realPath(folder);
      const shared = inFolders.get(real) ?? { names: [], results: [], subfolders: new Set() };
      inFolders.set(real, shared);
      shared.names.push(...names);
      shared.overlaps = shared.names.length > 1;
      return { ...target, shared };
    };
    const withStore = stores.map((store) => {
      const { dir, base } = parse(store.path);
      return targetOf({ ...store, isStore: true }, dir, [base]);
    });
    const others = folders
      .filter(({ store }) => store === undefined)
      .map((folder) => targetOf(folder, folder.path, []));
    // A sweep may archive transcripts in subfolders.
    for (const [folder, shared] of inFolders) {
      const prefix = join(folder, sep);
      for (const [inner, other] of inFolders) {
        if (inner !== folder && inner.startsWith(prefix)) {
          shared.subfolders.add(inner.slice(prefix.length).split(sep)[0]);
          shared.overlaps = true;
          other.overlaps = true;
        }
      }
    }
    return { targets: [...withStore, ...others], ...problems };
  }

  /** Returns a result for each store or folder, and prints its problems. */
  async #lookAtAll(targets, isInspected) {
    const results = [];
    for (const target of targets) {
      const result = this.#begin(target);
      if (isInspected) {
        await this.#inspect(result);
      }
      if (this.options.apply) {
        result.error ??= result.doubt ?? result.refusal;
      }
      this.#printProblems(result);
      results.push(result);
    }
    return results;
  }

  /**
   * Returns the result for a store, or for a folder without one, that has not been opened yet. `folder` is
   * the sessions folder, `storePath` the path that its store has or would have.
   */
  #begin(target) {
    if (target.isStore) {
      const result = this.#resolveRetention(target);
      const { shared } = target;
      const storePath = result.path;
      return { ...result, folder: dirname(storePath), storePath, shared, isStore: true };
    }
    const { path, shared } = target;
    const storePath = join(path, "sessions.json");
    return { path, folder: path, storePath, shared, isStore: false, nowMs: Date.now() };
  }

  /**
   * Returns the result for a store that has not been opened yet: its path and retention. `doubt` is
   * an error if the retention cannot be determined; then the store is shown, but not swept.
   */
  #resolveRetention(store) {
    const { path } = store;
    const { retention: named } = this.options;
    const settings = settingsOf(store.states);
    const result = { path, store, ...safetyOf(store, settings, this.options) };
    if (named !== undefined) {
      return this.#withRetention(result, named, "--retention");
    }
    const { value, file, unclear, isOfStore } = settings.retention;
    const problem = unclear ?? (file ? problemOf(value, file) : undefined);
    if (problem) {
      const message = `${problem}; pass --retention`;
      result.doubt = Object.assign(new Error(message), { code: "ERR_RETENTION_UNKNOWN" });
      result.doubt.path = isOfStore ? path : undefined;
      return this.#withRetention(result, undefined, "the default");
    }
    return this.#withRetention(result, value, file ? displayPath(file) : "the default");
  }

  #withRetention(result, sessionRetention, retentionFrom) {
    const cronConfig = { sessionRetention };
    const retentionMs = this.reaper.resolveRetentionMs(cronConfig);
    return { ...result, cronConfig, retentionMs, retentionFrom, nowMs: Date.now() };
  }

  /** Inspects a store or folder and previews what --apply would do. A failure is set as `error`. */
  async #inspect(result) {
    const { isStore, folder, shared, doubt } = result;
    try {
      if (isStore) {
        await this.#inspectStore(result);
      }
      // What is in the folder of several stores is counted once.
      const isFirst = shared.results.length === 0;
      const contents = isFirst ? await this.#contentsOf(result) : [];
      const items = isFirst ? itemsBeside(folder, shared.subfolders) : [];
      Object.assign(result, { contents, items, freeable: NOTHING });
      shared.results.push(result);
      if (!(doubt && this.options.apply)) {
        Object.assign(result, await this.#preview(result));
        result.obstacle = isChange(dueBy(result)) ? obstacleOf(result) : undefined;
      }
    } catch (error) {
      result.error = operational(error);
    }
  }

  async #inspectStore(result) {
    const { path, cronConfig, nowMs } = result;
    const { signal } = this;
    const { top } = this.options;
    const inspect = (onProgress) =>
      this.reaper.inspectSessionStore({
        sessionStorePath: path,
        cronConfig,
        nowMs,
        top,
        signal,
        onProgress,
      });
    result.inspection = await withProgress("Reading", path, inspect);
  }

  /** Returns what --apply would do: `{ preview, freeable, removals }`. */
  async #preview(result) {
    const { isStore, refusal, shared } = result;
    const { list } = this.options;
    if (refusal) {
      return { removals: list ? removals({}, []) : undefined };
    }
    const own = isStore ? [] : ["archives"];
    const freeable = await this.#free(result, [...own, "resets", "backups", "dead"], true);
    const preview = isStore ? await this.#sweepSessionStore(result, { dryRun: true }) : undefined;
    if (!shared.overlaps && !list) {
      return { preview, freeable };
    }
    const ofSweep = await this.#removedBySweep(result);
    const files = announceOnce(preview, ofSweep, freeable.files, this.announced);
    const listed = list ? removals(ofSweep, files) : undefined;
    return { preview, freeable: { ...freeable, files }, removals: listed };
  }

  /** Returns the classes of the files in the folder. Beside a database, the folder may be missing. */
  async #contentsOf({ storePath, shared, isStore }) {
    const others = shared.names.filter((name) => name !== basename(storePath));
    try {
      return await contentsOf(storePath, others, this.signal);
    } catch (error) {
      if (isStore || error.code !== "ENOENT") {
        throw error;
      }
      return [];
    }
  }

  /**
   * Deletes files that no sweep deletes, or only returns them: see `free`. Rejects if a store in the folder
   * cannot be read.
   */
  async #free(result, what, dryRun, ages = this.options.ages) {
    const { storePath, shared, isStore, nowMs } = result;
    const stores = ["sessions.json", ...shared.names];
    const { signal } = this;
    try {
      shared.check ??= this.#checkStores(result, stores);
      await shared.check;
      return await free({ storePath, nowMs, ages, what, stores, dryRun, signal });
    } catch (error) {
      if (isStore || error.code !== "ENOENT") {
        throw error;
      }
      return NOTHING;
    }
  }

  /** Rejects if one of the stores in the folder exists and cannot be read. */
  async #checkStores({ storePath, shared }, stores) {
    const hasAge = Object.values(this.options.ages).some((age) => age !== undefined);
    // The only store is read by its sweep.
    const isRead = (name) => hasAge || shared.names.length > 1 || name !== basename(storePath);
    await checkReadable(storePath, stores.filter(isRead), this.signal);
  }

  /** Returns by name what a sweep would remove. */
  async #removedBySweep({ path, isStore, nowMs, retentionMs }) {
    if (!isStore) {
      return { runs: [], transcripts: [], archives: [], temps: [] };
    }
    const isNever = this.options.archiveRetention === false;
    const request = {
      storePath: path,
      nowMs,
      retentionMs: retentionMs ?? undefined,
      archiveRetentionMs: isNever ? Number.POSITIVE_INFINITY : this.options.ages.archives,
      force: true,
      dryRun: true,
      removeTemps: true,
    };
    return removalsOf(request, this.signal);
  }

  /** Applies to all results what was announced, and prints what was done. */
  async #applyAndPrint(results) {
    const states = statesOf(results);
    const isOverview = this.#isOverview(results);
    await this.#applyToAll(results, (result) =>
      this.#printDone(result, isOverview ? nameOf(result, states) : undefined),
    );
    if (isOverview && !this.options.json) {
      this.#printSum(results);
    }
  }

  /**
   * Applies to all results what was announced, and calls `report` with each. Backups come last, because a
   * sweep of any store in their folder keeps the transcripts that they reference.
   */
  async #applyToAll(results, report) {
    const isFull = ({ error }) => isDiskFull(error);
    const folders = new Map(results.map(({ shared }) => [shared, []]));
    for (const result of results) {
      folders.get(result.shared).push(result);
      // The stores may have changed since the preview.
      result.shared.check = undefined;
    }
    const unreported = new Set(results);
    const finish = async (inFolder) => {
      for (const result of inFolder) {
        await this.#freeBackups(result);
        unreported.delete(result);
        report(result);
      }
    };
    const late = [];
    try {
      for (const inFolder of folders.values()) {
        for (const result of inFolder) {
          await this.#applyTo(result);
        }
        if (inFolder.some(isFull)) {
          late.push(inFolder);
        } else {
          await finish(inFolder);
        }
      }
      // Others may have freed what these need.
      for (const inFolder of late) {
        for (const result of inFolder.filter(isFull)) {
          await this.#applyAgain(result);
        }
        await finish(inFolder);
      }
    } finally {
      // If the work was stopped: what was done before.
      for (const result of unreported) {
        if (isChange(doneBy(result))) {
          report(result);
        }
      }
    }
  }

  /**
   * Deletes and sweeps, and leaves the backups. What frees space comes first. This fails if a store in the
   * folder cannot be read, also if it is not swept.
   */
  async #applyTo(result) {
    const { isStore, retentionMs } = result;
    const keepsArchives = isStore && retentionMs === null;
    try {
      this.#refuseDoubt(result);
      const first = keepsArchives ? ["resets", "dead"] : ["archives", "resets", "dead"];
      result.freed = await this.#free(result, first, false);
      if (isStore) {
        result.sweep = await this.#sweepSessionStore(result, { dryRun: false });
      }
    } catch (error) {
      result.error = operational(error);
    }
  }

  /** Deletes the old backups of a store, unless something failed. */
  async #freeBackups(result) {
    if (result.error || this.options.ages.backups === undefined) {
      return;
    }
    try {
      result.freed = merged(result.freed, await this.#free(result, ["backups"], false));
    } catch (error) {
      result.error = operational(error);
    }
  }

  /** Tries again after a sweep failed because the disk is full: first deletes what it would delete last. */
  async #applyAgain(result) {
    const { freed, folder, retentionMs } = result;
    result.failed = warningsBefore(result.error);
    try {
      // Without --archive-retention, the sweep deletes old archives in the folders in which it archives.
      const { archives } = await this.#removedBySweep(result);
      const isAged = archives.some((path) => dirname(path) === realPath(folder));
      const what = isAged ? ["archives", "backups"] : ["backups"];
      const ages = { ...this.options.ages };
      ages.archives ??= retentionMs;
      if (archives.length === 0) {
        // Without the backups, it may archive more, and then delete archives that were not announced.
        result.archiveRetention = false;
      }
      const others = await this.#free(result, what, false, ages);
      // A sweep that removes no run needs hardly any space, and deletes temp files.
      const cronConfig = { sessionRetention: KEEPS_RUNS };
      const clear = { ...result, cronConfig, archiveRetention: false };
      result.cleared = await this.#sweepSessionStore(clear, { dryRun: false }).catch((error) => {
        operational(error);
      });
      result.error = undefined;
      await this.#applyTo(result);
      if (isDiskFull(result.error)) {
        result.error.lock = lockWithoutSpace(result.cleared);
      }
      result.freed = merged(merged(freed, others), result.freed);
    } catch (error) {
      result.error = operational(error);
    }
  }

  /** Throws if the retention is unknown, or if a gateway was started since the store was shown. */
  #refuseDoubt({ doubt, store }) {
    const { refusal } = store ? safetyOf(store, settingsOf(store.states), this.options) : {};
    const problem = doubt ?? refusal;
    if (problem) {
      throw problem;
    }
  }

  #printDone(result, name) {
    const { bold, green, dim } = this.paints;
    const isChanged = isChange(doneBy(result));
    // A sweep may fail after something else was deleted.
    if ((!result.error || isChanged) && !this.options.json) {
      const mark = isChanged ? green("✓") : dim("·");
      const lines = resultLines(result);
      if (name === undefined) {
        const all = [`${mark} ${bold(displayPath(result.path))}`, ...lines];
        print(all.join("\n  "));
      } else if (isChanged) {
        print(`${mark} ${bold(name)}: ${lines.join("; ")}`);
      }
    }
    this.#printProblems(result);
  }

  /** Prints how many stores were not changed and why, and what was freed in total. */
  #printSum(results) {
    const { dim, green } = this.paints;
    const changed = results.filter((result) => isChange(doneBy(result)));
    const done = results.filter((result) => !result.error || changed.includes(result));
    const changes = sumOf(results.map(doneBy));
    const noun = results.every(({ isStore }) => isStore) ? "store" : "folder";
    const unchanged = new Map();
    for (const result of done.filter((result) => !changed.includes(result))) {
      const text = resultLines(result).join("; ");
      unchanged.set(text, (unchanged.get(text) ?? 0) + 1);
    }
    for (const [text, count] of unchanged) {
      print(`${dim("·")} ${counted(count, noun)}: ${text}`);
    }
    if (isChange(changes)) {
      const actions = actionsOf(["removed", "archived", "deleted"], changes);
      const sum = `${counted(done.length, noun)}: ${actions}; ${size(changes.bytes)} freed`;
      print(green(sum));
    }
  }

  async #sweepSessionStore(result, { dryRun }) {
    const { path, cronConfig, nowMs } = result;
    const { archiveRetention = this.options.archiveRetention } = result;
    if (!dryRun) {
      this.#refuseDoubt(result);
    }
    return withProgress(dryRun ? "Previewing" : "Sweeping", path, () =>
      this.reaper.sweepSessionStore({
        sessionStorePath: path,
        cronConfig,
        nowMs,
        archiveRetention,
        removeTemps: true,
        dryRun,
        force: true,
        signal: this.signal,
      }),
    );
  }

  async #confirm(results) {
    const due = results.filter((result) => !result.error && isChange(dueBy(result)));
    if (due.length === 0) {
      return false;
    }
    const { explanation, question } = questionOf(due);
    const lines = wrapped(explanation, process.stderr.columns || Number.POSITIVE_INFINITY);
    process.stderr.write(`${lines.join("\n")}\n`);
    return this.#ask(question);
  }

  /** Asks a question on the terminal. Resolves to whether the answer is yes. */
  async #ask(question) {
    // Without readline's own line editing, Ctrl-C remains a signal.
    const prompt = createInterface({ input: process.stdin, terminal: false });
    process.stderr.write(`${this.errorPaints.bold(question)} [y/N] `);
    const answer = await new Promise((resolve, reject) => {
      prompt.once("line", resolve);
      prompt.once("close", () => resolve(""));
      const aborted = () => reject(Object.assign(new Error("aborted"), { code: "ABORT_ERR" }));
      this.signal.addEventListener("abort", aborted, { once: true });
    }).finally(() => prompt.close());
    const isYes = /^\s*y(es)?\s*$/i.test(answer);
    if (!isYes) {
      process.stderr.write("Nothing was changed.\n");
    }
    return isYes;
  }

  #isOverview(results) {
    return results.length > 1 && !this.options.details;
  }

  /** Shows each result, or an overview of two or more. */
  #showAll(results) {
    const states = statesOf(results).map((state) => ({ state, items: largeItems(state) }));
    // A terminal of unknown width reports 0.
    const width = process.stdout.columns || Number.POSITIVE_INFINITY;
    const view = { width, paints: this.paints };
    const isOverview = this.#isOverview(results);
    const lines = [];
    if (isOverview) {
      lines.push(...overviewLines(results, { nowMs: Date.now(), large: states, ...view }));
      lines.push(...wrapped(this.#overviewAdvice(results), width).map(this.paints.dim));
    } else {
      const shown = results.filter(({ contents }) => contents !== undefined);
      lines.push(...shown.flatMap((result) => [...this.#linesOf(result, view), ""]));
      const large = states.flatMap(({ state, items }) => largeItemsLines(state, items, width));
      lines.push(...large, ...(large.length > 0 ? [""] : []));
    }
    for (const { path, removals } of isOverview ? results : []) {
      const listed = removals ? listLines(removals, this.paints) : [];
      lines.push(...(listed.length > 0 ? ["", displayPath(path), ...listed.slice(1)] : []));
    }
    if (lines.length > 0) {
      print(lines.join("\n"));
    }
  }

  #overviewAdvice(results) {
    const isDue = results.some((result) => isChange(dueBy(result)));
    const options = results.some(({ doubt }) => doubt) ? "--apply and --retention" : "--apply";
    const apply = `Nothing was changed. Run again with ${options} to sweep.`;
    const details = "--details shows each store in full.";
    return isDue && !this.options.apply ? `${apply} ${details}` : details;
  }

  /** Returns everything about one store or folder as lines. */
  #linesOf(result, { width, paints }) {
    const { path, folder, inspection, preview, removals, doubt } = result;
    const { bold, dim, green } = paints;
    const view = { width: width - 2, paints };
    const lines = [];
    if (inspection) {
      const jobs = jobNames(placeOf(folder).state);
      lines.push(...inspectionLines({ ...result, jobs, ...view }));
    } else {
      const hasDatabase = result.items.some((item) => item.class === "database");
      const what = hasDatabase
        ? "The sessions are in a database, which is not swept."
        : "There is no session store.";
      lines.push(...wrapped(what, view.width));
    }
    const [first] = result.shared.results;
    if (first === result) {
      const { results } = result.shared;
      lines.push(...folderLines("In the same folder", results, result.nowMs, view));
    } else {
      const where = `What is in the same folder is shown with ${displayPath(first.path)}.`;
      lines.push("", ...wrapped(where, view.width));
    }
    lines.push(
      "",
      ...previewLines(result)
        .flatMap((text) => wrapped(text, view.width))
        .map(green),
    );
    const isDue = isChange(dueBy(result));
    if (removals) {
      lines.push(...listLines(removals, paints));
    }
    if (isDue && !this.options.apply) {
      const options = doubt ? "--apply and --retention" : "--apply";
      const verb = preview ? "sweep" : "delete";
      const advice = `Nothing was changed. Run again with ${options} to ${verb}.`;
      lines.push(...wrapped(advice, view.width).map(dim));
    }
    const title = shortenedInMiddle(displayPath(path), width);
    return [bold(title), ...lines.map((line) => line && `  ${line}`)];
  }

  /** Prints sentences on stderr, each once. */
  #printNotes(notes) {
    for (const note of notes.filter((note) => note && this.#isNew(note))) {
      process.stderr.write(`${this.errorPaints.yellow("!")} ${printable(note)}\n`);
    }
  }

  #isNew(message) {
    const isNew = !this.printed.has(message);
    this.printed.add(message);
    return isNew;
  }

  /**
   * Prints the error, doubts and warnings of a store on stderr. What concerns the whole gateway is
   * printed once.
   */
  #printProblems(result) {
    const { path, doubt, refusal, note, obstacle, error } = result;
    const { preview, sweep, freed, failed = [] } = result;
    const { red, yellow, dim } = this.errorPaints;
    const isShared = [doubt, refusal].includes(error) && error?.path === undefined;
    if (error && (!isShared || this.#isNew(error.message))) {
      // Most messages contain the path.
      const prefix = isShared || error.message.includes(path) ? "" : `${displayPath(path)}: `;
      const advice = adviceFor({ path, message: error.message, ...error }).map(
        (line) => `  ${dim(line)}\n`,
      );
      const message = `${red("✗")} ${prefix}${printable(error.message)}\n`;
      process.stderr.write(message + advice.join(""));
    } else if (!error) {
      const prefix = doubt?.path === undefined ? "" : `${path}: `;
      this.#printNotes([doubt && prefix + doubt.message, refusal?.message, note, obstacle]);
    }
    const warnings = [
      ...failed,
      ...warningsBefore(error),
      ...((sweep ?? preview)?.warnings ?? []),
    ].map(({ error }) => error);
    for (const problem of new Set([...warnings, ...(freed?.failures ?? [])])) {
      process.stderr.write(`${yellow("!")} ${displayPath(path)}: ${printable(problem)}\n`);
    }
  }

  /** Prints the paths without a store and those that cannot be accessed. */
  #printPathProblems(missing, failed) {
    for (const { path, error } of failed) {
      this.#printProblems({ path, error });
    }
    if (missing.length === 0) {
      return;
    }
    const { yellow, dim } = this.errorPaints;
    for (const sentence of missing) {
      process.stderr.write(`${yellow("No session store:")} ${printable(sentence)}\n`);
    }
    const advice =
      this.options.paths.length > 0
        ? "Pass a sessions.json, a folder that contains one, an agent's folder or a state folder."
        : "If the gateway's state is elsewhere, pass its state folder or set OPENCLAW_STATE_DIR.";
    process.stderr.write(`${dim(advice)}\n`);
  }

  #printJson(results, { missing, failed, notes }, exitCode) {
    const errorOf = (error) =>
      error && { message: error.message, code: error.code, line: error.line, column: error.column };
    const document = {
      version: version(),
      stateFolder: this.options.paths.length === 0 ? stateFolder() : undefined,
      exitCode,
      stores: [
        ...results.map((result) => ({
          path: result.path,
          retentionMs: result.retentionMs,
          retentionFrom: result.retentionFrom,
          doubt: result.doubt?.message,
          refusal: result.refusal?.message,
          inspection: result.inspection,
          folder: result.contents && summed([result.contents, result.items]),
          preview: result.preview,
          freeable: result.freeable?.files,
          removals: result.removals,
          sweep: result.sweep,
          freed: result.freed?.files,
          error: errorOf(result.error),
        })),
        ...failed.map(({ path, error }) => ({ path, error: errorOf(error) })),
      ],
      missing,
      notes,
    };
    print(jsonText(document));
  }
}

/** The problems last printed for each store, so that --watch does not repeat them. */
class PrintedProblems {
  #printed = new Map();

  isNew(path, messages) {
    const text = messages.filter(Boolean).join("\n");
    const isNew = text !== (this.#printed.get(path) ?? "");
    this.#printed.set(path, text);
    return isNew;
  }
}

/**
 * Removes from the preview of a sweep, and from the names of what it would remove, the files that were
 * `announced` with other results. Adds the others to them. Returns those of the other `files` that are new.
 */
function announceOnce(preview, ofSweep, files, announced) {
  const isNew = (path) => !announced.has(path);
  for (const [name, count] of [
    ["transcripts", "archived"],
    ["archives", "removed"],
  ]) {
    const paths = ofSweep[name].filter(isNew);
    if (paths.length < ofSweep[name].length) {
      const sizes = paths.map((path) => lstatSync(path, { throwIfNoEntry: false })?.size ?? 0);
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      if (name === "archives") {
        preview.bytes.reclaimed -= preview.archives.bytes - bytes;
      }
      preview[name] = { [count]: paths.length, bytes };
      ofSweep[name] = paths;
    }
  }
  const newFiles = files.filter(({ path }) => isNew(path));
  const paths = newFiles.map(({ path }) => path);
  for (const path of [...ofSweep.transcripts, ...ofSweep.archives, ...paths]) {
    announced.add(path);
  }
  return newFiles;
}

/**
 * Returns why --apply would fail for this user, as a sentence: it writes in the folder of the store, and a
 * new store preserves the owner.
 */
function obstacleOf({ folder, storePath, preview }) {
  const advice = "run it as the gateway's user";
  const user = process.geteuid?.() || undefined;
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return user !== undefined && preview?.pruned > 0 && statSync(storePath).uid !== user
      ? `--apply would fail: the owner of ${storePath} cannot be preserved; ${advice}`
      : undefined;
  } catch (error) {
    return `--apply would fail: cannot write in ${folder}: ${reasonOf(error)}; ${advice}`;
  }
}

/** Returns by name what --apply would remove: what a sweep removes, and the other files. */
function removals(ofSweep, files) {
  const names = ["runs", "transcripts", "archives", "resets", "backups", "temps", "locks"];
  const paths = (name) => files.filter((file) => file.class === name).map(({ path }) => path);
  return Object.fromEntries(
    names.map((name) => [name, [...(ofSweep[name] ?? []), ...paths(name)]]),
  );
}

/** Returns the warnings of a sweep before the error with which it failed, for example what it deleted. */
const warningsBefore = (error) => error?.warnings?.slice(0, -1) ?? [];

/** Returns the lock file for which there was no space, if that is why a sweep deleted no temp files. */
function lockWithoutSpace(report) {
  const matches = (report?.warnings ?? []).map(({ error }) =>
    /^Error: cannot (?:take over|\w+) (.*\.lock): (\w+): /.exec(error),
  );
  return matches.find((match) => isDiskFull({ code: match?.[2] }))?.[1];
}

/** Returns an operational error, which has a code. Rethrows any other: a bug, or an abort. */
function operational(error) {
  if (error.code === undefined || error.code === "ABORT_ERR") {
    throw error;
  }
  return error;
}

/** Runs `work`. On a terminal, shows its progress if it takes long. */
async function withProgress(what, path, work) {
  if (!process.stderr.isTTY) {
    return work(undefined);
  }
  const began = performance.now();
  let share = "";
  const print = () => {
    if (performance.now() - began > PROGRESS_AFTER_MS) {
      const line = progressLine(what, path, share, process.stderr.columns || 80);
      process.stderr.write(`\r\x1b[2K${line}`);
    }
  };
  const timer = setInterval(print, 100);
  try {
    return await work(({ bytesRead, bytes }) => {
      share = bytes > 0 ? `${Math.floor((100 * bytesRead) / bytes)} % of ${size(bytes)}` : "";
    });
  } finally {
    clearInterval(timer);
    if (performance.now() - began > PROGRESS_AFTER_MS) {
      process.stderr.write("\r\x1b[2K");
    }
  }
}
