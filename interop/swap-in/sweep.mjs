// Loads a published file of a gateway and prints which reaper sweeps, "native" or "own". Only the native
// one does not modify a damaged store.
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
const sweep = async (text) => {
  fs.writeFileSync(store, text);
  const { pruned } = await sweepCronRunSessions({ sessionStorePath: store, log, force: true });
  return [pruned, fs.readFileSync(store, "utf8")];
};

const [pruned, left] = await sweep('{"agent:main:cron:j:run:1":{"updatedAt":1}}');
const [, damaged] = await sweep('{"cut');
fs.rmSync(folder, { recursive: true, force: true });
const reaper = damaged === '{"cut' ? "native" : damaged === "{}" ? "own" : `unknown: ${damaged}`;
console.log(pruned === 1 && left === "{}" ? reaper : `${reaper}, ${pruned} pruned, left ${left}`);
process.exit(0);
