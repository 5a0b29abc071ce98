// Tests the swap-in on published files: loads each file that contains the reaper with it and without it.

import { spawnSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chunksWithReaper, gatewayNode } from "../gateway.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));

export const REGISTER = path.join(path.dirname(path.dirname(here)), "register.mjs");

/** Returns the number of files and the problems found. */
export function checkSwapIn(version) {
  const files = chunksWithReaper(version);
  const problems = [];
  for (const file of files) {
    for (const reaper of ["native", "own"]) {
      const { status, stdout, stderr } = spawnSync(
        gatewayNode(),
        [path.join(here, "sweep.mjs"), version, path.basename(file)],
        {
          encoding: "utf8",
          env: {
            ...process.env,
            NODE_OPTIONS: `--import ${REGISTER}`,
            CRON_SESSION_REAPER: reaper === "own" ? "off" : "on",
          },
        },
      );
      const swept = stdout.trim().split("\n").at(-1);
      if (status !== 0 || swept !== reaper)
        problems.push(`${path.basename(file)}: swept by "${swept}", not ${reaper}: ${stderr}`);
      if (stderr.includes("replaced the reaper") !== (reaper === "native"))
        problems.push(`${path.basename(file)}: swept by ${reaper}, but stderr is ${stderr}`);
    }
  }
  return { files: files.length, problems };
}
