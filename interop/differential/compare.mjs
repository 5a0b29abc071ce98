// Compares the sweeps of a published gateway with those of this package, case by case. Runs with the
// gateway's Node.js:
//
//   node compare.mjs VERSION FIRST_SEED COUNT
//
// Prints one line of JSON: { version, cases, sweeps, rules, failures }.

import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { loadExported, loadGateway, QUEUED_VERSIONS } from "../gateway.mjs";
import { REGISTER } from "../swap-in/check.mjs";
import { randomCase } from "./case.mjs";
import { expectedOf, problems, twinOf } from "./differences.mjs";
import { layOut, snapshot, sweepScene } from "./scene.mjs";
import { shrink } from "./shrink.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const KEPT_CASES = path.join(here, "kept");
const MOST_FAILURES = Number(process.env.CRON_SESSION_REAPER_FAILURES ?? 5);

const [version, firstSeed, count] = [
  process.argv[2],
  Number(process.argv[3]),
  Number(process.argv[4]),
];

const scratch = fs.mkdtempSync(
  // In memory if possible, because every sweep syncs.
  path.join(fs.existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir(), "reaper-differential-"),
);
const root = path.join(scratch, "scene");
createHome(path.join(scratch, "home"));

const require = createRequire(import.meta.url);
const library = require(process.env.CRON_SESSION_REAPER_PACKAGE ?? "../../index.js");
const isQueued = QUEUED_VERSIONS.includes(version);
if (isQueued) await exposeWriter();
const gateway = await loadGateway(version);
const lastSweeps = gateway.lastSweepAtMsByStore;
const native = isQueued ? await insideTheQueue() : library;

/** Installs the swap-in for its access to the gateway's queue, with the gateway's own reaper. */
async function exposeWriter() {
  await import(REGISTER);
  Object.defineProperty(globalThis, Symbol.for("cron-session-reaper.sweep"), { get() {} });
}

/**
 * Returns the native reaper that joins the gateway's queue. Its sweep begins with a warm cache and
 * ends with a comparison of the cache and the file.
 */
async function insideTheQueue() {
  const functions = globalThis[Symbol.for("cron-session-reaper.store-writer")];
  const writer = require("../../swap-in/store-writer.js").storeWriterOf(functions);
  const reaper = library.createCronSessionReaper(writer, { runKeys: functions.runKeys });
  const load = await loadExported(version, "store-", "loadSessionStore");
  const forget = (storePath) => writer.changed(storePath, { after: null });
  const sweepCronRunSessions = async (params) => {
    const { sessionStorePath: store } = params;
    forget(store);
    load(store, { clone: false });
    const result = await reaper.sweepCronRunSessions(params);
    const [cached, read] = [{ clone: false }, { skipCache: true }].map((options) =>
      JSON.stringify(load(store, options)),
    );
    if (cached !== read)
      throw new Error(`the gateway's cache contains ${cached}, the file ${read}`);
    return result;
  };
  return { ...reaper, sweepCronRunSessions, forget };
}

/** Creates a gateway's home with store maintenance off, which is not part of the native sweep. */
function createHome(home) {
  const state = path.join(home, ".openclaw");
  fs.mkdirSync(state, { recursive: true });
  fs.writeFileSync(
    path.join(state, "openclaw.json"),
    JSON.stringify({ session: { maintenance: { mode: "warn" } } }),
  );
  Object.assign(process.env, { HOME: home, OPENCLAW_STATE_DIR: state });
}

/** Runs a case on both sides. Returns the differences found and the rules that applied. */
async function compare(made) {
  lastSweeps.clear();
  native.resetReaperThrottle();
  const storePath = path.join(root, made.store);
  const found = [];
  const rules = new Set();
  for (const [index, step] of made.steps.entries()) {
    layOut(root, made.store, step);
    const lastSweep = lastSweeps.get(storePath);
    const retentionMs = gateway.resolveRetentionMs(step.params.cronConfig);
    const scene = { version, root, store: made.store, retentionMs, lastSweepMs: lastSweep };
    const twinCase = twinOf(step, scene);
    if (twinCase === null) {
      rules.add("not compared: a time before 1970 expires only before 2026.5.22");
      break;
    }
    const { twin, keys, rules: twinRules } = twinCase;
    native.forget?.(storePath);
    const outcome = await sweepScene(gateway.sweepCronRunSessions, root, made.store, twin);

    layOut(root, made.store, step);
    const before = snapshot(root);
    const expected = expectedOf(outcome, step, { root, store: made.store, keys, before });
    // The native sweep retries a failure at the next tick. The gateway treats it as a success.
    if (expected.refused !== undefined)
      lastSweep === undefined ? lastSweeps.delete(storePath) : lastSweeps.set(storePath, lastSweep);

    const swept = await sweepScene(native.sweepCronRunSessions, root, made.store, step);
    for (const problem of problems(swept, expected, { root }))
      found.push(`sweep ${index + 1}: ${problem}`);
    for (const rule of [...twinRules, ...expected.rules]) rules.add(rule);
    if (found.length > 0) break;
  }
  return { found, rules };
}

/** Saves a failing case. Returns its path. */
function saveCase(made, found) {
  fs.mkdirSync(KEPT_CASES, { recursive: true });
  const file = path.join(KEPT_CASES, `${version}-${made.seed}.json`);
  const nonFiniteAsText = (_, value) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  fs.writeFileSync(file, `${JSON.stringify({ version, found, ...made }, nonFiniteAsText, 2)}\n`);
  return path.relative(path.dirname(here), file);
}

function* cases() {
  const kept = fs.existsSync(KEPT_CASES) ? fs.readdirSync(KEPT_CASES).sort() : [];
  for (const name of kept) {
    const made = JSON.parse(fs.readFileSync(path.join(KEPT_CASES, name), "utf8"));
    for (const { params } of made.steps)
      if (typeof params.nowMs === "string") params.nowMs = Number(params.nowMs);
    yield { made, kept: name };
  }
  for (let seed = firstSeed; seed < firstSeed + count; seed += 1) yield { made: randomCase(seed) };
}

const rules = {};
const failures = [];
let done = 0;
let sweeps = 0;
for (const { made, kept } of cases()) {
  const { found, rules: applied } = await compare(made);
  done += 1;
  sweeps += made.steps.length;
  for (const rule of applied) rules[rule] = (rules[rule] ?? 0) + 1;
  if (found.length === 0) continue;
  if (kept !== undefined) {
    failures.push({ case: `kept/${kept}`, found });
  } else {
    const small = await shrink(
      made,
      async (candidate) => (await compare(candidate)).found.length > 0,
    );
    const differences = (await compare(small)).found;
    failures.push({ seed: made.seed, case: saveCase(small, differences), found: differences });
  }
  if (failures.filter(({ seed }) => seed !== undefined).length >= MOST_FAILURES) break;
}
fs.rmSync(scratch, { recursive: true, force: true });
process.stdout.write(`${JSON.stringify({ version, cases: done, sweeps, rules, failures })}\n`, () =>
  process.exit(0),
);
