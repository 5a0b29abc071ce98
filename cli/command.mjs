// npx cron-session-reaper: shows what is in a gateway's session stores, and sweeps them if asked to.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import {
  adviceFor,
  inspectionLines,
  pathShown,
  previewLines,
  progressLine,
  sweepLines,
  wouldChange,
} from "./show.mjs";
import { configuredRetention, findStores, stateFolder } from "./stores.mjs";
import { counted, duration, paintsFor, printable, size } from "./text.mjs";

const FINE = 0;
const FAILED = 1;
const WRONG_USAGE = 2;
const NOT_FOUND = 3;

const HELP = `Usage: cron-session-reaper [options] [path …]

Shows what is in the session stores of an OpenClaw gateway and what a sweep would
remove: the sessions of expired cron runs. Changes nothing unless told to.

A path is a sessions.json, a folder with one, an agent's folder or a state folder.
Without a path: the gateway's own state folder, which is OPENCLAW_STATE_DIR, else
.openclaw in OPENCLAW_HOME or in your home folder.

  --apply             sweep: remove expired runs, archive their transcripts, and
                      delete old archives and dead temp files; asks first
  --yes, -y           do not ask
  --retention <time>  how long runs are kept: 90m, 24h, 7d
                      (default: as openclaw.json says, else 24h; where it is
                      not clear what applies, --apply wants to be told)
  --archive-retention <time>
                      how long archives are kept, or "never" to delete none
                      (default: as long as runs, and only where a transcript
                      is archived). With runs kept for ever there is no sweep,
                      and no archive is deleted
  --watch <time>      with --apply: sweep every 5m, 1h, … until ended
  --top <number>      how many of the biggest entries and jobs to show, up to 1000
                      (default: 5)
  --json              one JSON document on stdout
  --help, -h          this text
  --version           the version

Exit codes: 0 fine, also when there was nothing to do or the answer was no;
1 a store could not be read or swept, or no binary fits this machine; 2 wrong
usage, or --apply without --yes where nobody can be asked; 3 no store found, or
none at one of the paths.

Colours only on terminals; NO_COLOR and FORCE_COLOR are respected.
`;

/** What ends the command in order. A second one ends it at once. */
const SIGNALS = ["SIGINT", "SIGTERM"];

/** A timer of JavaScript can wait no longer. */
const LONGEST_WAIT_MS = 2 ** 31 - 1;

/** An inspection names no more. */
const MOST_SHOWN = 1000;

/** Shorter work needs no word about how far it is. */
const PROGRESS_AFTER_MS = 400;

/** What is wrong with the command line, or keeps the command from beginning at all. */
class UsageError extends Error {
  constructor(message, exitCode = WRONG_USAGE) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Runs the command with its arguments; resolves to the code with which the process should end. */
export async function run(args) {
  const stop = new AbortController();
  let stopOnBrokenPipe = true;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error) => {
      if (error.code !== "EPIPE") {
        throw error;
      }
      // What reads our output went away, as `head` does when it has enough. A sweep that was asked
      // for is done all the same.
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
      return FINE;
    }
    stopOnBrokenPipe = !options.apply || options.watch !== undefined;
    const command = new Command(options, stop.signal);
    return await (options.watch === undefined ? command.once() : command.again());
  } catch (error) {
    if (error instanceof UsageError) {
      const { red } = paintsFor(process.stderr);
      process.stderr.write(`${red("cron-session-reaper:")} ${error.message}\n`);
      return error.exitCode;
    }
    if (error.code !== "ABORT_ERR") {
      throw error;
    }
    if (stop.signal.reason !== "EPIPE") {
      // Nothing was left half done. Now what the signal is for; its handler went with its first use.
      process.kill(process.pid, stop.signal.reason);
    }
    return FINE;
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
        help: { type: "boolean", short: "h", default: false },
        version: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    // What follows the first sentence is about words that begin with a dash.
    throw new UsageError(`${error.message.split(/\.? To specify|\.?\n/)[0]}; see --help`);
  }
  const { values, positionals: paths } = parsed;
  const { apply, yes, json, help, version } = values;
  if (help || version) {
    return { help, version };
  }
  if (paths.includes("")) {
    throw new UsageError("a path is empty; for the current folder write .");
  }
  for (const [needs, name] of [
    [yes, "--yes"],
    [values.watch !== undefined, "--watch"],
  ]) {
    if (needs && !apply) {
      throw new UsageError(`${name} is for --apply; without that nothing is changed`);
    }
  }
  if (json && values.watch !== undefined) {
    throw new UsageError("--json is one document, and --watch has no end");
  }
  if (!/^\d{1,4}$/.test(values.top) || Number(values.top) > MOST_SHOWN) {
    throw new UsageError(`--top ${printable(values.top)}: not a number from 0 to ${MOST_SHOWN}`);
  }
  durationOf("--retention", values.retention);
  const archiveRetention = values["archive-retention"];
  if (archiveRetention !== "never") {
    durationOf("--archive-retention", archiveRetention, 'write 7d, or "never"');
  }
  const watch = durationOf("--watch", values.watch, "write 5m or 1h");
  // A number alone counts hours in the gateway's grammar. Nobody who types `--watch 5` means them.
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
  };
}

/** In milliseconds; what is no duration is refused, where the gateway would take it for 24 hours. */
function durationOf(name, text, hint = "write 90m, 24h or 7d") {
  if (text === undefined) {
    return undefined;
  }
  const ms = addon("load.js").parseDuration(text);
  if (ms === null) {
    throw new UsageError(`${name} ${printable(text)}: not a duration; ${hint}`);
  }
  return ms;
}

function addon(file) {
  try {
    return createRequire(import.meta.url)(`../${file}`);
  } catch (error) {
    // It says which platforms there are; where in our code it was asked for is of no use.
    throw new UsageError(error.message.replace(/^cron-session-reaper /, ""), FAILED);
  }
}

function version() {
  return JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version;
}

/** One call of the command. */
class Command {
  constructor(options, signal) {
    this.options = options;
    this.signal = signal;
    this.reaper = addon("index.js");
    this.paints = paintsFor(process.stdout);
    this.errorPaints = paintsFor(process.stderr);
  }

  /** Looks at every store, and sweeps them if that is what was asked for and agreed to. */
  async once() {
    const { apply, yes, json, paths } = this.options;
    const asks = apply && !yes;
    if (asks && !(process.stdin.isTTY && process.stderr.isTTY)) {
      throw new UsageError("--apply asks first, and there is no terminal to ask on; add --yes");
    }
    const { stores, missing, failed } = findStores(paths);
    this.#complainOfPlaces(missing, failed);

    const looks = [];
    for (const store of stores) {
      // Who neither asks nor looks need not read the store more often than the sweep does.
      const look = yes && !json ? this.#considered(store) : await this.#lookAt(store);
      looks.push(look);
      if (apply) {
        look.error ??= look.doubt;
      }
      if (!json && (asks || !apply)) {
        this.#show(look);
      }
      this.#complain(look);
    }
    if (apply && (yes || (await this.#agreed(looks)))) {
      for (const look of looks.filter(({ error }) => !error)) {
        await this.#sweep(look);
      }
    }
    const hasFailed = failed.length > 0 || looks.some(({ error }) => error !== undefined);
    const code = hasFailed ? FAILED : missing.length > 0 ? NOT_FOUND : FINE;
    if (json) {
      this.#printJson(looks, missing, failed, code);
    }
    return code;
  }

  /** Sweeps every store again and again, until a signal comes. */
  async again() {
    const { yes, watch, paths } = this.options;
    if (!yes) {
      const isTerminal = process.stdin.isTTY && process.stderr.isTTY;
      const question = `Sweep every ${duration(watch)} without asking again?`;
      if (!isTerminal) {
        throw new UsageError("--watch asks first, and there is no terminal to ask on; add --yes");
      }
      if (!(await this.#ask(question))) {
        return FINE;
      }
    }
    process.stderr.write(`Sweeping every ${duration(watch)}. To end it: Ctrl-C, or SIGTERM.\n`);
    const news = new News();
    while (!this.signal.aborted) {
      const { stores, missing, failed } = findStores(paths);
      // A store that is not there yet may come.
      if (news.isNew("", missing.concat(failed.map(({ path }) => path)))) {
        this.#complainOfPlaces(missing, failed);
      }
      for (const store of stores) {
        await this.#sweepAgain(store, news);
      }
      await wait(watch, undefined, { signal: this.signal }).catch(() => {});
    }
    return FINE;
  }

  async #sweepAgain(store, news) {
    const { path } = store;
    const look = this.#considered(store);
    try {
      look.sweep = await this.#sweepSessionStore(look, { dryRun: false });
    } catch (error) {
      if (error.code === "ABORT_ERR") {
        return;
      }
      look.error = expected(error);
    }
    const { sweep, error } = look;
    if (sweep && wouldChange(sweep)) {
      const time = new Date().toISOString();
      process.stdout.write(
        `${this.paints.dim(time)} ${pathShown(path)}: ${sweepLines(sweep).join(": ")}\n`,
      );
    }
    const warnings = sweep?.warnings ?? [];
    // What goes on for hours is said once.
    if (news.isNew(path, [error?.message, ...warnings.map(({ error }) => error)])) {
      this.#complain(look);
    }
  }

  /** What is known before a store is opened. `doubt`: why it must not be swept without a word. */
  #considered({ path, states }) {
    const { retention } = this.options;
    if (retention !== undefined) {
      return this.#keeping({ path }, retention, "--retention");
    }
    const { value, file, unclear } = configuredRetention(states) ?? {};
    const noDuration =
      typeof value === "string" &&
      addon("load.js").parseDuration(value) === null &&
      `${file} says that runs are kept for ${JSON.stringify(value)}, which is no duration: the gateway refuses such a file, and its reaper would count 24 hours`;
    if (unclear || noDuration) {
      const message = `${unclear || noDuration}; say it with --retention`;
      const doubt = Object.assign(new Error(message), { code: "ERR_RETENTION_UNKNOWN" });
      return this.#keeping({ path, doubt }, undefined, "the default");
    }
    return this.#keeping({ path }, value, file ? pathShown(file) : "the default");
  }

  #keeping(look, sessionRetention, retentionFrom) {
    const cronConfig = { sessionRetention };
    const retentionMs = this.reaper.resolveRetentionMs(cronConfig);
    return { ...look, cronConfig, retentionMs, retentionFrom, nowMs: Date.now() };
  }

  /** A store as it is and what a sweep would do; or, as `error`, why that cannot be said. */
  async #lookAt(store) {
    const { path } = store;
    const look = this.#considered(store);
    const { cronConfig, nowMs } = look;
    const { signal } = this;
    const { top } = this.options;
    try {
      look.found = await withProgress("Reading", path, (onProgress) =>
        this.reaper.inspectSessionStore({
          sessionStorePath: path,
          cronConfig,
          nowMs,
          top,
          signal,
          onProgress,
        }),
      );
      look.preview = await this.#sweepSessionStore(look, { dryRun: true });
    } catch (error) {
      look.error = expected(error);
    }
    return look;
  }

  async #sweep(look) {
    const { bold, green, dim } = this.paints;
    try {
      look.sweep = await this.#sweepSessionStore(look, { dryRun: false });
    } catch (error) {
      look.error = expected(error);
    }
    if (look.sweep && !this.options.json) {
      const mark = wouldChange(look.sweep) ? green("✓") : dim("·");
      const lines = [`${mark} ${bold(pathShown(look.path))}`, ...sweepLines(look.sweep)];
      process.stdout.write(`${lines.join("\n  ")}\n`);
    }
    this.#complain(look);
  }

  async #sweepSessionStore({ path, cronConfig, nowMs, doubt }, { dryRun }) {
    const { archiveRetention } = this.options;
    if (doubt && !dryRun) {
      throw doubt;
    }
    const work = dryRun ? "Seeing what would go from" : "Sweeping";
    return withProgress(work, path, () =>
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

  async #agreed(looks) {
    const due = looks.filter(({ error, preview }) => !error && wouldChange(preview));
    if (due.length === 0) {
      return false;
    }
    const what = due.length === 1 ? "it" : counted(due.length, "store");
    const bytes = due.reduce((sum, { preview }) => sum + preview.bytes.reclaimed, 0);
    return this.#ask(`Sweep ${what}, and free ${size(bytes)}?`);
  }

  async #ask(question) {
    // The terminal itself edits the line, so that Ctrl-C stays a signal.
    const asking = createInterface({ input: process.stdin, terminal: false });
    process.stderr.write(`${this.errorPaints.bold(question)} [y/N] `);
    const answer = await new Promise((resolve, reject) => {
      asking.once("line", resolve);
      asking.once("close", () => resolve(""));
      const aborted = () => reject(Object.assign(new Error("aborted"), { code: "ABORT_ERR" }));
      this.signal.addEventListener("abort", aborted, { once: true });
    }).finally(() => asking.close());
    const isYes = /^\s*y(es)?\s*$/i.test(answer);
    if (!isYes) {
      process.stderr.write("Nothing was changed.\n");
    }
    return isYes;
  }

  #show(look) {
    const { path, found, preview } = look;
    const { bold, dim, green } = this.paints;
    if (!found) {
      return;
    }
    // 0 is what a terminal says that does not know.
    const width = process.stdout.columns || Number.POSITIVE_INFINITY;
    const lines = inspectionLines({ ...look, width, paints: this.paints });
    if (preview) {
      lines.push("", ...previewLines(preview).map(green));
    }
    if (preview && wouldChange(preview) && !this.options.apply) {
      const how = look.doubt ? "--apply and --retention" : "--apply";
      lines.push(dim(`Nothing was changed; with ${how} it is.`));
    }
    const indented = lines.map((line) => line && `  ${line}`);
    process.stdout.write(`${[bold(pathShown(path)), ...indented].join("\n")}\n\n`);
  }

  /** Says on stderr what failed or went wrong with a store. */
  #complain({ path, doubt, error, preview, sweep }) {
    const { red, yellow, dim } = this.errorPaints;
    if (error) {
      // Most messages name the place themselves.
      const where = error.message.includes(path) ? "" : `${pathShown(path)}: `;
      const advice = adviceFor({ path, message: error.message, ...error }).map(
        (line) => `  ${dim(line)}\n`,
      );
      const message = `${red("✗")} ${where}${printable(error.message)}\n`;
      process.stderr.write(message + advice.join(""));
    } else if (doubt) {
      process.stderr.write(`${yellow("!")} ${pathShown(path)}: ${printable(doubt.message)}\n`);
    }
    for (const { error } of (sweep ?? preview)?.warnings ?? []) {
      process.stderr.write(`${yellow("!")} ${pathShown(path)}: ${printable(error)}\n`);
    }
  }

  #complainOfPlaces(missing, failed) {
    for (const { path, error } of failed) {
      this.#complain({ path, error });
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
        ? "A path may be a sessions.json, a folder with one, an agent's folder or a state folder."
        : "If your gateway has its state elsewhere, pass that folder or set OPENCLAW_STATE_DIR.";
    const later = "Gateways from 2026.8.1 on have a database in its place, which this is not for.";
    process.stderr.write(`${dim(advice)}\n${dim(later)}\n`);
  }

  #printJson(looks, missing, failed, exitCode) {
    const errorOf = (error) =>
      error && { message: error.message, code: error.code, line: error.line, column: error.column };
    const document = {
      version: version(),
      stateFolder: this.options.paths.length === 0 ? stateFolder() : undefined,
      exitCode,
      stores: [
        ...looks.map(
          ({ path, retentionMs, retentionFrom, doubt, found, preview, sweep, error }) => ({
            path,
            retentionMs,
            retentionFrom,
            doubt: doubt?.message,
            inspection: found,
            preview,
            sweep,
            error: errorOf(error),
          }),
        ),
        ...failed.map(({ path, error }) => ({ path, error: errorOf(error) })),
      ],
      missing,
    };
    process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  }
}

/** What was last said about something, so that it is not said again. */
class News {
  #said = new Map();

  isNew(about, what) {
    const text = what.filter(Boolean).join("\n");
    const isNew = text !== (this.#said.get(about) ?? "");
    this.#said.set(about, text);
    return isNew;
  }
}

/** An error with a code is one of the world; any other is a mistake of ours, or the wish to stop. */
function expected(error) {
  if (error.code === undefined || error.code === "ABORT_ERR") {
    throw error;
  }
  return error;
}

/** Says on a terminal what is going on, and how far it is, if it takes long. */
async function withProgress(what, path, work) {
  if (!process.stderr.isTTY) {
    return work(undefined);
  }
  const began = performance.now();
  let share = "";
  const tell = () => {
    if (performance.now() - began > PROGRESS_AFTER_MS) {
      const line = progressLine(what, path, share, process.stderr.columns || 80);
      process.stderr.write(`\r\x1b[2K${line}`);
    }
  };
  const timer = setInterval(tell, 100);
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
