// A cron job of your own, for a gateway that you do not want to touch: every few minutes it sweeps
// the stores of all agents in a state folder. It may run beside the gateway; they share the lock.
//
//   node examples/own-cron.mjs ~/.openclaw            until you stop it
//   node examples/own-cron.mjs ~/.openclaw --once     for crontab or a systemd timer
//
// It keeps runs for RETENTION, whatever `cron.sessionRetention` of the gateway says: write the same
// here, or a shorter time wins. (The command `cron-session-reaper --apply` reads it from there.)

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
  // Looked up anew each time: agents come and go.
  for (const agent of readdirSync(join(stateFolder, "agents"))) {
    const sessionStorePath = join(stateFolder, "agents", agent, "sessions", "sessions.json");
    // A store that is missing is no failure: that agent has had no session yet.
    await sweepCronRunSessions({
      sessionStorePath,
      cronConfig: { sessionRetention: RETENTION },
      log,
    });
  }
  if (!once) await sleep(EVERY_MS);
} while (!once);

// For the timer's own log: something was wrong with a store, which is as it was.
process.exitCode = failed > 0 ? 1 : 0;
