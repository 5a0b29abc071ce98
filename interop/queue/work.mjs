// Four writers update a store through a gateway's own functions while it is swept again and again, and
// reads go through the gateway's caches. Prints the result as JSON on the last line.
//
//   node --import register.mjs work.mjs VERSION inside|outside UPDATES

import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { loadExported, loadGateway } from "../gateway.mjs";

const [version, mode, count] = process.argv.slice(2);
const UPDATES_PER_WRITER = Math.ceil(Number(count) / 4);
const OTHERS = 60;
const HOUR = 3_600_000;
const WRITER = Symbol.for("cron-session-reaper.store-writer");

const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "reaper-queue-")));
const state = path.join(folder, ".openclaw");
Object.assign(process.env, { HOME: folder, OPENCLAW_STATE_DIR: state });
const sessions = path.join(state, "agents", "main", "sessions");
fs.mkdirSync(sessions, { recursive: true });
fs.writeFileSync(
  path.join(state, "openclaw.json"),
  JSON.stringify({ session: { maintenance: { mode: "warn" } } }),
);
const storePath = path.join(sessions, "sessions.json");

const { sweepCronRunSessions } = await loadGateway(version);
const updateSessionStore = await loadExported(version, "store-", "updateSessionStore");
const loadSessionStore = await loadExported(version, "store-", "loadSessionStore");
const outside = createRequire(import.meta.url)("../../index.js").sweepCronRunSessions;

const isInside = mode === "inside";
const holds = [];
let corrected = 0;
let changes = 0;
if (isInside) measure(globalThis[WRITER]);

const others = {};
for (let n = 0; n < OTHERS; n++) {
  const text = `line ${n} "quoted"\n`.repeat(400);
  others[`agent:main:dm:${n}`] = { sessionId: `other-${n}`, updatedAt: Date.now(), label: text };
}
fs.writeFileSync(storePath, JSON.stringify(others, null, 2), { mode: 0o600 });

const keyOf = (id) => `agent:main:cron:job:run:${id}`;
const created = new Set();
const removed = new Set();
const warnings = [];
const totals = { updates: 0, sweeps: 0, pruned: 0, resurrected: 0, reads: 0 };
let isWriting = true;

await Promise.all([...["a", "b", "c", "d"].map(write), keepSweeping()]);
await sweepOnce();

const left = JSON.parse(fs.readFileSync(storePath, "utf8"));
const lost = ["a", "b", "c", "d"].filter(
  (writer) => left[`agent:main:${writer}`]?.totalTokens !== UPDATES_PER_WRITER,
);
const cached = loadSessionStore(storePath);
const isSame =
  JSON.stringify(Object.keys(cached).sort()) === JSON.stringify(Object.keys(left).sort());
holds.sort((a, b) => a - b);
fs.rmSync(folder, { recursive: true, force: true });
console.log(
  JSON.stringify({
    ...totals,
    created: created.size + removed.size,
    expiredLeft: Object.keys(left).filter((key) => key.includes(":run:")).length,
    othersLeft: Object.keys(left).filter((key) => key.includes(":dm:")).length,
    lost: lost.length,
    isSame,
    changes,
    corrected,
    warnings: warnings.slice(0, 3),
    holdMedianMs: holds[Math.floor(holds.length / 2)] ?? null,
    holdMaxMs: holds.at(-1) ?? null,
  }),
);
process.exit(0);

async function write(writer) {
  for (let n = 1; n <= UPDATES_PER_WRITER; n++) {
    const id = `${writer}-${n}`;
    await updateSessionStore(storePath, async (store) => {
      const now = Date.now();
      store[`agent:main:${writer}`] = { sessionId: writer, updatedAt: now, totalTokens: n };
      store[keyOf(id)] = { sessionId: id, updatedAt: now - 2 * HOUR };
      await null;
    });
    // Only now: until then the row is not in the file.
    created.add(keyOf(id));
    totals.updates++;
    read();
    if (n % 8 === 0) await pause(1);
  }
  isWriting = writer !== "d" && isWriting;
}

async function keepSweeping() {
  while (isWriting) {
    await sweepOnce();
    await pause(5);
  }
}

async function sweepOnce() {
  const sweep = isInside ? sweepCronRunSessions : outside;
  const log = { debug() {}, info() {}, error() {}, warn: (fields) => warnings.push(fields.err) };
  const params = { sessionStorePath: storePath, cronConfig: { sessionRetention: "1h" } };
  const { pruned } = await sweep({ ...params, log, force: true });
  totals.sweeps++;
  totals.pruned += pruned;
  read();
}

/** Reads through the caches, in each way that the gateway reads, and counts rows that reappear. */
function read() {
  const inFile = new Set(Object.keys(JSON.parse(fs.readFileSync(storePath, "utf8"))));
  for (const key of removed) totals.resurrected += Number(inFile.has(key));
  for (const options of [{ clone: false }, {}]) {
    totals.reads++;
    const cached = loadSessionStore(storePath, options);
    for (const key of removed) totals.resurrected += Number(Object.hasOwn(cached, key));
  }
  for (const key of created) {
    if (!inFile.has(key)) {
      created.delete(key);
      removed.add(key);
    }
  }
}

/** Measures how long a sweep holds the queue, and whether it corrects the cached store. */
function measure(gateway) {
  const { runExclusiveSessionStoreWrite, writeSessionStoreCache, takeMutableSessionStoreCache } =
    gateway;
  gateway.runExclusiveSessionStoreWrite = (store, work) =>
    runExclusiveSessionStoreWrite(store, async () => {
      const entered = performance.now();
      try {
        return await work();
      } finally {
        holds.push(performance.now() - entered);
      }
    });
  gateway.takeMutableSessionStoreCache = (params) => {
    changes++;
    return takeMutableSessionStoreCache(params);
  };
  gateway.writeSessionStoreCache = (params) => {
    corrected++;
    return writeSessionStoreCache(params);
  };
}
