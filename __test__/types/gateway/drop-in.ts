// Our functions and types are assignable to those of the gateway, and those of the gateway to ours.

import * as reaper from "cron-session-reaper";
import type {
  GatewayCronConfig,
  GatewayLogger,
  GatewayReaper,
  GatewayReaperResult,
} from "./gateway.js";

export const oursForTheirs: GatewayReaper = reaper;

declare const theirs: GatewayReaper;
export const theirsForOurs: Pick<typeof reaper, keyof GatewayReaper> = theirs;

declare const theirConfig: GatewayCronConfig;
declare const theirLogger: GatewayLogger;
declare const theirResult: GatewayReaperResult;
export const config: reaper.CronConfig = theirConfig;
export const logger: reaper.Logger = theirLogger;
export const result: reaper.ReaperResult = theirResult;

declare const ourConfig: reaper.CronConfig;
declare const ourLogger: reaper.Logger;
declare const ourResult: reaper.ReaperResult;
export const backConfig: GatewayCronConfig = ourConfig;
export const backLogger: GatewayLogger = ourLogger;
export const backResult: GatewayReaperResult = ourResult;

export const swept: Promise<{ swept: boolean; pruned: number }> = reaper.sweepCronRunSessions({
  cronConfig: theirConfig,
  sessionStorePath: "sessions.json",
  log: theirLogger,
});
