// Updates a shared store with the gateway's own function, sweeps it natively, or both:
//
//   node worker.mjs VERSION STORE NAME SECONDS writes|sweeps|both
//
// Prints one line of JSON.

import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { loadGateway } from "../gateway.mjs";

const [version, store, name, seconds, what] = process.argv.slice(2);
const home = fs.mkdtempSync(path.join(os.tmpdir(), "reaper-home-"));
fs.mkdirSync(path.join(home, ".openclaw"));
fs.writeFileSync(
  path.join(home, ".openclaw", "openclaw.json"),
  JSON.stringify({ session: { maintenance: { mode: "warn" } } }),
);
Object.assign(process.env, { HOME: home, OPENCLAW_STATE_DIR: path.join(home, ".openclaw") });

const gateway = await loadGateway(version);
const native = createRequire(import.meta.url)(
  process.env.CRON_SESSION_REAPER_PACKAGE ?? "../../index.js",
);
// The gateway's waiters sleep for up to a second and give up after ten. If the lock were nearly always
// held, some would miss every chance to take it, with or without sweeps. The pause grows with the time
// that the operation took, so the lock is as often free on a slow machine as on a fast one.
const PAUSE_MS = 100;
const pauseAfter = (asked) => {
  const took = performance.now() - asked;
  return new Promise((resolve) => setTimeout(resolve, Math.random() * (PAUSE_MS + 4 * took)));
};
const result = {
  name,
  updates: 0,
  added: 0,
  longestWaitMs: 0,
  sweeps: 0,
  pruned: 0,
  longestSweepMs: 0,
  failed: [],
};
const end = Date.now() + Number(seconds) * 1000;

async function write() {
  while (Date.now() < end) {
    const asked = performance.now();
    try {
      await gateway.updateSessionStore(store, (entries) => {
        result.longestWaitMs = Math.max(result.longestWaitMs, performance.now() - asked);
        const key = `counter:${name}`;
        entries[key] = {
          ...entries[key],
          sessionId: key,
          updatedAt: Date.now(),
          count: (entries[key]?.count ?? 0) + 1,
        };
        if (result.updates % 3 === 0) {
          // The transcript is written before the entry, as for a finished run.
          const id = `${name}-${result.updates}`;
          fs.writeFileSync(path.join(path.dirname(store), `${id}.jsonl`), "{}\n");
          entries[`agent:main:cron:j:run:${id}`] = { sessionId: id, updatedAt: 1 };
        }
      });
      if (result.updates % 3 === 0) result.added += 1;
      result.updates += 1;
    } catch (error) {
      result.failed.push(`update: ${error}`);
    }
    await pauseAfter(asked);
  }
}

async function sweep() {
  const log = {
    debug() {},
    info() {},
    warn: (fields, message) => result.failed.push(`${message}: ${fields.err}`),
    error() {},
  };
  while (Date.now() < end) {
    const asked = performance.now();
    const { pruned } = await native.sweepCronRunSessions({
      sessionStorePath: store,
      log,
      force: true,
    });
    result.longestSweepMs = Math.max(result.longestSweepMs, performance.now() - asked);
    result.sweeps += 1;
    result.pruned += pruned;
    await pauseAfter(asked);
  }
}

await Promise.all([
  what === "sweeps" ? undefined : write(),
  what === "writes" ? undefined : sweep(),
]);
fs.rmSync(home, { recursive: true, force: true });
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
