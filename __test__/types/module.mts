// What an ECMAScript module writes: named imports, and the console as a logger.

import {
  type ReaperResult,
  resetReaperThrottle,
  resolveRetentionMs,
  type SweepParams,
  sweepCronRunSessions,
} from "cron-session-reaper";

const params: SweepParams = {
  cronConfig: { sessionRetention: "1h30m" },
  sessionStorePath: "sessions.json",
  nowMs: 1_772_366_400_000,
  force: true,
  log: console,
};
const result: ReaperResult = await sweepCronRunSessions(params);
const { swept, pruned }: { swept: boolean; pruned: number } = result;
const retention: number | null = resolveRetentionMs({ sessionRetention: false });
resetReaperThrottle();

export { pruned, retention, swept };
