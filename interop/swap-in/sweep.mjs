// Loads one published file of a gateway and tells who sweeps there, by what becomes of a damaged store:
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
const becomes = async (text) => {
  fs.writeFileSync(store, text);
  const { pruned } = await sweepCronRunSessions({ sessionStorePath: store, log, force: true });
  return [pruned, fs.readFileSync(store, "utf8")];
};

const [pruned, left] = await becomes('{"agent:main:cron:j:run:1":{"updatedAt":1}}');
const [, damaged] = await becomes('{"cut');
fs.rmSync(folder, { recursive: true, force: true });
const reaper = damaged === '{"cut' ? "native" : damaged === "{}" ? "own" : `who? ${damaged}`;
console.log(pruned === 1 && left === "{}" ? reaper : `${reaper}, ${pruned} pruned, left ${left}`);
process.exit(0);
