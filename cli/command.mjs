// npx cron-session-reaper: shows what is in a gateway's session stores; with --apply, sweeps them.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { settingsOf } from "./config.mjs";
import { findStores } from "./discovery.mjs";
import { safetyOf } from "./running-gateway.mjs";
import {
  adviceFor,
  displayPath,
  inspectionLines,
  previewLines,
  progressLine,
  sweepLines,
  wouldChange,
} from "./show.mjs";
import { isSimilar } from "./similar.mjs";
import { stateFolder } from "./state-folder.mjs";
import { counted, duration, jsonText, paintsFor, printable, size } from "./text.mjs";

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
                      delete old archives and leftover temp files; asks first
  --yes, -y           do not ask
  --retention <time>  how long runs are kept: 90m, 24h, 7d
                      (default: as set in openclaw.json, else 24h; if it cannot
                      be determined, --apply requires --retention)
  --archive-retention <time>
                      how long archives are kept, or "never" to delete none
                      (default: as long as runs, and only in folders in which
                      this sweep archives a transcript). If runs are kept
                      forever, nothing is swept and no archive is deleted
  --watch <time>      with --apply: sweep every 5m, 1h, … until stopped
  --offline           with --apply: sweep although it is unclear whether a gateway
                      from 2026.5.2 on is running; you guarantee that none is
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

/** The longest delay of a JavaScript timer. */
const LONGEST_WAIT_MS = 2 ** 31 - 1;

/** Runs that ended within this time are never meant to be removed. */
const SHORTEST_RETENTION_MS = 60_000;

/** The most entries and jobs that an inspection lists. */
const MOST_SHOWN = 1000;

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
  const stop = new AbortController();
  let stopOnBrokenPipe = true;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error) => {
      if (error.code !== "EPIPE") {
        throw error;
      }
      // The reader closed the pipe, as `head` does. Only a requested sweep is still completed.
      if (stopOnBrokenPipe) {
        stop.abort("EPIPE");
      }
    });
  }
  const onSignal = (signal) => stop.abort(signal);
  for (const signal of SIGNALS) {
    process.once(signal, onSignal);
  }
  try {
    const options = readArguments(args);
    if (options.help || options.version) {
      process.stdout.write(options.help ? HELP : `${version()}\n`);
      return SUCCESS;
    }
    stopOnBrokenPipe = !options.apply || options.watch !== undefined;
    const command = new Command(options, stop.signal);
    return await (options.watch === undefined ? command.once() : command.watch());
  } catch (error) {
    if (error instanceof UsageError) {
      const { red } = paintsFor(process.stderr);
      // The message may quote an argument or a path.
      process.stderr.write(`${red("cron-session-reaper:")} ${printable(error.message)}\n`);
      return error.exitCode;
    }
    if (error.code !== "ABORT_ERR") {
      throw error;
    }
    if (stop.signal.reason !== "EPIPE") {
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
  if (json && values.watch !== undefined) {
    throw new UsageError("--json cannot be used with --watch");
  }
  if (!/^\d{1,4}$/.test(values.top) || Number(values.top) > MOST_SHOWN) {
    throw new UsageError(`--top ${values.top}: not a number from 0 to ${MOST_SHOWN}`);
  }
  checkRetention("--retention", values.retention);
  const archiveRetention = values["archive-retention"];
  if (archiveRetention !== "never") {
    checkRetention("--archive-retention", archiveRetention, 'write 7d, or "never"');
  }
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
  }

  /** Shows every store or, with --apply, sweeps them, if the user agrees. */
  async once() {
    const { apply, yes, json, paths } = this.options;
    const asks = apply && !yes;
    if (asks && !(process.stdin.isTTY && process.stderr.isTTY)) {
      throw new UsageError("--apply needs a terminal to ask for confirmation; add --yes");
    }
    const { stores, missing, failed, notes } = findStores(paths);
    this.#printPathProblems(missing, failed);
    this.#printNotes(notes);

    const results = [];
    for (const store of stores) {
      // With --yes and without --json, no inspection is shown: only the sweep reads the store.
      const result = yes && !json ? this.#resolveRetention(store) : await this.#inspect(store);
      results.push(result);
      if (apply) {
        result.error ??= result.doubt ?? result.refusal;
      }
      if (!json && (asks || !apply)) {
        this.#show(result);
      }
      this.#printProblems(result);
    }
    if (apply && (yes || (await this.#confirm(results)))) {
      for (const result of results.filter(({ error }) => !error)) {
        await this.#sweep(result);
      }
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
    const { yes, watch, paths } = this.options;
    if (!yes) {
      const isTerminal = process.stdin.isTTY && process.stderr.isTTY;
      const question = `Sweep every ${duration(watch)} without asking again?`;
      if (!isTerminal) {
        throw new UsageError("--watch needs a terminal to ask for confirmation; add --yes");
      }
      if (!(await this.#ask(question))) {
        return SUCCESS;
      }
    }
    process.stderr.write(`Sweeping every ${duration(watch)}. Stop with Ctrl-C or SIGTERM.\n`);
    const printed = new PrintedProblems();
    while (!this.signal.aborted) {
      const { stores, missing, failed, notes } = findStores(paths);
      this.printed.clear();
      // A missing store does not end the command: the gateway may create it later.
      if (
        printed.isNew(
          "",
          missing.concat(
            notes,
            failed.map(({ error }) => error.message),
          ),
        )
      ) {
        this.#printPathProblems(missing, failed);
        this.#printNotes(notes);
      }
      for (const store of stores) {
        await this.#sweepAgain(store, printed);
      }
      await wait(watch, undefined, { signal: this.signal }).catch(() => {});
    }
    return SUCCESS;
  }

  async #sweepAgain(store, printed) {
    const { path } = store;
    const result = this.#resolveRetention(store);
    try {
      result.sweep = await this.#sweepSessionStore(result, { dryRun: false });
    } catch (error) {
      if (error.code === "ABORT_ERR") {
        return;
      }
      result.error = operational(error);
    }
    const { sweep, error } = result;
    if (sweep && wouldChange(sweep)) {
      const time = new Date().toISOString();
      process.stdout.write(
        `${this.paints.dim(time)} ${displayPath(path)}: ${sweepLines(sweep).join(": ")}\n`,
      );
    }
    const warnings = sweep?.warnings ?? [];
    // A problem that persists for hours is printed once.
    if (printed.isNew(path, [error?.message, ...warnings.map(({ error }) => error)])) {
      this.#printProblems(result);
    }
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

  /** Inspects a store and previews its sweep. A failure is returned as `error`. */
  async #inspect(store) {
    const { path } = store;
    const result = this.#resolveRetention(store);
    const { cronConfig, nowMs } = result;
    const { signal } = this;
    const { top } = this.options;
    try {
      result.inspection = await withProgress("Reading", path, (onProgress) =>
        this.reaper.inspectSessionStore({
          sessionStorePath: path,
          cronConfig,
          nowMs,
          top,
          signal,
          onProgress,
        }),
      );
      result.preview = await this.#sweepSessionStore(result, { dryRun: true });
    } catch (error) {
      result.error = operational(error);
    }
    return result;
  }

  async #sweep(result) {
    const { bold, green, dim } = this.paints;
    try {
      result.sweep = await this.#sweepSessionStore(result, { dryRun: false });
    } catch (error) {
      result.error = operational(error);
    }
    if (result.sweep && !this.options.json) {
      const mark = wouldChange(result.sweep) ? green("✓") : dim("·");
      const lines = [`${mark} ${bold(displayPath(result.path))}`, ...sweepLines(result.sweep)];
      process.stdout.write(`${lines.join("\n  ")}\n`);
    }
    this.#printProblems(result);
  }

  async #sweepSessionStore({ path, store, cronConfig, nowMs, doubt }, { dryRun }) {
    const { archiveRetention } = this.options;
    if (!dryRun) {
      // Again: a gateway may have been started since the store was shown.
      const { refusal } = safetyOf(store, settingsOf(store.states), this.options);
      const problem = doubt ?? refusal;
      if (problem) {
        throw problem;
      }
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
    const due = results.filter(({ error, preview }) => !error && wouldChange(preview));
    if (due.length === 0) {
      return false;
    }
    const bytes = due.reduce((sum, { preview }) => sum + preview.bytes.reclaimed, 0);
    return this.#ask(`Sweep ${counted(due.length, "store")} and free ${size(bytes)}?`);
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

  #show(result) {
    const { path, inspection, preview } = result;
    const { bold, dim, green } = this.paints;
    if (!inspection) {
      return;
    }
    // A terminal of unknown width reports 0.
    const width = process.stdout.columns || Number.POSITIVE_INFINITY;
    const lines = inspectionLines({ ...result, width, paints: this.paints });
    if (preview) {
      lines.push("", ...previewLines(preview).map(green));
    }
    if (preview && wouldChange(preview) && !this.options.apply) {
      const options = result.doubt ? "--apply and --retention" : "--apply";
      lines.push(dim(`Nothing was changed. Run again with ${options} to sweep.`));
    }
    const indented = lines.map((line) => line && `  ${line}`);
    process.stdout.write(`${[bold(displayPath(path)), ...indented].join("\n")}\n\n`);
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
  #printProblems({ path, doubt, refusal, note, error, preview, sweep }) {
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
      this.#printNotes([doubt && prefix + doubt.message, refusal?.message, note]);
    }
    for (const { error } of (sweep ?? preview)?.warnings ?? []) {
      process.stderr.write(`${yellow("!")} ${displayPath(path)}: ${printable(error)}\n`);
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
        ...results.map(
          ({ path, retentionMs, retentionFrom, inspection, preview, sweep, error, ...result }) => ({
            path,
            retentionMs,
            retentionFrom,
            doubt: result.doubt?.message,
            refusal: result.refusal?.message,
            inspection,
            preview,
            sweep,
            error: errorOf(error),
          }),
        ),
        ...failed.map(({ path, error }) => ({ path, error: errorOf(error) })),
      ],
      missing,
      notes,
    };
    process.stdout.write(`${jsonText(document)}\n`);
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
