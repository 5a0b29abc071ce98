// A separate cron job, for a gateway that is not to be modified. It sweeps the stores of all agents in
// a state folder every ten minutes, and may run at the same time as the gateway: both take the lock.
//
//   node examples/own-cron.mjs ~/.openclaw            runs until stopped
//   node examples/own-cron.mjs ~/.openclaw --once     for crontab or a systemd timer
//
// RETENTION is independent of `cron.sessionRetention` in the gateway's configuration. If they differ,
// the shorter one decides what is kept. (The command `cron-session-reaper --apply` reads the gateway's.)

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { sweepCronRunSessions } from "cron-session-reaper";

const RETENTION = "3d";
const EVERY_MS = 10 * 60 * 1000;
const [stateFolder, once] = process.argv.slice(2);
if (!stateFolder) {
  console.error("usage: node examples/own-cron.mjs <state folder> [--once]");
  process.exit(2);
}

let failed = 0;
const log = {
  debug: () => {},
  info: (fields, message) => console.log(new Date().toISOString(), message, fields),
  warn: (fields, message) => {
    failed += 1;
    console.warn(new Date().toISOString(), message, fields);
  },
  error: console.error,
};

do {
  // Agents may be added or removed between sweeps.
  for (const agent of readdirSync(join(stateFolder, "agents"))) {
    const sessionStorePath = join(stateFolder, "agents", agent, "sessions", "sessions.json");
    // A missing store is not an error: the agent may not have had a session yet.
    await sweepCronRunSessions({
      sessionStorePath,
      cronConfig: { sessionRetention: RETENTION },
      log,
    });
  }
  if (!once) await sleep(EVERY_MS);
} while (!once);

// The exit code reports that a store could not be swept. It was not modified.
process.exitCode = failed > 0 ? 1 : 0;
