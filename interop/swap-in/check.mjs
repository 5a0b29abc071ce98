// Tests the swap-in on published files: loads each file that contains the reaper with it and without it.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chunksWithReaper, gatewayNode, gatewayPackage } from "../gateway.mjs";

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

/**
 * Checks a gateway that is not supported: no line until a file with the reaper is loaded, then one for
 * the process and its children. Returns the number of files and the problems found.
 */
export function checkUnsupported(version) {
  const dist = path.join(gatewayPackage(version), "dist");
  const files = fs
    .readdirSync(dist, { recursive: true })
    .filter((name) => name.endsWith(".mjs"))
    .map((name) => path.join(dist, name))
    .filter((file) =>
      fs.readFileSync(file, "utf8").includes("async function sweepCronRunSessions("),
    );
  if (files.length === 0) throw new Error(`no file in ${dist} contains the reaper`);
  const program = path.join(gatewayPackage(version), "openclaw.mjs");
  // The child loads the file too. The rest of the gateway is not needed and may require another Node.js.
  const load = (file) => `
    await import(${JSON.stringify(file)}).catch(() => {});
    const { spawnSync } = await import("node:child_process");
    const { execArgv, execPath, env } = process;
    if (env.IS_CHILD === undefined)
      spawnSync(execPath, execArgv, { stdio: "inherit", env: { ...env, IS_CHILD: "1" } });
    process.exit(0);
  `;
  const cases = [
    { args: [program, "--version"], lines: 0 },
    ...files.map((file) => ({ args: ["--input-type=module", "-e", load(file)], lines: 1 })),
  ];
  const problems = [];
  for (const { args, lines } of cases) {
    const { stderr } = spawnSync(gatewayNode(), args, {
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: `--import ${REGISTER}` },
    });
    const printed = stderr.split("\n").filter((line) => line.startsWith("cron-session-reaper: "));
    const isRight = printed.every((line) => line.includes(`openclaw ${version} is not supported`));
    if (printed.length !== lines || !isRight)
      problems.push(`${printed.length} lines, expected ${lines}: ${printed.join("; ")}`);
  }
  return { files: files.length, problems };
}
