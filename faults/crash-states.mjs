// Computes every state of the disk that a power cut during one sweep may leave, from a trace of the
// sweep's system calls.
//
// After Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014): the trace is cut after
// each call. What was not synced before the cut may or may not be on the disk. There are two models:
//
// - In order: names change in the order of the calls, as with the journals of ext4 and xfs, so that a
//   prefix of the changes is on the disk. Each unsynced write is independently complete, half
//   complete, zeros or missing.
// - Any order: if a folder was not synced, any subset of its name changes is on the disk. A sweep
//   guarantees less here: the store is complete, but a transcript may keep its name although its run
//   is removed.

import { readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { buildSweeper, run } from "./programs.mjs";
import { layOut, NOW, remove, SCENARIOS } from "./store.mjs";
import { bite, figure, none, skipped } from "./table.mjs";
import { canTrace } from "./trace.mjs";

export const name = "crash-states";

const CALLS =
  "trace=openat,fcntl,close,pwrite64,write,ftruncate,fdatasync,fsync,linkat,renameat2,renameat,unlinkat";

export async function campaign({ short, scratch }) {
  const what = "crash states of a sweep's trace";
  if (!canTrace()) {
    skipped(what, "strace is not available or not permitted");
    return;
  }
  const scenarios = short ? ["plain"] : ["plain", "large", "linked", "native lock left"];
  const { states, problems } = await examineAll(scratch, scenarios);
  figure(what, states, short ? 100 : 1_000);
  none("bad crash states", problems.length, problems);
}

export async function bites({ scratch }) {
  if (!canTrace()) {
    skipped("crash states", "strace is not available or not permitted");
    return;
  }
  for (const fault of ["no-sync", "no-folder-sync", "late-archive"]) {
    const { problems } = await examineAll(scratch, ["plain"], { FAULT: fault });
    bite("crash states", fault, problems);
  }
}

async function examineAll(scratch, scenarios, env = {}) {
  const all = { states: 0, problems: [] };
  for (const scenario of scenarios) {
    const trace = await traceSweep(scratch, scenario, env);
    for (const examine of [examineInOrder, examineAnyOrder]) {
      const { states, problems } = examine(trace);
      all.states += states;
      all.problems.push(...problems.map((it) => `${scenario}, ${it}`));
    }
  }
  return all;
}

/** Traces a sweep. Returns its operations and the store's contents before and after it. */
async function traceSweep(scratch, scenario, env) {
  const tree = layOut(join(scratch, "traced"), SCENARIOS[scenario]);
  const before = readFileSync(tree.real);
  const file = join(scratch, "states.trace");
  const strace = ["-f", "-y", "-qq", "-s", "0", "-o", file, "-e", CALLS];
  const sweep = [await buildSweeper(), tree.store, "--now", String(NOW)];
  const { stdout } = await run("strace", [...strace, ...sweep], { env });
  if (!stdout.includes('"swept":true')) {
    throw new Error(`the traced sweep failed: ${stdout}`);
  }
  const after = readFileSync(tree.real);
  const operations = parseOperations(readFileSync(file, "utf8"), tree);
  remove(tree);
  return { tree, before, after, operations };
}

/** Joins the two halves of calls that strace prints as unfinished and resumed. */
function* wholeLines(text) {
  const unfinished = new Map();
  for (const line of text.split("\n")) {
    const [, thread, rest] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest ?? "");
    if (rest?.endsWith("<unfinished ...>")) {
      unfinished.set(thread, rest.slice(0, -"<unfinished ...>".length));
    } else if (resumed) {
      yield `${unfinished.get(thread)}${resumed[1]}`;
    } else if (rest) {
      yield rest;
    }
  }
}

/** Returns the paths in the arguments of a call. A name in an open folder is preceded by the folder. */
function pathsIn(given) {
  const paths = given.matchAll(/(?:(?:\d+|AT_FDCWD)<([^>]*)>, )?"([^"]*)"/g);
  return [...paths].map(([, folder = "/", path]) => resolve(folder, path));
}

/** Parses a trace into the operations that change files and names on the disk. */
function parseOperations(text, tree) {
  const open = new Map();
  const names = new Map();
  const operations = [];
  let created = 0;
  const inside = (path) => path.startsWith(`${tree.root}/`);
  const fileAt = (path) => {
    if (!names.has(path)) {
      names.set(path, path); // The file existed before the sweep: its path identifies it.
    }
    return names.get(path);
  };
  const change = (path, more) => operations.push({ kind: "names", folder: dirname(path), ...more });

  for (const line of wholeLines(text)) {
    const [, call, given, returned] = /^(\w+)\((.*)\) += (-?\d+)/.exec(line) ?? [];
    if (!call || Number(returned) < 0) {
      continue;
    }
    const fd = /^(\d+)</.exec(given)?.[1];
    const paths = pathsIn(given);
    if (call === "openat" && given.includes("O_TMPFILE")) {
      open.set(returned, `new ${++created}`);
    } else if (call === "openat" && inside(paths[0])) {
      open.set(returned, fileAt(paths[0]));
      if (given.includes("O_TRUNC")) {
        operations.push({ kind: "truncate", file: fileAt(paths[0]) });
      }
    } else if (call === "openat") {
      open.delete(returned);
    } else if (call === "fcntl" && given.includes("F_DUPFD") && open.has(fd)) {
      open.set(returned, open.get(fd));
    } else if (call === "close") {
      open.delete(fd);
    } else if (call === "write" && fd === "1") {
      operations.push({ kind: "report" });
    } else if (["pwrite64", "write"].includes(call) && open.has(fd)) {
      const offset = call === "pwrite64" ? Number(/, (\d+)$/.exec(given)[1]) : undefined;
      operations.push({ kind: "write", file: open.get(fd), offset, length: Number(returned) });
    } else if (["fdatasync", "fsync"].includes(call) && open.has(fd)) {
      operations.push({ kind: "sync", file: open.get(fd) });
    } else if (call === "linkat") {
      const file = open.get(/\/proc\/self\/fd\/(\d+)/.exec(given)[1]);
      names.set(paths[1], file);
      change(paths[1], { set: { [paths[1]]: file } });
    } else if (call.startsWith("rename") && given.includes("RENAME_EXCHANGE")) {
      const [a, b] = [fileAt(paths[0]), fileAt(paths[1])];
      names.set(paths[0], b).set(paths[1], a);
      change(paths[1], { set: { [paths[0]]: b, [paths[1]]: a } });
    } else if (call.startsWith("rename")) {
      const file = fileAt(paths[0]);
      names.delete(paths[0]);
      names.set(paths[1], file);
      change(paths[1], { set: { [paths[0]]: undefined, [paths[1]]: file } });
    } else if (call === "unlinkat") {
      names.delete(paths[0]);
      change(paths[0], { set: { [paths[0]]: undefined } });
    }
  }
  return operations;
}

/** Yields each cut: the operations before it, and which of their name changes are certain. */
function* cuts({ operations }) {
  for (let end = 0; end <= operations.length; end++) {
    const done = operations.slice(0, end);
    const reported = done.some(({ kind }) => kind === "report");
    const changes = done.flatMap((operation, at) => {
      if (operation.kind !== "names") {
        return [];
      }
      const later = done.slice(at);
      const certain = later.some(({ kind, file }) => kind === "sync" && file === operation.folder);
      return [{ ...operation, certain }];
    });
    yield { end, done, reported, changes };
  }
}

function examineInOrder(trace) {
  const found = { states: 0, problems: [] };
  for (const { end, done, reported, changes } of cuts(trace)) {
    const least = changes.findLastIndex(({ certain }) => certain) + 1;
    for (let count = least; count <= changes.length; count++) {
      const names = apply(changes.slice(0, count));
      const where = `in order, cut after ${end} calls with ${count} of ${changes.length} names changed`;
      for (const content of contentsOf(trace, done, names.get(trace.tree.real))) {
        found.states++;
        const problem = findProblem(trace, names, content, { reported, archives: true });
        if (problem) {
          found.problems.push(`${where}: ${problem}`);
        }
      }
    }
  }
  return found;
}

function examineAnyOrder(trace) {
  const found = { states: 0, problems: [] };
  for (const { end, done, reported, changes } of cuts(trace)) {
    const open = changes.filter(({ certain }) => !certain);
    for (let mask = 0; mask < 1 << open.length; mask++) {
      const here = changes.filter((it) => it.certain || mask & (1 << open.indexOf(it)));
      const names = apply(here);
      for (const content of contentsOf(trace, done, names.get(trace.tree.real))) {
        found.states++;
        const problem = findProblem(trace, names, content, { reported, archives: false });
        if (problem) {
          found.problems.push(`any order, cut after ${end} calls, subset ${mask}: ${problem}`);
        }
      }
    }
  }
  return found;
}

function apply(changes) {
  const names = new Map();
  for (const { set } of changes) {
    for (const [name, file] of Object.entries(set)) {
      names.set(name, file);
    }
  }
  return names;
}

/** Returns all possible contents of the file at the store's path. */
function contentsOf({ tree, before, after }, done, file = tree.real) {
  if (file === undefined) {
    return [undefined];
  }
  const touches = done.filter((it) => it.file === file && it.kind !== "names");
  const synced = touches.findLastIndex(({ kind }) => kind === "sync");
  let states = [file === tree.real ? before : Buffer.alloc(0)];
  for (const [at, touch] of touches.entries()) {
    if (touch.kind === "sync") {
      continue;
    }
    const outcomes = at < synced ? ["whole"] : ["whole", "half", "zeros", "missing"];
    states = states.flatMap((state) =>
      outcomes.map((outcome) => applyTouch(state, touch, outcome, after)),
    );
  }
  return states;
}

/** Returns the contents after a truncation or a write with this outcome. */
function applyTouch(state, { kind, offset = 0, length = 0 }, outcome, after) {
  if (outcome === "missing") {
    return state;
  }
  if (kind === "truncate") {
    return Buffer.alloc(0);
  }
  const end = offset + (outcome === "half" ? length >> 1 : length);
  const grown = Buffer.alloc(Math.max(end, state.length));
  state.copy(grown);
  if (outcome === "zeros") {
    grown.fill(0, offset, end);
  } else {
    after.copy(grown, offset, offset, end);
  }
  return grown;
}

/** Returns what is wrong with a state of the disk, or undefined. */
function findProblem({ tree, before, after }, names, content, { reported, archives }) {
  const isNew = content?.equals(after);
  if (!isNew && !content?.equals(before)) {
    return `the store is neither old nor new (${content?.length ?? "no"} bytes)`;
  }
  if (reported && !isNew) {
    return "the sweep was reported as done, but the store is the old one";
  }
  for (const path of tree.transcripts) {
    const has = (name) => (names.has(name) ? names.get(name) : name) === path;
    const places = [path, ...names.keys()].filter(
      (name, at, all) => all.indexOf(name) === at && has(name),
    );
    if (places.length === 0) {
      return `${basename(path)} is lost`;
    }
    if (archives && isNew && !places.some((name) => name.includes(".deleted."))) {
      return `${basename(path)} was not archived, and its entry is removed`;
    }
  }
  return undefined;
}
