// npm start: shows what a sweep does, on a sample store or on one's own.

import { lstatSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { build, install, isBuilt, isInstalled } from "./prepare.mjs";
import { createSampleStore } from "./sample-store.mjs";

const HELP = `npm start                                   sweeps a sample store in a temporary folder
npm start -- <sessions.json>                shows what a sweep of this store would do
npm start -- <sessions.json> --apply        sweeps it

  --retention <duration>   how long finished cron runs are kept: 90m, 24h, 7d (default: 24h)
  --apply                  change the store; without it nothing is changed
  --help                   this text`;

const DURATION = /^(\d+(\.\d+)?(ms|s|m|h|d)?|(\d+(\.\d+)?(ms|s|m|h|d))+)$/i;

/** What is wrong with what the user gave; shown without a stack. */
class UsageError extends Error {}

try {
  await main();
} catch (error) {
  console.error(error instanceof UsageError ? error.message : error);
  process.exitCode = 1;
}

async function main() {
  const { storePath, retention, apply, help } = readArguments();
  if (help) {
    console.log(HELP);
    return;
  }
  if (storePath !== undefined) {
    look(storePath); // says what is wrong with the file before anything is built
  }
  const reaper = await loadPackage();
  const retentionMs = reaper.resolveRetentionMs({ sessionRetention: retention });

  if (storePath === undefined) {
    await showSample(reaper, retention, retentionMs);
  } else if (apply) {
    await showSweep(reaper, storePath, retention, retentionMs);
  } else {
    showPreview(storePath, retention, retentionMs);
  }
}

function readArguments() {
  let values;
  let positionals;
  try {
    ({ values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        apply: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        retention: { type: "string", default: "24h" },
      },
    }));
  } catch (error) {
    throw new UsageError(`${error.message}\n\n${HELP}`);
  }
  if (positionals.length > 1) {
    throw new UsageError(`one store at a time, please; got ${positionals.length}\n\n${HELP}`);
  }
  if (values.apply && positionals.length === 0) {
    throw new UsageError(`--apply needs the store to sweep\n\n${HELP}`);
  }
  // The package takes what is no duration for 24 hours; who types one wants to know.
  if (!DURATION.test(values.retention)) {
    throw new UsageError(`--retention ${values.retention}: not a duration; write 90m, 24h or 7d`);
  }
  return { storePath: positionals[0], ...values };
}

async function loadPackage() {
  if (!isBuilt()) {
    if (!isInstalled()) {
      await prepare("Installing what the build needs (npm install)", install);
    }
    await prepare("Building the addon (the first time takes a minute or two)", build);
  }
  return createRequire(import.meta.url)("../index.js");
}

async function prepare(what, work) {
  console.log(`${what} …`);
  const { ok, output } = await work();
  if (!ok) {
    throw new UsageError(`${output.trimEnd()}\n\n${what}: failed, see above`);
  }
}

async function showSample(reaper, retention, retentionMs) {
  const folder = mkdtempSync(join(tmpdir(), "cron-session-reaper-"));
  try {
    const options = { entries: 600, expired: 120, nowMs: Date.now() };
    const storePath = createSampleStore(join(folder, "sessions"), options);
    console.log("A sample store in a temporary folder. Your own: npm start -- <sessions.json>");
    await showSweep(reaper, storePath, retention, retentionMs);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function showSweep(reaper, storePath, retention, retentionMs) {
  const before = look(storePath, retentionMs);
  const sweep = await measuredSweep(reaper, storePath, retention);
  const after = look(storePath, retentionMs);

  const archived = [...after.archives].filter((name) => !before.archives.has(name)).length;
  const deleted = [...before.archives].filter((name) => !after.archives.has(name)).length;
  console.log(`
                          before       after
entries               ${column(before.entries)}${column(after.entries)}
${`expired runs (> ${retention})`.padEnd(22)}${column(before.expired)}${column(after.expired)}
size                  ${column(size(before.bytes))}${column(size(after.bytes))}
transcripts archived  ${column("")}${column(archived)}
old archives deleted  ${column("")}${column(deleted)}

The sweep took ${sweep.ms.toFixed(1)} ms. JavaScript was held up for ${sweep.heldUpMs.toFixed(1)} ms at the longest.`);
}

function showPreview(storePath, retention, retentionMs) {
  const { entries, expired, bytes, expiredBytes, transcripts } = look(storePath, retentionMs);
  console.log(`
entries               ${column(entries)}
${`expired runs (> ${retention})`.padEnd(22)}${column(expired)}
size                  ${column(size(bytes))}
size after a sweep    ${column(`~ ${size(bytes - expiredBytes)}`)}
transcripts to archive${column(transcripts.length)}

Nothing was changed. To sweep the store: npm start -- ${storePath} --apply`);
}

async function measuredSweep(reaper, storePath, retention) {
  const warnings = [];
  const log = {
    debug() {},
    info() {},
    warn: ({ err }) => warnings.push(err),
    error() {},
  };
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const began = performance.now();
  const result = await reaper.sweepCronRunSessions({
    cronConfig: { sessionRetention: retention },
    sessionStorePath: resolve(storePath),
    force: true,
    log,
  });
  const ms = performance.now() - began;
  delay.disable();
  if (!result.swept) {
    throw new UsageError(`the sweep failed: ${warnings.join("; ")}`);
  }
  for (const warning of warnings) {
    console.warn(`warning: ${warning}`);
  }
  // Nanoseconds; an idle loop already shows the timer's own millisecond.
  return { ms, heldUpMs: Math.max(0, delay.max / 1e6 - 1) };
}

// What follows looks at a store without changing it, by JavaScript's own parser and a plain reading
// of the rules. It makes way for the package's own report of a sweep that changes nothing, as soon
// as there is one.

function look(storePath, retentionMs = 0) {
  const store = readStore(storePath);
  const cutoff = Date.now() - retentionMs;
  const folder = realpathSync(dirname(resolve(storePath)));
  const ids = new Set();
  const gone = [];
  let expiredBytes = 0;
  for (const [key, entry] of Object.entries(store.json)) {
    if (isRun(key) && entry && (entry.updatedAt ?? 0) < cutoff) {
      gone.push(entry);
      expiredBytes += Buffer.byteLength(JSON.stringify({ [key]: entry }, null, 2));
    } else {
      ids.add(entry?.sessionId);
    }
  }
  const transcripts = new Set();
  for (const { sessionId, sessionFile } of gone) {
    if (typeof sessionId === "string" && !ids.has(sessionId)) {
      for (const name of [sessionFile, `${sessionId.trim()}.jsonl`]) {
        const path = typeof name === "string" && transcriptAt(folder, name);
        if (path) {
          transcripts.add(path);
        }
      }
    }
  }
  const names = readdirSync(folder, { recursive: true });
  return {
    entries: Object.keys(store.json).length,
    expired: gone.length,
    bytes: store.bytes,
    expiredBytes,
    transcripts: [...transcripts],
    archives: new Set(names.filter((name) => basename(name).includes(".deleted."))),
  };
}

function readStore(storePath) {
  try {
    const bytes = readFileSync(storePath);
    const json = JSON.parse(bytes.toString("utf8"));
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new UsageError(`${storePath}: not a session store, which is a JSON object`);
    }
    return { json, bytes: bytes.length };
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new UsageError(`${storePath}: not valid JSON: ${error.message}`);
    }
    const reasons = {
      ENOENT: "no such file",
      EISDIR: "a folder, not a sessions.json",
      EACCES: "permission denied",
    };
    throw error.code
      ? new UsageError(`${storePath}: ${reasons[error.code] ?? error.message}`)
      : error;
  }
}

function isRun(key) {
  const [agent, id, cron, job, run, runId, ...more] = key
    .trim()
    .toLowerCase()
    .split(":")
    .filter(Boolean);
  return (
    agent === "agent" &&
    id?.trim() &&
    cron === "cron" &&
    job !== undefined &&
    run === "run" &&
    runId !== undefined &&
    more.length === 0
  );
}

function transcriptAt(folder, name) {
  try {
    const path = realpathSync(resolve(folder, name));
    const inside = relative(folder, path);
    const isTranscript = inside.endsWith(".jsonl") && lstatSync(path).isFile();
    return !inside.startsWith("..") && !isAbsolute(inside) && isTranscript ? path : undefined;
  } catch {
    return undefined;
  }
}

function column(value) {
  return String(value).padStart(12);
}

function size(bytes) {
  return bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
