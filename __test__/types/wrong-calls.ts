// Each of these must fail to compile; an unused @ts-expect-error fails the check.

import * as reaper from "cron-session-reaper";

const log = console;
const sessionStorePath = "sessions.json";

// @ts-expect-error: missing parameters
reaper.sweepCronRunSessions();
// @ts-expect-error: missing path
reaper.sweepCronRunSessions({ log });
// @ts-expect-error: missing logger
reaper.sweepCronRunSessions({ sessionStorePath });
// @ts-expect-error: a number as the path
reaper.sweepCronRunSessions({ sessionStorePath: 7, log });
// @ts-expect-error: a path as a URL
reaper.sweepCronRunSessions({ sessionStorePath: new URL("file:///sessions.json"), log });
// @ts-expect-error: a logger without debug and error
reaper.sweepCronRunSessions({ sessionStorePath, log: { info() {}, warn() {} } });
// @ts-expect-error: a Date as the time
reaper.sweepCronRunSessions({ sessionStorePath, log, nowMs: new Date() });
// @ts-expect-error: force as a number
reaper.sweepCronRunSessions({ sessionStorePath, log, force: 1 });
// @ts-expect-error: a retention in milliseconds
reaper.sweepCronRunSessions({ sessionStorePath, log, cronConfig: { sessionRetention: 3_600_000 } });
// @ts-expect-error: true as the retention
reaper.resolveRetentionMs({ sessionRetention: true });
// @ts-expect-error: a retention instead of the configuration
reaper.resolveRetentionMs("24h");
// @ts-expect-error: the retention may be null
reaper.resolveRetentionMs().toFixed();
// @ts-expect-error: the result is a promise
reaper.sweepCronRunSessions({ sessionStorePath, log }).pruned;
// @ts-expect-error: resetReaperThrottle takes no arguments
reaper.resetReaperThrottle("sessions.json");
// @ts-expect-error: missing options
reaper.sweepSessionStore();
// @ts-expect-error: missing path
reaper.sweepSessionStore({ dryRun: true });
// @ts-expect-error: archiveRetention in milliseconds
reaper.sweepSessionStore({ sessionStorePath, archiveRetention: 3_600_000 });
// @ts-expect-error: true as archiveRetention
reaper.sweepSessionStore({ sessionStorePath, archiveRetention: true });
// @ts-expect-error: a controller instead of its signal
reaper.sweepSessionStore({ sessionStorePath, signal: new AbortController() });
// @ts-expect-error: sweepCronRunSessions has no dry run
reaper.sweepCronRunSessions({ sessionStorePath, log, dryRun: true });
// @ts-expect-error: the result is a promise
reaper.sweepSessionStore({ sessionStorePath }).pruned;
// @ts-expect-error: missing path
reaper.inspectSessionStore({});
// @ts-expect-error: a number of entries as a string
reaper.inspectSessionStore({ sessionStorePath, top: "5" });
// @ts-expect-error: oldestMs may be null
reaper.inspectSessionStore({ sessionStorePath }).then(({ runs }) => runs.oldestMs.toFixed());
// @ts-expect-error: the functions of the binding are not exported
reaper.sweep;
// @ts-expect-error: the binding is not an entry point
import("cron-session-reaper/binding.js");
