// Starts the measured processes.

import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const pathOf = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Runs child.mjs with a job: { contestant, node?, measure, store, … }. Resolves to its result. */
export async function measure({ node = process.execPath, ...job }) {
  const args = [
    "--max-old-space-size=12288",
    "--no-warnings",
    pathOf("child.mjs"),
    JSON.stringify(job),
  ];
  const { stdout } = await run(node, args, { maxBuffer: 1 << 26 });
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

/** Returns how long a shell command and its process take, in milliseconds. */
export async function timeCommand(command, ...args) {
  const began = performance.now();
  await run("sh", ["-c", command, ...args]);
  return performance.now() - began;
}

/** Returns how long `require()` of the package takes in a new process, in milliseconds. */
export async function timeRequire() {
  const script = `const began = performance.now();
    require("cron-session-reaper");
    console.log(performance.now() - began);`;
  const { stdout } = await run(process.execPath, ["-e", script], { cwd: pathOf("..") });
  return Number(stdout);
}

/** Runs watch-lock.mjs or writer.mjs while `work` runs. Resolves to the results of both. */
export async function runDuring(script, args, work) {
  const helper = fork(pathOf(script), args);
  await once(helper, "message");
  const result = await work();
  helper.send("end");
  const [observed] = await once(helper, "message");
  return { observed, result };
}
