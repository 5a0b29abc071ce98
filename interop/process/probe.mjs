// Loaded into a started gateway after the swap-in. Appends the start time of each sweep to the file
// REAPER_PROBE. The first REAPER_DEFERRED sweeps do nothing: they show how long the gateway takes to answer
// without a sweep. If REAPER_PROBED is "own", the gateway's own reaper sweeps.

import fs from "node:fs";

const SWEEP = Symbol.for("cron-session-reaper.sweep");
const { get } = Object.getOwnPropertyDescriptor(globalThis, SWEEP);
let left = Number(process.env.REAPER_DEFERRED);
Object.defineProperty(globalThis, SWEEP, {
  configurable: true,
  get() {
    fs.appendFileSync(process.env.REAPER_PROBE, `${Date.now()}\n`);
    if (left-- > 0) return async () => ({ swept: false, pruned: 0 });
    return process.env.REAPER_PROBED === "own" ? undefined : get();
  },
});
