// Loads a published file of a gateway and prints which reaper sweeps, "native" or "own". Only the native
// one copies kept entries byte for byte.
//
//   node sweep.mjs VERSION FILE

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { loadGateway } from "../gateway.mjs";

const [version, file] = process.argv.slice(2);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "reaper-swap-in-"));
Object.assign(process.env, { HOME: folder, OPENCLAW_STATE_DIR: path.join(folder, ".openclaw") });

const { sweepCronRunSessions } = await loadGateway(version, file);
const store = path.join(folder, "sessions.json");
const log = { debug() {}, info() {}, warn() {}, error() {} };
// A kept entry with a number that JSON.stringify writes differently.
const kept = `{"sessionId":"kept","updatedAt":${Date.now()},"inputTokens":1.0e3}`;
const text = `{"agent:main:cron:j:run:1":{"sessionId":"run","updatedAt":1},"agent:main:main":${kept}}`;
fs.writeFileSync(store, text);
const { pruned } = await sweepCronRunSessions({ sessionStorePath: store, log, force: true });
const left = fs.readFileSync(store, "utf8");
fs.rmSync(folder, { recursive: true, force: true });
const reaper = left === `{"agent:main:main":${kept}}` ? "native" : "own";
const isSwept = pruned === 1 && !left.includes(":run:") && left.includes("agent:main:main");
console.log(isSwept ? reaper : `${reaper}, ${pruned} pruned, left ${left}`);
process.exit(0);
