// All that a power cut may leave of one sweep, worked out from what the sweep asked of the kernel.
//
// After Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014): a trace is cut after
// each of its calls, and what was not synced by then is on the disk or not. Two models:
//
// - in order: names change in the order of the calls, as in the journal of ext4 or xfs, so that a
//   prefix of the changes is on the disk; contents that were not synced may be missing, half there,
//   or zeros, each write for itself, whatever the names say.
// - any order: of the names that changed and whose folder was not synced, any subset is on the disk.
//   Here a sweep promises less: the store is whole, but a transcript may keep its name although its
//   run is gone.

import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { buildSweeper, run } from "./programs.mjs";
import { layOut, NOW, remove, SCENARIOS } from "./store.mjs";
import { bite, figure, none, skipped } from "./table.mjs";
import { canTrace } from "./trace.mjs";

export const name = "crash-states";

const CALLS =
  "trace=openat,fcntl,close,pwrite64,write,ftruncate,fdatasync,fsync,linkat,renameat2,rename,unlink";

export async function campaign({ short, scratch }) {
  const what = "crash states of a sweep's trace";
  if (!canTrace()) {
    skipped(what, "strace is not there or not allowed");
    return;
  }
  const scenarios = short ? ["plain"] : ["plain", "large", "linked", "native lock left"];
  const { states, problems } = await examineAll(scratch, scenarios);
  figure(what, states, short ? 100 : 1_000);
  none("bad ones among them", problems.length, problems);
}

export async function bites({ scratch }) {
  if (!canTrace()) {
    skipped("crash states", "strace is not there or not allowed");
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

/** What a sweep did, and the contents that it left. */
async function traceSweep(scratch, scenario, env) {
  const tree = layOut(join(scratch, "traced"), SCENARIOS[scenario]);
  const before = readFileSync(tree.real);
  const file = join(scratch, "states.trace");
  const strace = ["-f", "-y", "-qq", "-s", "0", "-o", file, "-e", CALLS];
  const sweep = [await buildSweeper(), tree.store, "--now", String(NOW)];
  const { stdout } = await run("strace", [...strace, ...sweep], { env });
  if (!stdout.includes('"swept":true')) {
    throw new Error(`the sweep that is traced should succeed: ${stdout}`);
  }
  const after = readFileSync(tree.real);
  const operations = read(readFileSync(file, "utf8"), tree);
  remove(tree);
  return { tree, before, after, operations };
}

/** Puts together the calls that another thread's interrupted in the listing. */
function* wholeLines(text) {
  const begun = new Map();
  for (const line of text.split("\n")) {
    const [, thread, rest] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest ?? "");
    if (rest?.endsWith("<unfinished ...>")) {
      begun.set(thread, rest.slice(0, -"<unfinished ...>".length));
    } else if (resumed) {
      yield `${begun.get(thread)}${resumed[1]}`;
    } else if (rest) {
      yield rest;
    }
  }
}

/** The calls that change what is on the disk, told in terms of files and names. */
function read(text, tree) {
  const open = new Map();
  const names = new Map();
  const operations = [];
  let made = 0;
  const inside = (path) => path.startsWith(`${tree.root}/`);
  const fileAt = (path) => {
    if (!names.has(path)) {
      names.set(path, path); // It was there before; its own name will do.
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
    const paths = [...given.matchAll(/"([^"]*)"/g)].map(([, path]) => path);
    if (call === "openat" && given.includes("O_TMPFILE")) {
      open.set(returned, `new ${++made}`);
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
    } else if (call === "unlink") {
      names.delete(paths[0]);
      change(paths[0], { set: { [paths[0]]: undefined } });
    }
  }
  return operations;
}

/** For each place to cut at: the changes of names by then, and which of them are certain. */
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
        const problem = judge(trace, names, content, { reported, archives: true });
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
        const problem = judge(trace, names, content, { reported, archives: false });
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

/** Everything that may be in the file at the store's path. */
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
    const ways = at < synced ? ["whole"] : ["whole", "half", "zeros", "missing"];
    states = states.flatMap((state) => ways.map((way) => touched(state, touch, way, after)));
  }
  return states;
}

function touched(state, { kind, offset = 0, length = 0 }, way, after) {
  if (way === "missing") {
    return state;
  }
  if (kind === "truncate") {
    return Buffer.alloc(0);
  }
  const end = offset + (way === "half" ? length >> 1 : length);
  const grown = Buffer.alloc(Math.max(end, state.length));
  state.copy(grown);
  if (way === "zeros") {
    grown.fill(0, offset, end);
  } else {
    after.copy(grown, offset, offset, end);
  }
  return grown;
}

function judge({ tree, before, after }, names, content, { reported, archives }) {
  const isNew = content?.equals(after);
  if (!isNew && !content?.equals(before)) {
    return `the store is neither old nor new (${content?.length ?? "no"} bytes)`;
  }
  if (reported && !isNew) {
    return "it was reported as done, and it is not";
  }
  for (const path of tree.transcripts) {
    const has = (name) => (names.has(name) ? names.get(name) : name) === path;
    const places = [path, ...names.keys()].filter(
      (name, at, all) => all.indexOf(name) === at && has(name),
    );
    if (places.length === 0) {
      return `${basename(path)} is nowhere`;
    }
    if (archives && isNew && !places.some((name) => name.includes(".deleted."))) {
      return `${basename(path)} will never be found again: its entry is gone`;
    }
  }
  return undefined;
}
