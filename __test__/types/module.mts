// How an ECMAScript module uses the package: named imports, and the console as a logger.

import {
  InspectError,
  type InspectOptions,
  inspectSessionStore,
  type ReaperResult,
  resetReaperThrottle,
  resolveRetentionMs,
  type StoreInspection,
  SweepError,
  type SweepOptions,
  type SweepParams,
  type SweepReport,
  type SweepWarning,
  sweepCronRunSessions,
  sweepSessionStore,
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

const options: SweepOptions = {
  ...params,
  dryRun: true,
  archiveRetention: "30d",
  signal: AbortSignal.timeout(1_000),
};
// The parameters of sweepCronRunSessions are accepted, and so is a path alone.
const reports: SweepReport[] = [
  await sweepSessionStore(options),
  await sweepSessionStore(params),
  await sweepSessionStore({ sessionStorePath: "sessions.json", archiveRetention: false }),
];
const reclaimed: number[] = reports.map(({ bytes }) => bytes.reclaimed);
const kept: string[] = reports.flatMap(({ temps }) => temps.kept);
const warnings: SweepWarning[] = reports.flatMap((report) => report.warnings);
const place = ({ path, line, column }: SweepError | InspectError): string =>
  `${path ?? "?"}:${line ?? 0}:${column ?? 0}`;
// All reasons, and no other.
const why = ({ reason }: SweepReport): string => {
  switch (reason) {
    case null:
    case "throttled":
    case "disabled":
    case "no-store":
    case "unchanged":
    case "nothing-expired":
    case "dry-run":
      return reason ?? "swept";
    default:
      return reason satisfies never;
  }
};

// An absent option may also be undefined, with exactOptionalPropertyTypes.
const absent: SweepOptions = {
  sessionStorePath: "sessions.json",
  cronConfig: undefined,
  nowMs: undefined,
  log: undefined,
  signal: undefined,
};
const placeOf = (error: unknown): string | undefined =>
  error instanceof SweepError || error instanceof InspectError ? place(error) : undefined;

const inspectOptions: InspectOptions = {
  sessionStorePath: "sessions.json",
  cronConfig: { sessionRetention: false },
  nowMs: 1_772_366_400_000,
  top: 10,
  signal: AbortSignal.timeout(1000),
  onProgress: ({ bytesRead, bytes }) => console.log(bytesRead / bytes),
};
const found: StoreInspection = await inspectSessionStore(inspectOptions).catch(
  (error: InspectError) => {
    const code: string = error.code;
    throw new Error(`${code} ${error.path ?? "?"} ${error.line ?? 0}`, { cause: error });
  },
);
const counts: number[] = [found.bytes, found.runs.expired, found.kinds[0]?.entries ?? 0];
const oldest: number | null = found.archives.oldestMs;

export {
  absent,
  counts,
  kept,
  oldest,
  place,
  placeOf,
  pruned,
  reclaimed,
  retention,
  swept,
  warnings,
  why,
};
