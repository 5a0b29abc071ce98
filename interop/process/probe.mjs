// Loaded into a started gateway after the swap-in. Appends the start time of each sweep to the file
// REAPER_PROBE. The first REAPER_DEFERRED sweeps do nothing: they show how long the gateway takes to answer
// without a sweep. If REAPER_PROBED is "own", the gateway's own reaper sweeps. If it is "repaired", that
// reaper sweeps without the event that it emits for each archive.

import fs from "node:fs";
import module from "node:module";

const SWEEP = Symbol.for("cron-session-reaper.sweep");
const { get } = Object.getOwnPropertyDescriptor(globalThis, SWEEP);
let left = Number(process.env.REAPER_DEFERRED);
Object.defineProperty(globalThis, SWEEP, {
  configurable: true,
  get() {
    fs.appendFileSync(process.env.REAPER_PROBE, `${Date.now()}\n`);
    if (left-- > 0) return async () => ({ swept: false, pruned: 0 });
    return process.env.REAPER_PROBED === "native" ? get() : undefined;
  },
});

if (process.env.REAPER_PROBED === "repaired") {
  const EVENT = "\temitSessionTranscriptUpdate({ sessionFile: archived });\n";
  module.registerHooks({
    load(url, context, nextLoad) {
      const result = nextLoad(url, context);
      if (!String(result.source).includes("function archiveFileOnDisk(")) return result;
      return { ...result, source: String(result.source).replace(EVENT, "") };
    },
  });
}
