// Checks that our declarations and those of a gateway are assignable to each other, in strict mode.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gatewayPackage, QUEUED_VERSIONS } from "../gateway.mjs";

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

// From 2026.4 on, a gateway contains only the declaration of the configuration. From 2026.5.28 on, it is
// in a bundle, under another name.
const CONFIGURATION = `
import type { NAME as CronConfig } from "CONFIG";
declare const ours: typeof import("OURS");
type IsAny<T> = 0 extends 1 & T ? true : false;
export const resolved: IsAny<CronConfig> = false;
export const retention = (config: CronConfig) => ours.resolveRetentionMs(config);
type OurConfig = NonNullable<Parameters<typeof ours.resolveRetentionMs>[0]>;
export const theirConfig = (config: CronConfig): OurConfig => config;
export const ourConfig = (config: OurConfig): CronConfig => config;
`;

// The gateways from 2026.5.2 to 2026.5.22 contain the declarations of the store's writer and cache.
const STORE_WRITER = `
import { runExclusiveSessionStoreWrite } from "WRITER";
import { invalidateSessionStoreCache } from "CACHE";
declare const created: typeof import("OURS").createCronSessionReaper;
type IsAnyFunction<T> = 0 extends 1 & T ? true : false;
export const resolvedWriter: [IsAnyFunction<typeof runExclusiveSessionStoreWrite>, IsAnyFunction<typeof invalidateSessionStoreCache>] = [false, false];
export const reaper = created({ exclusively: runExclusiveSessionStoreWrite, changed: invalidateSessionStoreCache });
`;

/** Returns the file and the exported name of the declaration of the cron configuration. */
function findConfiguration(dist, find) {
  const file = find("config/types.cron.d.ts");
  if (file !== undefined) return { file, name: "CronConfig" };
  for (const name of fs.readdirSync(dist)) {
    if (!/^types\.openclaw-.*\.d\.ts$/.test(name)) continue;
    const bundle = path.join(dist, name);
    const alias = /\bCronConfig as (\w+)/.exec(fs.readFileSync(bundle, "utf8"));
    if (alias !== null) return { file: bundle, name: alias[1] };
  }
  return undefined;
}

/** Returns what was compared and the compiler's errors. */
export function checkTypes(version) {
  const dist = path.join(gatewayPackage(version), "dist");
  const sdk = path.join(dist, "plugin-sdk");
  const find = (name) =>
    [path.join(sdk, name), path.join(sdk, "src", name)].find((file) => fs.existsSync(file));
  const reaper = find("cron/session-reaper.d.ts");
  const config = findConfiguration(dist, find);
  const writer = QUEUED_VERSIONS.includes(version)
    ? find("config/sessions/store-writer.d.ts")
    : undefined;
  if (reaper === undefined && config === undefined)
    throw new Error(`gateway ${version} contains no declarations`);
  const module = (file) => file?.replace(/\.d\.ts$/, ".js");
  const source =
    `${reaper === undefined ? CONFIGURATION : BOTH_WAYS}${writer === undefined ? "" : STORE_WRITER}`
      .replaceAll("THEIRS", module(reaper))
      .replaceAll("CONFIG", module(config?.file))
      .replaceAll("NAME", config?.name)
      .replaceAll("WRITER", module(writer))
      .replaceAll("CACHE", module(find("config/sessions/store-cache.d.ts")))
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
    compared: `${reaper === undefined ? "configuration" : "all"}${writer === undefined ? "" : ", store writer"}`,
    problems: status === 0 ? [] : stdout.trim().split("\n"),
  };
}
