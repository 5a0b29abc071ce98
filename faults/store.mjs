// The stores that the campaigns sweep, and the checks of the result.

import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

export const NOW = Date.parse("2026-03-01T12:00:00.000Z");
const HOUR = 3_600_000;

/** A pid of no process: it is above the largest pid of Linux. */
const UNUSED_PID = 4_194_305;

const runKey = (id) => `agent:main:cron:nightly:run:${id}`;

/** Creates the folder of a campaign: in memory if enough is free, because trees are many and small. */
export function scratch() {
  const inMemory = "/dev/shm";
  const space = existsSync(inMemory) ? statfsSync(inMemory) : { bavail: 0, bsize: 0 };
  return mkdtempSync(join(space.bavail * space.bsize > 256 << 20 ? inMemory : tmpdir(), "faults-"));
}

const REMOVED = ["run-1", "run-2", "run-3"];
const KEPT = ["main", "keep-1", "keep-2"];

function entries(padding) {
  const text = 'He said: "no\\n" \u00e9 '.repeat(padding);
  const entry = (sessionId, updatedAt, more) => ({ sessionId, updatedAt, ...more, text });
  return {
    [runKey(1)]: entry("run-1", NOW - 48 * HOUR),
    "agent:main:main": entry("main", NOW - 99 * HOUR),
    [runKey(2)]: entry("run-2", NOW - 25 * HOUR, { sessionFile: "sub/run-2.jsonl" }),
    [runKey(4)]: entry("keep-1", NOW - HOUR),
    "agent:main:slack": entry("keep-2", 1),
    [runKey(3)]: entry("run-3", 5),
  };
}

/** The initial states of a store. After a sweep, all are the same. */
export const SCENARIOS = {
  plain: {},
  large: { padding: 16_000 },
  linked: { linked: true },
  "native lock left": { lock: "native" },
  "JavaScript lock left": { lock: "javascript" },
  "temps left": { temps: true },
};

/** Creates a store and its folder in `root`, which need not exist. */
export function layOut(root, { padding = 8, linked, lock, temps } = {}) {
  const folder = join(root, "sessions");
  mkdirSync(join(folder, "sub"), { recursive: true });
  const store = join(folder, "sessions.json");
  const real = linked ? join(root, "data", "store.json") : store;
  const before = entries(padding);
  if (linked) {
    mkdirSync(dirname(real));
    symlinkSync(real, store);
  }
  writeFileSync(real, JSON.stringify(before, null, 2), { mode: 0o600 });
  const transcripts = REMOVED.map((id) =>
    join(folder, id === "run-2" ? "sub/run-2.jsonl" : `${id}.jsonl`),
  );
  const kept = KEPT.map((id) => join(folder, `${id}.jsonl`));
  for (const path of [...transcripts, ...kept]) {
    writeFileSync(path, `${basename(path)}\n`.repeat(20));
  }
  writeFileSync(join(folder, "older.jsonl.deleted.2020-01-01T00-00-00.000Z"), "{}\n");
  if (lock) {
    leaveLock(`${store}.lock`, lock);
  }
  if (temps) {
    const old = NOW / 1000 - 86_400;
    for (const name of [`${real}.77-0.reaper.tmp`, `${real}.${crypto.randomUUID()}.tmp`]) {
      writeFileSync(name, '{"half": ');
      utimesSync(name, old, old);
    }
  }
  return { root, folder, store, real, entries: before, transcripts, kept };
}

function leaveLock(path, whose) {
  const bootId = () => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const payload = { pid: UNUSED_PID, createdAt: new Date(NOW).toISOString(), starttime: 1 };
  const native = whose === "native" ? { flock: bootId() } : {};
  writeFileSync(path, JSON.stringify({ ...payload, ...native }));
  utimesSync(path, NOW / 1000, NOW / 1000);
}

/**
 * Checks what must hold after any failure: the store is exactly the old or the new one, the kept
 * transcripts are not modified, and no transcript is lost.
 *
 * A campaign may permit the failure of two best-effort steps: archiving a transcript
 * (`archived: false`), and checking whether a transcript is being written (`partial: true`). If that
 * check fails, the run is kept.
 *
 * @returns `{ problems, pruned, isNew }`: one sentence for each problem, the number of removed runs,
 * and whether all expired runs are removed.
 */
export function examine(tree, { archived = true, partial = false } = {}) {
  const problems = [];
  const text = contents(tree.real);
  const removed = removedRuns(tree, text);
  if (removed === undefined || (!partial && ![0, REMOVED.length].includes(removed.length))) {
    problems.push(`the store is neither old nor new: ${describe(text)}`);
  }
  for (const path of tree.kept) {
    if (contents(path) !== `${basename(path)}\n`.repeat(20)) {
      problems.push(`a kept transcript was modified: ${basename(path)}`);
    }
  }
  for (const path of tree.transcripts) {
    const name = basename(path);
    const archives = archivesOf(path);
    const places = [...(existsSync(path) ? [path] : []), ...archives];
    if (places.length !== 1 || contents(places[0]) !== `${name}\n`.repeat(20)) {
      problems.push(`${name} exists ${places.length} times, or is incomplete`);
    } else if (archived && archives.length === 0 && removed?.includes(basename(name, ".jsonl"))) {
      problems.push(`${name} was not archived, and its entry is removed`);
    }
  }
  const pruned = removed?.length ?? 0;
  return { problems, pruned, isNew: pruned === REMOVED.length };
}

/** Returns the runs removed from a store that is otherwise unchanged; undefined if it is not. */
function removedRuns(tree, text) {
  for (let mask = 0; mask < 1 << REMOVED.length; mask++) {
    const removed = REMOVED.filter((_, index) => mask & (1 << index));
    const rest = Object.entries(tree.entries).filter(
      ([, { sessionId }]) => !removed.includes(sessionId),
    );
    if (text === JSON.stringify(Object.fromEntries(rest), null, 2)) {
      return removed;
    }
  }
  return undefined;
}

/** Checks what must hold after a sweep without a failure. */
export function examineSwept(tree, options) {
  const { problems, isNew } = examine(tree, options);
  if (!isNew) {
    problems.push("the store still contains expired runs");
  }
  return [...problems, ...leftovers(tree)];
}

/** Returns one sentence for each file that a sweep should have removed. */
export function leftovers(tree) {
  return [...new Set([tree.folder, dirname(tree.real)])]
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
    .filter((path) => !path.includes(".jsonl") && ![tree.store, tree.real].includes(path))
    .filter((path) => !lstatSync(path).isDirectory())
    .map((path) => `left behind: ${basename(path)}`);
}

function archivesOf(path) {
  const name = `${basename(path)}.deleted.`;
  return readdirSync(dirname(path))
    .filter((other) => other.startsWith(name))
    .map((other) => join(dirname(path), other));
}

function contents(path) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    return `(${error.code})`;
  }
}

function describe(text) {
  return `${text.length} characters, ${JSON.stringify(text.slice(0, 40))}`;
}

/** Adds an expired run, so that the next sweep removes it and takes the lock. */
export function addExpiredRun(tree) {
  const store = JSON.parse(readFileSync(tree.real, "utf8"));
  writeFileSync(
    tree.real,
    JSON.stringify({ ...store, [runKey(9)]: { sessionId: "nothing", updatedAt: 1 } }, null, 2),
  );
}

export function remove(tree) {
  rmSync(tree.root, { recursive: true, force: true });
}
