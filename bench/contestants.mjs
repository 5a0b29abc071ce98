// The contestants. Each sweeps one store and is called in the same way.

import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { open, readdir, readFile, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const DAY = 86_400_000;
const GATEWAY_MODULE = new URL("../interop/gateway.mjs", import.meta.url);

/** This version shortens a large store to 500 entries on loading, so its reaper finds nothing. */
const CAPS_WHILE_LOADING = "2026.4.29";

export const OURS = { name: "this package", load: loadOurs };

/** The minimum work of any reaper in JavaScript, the gateway's included. */
export const SHAPE = { name: "parse–delete–stringify", load: async () => parseDeleteStringify };

export const CONTESTANTS = { ours: OURS, shape: SHAPE, gateway: { load: loadGateway } };

const QUIET = { debug() {}, info() {}, warn: (...args) => console.error(...args), error() {} };

async function loadOurs() {
  const { sweepCronRunSessions } = createRequire(import.meta.url)("cron-session-reaper");
  return (sessionStorePath, nowMs) =>
    sweepCronRunSessions({ sessionStorePath, nowMs, force: true, log: QUIET });
}

async function loadGateway(version) {
  const { sweepCronRunSessions } = await (await import(GATEWAY_MODULE)).loadGateway(version);
  return (sessionStorePath, nowMs) =>
    sweepCronRunSessions({ sessionStorePath, nowMs, force: true, log: QUIET });
}

/** Returns the newest installed gateway: its version and the Node.js that runs it. */
export async function installedGateway() {
  const folder =
    process.env.CRON_SESSION_REAPER_GATEWAYS ?? join(tmpdir(), "cron-session-reaper-gateways");
  if (!existsSync(GATEWAY_MODULE) || !existsSync(folder)) {
    return undefined;
  }
  const { VERSIONS, gatewayNode } = await import(GATEWAY_MODULE);
  const version = VERSIONS.findLast(
    (version) => version !== CAPS_WHILE_LOADING && existsSync(join(folder, version, "installed")),
  );
  const isNodeInstalled = existsSync(join(folder, "node", "installed"));
  const isNodeNew = Number(process.versions.node.split(".")[0]) >= 22;
  if (version === undefined || !(isNodeInstalled || isNodeNew)) {
    return undefined;
  }
  return { version, node: gatewayNode() };
}

async function parseDeleteStringify(storePath, nowMs) {
  const lock = await open(`${storePath}.lock`, "wx");
  await lock.writeFile(JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }));
  const removed = [];
  try {
    const store = JSON.parse(await readFile(storePath, "utf8"));
    for (const [key, entry] of Object.entries(store)) {
      if (key.includes(":run:") && entry.updatedAt < nowMs - DAY) {
        removed.push(entry.sessionFile);
        delete store[key];
      }
    }
    const temporary = `${storePath}.${randomUUID()}.tmp`;
    const file = await open(temporary, "w", 0o600);
    await file.writeFile(JSON.stringify(store, null, 2));
    await file.sync();
    await file.close();
    await rename(temporary, storePath);
  } finally {
    await lock.close();
    await rm(`${storePath}.lock`, { force: true });
  }
  const stamp = new Date().toISOString().replaceAll(":", "-");
  for (const transcript of removed.filter((file) => file && existsSync(file))) {
    await rename(transcript, `${transcript}.deleted.${stamp}`);
  }
  await readdir(dirname(storePath));
  return { swept: true, pruned: removed.length };
}
