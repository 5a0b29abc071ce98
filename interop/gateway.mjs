// A published gateway's own reaper and store functions, made callable.
//
// They are private to the gateway's bundle, so the chunk that holds them is copied beside itself, in the
// cache folder, with one export line appended: its imports, and with them the rest of the gateway, stay
// those of the published package.

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

const OLDEST_NODE = 22;
const NAMES = [
  "sweepCronRunSessions",
  "resolveRetentionMs",
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

function install(folder, manifest) {
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
      // Under a Node that the package.json in hand excludes, npm would take another version's dependencies.
      env: {
        ...process.env,
        PATH: `${path.dirname(nodePath(folder))}${path.delimiter}${process.env.PATH}`,
      },
    },
  );
  if (status !== 0) throw new Error(`npm install failed in ${folder}`);
  fs.writeFileSync(done, "");
}

function nodePath(installingIn) {
  const own = Number(process.versions.node.split(".")[0]);
  const folder = path.join(cacheFolder(), "node");
  if (own >= OLDEST_NODE || folder === installingIn) return process.execPath;
  return path.join(folder, "node_modules", "node", "bin", "node");
}

/** The Node the gateway runs under: this one if it is new enough, else npm's. */
export function gatewayNode() {
  const node = nodePath();
  if (node !== process.execPath)
    install(path.join(cacheFolder(), "node"), { dependencies: { node: String(OLDEST_NODE) } });
  execFileSync(node, ["--version"]);
  return node;
}

/** Installs a gateway once; answers with the folder of its package. */
export function gatewayPackage(version) {
  gatewayNode();
  const folder = path.join(cacheFolder(), version);
  install(folder, {
    dependencies: { openclaw: version },
    // The published manifest takes one dependency from git and lets another move on to a release that breaks it.
    overrides: { libsignal: "npm:libsignal@latest", linkedom: "0.18.12" },
  });
  return path.join(folder, "node_modules", "openclaw");
}

/** The published files that hold a reaper: some versions have two of the same. */
export function chunksWithReaper(version) {
  const dist = path.join(gatewayPackage(version), "dist");
  const names = fs.readdirSync(dist).filter((name) => name.endsWith(".js"));
  const known = new Set(names);
  const chunks = names
    // Beside them lie the copies made of them: the same name after a word and a hyphen.
    .filter((name) => !(/^[a-z]+-/.test(name) && known.has(name.replace(/^[a-z]+-/, ""))))
    .sort()
    .map((name) => path.join(dist, name))
    .filter((file) =>
      fs.readFileSync(file, "utf8").includes("async function sweepCronRunSessions("),
    );
  if (chunks.length === 0) throw new Error(`no file of ${dist} holds the reaper`);
  return chunks;
}

/** That version's own functions, in this process; from its first file of them, or from the named one. */
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
    // Several processes prepare the same copy: each sees the old one or a whole one.
    fs.writeFileSync(`${copy}.${process.pid}`, text + line);
    fs.renameSync(`${copy}.${process.pid}`, copy);
  }
  const module = await import(pathToFileURL(copy));
  const functions = Object.fromEntries(present.map((name) => [name, module[`interop_${name}`]]));
  for (const name of NAMES.slice(0, 4)) {
    if (typeof functions[name] !== "function") throw new Error(`gateway ${version} has no ${name}`);
  }
  return { version, ...functions };
}
