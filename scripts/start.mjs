// npm start: the command, built if need be. Without arguments it is shown on a sample store, which
// is then swept.

import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { build, install, isBuilt, isInstalled } from "./prepare.mjs";
import { createSampleState } from "./sample-state.mjs";

const args = process.argv.slice(2);
if (await isReady()) {
  const { run } = await import("../cli/command.mjs");
  process.exitCode = args.length > 0 ? await run(args) : await showSample(run);
} else {
  process.exitCode = 1;
}

async function isReady() {
  return (
    isBuilt() ||
    ((isInstalled() || (await prepare("Installing what the build needs (npm install)", install))) &&
      (await prepare("Building the addon (the first time takes a minute or two)", build)))
  );
}

async function prepare(what, work) {
  console.error(`${what} …`);
  const { ok, output } = await work();
  if (!ok) {
    console.error(`${output.trimEnd()}\n\n${what}: failed, see above`);
  }
  return ok;
}

async function showSample(run) {
  const { sweepLines } = await import("../cli/show.mjs");
  const folder = mkdtempSync(join(tmpdir(), "cron-session-reaper-"));
  try {
    const storePath = createSampleState(folder, Date.now());
    console.log("A sample store in a temporary folder. Your own: npm start -- <sessions.json>\n");
    await run([storePath]);
    const { report, heldUpMs } = await sweep(storePath);
    console.log(`Now a sweep: ${sweepLines(report).join(",\n")}.`);
    console.log(`JavaScript was held up for ${heldUpMs.toFixed(1)} ms at the longest.\n`);
    return await run([storePath]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function sweep(sessionStorePath) {
  const { sweepSessionStore } = createRequire(import.meta.url)("../index.js");
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const report = await sweepSessionStore({ sessionStorePath });
  delay.disable();
  // Nanoseconds; an idle loop already shows the timer's own millisecond.
  return { report, heldUpMs: Math.max(0, delay.max / 1e6 - 1) };
}
