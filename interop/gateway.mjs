// Makes the reaper and the store functions of a published gateway callable.
//
// They are private functions of the gateway's bundle. A copy of the chunk that contains them, in the same
// folder and with one export line appended, makes them available. Its imports, and thus the rest of the
// gateway, are those of the published package.

import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";

export const VERSIONS = [
  "2026.2.23",
  "2026.2.26",
  "2026.3.2",
  "2026.3.13",
  "2026.4.15",
  "2026.4.29",
];

/** Gateways that queue their writes instead of locking the store. */
export const QUEUED_VERSIONS = [
  "2026.5.2",
  "2026.5.7",
  "2026.5.12",
  "2026.5.22",
  "2026.5.28",
  "2026.6.8",
  "2026.6.11",
  "2026.7.1-2",
  "2026.7.35",
];

/** A gateway that is not supported: its store is a database. */
export const UNSUPPORTED_VERSIONS = ["2026.9.6"];

const OLDEST_NODE = 22;
const NODE_OF_UNSUPPORTED = 24;
const NAMES = [
  "sweepCronRunSessions",
  "resolveRetentionMs",
  // From 2026.6.9 on the reaper uses other functions than the next two.
  "updateSessionStore",
  "loadSessionStore",
  "isCronRunSessionKey",
  "lastSweepAtMsByStore",
];

export function cacheFolder() {
  return (
    process.env.CRON_SESSION_REAPER_GATEWAYS ??
    path.join(os.tmpdir(), "cron-session-reaper-gateways")
  );
}

function install(folder, manifest, node) {
  const done = path.join(folder, "installed");
  if (fs.existsSync(done)) return;
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(
    path.join(folder, "package.json"),
    `${JSON.stringify({ private: true, ...manifest }, null, 2)}\n`,
  );
  const scripts = manifest.dependencies.openclaw ? ["--ignore-scripts"] : [];
  const { status } = spawnSync(
    "npm",
    ["install", ...scripts, "--no-audit", "--no-fund", "--loglevel=error"],
    {
      cwd: folder,
      stdio: ["ignore", "ignore", "inherit"],
      // With a Node.js that the package excludes, npm would install the dependencies of another version.
      env: {
        ...process.env,
        PATH: `${path.dirname(node)}${path.delimiter}${process.env.PATH}`,
      },
    },
  );
  if (status !== 0) throw new Error(`npm install failed in ${folder}`);
  fs.writeFileSync(done, "");
}

/** Returns whether this process has the Node.js that a gateway requires. */
function isRunBy(major) {
  const [ownMajor, ownMinor] = process.versions.node.split(".").map(Number);
  // 2026.9.6 excludes 25, and what is older than 24.16.
  return major === OLDEST_NODE ? ownMajor >= major : ownMajor === major && ownMinor >= 16;
}

/**
 * Returns the Node.js that runs a gateway: this one if it is suitable, else one from npm. Without a
 * version, the one that runs those with a `sessions.json`.
 */
export function gatewayNode(version) {
  const major = UNSUPPORTED_VERSIONS.includes(version) ? NODE_OF_UNSUPPORTED : OLDEST_NODE;
  if (isRunBy(major)) return process.execPath;
  const folder = path.join(cacheFolder(), major === OLDEST_NODE ? "node" : `node-${major}`);
  install(folder, { dependencies: { node: String(major) } }, process.execPath);
  const node = path.join(folder, "node_modules", "node", "bin", "node");
  execFileSync(node, ["--version"]);
  return node;
}

/** Installs a gateway, once. Returns the folder of its package. */
export function gatewayPackage(version) {
  const folder = path.join(cacheFolder(), version);
  const manifest = {
    dependencies: { openclaw: version },
    // The published manifest has one dependency from git and permits a broken release of another.
    overrides: { libsignal: "npm:libsignal@latest", linkedom: "0.18.12" },
  };
  install(folder, manifest, gatewayNode(version));
  return path.join(folder, "node_modules", "openclaw");
}

/** Returns the published files that contain the reaper. Some versions have two. */
export function chunksWithReaper(version) {
  const dist = path.join(gatewayPackage(version), "dist");
  const names = fs.readdirSync(dist).filter((name) => name.endsWith(".js"));
  const known = new Set(names);
  const chunks = names
    // Without the copies that loadGateway makes: their names have a prefix.
    .filter((name) => !(/^[a-z]+-/.test(name) && known.has(name.replace(/^[a-z]+-/, ""))))
    .sort()
    .map((name) => path.join(dist, name))
    .filter((file) =>
      fs.readFileSync(file, "utf8").includes("async function sweepCronRunSessions("),
    );
  if (chunks.length === 0) throw new Error(`no file in ${dist} contains the reaper`);
  return chunks;
}

/** Loads the functions of a gateway into this process, from the named file or the first one. */
export async function loadGateway(version, name) {
  const chunks = chunksWithReaper(version);
  const file = chunks.find((chunk) => path.basename(chunk) === name) ?? chunks[0];
  const dist = path.dirname(file);
  const chunk = path.basename(file);
  const text = fs.readFileSync(file, "utf8");
  const present = NAMES.filter((known) =>
    new RegExp(`\\b${known.replace("$", "\\$")}\\b`).test(text),
  );
  const copy = path.join(dist, `interop-${chunk}`);
  const line = `\nexport { ${present.map((name) => `${name} as interop_${name}`).join(", ")} };\n`;
  if (!fs.existsSync(copy) || fs.readFileSync(copy, "utf8") !== text + line) {
    // Several processes may write the same copy. The rename makes each see a complete one.
    fs.writeFileSync(`${copy}.${process.pid}`, text + line);
    fs.renameSync(`${copy}.${process.pid}`, copy);
  }
  const module = await import(pathToFileURL(copy));
  const functions = Object.fromEntries(present.map((name) => [name, module[`interop_${name}`]]));
  for (const name of NAMES.slice(0, QUEUED_VERSIONS.includes(version) ? 2 : 4)) {
    if (typeof functions[name] !== "function") throw new Error(`gateway ${version} has no ${name}`);
  }
  return { version, ...functions };
}

/**
 * Returns a function that a published file exports under whatever name, from the module that the
 * gateway itself uses. `prefix` is the beginning of the file's name.
 */
export async function loadExported(version, prefix, name) {
  const dist = path.join(gatewayPackage(version), "dist");
  for (const file of fs.readdirSync(dist)) {
    if (!file.startsWith(prefix) || !file.endsWith(".js")) continue;
    const text = fs.readFileSync(path.join(dist, file), "utf8");
    if (!new RegExp(`function ${name}\\(`).test(text)) continue;
    const alias = new RegExp(`\\b${name} as (\\w+)`).exec(text.slice(text.lastIndexOf("export {")));
    if (alias !== null) return (await import(pathToFileURL(path.join(dist, file))))[alias[1]];
  }
  throw new Error(`gateway ${version} does not export ${name} in ${prefix}*.js`);
}
