// npm start [-- <arguments>]: runs the command, and builds the addon first if necessary. Without
// arguments it shows a sample store and sweeps it.

import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { build, install, isBuilt, isInstalled } from "./prepare.mjs";
import { showProgress } from "./progress.mjs";
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
    ((isInstalled() || (await prepare("Installing the development dependencies", install))) &&
      (await prepare("Building the addon", build)))
  );
}

async function prepare(what, work) {
  const progress = showProgress(what, process.stderr);
  const { ok, output } = await work(progress.update);
  progress.end(ok ? "done" : "FAILED");
  if (!ok) {
    console.error(`\n${output.trimEnd()}\n`);
  }
  return ok;
}

async function showSample(run) {
  const { resultLines } = await import("../cli/show.mjs");
  let folder;
  const remove = () => folder && rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  const stop = (signal) => {
    remove();
    // Without a handler, also that of the command, the signal ends the process.
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.once(signal, stop);
  }
  try {
    folder = mkdtempSync(join(tmpdir(), "cron-session-reaper-"));
    const storePath = createSampleState(folder, Date.now());
    console.log(
      "A sample store in a temporary folder. For your own: npm start -- <sessions.json>\n",
    );
    await run([storePath]);
    const { report, heldUpMs } = await sweep(storePath);
    console.log(`A sweep: ${resultLines({ sweep: report }).join(",\n")}.`);
    console.log(`The longest delay of the event loop was ${heldUpMs.toFixed(1)} ms.\n`);
    return await run([storePath]);
  } finally {
    remove();
  }
}

async function sweep(sessionStorePath) {
  const { sweepSessionStore } = createRequire(import.meta.url)("../index.js");
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const report = await sweepSessionStore({ sessionStorePath });
  delay.disable();
  // In nanoseconds. An idle event loop already shows one millisecond, the timer's resolution.
  return { report, heldUpMs: Math.max(0, delay.max / 1e6 - 1) };
}
