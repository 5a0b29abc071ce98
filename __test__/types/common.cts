// How a CommonJS module uses the package.

import reaper = require("cron-session-reaper");

export const retention: number | null = reaper.resolveRetentionMs();
export const result: Promise<reaper.ReaperResult> = reaper.sweepCronRunSessions({
  sessionStorePath: "sessions.json",
  log: console,
});
export const report: Promise<reaper.SweepReport> = reaper.sweepSessionStore({
  sessionStorePath: "sessions.json",
});
reaper.resetReaperThrottle();
