// Checks that our declarations and those of a gateway are assignable to each other, in strict mode.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gatewayPackage } from "../gateway.mjs";

const repository = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));

const BOTH_WAYS = `
declare const theirs: typeof import("THEIRS");
declare const ours: typeof import("OURS");

type IsAny<T> = 0 extends 1 & T ? true : false;
type TheirParams = Parameters<typeof theirs.sweepCronRunSessions>[0];
type OurParams = Parameters<typeof ours.sweepCronRunSessions>[0];
// A declaration that does not resolve is "any", which is assignable to everything.
export const resolved: [IsAny<TheirParams>, IsAny<NonNullable<TheirParams["cronConfig"]>>, IsAny<TheirParams["log"]>, IsAny<OurParams>] = [false, false, false, false];

export const asTheirs: typeof theirs = ours;
export const asOurs: Pick<typeof ours, "sweepCronRunSessions" | "resolveRetentionMs" | "resetReaperThrottle"> = theirs;
export const theirParams = (params: TheirParams): OurParams => params;
export const ourParams = (params: OurParams): TheirParams => params;
type OurResult = import("OURS").ReaperResult;
type TheirResult = import("THEIRS").ReaperResult;
export const ourResult = (result: OurResult): TheirResult => result;
export const theirResult = (result: TheirResult): OurResult => result;
`;

// From 2026.4 on, a gateway contains only the declaration of the configuration.
const CONFIGURATION = `
import type { CronConfig } from "CONFIG";
declare const ours: typeof import("OURS");
type IsAny<T> = 0 extends 1 & T ? true : false;
export const resolved: IsAny<CronConfig> = false;
export const retention = (config: CronConfig) => ours.resolveRetentionMs(config);
type OurConfig = NonNullable<Parameters<typeof ours.resolveRetentionMs>[0]>;
export const theirConfig = (config: CronConfig): OurConfig => config;
export const ourConfig = (config: OurConfig): CronConfig => config;
`;

/** Returns what was compared and the compiler's errors. */
export function checkTypes(version) {
  const sdk = path.join(gatewayPackage(version), "dist", "plugin-sdk");
  const find = (name) =>
    [path.join(sdk, name), path.join(sdk, "src", name)].find((file) => fs.existsSync(file));
  const reaper = find("cron/session-reaper.d.ts");
  const config = find("config/types.cron.d.ts");
  if (reaper === undefined && config === undefined)
    throw new Error(`gateway ${version} contains no declarations`);
  const module = (file) => file.replace(/\.d\.ts$/, ".js");
  const source = (reaper === undefined ? CONFIGURATION : BOTH_WAYS)
    .replaceAll("THEIRS", reaper && module(reaper))
    .replaceAll("CONFIG", config && module(config))
    .replaceAll("OURS", path.join(repository, "index.js"));

  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "reaper-types-"));
  fs.writeFileSync(path.join(folder, "check.mts"), source);
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: "nodenext",
    moduleResolution: "nodenext",
    target: "es2023",
    skipLibCheck: true,
    types: [],
  };
  fs.writeFileSync(
    path.join(folder, "tsconfig.json"),
    JSON.stringify({ compilerOptions, files: ["check.mts"] }),
  );
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
  fs.rmSync(folder, { recursive: true, force: true });
  return {
    compared: reaper === undefined ? "configuration" : "all",
    problems: status === 0 ? [] : stdout.trim().split("\n"),
  };
}
