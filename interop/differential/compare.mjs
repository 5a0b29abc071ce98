// Sweeps of one published gateway and of the package, side by side. Run under the gateway's Node:
//
//   node compare.mjs VERSION FIRST_SEED COUNT
//
// Prints one line of JSON: { version, cases, sweeps, rules, failures }.

import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { loadGateway } from "../gateway.mjs";
import { randomCase } from "./case.mjs";
import { expectedOf, problems, twinOf } from "./differences.mjs";
import { layOut, look, sweepScene } from "./scene.mjs";
import { shrink } from "./shrink.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const KEPT = path.join(here, "kept");
const MOST_FAILURES = Number(process.env.CRON_SESSION_REAPER_FAILURES ?? 5);

const [version, firstSeed, count] = [
  process.argv[2],
  Number(process.argv[3]),
  Number(process.argv[4]),
];

const scratch = fs.mkdtempSync(
  // In memory where that can be had: every sweep syncs what it writes.
  path.join(fs.existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir(), "reaper-differential-"),
);
const root = path.join(scratch, "scene");
quietGateway(path.join(scratch, "home"));

const gateway = await loadGateway(version);
const native = createRequire(import.meta.url)(
  process.env.CRON_SESSION_REAPER_PACKAGE ?? "../../index.js",
);
const lastSweeps = gateway.lastSweepAtMsByStore;

/** A gateway's home without its maintenance of whole stores, which the native sweep leaves to it. */
function quietGateway(home) {
  const state = path.join(home, ".openclaw");
  fs.mkdirSync(state, { recursive: true });
  fs.writeFileSync(
    path.join(state, "openclaw.json"),
    JSON.stringify({ session: { maintenance: { mode: "warn" } } }),
  );
  Object.assign(process.env, { HOME: home, OPENCLAW_STATE_DIR: state });
}

/** Runs a case on both sides: how they differ, and by which rules they may. */
async function compare(made) {
  lastSweeps.clear();
  native.resetReaperThrottle();
  const storePath = path.join(root, made.store);
  const found = [];
  const rules = new Set();
  for (const [index, step] of made.steps.entries()) {
    layOut(root, made.store, step);
    const { twin, keys, rules: twinRules } = twinOf(step, { version, root, store: made.store });
    const lastSweep = lastSweeps.get(storePath);
    const outcome = await sweepScene(gateway.sweepCronRunSessions, root, made.store, twin);

    layOut(root, made.store, step);
    const before = look(root);
    const expected = expectedOf(outcome, step, { root, store: made.store, keys, before });
    // A sweep that failed is tried again at the next tick; the gateway holds it for a success.
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

function keep(made, found) {
  fs.mkdirSync(KEPT, { recursive: true });
  const file = path.join(KEPT, `${version}-${made.seed}.json`);
  const spelled = (_, value) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  fs.writeFileSync(file, `${JSON.stringify({ version, found, ...made }, spelled, 2)}\n`);
  return path.relative(path.dirname(here), file);
}

function* cases() {
  const kept = fs.existsSync(KEPT) ? fs.readdirSync(KEPT).sort() : [];
  for (const name of kept) {
    const made = JSON.parse(fs.readFileSync(path.join(KEPT, name), "utf8"));
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
  const { found, rules: spoke } = await compare(made);
  done += 1;
  sweeps += made.steps.length;
  for (const rule of spoke) rules[rule] = (rules[rule] ?? 0) + 1;
  if (found.length === 0) continue;
  if (kept !== undefined) {
    failures.push({ case: `kept/${kept}`, found });
  } else {
    const small = await shrink(
      made,
      async (candidate) => (await compare(candidate)).found.length > 0,
    );
    const why = (await compare(small)).found;
    failures.push({ seed: made.seed, case: keep(small, why), found: why });
  }
  if (failures.filter(({ seed }) => seed !== undefined).length >= MOST_FAILURES) break;
}
fs.rmSync(scratch, { recursive: true, force: true });
process.stdout.write(`${JSON.stringify({ version, cases: done, sweeps, rules, failures })}\n`, () =>
  process.exit(0),
);
