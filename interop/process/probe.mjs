// Loaded into a started gateway after the swap-in. Appends the start time of each sweep to the file
// REAPER_PROBE. If REAPER_PROBED is "own", the gateway's own reaper sweeps.

import fs from "node:fs";

const SWEEP = Symbol.for("cron-session-reaper.sweep");
const { get } = Object.getOwnPropertyDescriptor(globalThis, SWEEP);
Object.defineProperty(globalThis, SWEEP, {
  configurable: true,
  get() {
    fs.appendFileSync(process.env.REAPER_PROBE, `${Date.now()}\n`);
    return process.env.REAPER_PROBED === "own" ? undefined : get();
  },
});
