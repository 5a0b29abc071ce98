// Stores whose content is chosen to make a sweep slow or large: time, memory and the lock stay within
// the bounds that RELIABILITY.md states.

import {
  closeSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isBuilt } from "../scripts/prepare.mjs";
import { run } from "./programs.mjs";
import { bite, figure, none, skipped } from "./table.mjs";

export const name = "hostile";

const MB = 1e6;

/** What a sweep may use beside 16 bytes per run, in bytes. */
const MEMORY = 32 * MB;
const MEMORY_PER_RUN = 16;

/** How much CPU time it may use: so many times that for an ordinary store, or of `JSON.parse`. */
const TIMES_ORDINARY = 10;
const TIMES_PARSE = 2;

/** How often a store is measured: other processes can delay a sweep, but not make it faster. */
const ATTEMPTS = 3;

/** The sweep last: it changes the store. */
const ACTIONS = ["inspect", "preview", "sweep"];

/** How long it may hold the lock, without the files that it archives, in milliseconds. */
const HOLDING_MS = 50;

const OLD = '"updatedAt":1';
const runKey = (id) => `"agent:a:cron:j:run:${id}"`;
const LONG_PATH = `${"a/".repeat(1900)}x.jsonl`;

/** A folder with thousands of files, each with a lock of a dead process. */
const DEEP = "d/".repeat(30);
const DEEP_FILES = 3000;

/** How the n-th entry of each store reads, and whether it is a run. See `layOut` for the files. */
const STORES = {
  "entries of a few bytes": { entry: (n) => `"${n}":1` },
  "runs of a few bytes": { entry: (n) => `${runKey(n)}:{}`, isRun: true },
  "runs that share one transcript": {
    entry: (n) => `${runKey(n)}:{"sessionId":"${n}","sessionFile":"T.jsonl"}`,
    isRun: true,
  },
  "kept entries with an id each": { entry: (n) => `"${n}":{"sessionId":"${n}"}` },
  "kept entries with a file each": { entry: (n) => `"${n}":{"sessionFile":"f${n}.jsonl"}` },
  "a job for each run": { entry: (n) => `"agent:a:cron:${n}:run:1":{${OLD}}`, isRun: true },
  "deep folders": { entry: (n) => `"${n}":{"sessionFile":"${n}/${LONG_PATH}"}` },
  "paths elsewhere": { entry: (n) => `"${n}":{"sessionFile":"/nowhere/${n}/T.jsonl"}` },
  "long duplicate keys": {
    entry: (n) => `${runKey(`${n % 2}${"k".repeat(50_000)}`)}:{}`,
    isRun: true,
    isRefused: true,
  },
  "runs that share one locked transcript": runsOf(() => "locked.jsonl"),
  "runs that share one locked id": {
    entry: (n) => `${runKey(n)}:{"sessionId":"locked",${OLD}}`,
    isRun: true,
  },
  "runs of missing files": {
    entry: (n) => `${runKey(n)}:{"sessionId":"${n}","sessionFile":"${n}-m.jsonl",${OLD}}`,
    isRun: true,
  },
  "runs of missing files in a folder": runsOf((n) => `${DEEP}m${n}.jsonl`),
  "runs of missing folders": runsOf((n) => `m${n}/T.jsonl`),
  "runs of files elsewhere": runsOf((n) => `/nowhere/${n}/T.jsonl`),
  "runs that share one link": runsOf(() => "link.jsonl"),
  "runs behind a link to a folder": runsOf(() => "folder/T.jsonl"),
  "runs of files in deep folders": runsOf((n) => `${DEEP}${n % DEEP_FILES}.jsonl`),
  "kept entries of one file in deep folders": {
    entry: (n) => `"${n}":{"sessionFile":"${DEEP}0.jsonl"}`,
  },
  "keys of a megabyte": { entry: (n) => `"${n}${"k".repeat(2 ** 20)}":1` },
};

function runsOf(file) {
  const entry = (n) => `${runKey(n)}:{"sessionFile":"${file(n)}",${OLD}}`;
  return { entry, isRun: true };
}

export async function campaign({ short, scratch }) {
  const what = "hostile stores swept within their bounds";
  if (!isBuilt()) {
    skipped(what, "the addon is not built: npm run build");
    return;
  }
  const results = await measureAll(scratch, short ? 8 * MB : 100 * MB, short);
  figure(what, results.length, 3 * Object.keys(STORES).length, []);
  none("of them beyond a bound", results.flat().length, results.flat());
}

export async function bites({ scratch }) {
  // What a gateway does: the whole store as objects.
  const folder = join(scratch, "parsed");
  const store = layOut(folder, STORES["runs of a few bytes"].entry, 8 * MB);
  const parsed = await measure({ store: store.path, action: "parse" });
  bite(
    "hostile stores swept within their bounds",
    "parses the store",
    beyond("parse", "sweep", { runs: 1 }, parsed, Number.POSITIVE_INFINITY),
  );
}

/** Sweeps, previews and inspects each store. Returns what was beyond its bounds, a list for each. */
async function measureAll(scratch, bytes, short) {
  const results = [];
  for (const [title, kind] of Object.entries(STORES)) {
    let best;
    let problems;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      best = bestOf(best, await measureOnce(scratch, kind, bytes));
      problems = ACTIONS.map((action) => problemsOf(title, kind, action, best, short));
      if (problems.flat().length === 0) {
        break;
      }
    }
    results.push(...problems);
  }
  return results;
}

/** Measures all actions on one store, between the same actions on an ordinary one and `JSON.parse`. */
async function measureOnce(scratch, { entry, isRun }, bytes) {
  const ordinary = layOut(join(scratch, "ordinary"), ordinaryEntry, bytes);
  const hostile = layOut(join(scratch, "hostile"), entry, bytes);
  const found = { runs: isRun ? hostile.entries : 1, ordinary: {}, hostile: {} };
  found.parse = await measure({ store: hostile.path, action: "parse" });
  for (const action of ACTIONS) {
    found.ordinary[action] = await measure({ store: ordinary.path, action });
    found.hostile[action] = await measure({ store: hostile.path, action });
  }
  for (const { path } of [ordinary, hostile]) {
    rmSync(dirname(path), { recursive: true });
  }
  return found;
}

/** Combines two measurements: the shortest times of both sides, the largest memory. */
function bestOf(a, b) {
  if (!a) {
    return b;
  }
  const each = (a, b) =>
    Object.fromEntries(ACTIONS.map((action) => [action, better(a[action], b[action])]));
  return {
    runs: a.runs,
    parse: better(a.parse, b.parse),
    ordinary: each(a.ordinary, b.ordinary),
    hostile: each(a.hostile, b.hostile),
  };
}

const better = (a, b) => ({
  ...b,
  ms: Math.min(a.ms, b.ms),
  holdingMs: Math.min(a.holdingMs ?? 0, b.holdingMs ?? 0),
  addedBytes: Math.max(a.addedBytes, b.addedBytes),
});

function problemsOf(title, { isRefused }, action, { runs, parse, ordinary, hostile }, short) {
  const limit = Math.max(TIMES_ORDINARY * ordinary[action].ms, TIMES_PARSE * parse.ms);
  const found = hostile[action];
  const problems = beyond(title, action, { runs }, found, short ? Number.POSITIVE_INFINITY : limit);
  if (action !== "inspect" && !found.ok && !isRefused) {
    problems.push(`${title}, ${action}: ${found.error}`);
  }
  return problems;
}

function beyond(title, action, { runs }, { addedBytes, ms, holdingMs = 0, archived = 0 }, limitMs) {
  const problems = [];
  const allowed = MEMORY + MEMORY_PER_RUN * runs;
  const inMb = (bytes) => `${(bytes / MB).toFixed(0)} MB`;
  if (addedBytes > allowed) {
    problems.push(`${title}, ${action}: ${inMb(addedBytes)} of memory, allowed ${inMb(allowed)}`);
  }
  if (ms > limitMs) {
    problems.push(`${title}, ${action}: ${ms.toFixed(0)} ms, allowed ${limitMs.toFixed(0)}`);
  }
  if (Number.isFinite(limitMs) && holdingMs > HOLDING_MS + archived) {
    problems.push(`${title}, ${action}: the lock was held for ${holdingMs.toFixed(0)} ms`);
  }
  return problems;
}

/** The n-th entry of a store as the gateway writes it. */
function ordinaryEntry(n) {
  const text = '\\"a line of a transcript\\"\\n'.repeat(1000);
  return `${runKey(n)}:{${n % 5 ? '"updatedAt":1e15' : OLD},"text":"${text}"}`;
}

/** Writes a store of about so many bytes, with one expired run and its transcript, and other files. */
function layOut(folder, entry, bytes) {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, "sessions.json");
  for (const name of ["T.jsonl", "locked.jsonl"]) {
    writeFileSync(join(folder, name), "");
  }
  const lock = (pid) => JSON.stringify({ pid, createdAt: "2999-01-01T00:00:00.000Z" });
  writeFileSync(join(folder, "locked.jsonl.lock"), lock(process.pid));
  symlinkSync("T.jsonl", join(folder, "link.jsonl"));
  symlinkSync(".", join(folder, "folder"));
  mkdirSync(join(folder, DEEP), { recursive: true });
  for (let n = 0; n < DEEP_FILES; n++) {
    writeFileSync(join(folder, DEEP, `${n}.jsonl`), "");
    writeFileSync(join(folder, DEEP, `${n}.jsonl.lock`), lock(2 ** 30));
  }
  const file = openSync(path, "w");
  writeSync(file, `{${runKey("x")}:{"sessionId":"T",${OLD}}`);
  let [written, entries] = [0, 0];
  while (written < bytes) {
    let chunk = "";
    while (chunk.length < MB && written + chunk.length < bytes) {
      chunk += `,${entry(entries)}`;
      entries += 1;
    }
    writeSync(file, chunk);
    written += chunk.length;
  }
  writeSync(file, "}");
  closeSync(file);
  return { path, entries };
}

async function measure(job) {
  const child = fileURLToPath(new URL("hostile-child.mjs", import.meta.url));
  const args = ["--max-old-space-size=12288", child, JSON.stringify(job)];
  const { stdout, stderr } = await run(process.execPath, args, { timeoutMs: 300_000 });
  const line = stdout.trim().split("\n").at(-1);
  return line ? JSON.parse(line) : { ok: false, error: stderr, addedBytes: 0, ms: 0 };
}
