// Measures how long the event loop is blocked at a stretch, from the start of a sweep to the end of the
// gateway's next read of the store. One fifth of the store is expired and the cache is warm. Prints the
// result as JSON on the last line: { read: milliseconds } with the shortest of the rounds. The time for which
// the thread waits for a processor is not counted, because it depends on other load of the machine.
//
//   node --import register.mjs measure.mjs VERSION native|own MEGABYTES ROUNDS

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { loadExported, loadGateway } from "../gateway.mjs";

const [version, reaper, megabytes, rounds] = process.argv.slice(2);
const HOUR = 3_600_000;
// With as many escapes as real entries, which contain prompts, file lists and skills.
const TEXT = 'line \\"one\\"\n\tof a prompt, {"with": "JSON"} and C:\\paths\n'.repeat(640);

const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "reaper-next-read-")));
const state = path.join(folder, ".openclaw");
Object.assign(process.env, { HOME: folder, OPENCLAW_STATE_DIR: state });
const sessions = path.join(state, "agents", "main", "sessions");
fs.mkdirSync(sessions, { recursive: true });
// Store maintenance would remove other entries.
const config = { session: { maintenance: { mode: "warn" } } };
fs.writeFileSync(path.join(state, "openclaw.json"), JSON.stringify(config));
const storePath = path.join(sessions, "sessions.json");

if (reaper === "own")
  Object.defineProperty(globalThis, Symbol.for("cron-session-reaper.sweep"), { get() {} });
const { sweepCronRunSessions } = await loadGateway(version);
const load = await loadExported(version, "store-", "loadSessionStore");
const list = await loadExported(version, "store-", "listSessionEntries").catch(() => undefined);
const READS = {
  clone: () => Object.keys(load(storePath)).length,
  "clone: false": () => Object.keys(load(storePath, { clone: false })).length,
  // From 2026.5.22 on.
  ...(list && { list: () => list({ storePath }).length }),
};

const { text, entries, expired } = makeStore();
const gaps = {};
for (const [name, read] of Object.entries(READS)) {
  gaps[name] = Number.POSITIVE_INFINITY;
  for (let round = 0; round < Number(rounds); round++)
    gaps[name] = Math.min(gaps[name], await gapOf(read));
}
fs.rmSync(folder, { recursive: true, force: true });
console.log(JSON.stringify(gaps));
process.exit(0);

/** Returns a time in milliseconds that stops while the JavaScript thread waits for a processor. */
function ownTime() {
  const statistics = fs.readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8");
  return performance.now() - Number(statistics.split(" ")[1]) / 1e6;
}

/** Writes a store, reads it, sweeps it, and reads it again. Returns the longest gap in milliseconds. */
async function gapOf(read) {
  fs.writeFileSync(storePath, text, { mode: 0o600 });
  if (read() !== entries) throw new Error(`the gateway does not read ${entries} entries`);
  // Until the garbage of the first read is collected.
  await pause(200);

  let isDone = false;
  let longest = 0;
  let last = ownTime();
  const tick = () => {
    const now = ownTime();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const ticking = (async () => {
    while (!isDone) {
      await pause(1);
      tick();
    }
  })();
  await pause(20);
  longest = 0;
  const log = { debug() {}, info() {}, warn: console.error, error: console.error };
  const cronConfig = { sessionRetention: "1h" };
  const { pruned } = await sweepCronRunSessions({
    sessionStorePath: storePath,
    cronConfig,
    log,
    force: true,
  });
  const left = read();
  tick();
  isDone = true;
  await ticking;
  if (pruned !== expired || left !== entries - expired)
    throw new Error(`${pruned} of ${expired} pruned, ${left} of ${entries - expired} left`);
  return longest;
}

function makeStore() {
  const rows = {};
  let bytes = 0;
  let expired = 0;
  for (let n = 0; bytes < Number(megabytes) * 1e6; n++) {
    const isExpired = n % 5 === 0;
    const key = isExpired ? `agent:main:cron:job:run:${n}` : `agent:main:telegram:dm:${n}`;
    const updatedAt = Date.now() - (isExpired ? 2 * HOUR : 0);
    const entry = {
      sessionId: `s-${n}`,
      updatedAt,
      systemPromptReport: { prompt: `${n} ${TEXT}` },
    };
    rows[key] = entry;
    bytes += JSON.stringify(entry).length;
    expired += Number(isExpired);
  }
  return { text: JSON.stringify(rows, null, 2), entries: Object.keys(rows).length, expired };
}
