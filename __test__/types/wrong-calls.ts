// Each of these must fail to compile; an unused @ts-expect-error fails the check.

import * as reaper from "cron-session-reaper";

const log = console;
const sessionStorePath = "sessions.json";

// @ts-expect-error: no parameters
reaper.sweepCronRunSessions();
// @ts-expect-error: no path
reaper.sweepCronRunSessions({ log });
// @ts-expect-error: no logger
reaper.sweepCronRunSessions({ sessionStorePath });
// @ts-expect-error: a path that is not a string
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
// @ts-expect-error: the retention instead of the configuration
reaper.resolveRetentionMs("24h");
// @ts-expect-error: the retention may be null
reaper.resolveRetentionMs().toFixed();
// @ts-expect-error: the result is a promise
reaper.sweepCronRunSessions({ sessionStorePath, log }).pruned;
// @ts-expect-error: resetReaperThrottle takes nothing
reaper.resetReaperThrottle("sessions.json");
// @ts-expect-error: no options
reaper.sweepSessionStore();
// @ts-expect-error: no path
reaper.sweepSessionStore({ dryRun: true });
// @ts-expect-error: a retention of archives in milliseconds
reaper.sweepSessionStore({ sessionStorePath, archiveRetention: 3_600_000 });
// @ts-expect-error: true as the retention of archives
reaper.sweepSessionStore({ sessionStorePath, archiveRetention: true });
// @ts-expect-error: a controller instead of its signal
reaper.sweepSessionStore({ sessionStorePath, signal: new AbortController() });
// @ts-expect-error: sweepCronRunSessions does not accept dryRun
reaper.sweepCronRunSessions({ sessionStorePath, log, dryRun: true });
// @ts-expect-error: the result is a promise
reaper.sweepSessionStore({ sessionStorePath }).pruned;
// @ts-expect-error: no path
reaper.inspectSessionStore({});
// @ts-expect-error: a number of entries as a string
reaper.inspectSessionStore({ sessionStorePath, top: "5" });
// @ts-expect-error: the oldest may be null
reaper.inspectSessionStore({ sessionStorePath }).then(({ runs }) => runs.oldestMs.toFixed());
// @ts-expect-error: the binding's own function is not exported
reaper.sweep;
// @ts-expect-error: the binding is not an entry point
import("cron-session-reaper/binding.js");
// @ts-expect-error: only the package creates its errors
new reaper.SweepError();
