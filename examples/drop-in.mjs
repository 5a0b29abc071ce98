// The drop-in replacement in a gateway built from source. The module src/cron/session-reaper.ts is
// replaced by
//
//   export * from "cron-session-reaper";
//
// and the gateway's cron timer then uses it like this, at the end of a tick.
//
//   node examples/drop-in.mjs path/to/agents/main/sessions/sessions.json [...]

import { sweepCronRunSessions } from "cron-session-reaper";

const log = {
  debug: () => {},
  info: (fields, message) => console.log(message, JSON.stringify(fields)),
  warn: (fields, message) => console.warn(message, JSON.stringify(fields)),
  error: (fields, message) => console.error(message, JSON.stringify(fields)),
};

const cronConfig = { sessionRetention: "24h" };

// Each agent has one store. The gateway sweeps them one after the other.
for (const sessionStorePath of process.argv.slice(2)) {
  const { swept, pruned } = await sweepCronRunSessions({ cronConfig, sessionStorePath, log });
  console.log(`${sessionStorePath}: ${swept ? `swept, ${pruned} removed` : "not swept"}`);
}
