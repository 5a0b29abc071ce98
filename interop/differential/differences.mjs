// Derives from the gateway's outcome what the native sweep must do: the same, except for the deliberate
// differences of the contract. Each difference is a named rule of one of two kinds:
//
// - The gateway gets a twin of the case, in which the difference has no effect.
// - A part of the gateway's outcome is reverted.
//
// Everything that no rule covers must be equal.

import fs from "node:fs";
import path from "node:path";
import { membersOf } from "./members.mjs";

const OLD_ARCHIVE = /\.deleted\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d{3})?Z$/;
const ID = /^[a-z0-9][a-z0-9._-]{0,127}$/i;
const FAILED = "cron-reaper: failed to sweep session store";

/** A time that no cutoff of a case exceeds. From 2026.5.22 on, an infinite time counts as 0. */
const NEVER = "1.7e308";

const atLeast = (version, since) => {
  const [a, b] = [version, since].map((v) => v.split(".").map((part) => Number.parseInt(part, 10)));
  for (let i = 0; i < 3; i += 1) if (a[i] !== b[i]) return a[i] > b[i];
  return true;
};

const realpath = (file) => {
  try {
    return fs.realpathSync(file);
  } catch {
    return null;
  }
};

const parsed = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

const RUN = /^cron:[^:]+:run:[^:]+$/;
const RUN_OR_DESCENDANT = /^cron:[^:]+:run:[^:]+(?::|$)/;

/** Returns whether the rest of an agent's key matches. Empty parts of the key are ignored. */
const matches = (key, pattern) => {
  const [agent, id, ...rest] = key.trim().toLowerCase().split(":").filter(Boolean);
  return agent === "agent" && Boolean(id?.trim()) && pattern.test(rest.join(":"));
};

/** Returns whether the native sweep beside a gateway of this version treats a key as that of a run. */
const isRunKey = (key, version) => {
  if (!atLeast(version, "2026.5.12")) return matches(key, RUN);
  return matches(key, RUN_OR_DESCENDANT) && key.trim().split(":").slice(0, 6).every(Boolean);
};

/** Returns the resolved path of an entry's sessionFile, or null. */
function sessionFileOf(entry, folder) {
  const written = typeof entry?.sessionFile === "string" ? entry.sessionFile.trim() : "";
  return written === "" ? null : realpath(path.resolve(realpath(folder), written));
}

/** Returns the sessionFile as a candidate for archiving: null if its text leads out of the folder. */
function candidateOf(entry, folder) {
  return typeof entry?.sessionFile === "string" && entry.sessionFile.trim().startsWith("..")
    ? null
    : sessionFileOf(entry, folder);
}

/** Returns whether a sessionFile is outside the folder by its text, and the folder has no such name. */
function isOutside(sessionFile, folder) {
  const file = path.resolve(folder, sessionFile.trim());
  return (
    path.relative(folder, file).startsWith("..") &&
    !fs.existsSync(path.join(folder, path.basename(file)))
  );
}

function transcriptOf(entry, folder) {
  const id = typeof entry?.sessionId === "string" ? entry.sessionId.trim() : "";
  return ID.test(id) ? realpath(path.join(folder, `${id}.jsonl`)) : null;
}

const entryOf = (value) =>
  typeof value === "string"
    ? parsed(value)
    : Object.fromEntries(value.map(([n, v]) => [parsed(n), parsed(v)]));

/**
 * Returns the twin of a step, which the gateway gets instead: `{ twin, keys, rules }`. `keys` maps
 * changed keys to those of the twin; `rules` are the names of the applied rules. The step must be laid
 * out in `root`. `lastSweepMs` is the time of the gateway's last sweep of this store. Returns null if no
 * twin has the same outcome.
 */
export function twinOf(step, { version, root, store, retentionMs, lastSweepMs = 0 }) {
  const folder = path.join(root, path.dirname(store));
  const rules = new Set();
  const keys = new Map();
  const parsedKeys = step.members.map(([key]) => parsed(key));

  const renamed = (key, prefix) => {
    if (!keys.has(key)) keys.set(key, `${prefix}:${keys.size}`);
    return JSON.stringify(keys.get(key));
  };
  const twinKeyOf = (text, key) => {
    const isRun = isRunKey(key, version);
    if (!atLeast(version, "2026.2.26") && isRun && key.trim() !== key.trim().toLowerCase()) {
      rules.add("before 2026.2.26 only lower-case keys are runs");
      return renamed(key, "agent:twin:cron:j:run");
    }
    if (atLeast(version, "2026.5.12") && !isRun && matches(key, RUN_OR_DESCENDANT)) {
      rules.add("a key with an empty part before the run's id is kept");
      return renamed(key, "agent:twin:kept");
    }
    if (atLeast(version, "2026.6.9") && isRun && key !== key.trim()) {
      rules.add("from 2026.6.9 on a key with white space around it is not removed");
      return renamed(key, "agent:twin:cron:j:run");
    }
    return text;
  };

  const members = step.members.map(([key, value], index) => {
    const twinKey = twinKeyOf(key, parsedKeys[index]);
    if (typeof value === "string" || !isRunKey(parsedKeys[index], version)) return [twinKey, value];

    const entry = entryOf(value.map(([n, v]) => [n, v.replaceAll("{ROOT}", root)]));
    let fields = value;
    const replace = (name, text) => {
      fields = fields.map(([n, v]) => (parsed(n) === name ? [n, text] : [n, v]));
    };
    const isNonString =
      entry.sessionFile !== undefined &&
      entry.sessionFile !== null &&
      typeof entry.sessionFile !== "string";
    if (isNonString && atLeast(version, "2026.4.15")) {
      rules.add("a sessionFile that is not a string ends the archiving of 2026.4.15 and later");
      // As truthy as the original value: this decides which of an id's files counts.
      replace("sessionFile", entry.sessionFile ? '"  "' : '""');
    }
    const file = sessionFileOf(entry, folder);
    if (file !== null && isOutside(entry.sessionFile, folder)) {
      rules.add("a path outside the folder counts only if its file name is in the folder");
      replace("sessionFile", '"  "');
    }
    if (file !== null && !(file.endsWith(".jsonl") && fs.statSync(file).isFile())) {
      rules.add("only regular *.jsonl files are transcripts");
      replace("sessionFile", '"  "');
    }
    return [twinKey, fields];
  });

  if (step.lockedTranscript !== undefined) {
    // Entries whose transcript a live process writes are kept: in the twin they have not expired.
    const locked = path.join(realpath(folder) ?? folder, `${step.lockedTranscript}.jsonl`);
    step.members.forEach(([, value], index) => {
      const isRun = isRunKey(parsedKeys[index], version);
      if (typeof value === "string" || !isRun || !fs.existsSync(locked)) return;
      const entry = entryOf(value.map(([n, v]) => [n, v.replaceAll("{ROOT}", root)]));
      if (![candidateOf(entry, folder), transcriptOf(entry, folder)].includes(locked)) return;
      rules.add("a transcript that a live process holds locked");
      const fields = members[index][1].filter(([n]) => parsed(n) !== "updatedAt");
      members[index][1] = [...fields, ['"updatedAt"', NEVER]];
    });
  }
  if (atLeast(version, "2026.5.22")) {
    const cutoff = (step.params.nowMs ?? Date.now()) - (retentionMs ?? 0);
    const wellFormed = wellFormedMembers(members, parsedKeys, { version, cutoff, rules });
    if (wellFormed === null) return null;
    members.splice(0, members.length, ...wellFormed);
  }
  const params = { ...step.params };
  if (!params.force && params.nowMs < lastSweepMs) {
    rules.add("the throttle ends if the clock was set back");
    params.force = true;
  }
  return { twin: { ...step, params, members }, keys, rules };
}

/**
 * Returns members that a gateway from 2026.5.22 on treats as earlier ones and the native sweep treat the
 * given ones. When these gateways read a store, they drop or change malformed entries. Returns null if
 * that is not possible.
 */
function wellFormedMembers(members, parsedKeys, { version, cutoff, rules }) {
  const entries = members.map(([, value]) => entryOf(value));
  const isLast = (index) => parsedKeys.lastIndexOf(parsedKeys[index]) === index;
  const otherForms = (id) =>
    entries.some(
      (entry, index) =>
        isLast(index) &&
        typeof entry?.sessionId === "string" &&
        entry.sessionId !== id &&
        entry.sessionId.trim() === id.trim(),
    );
  const twinIds = new Map();
  const twinIdOf = (value) => {
    if (!twinIds.has(value)) twinIds.set(value, `"twin-${twinIds.size}"`);
    return twinIds.get(value);
  };

  const twins = [];
  for (const [index, [key, value]] of members.entries()) {
    const entry = entries[index];
    const isRun = isRunKey(parsedKeys[index], version);
    if (entry === null || typeof entry !== "object" || Array.isArray(entry)) {
      rules.add("from 2026.5.22 on a value that is not an object is dropped");
      twins.push([key, [['"updatedAt"', entry ? "0" : NEVER]]]);
      continue;
    }
    let fields = typeof value === "string" ? [] : value;
    const set = (name, text) => {
      fields = [...fields.filter(([n]) => parsed(n) !== name), [JSON.stringify(name), text]];
    };

    const isExpired = isRun && (entry.updatedAt ?? 0) < cutoff;
    const isTime = Number.isFinite(entry.updatedAt) && entry.updatedAt >= 0;
    if (isRun && !isTime && isExpired !== 0 < cutoff) {
      // A time before the cutoff of a clock before 1970.
      if (isExpired) return null;
      rules.add("from 2026.5.22 on a time that is not a number from 0 up counts as 0");
      set("updatedAt", NEVER);
    }

    const { sessionId } = entry;
    if (sessionId === undefined) {
      if (isExpired && entry.sessionFile && atLeast(version, "2026.6.9")) {
        rules.add("from 2026.6.9 on nothing is archived for an entry without id");
        set("sessionId", twinIdOf(undefined));
      }
    } else if (typeof sessionId !== "string" || !ID.test(sessionId.trim())) {
      rules.add("from 2026.5.22 on an entry is dropped, or loses its id, if the id is malformed");
      // An empty id of a kept entry is not a reference.
      set("sessionId", twinIdOf(sessionId || isExpired ? sessionId : Symbol()));
    } else if (sessionId !== sessionId.trim() && otherForms(sessionId)) {
      rules.add("from 2026.5.22 on ids are trimmed");
      set("sessionId", twinIdOf(sessionId));
    }
    twins.push([key, fields]);
  }
  return twins;
}

/** Returns the expected outcome of the native sweep. The step must be laid out in `root`. */
export function expectedOf(outcome, step, { root, store, keys, before }) {
  const rules = new Set();
  const source = readStore(root, store);
  const unchanged = (result, logs) => ({ result, logs, tree: before, rules });
  if (!outcome.result.swept) return unchanged(outcome.result, outcome.logs);

  if (source === null) {
    rules.add("a missing store stays missing");
    return unchanged({ swept: true, pruned: 0 }, []);
  }
  const entries = parsed(source.toString("utf8"));
  if (
    entries === undefined ||
    entries === null ||
    typeof entries !== "object" ||
    Array.isArray(entries)
  ) {
    rules.add("an unreadable store is refused");
    return {
      ...unchanged({ swept: false, pruned: 0 }, null),
      refused: entries === undefined ? "syntax" : "root",
      paths: [store, step.storeIsLinkTo ?? store],
    };
  }

  const after = outcome.after;
  let gatewayStore = after[store] ?? after[`${store}.deleted.{STAMP}`];
  // If the gateway had nothing to write, the link is still there.
  if (gatewayStore.startsWith("-> ")) gatewayStore = after[step.storeIsLinkTo];
  const kept = new Set(Object.keys(parsed(Buffer.from(gatewayStore, "latin1").toString("utf8"))));
  const removed = new Set(Object.keys(entries).filter((key) => !kept.has(keys.get(key) ?? key)));

  const referenced = new Set();
  const folder = path.join(root, path.dirname(store));
  for (const [key, entry] of Object.entries(entries)) {
    if (removed.has(key)) continue;
    for (const file of [sessionFileOf(entry, folder), transcriptOf(entry, folder)])
      if (file !== null) referenced.add(file);
  }

  const tree = { ...before };
  const archivedIn = new Set();
  const revertedBy = (name) => {
    if (!name.endsWith(".jsonl") || name === store)
      return "only regular *.jsonl files are transcripts";
    if (referenced.has(path.join(realpath(root), name)))
      return "a file that a kept entry references is not archived";
    return null;
  };
  const missing = Object.keys(before).filter((name) => !(name in after) && name !== store);
  if (!(store in after)) missing.push(store);
  for (const name of missing.filter(
    (n) => !OLD_ARCHIVE.test(n) || `${n}.deleted.{STAMP}` in after,
  )) {
    const rule = revertedBy(name);
    if (rule !== null) {
      rules.add(rule);
      continue;
    }
    const archive = `${name}.deleted.{STAMP}`;
    if (archive in after) tree[archive] = tree[name];
    delete tree[name];
    archivedIn.add(path.posix.dirname(name));
  }
  for (const name of missing.filter(
    (n) => OLD_ARCHIVE.test(n) && !(`${n}.deleted.{STAMP}` in after),
  )) {
    if (before[name].startsWith("-> "))
      rules.add("a link named like an aged archive is not deleted");
    else if (archivedIn.has(path.posix.dirname(name))) delete tree[name];
  }

  const storeName = step.storeIsLinkTo ?? store;
  if (step.storeIsLinkTo !== undefined) rules.add("a linked store is written through");
  return {
    result: outcome.result,
    logs: outcome.logs,
    tree,
    rules,
    store: { name: storeName, source: source.toString("latin1"), removed, gateway: gatewayStore },
  };
}

function readStore(root, store) {
  try {
    return fs.readFileSync(path.join(root, store));
  } catch {
    return null;
  }
}

/** Returns the differences of the native outcome from the expected one, one sentence each. */
export function problems(native, expected, { root }) {
  const found = [];
  const same = (what, a, b) => {
    if (JSON.stringify(a) !== JSON.stringify(b))
      found.push(`${what}: expected ${JSON.stringify(b)}, got ${JSON.stringify(a)}`);
  };
  same("result", native.result, expected.result);
  if (expected.refused === undefined) same("log", native.logs, expected.logs);
  else {
    const [[level, fields, message] = [], ...more] = native.logs;
    const error = fields?.err ?? "";
    const place = expected.refused === "syntax" ? /\.json:\d+:\d+: / : /^/;
    if (
      more.length > 0 ||
      level !== "warn" ||
      message !== FAILED ||
      !error.startsWith("Error: ") ||
      !expected.paths.some((name) => error.includes(name)) ||
      !place.test(error)
    ) {
      found.push(
        `log: expected a warning with the path${expected.refused === "syntax" ? ", line and column" : ""}, got ${JSON.stringify(native.logs)}`,
      );
    }
  }

  const names = new Set([...Object.keys(native.after), ...Object.keys(expected.tree)]);
  for (const name of [...names].sort()) {
    if (name === expected.store?.name && expected.store.removed.size > 0) continue;
    const [a, b] = [native.after[name], expected.tree[name]];
    if (a !== b) found.push(`${name}: expected ${describe(b)}, found ${describe(a)}`);
  }
  if (expected.store?.removed.size > 0)
    found.push(
      ...storeProblems(
        native.after[expected.store.name],
        expected.store,
        path.join(root, expected.store.name),
      ),
    );
  return found;
}

const describe = (content) =>
  content === undefined
    ? "nothing"
    : content === null
      ? "a folder"
      : JSON.stringify(content.slice(0, 400));
const utf8 = (latin1) => Buffer.from(latin1, "latin1").toString("utf8");

function storeProblems(text, { source, removed, gateway }, file) {
  if (text === undefined) return ["store: missing"];
  if (parsed(utf8(text)) === undefined)
    return [`store: not valid JSON any more: ${JSON.stringify(text.slice(0, 400))}`];
  const found = [];
  const kept = membersOf(source).filter(([key]) => !removed.has(parsed(utf8(key))));
  if (JSON.stringify(membersOf(text)) !== JSON.stringify(kept)) {
    found.push(
      `store: the kept members differ: ${JSON.stringify(text.slice(0, 600))} from ${JSON.stringify(source.slice(0, 600))}`,
    );
  }
  const entries = parsed(utf8(source));
  if (utf8(source) === JSON.stringify(entries, null, 2)) {
    for (const key of removed) delete entries[key];
    // The bytes are comparable only if the gateway wrote back what it had read.
    const plain = JSON.stringify(entries, null, 2);
    if (utf8(gateway) === plain && utf8(text) !== plain)
      found.push(
        `store: the gateway's bytes are ${JSON.stringify(plain.slice(0, 400))}, ours ${JSON.stringify(text.slice(0, 400))}`,
      );
  }
  const mode = fs.statSync(file).mode & 0o777;
  if (mode !== 0o600) found.push(`store: mode ${mode.toString(8)}`);
  return found;
}
