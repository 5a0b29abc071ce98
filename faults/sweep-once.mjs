// A minimal gateway process: loads the addon, prints "ready", and sweeps after a line on stdin.

import { createRequire } from "node:module";

const { sweepCronRunSessions } = createRequire(import.meta.url)("../index.js");
const [sessionStorePath, now] = process.argv.slice(2);
const ignore = () => {};

process.stdin.once("data", async () => {
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const nowMs = Number(now);
  const result = await sweepCronRunSessions({ sessionStorePath, nowMs, force: true, log });
  console.log(JSON.stringify(result));
  process.stdin.destroy();
});
console.log("ready");
