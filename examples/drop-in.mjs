// The drop-in in a gateway built from source: its module src/cron/session-reaper.ts becomes
//
//   export * from "cron-session-reaper";
//
// and this is how the gateway's cron timer then uses it, at the end of a tick.
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

// One store for each agent, one after the other, as in the gateway.
for (const sessionStorePath of process.argv.slice(2)) {
  const { swept, pruned } = await sweepCronRunSessions({ cronConfig, sessionStorePath, log });
  console.log(`${sessionStorePath}: ${swept ? `swept, ${pruned} gone` : "not swept"}`);
}
