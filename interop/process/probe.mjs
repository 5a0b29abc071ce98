// Loaded into a started gateway after the swap-in: notes when each sweep begins, in the file named by
// REAPER_PROBE, and lets the gateway's own reaper go on where REAPER_PROBED is "own".

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
