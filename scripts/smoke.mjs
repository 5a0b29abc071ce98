// node scripts/smoke.mjs [package]: sweeps once with the package in that folder (default: this one),
// to check that its binary works on this machine. It uses only Node.js itself.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);
const { resolveRetentionMs, sweepCronRunSessions } = require(resolve(process.argv[2] ?? here));

assert.equal(resolveRetentionMs({ sessionRetention: "1h30m" }), 5_400_000);

const folder = mkdtempSync(join(tmpdir(), "cron-session-reaper-smoke-"));
try {
  const store = join(folder, "sessions.json");
  const kept =
    '  "agent:main:main": { "sessionId": "m", "updatedAt": 1e400, "text": "\\ud83d \u00e9" }';
  const run = '  "agent:main:cron:j:run:1": { "sessionId": "r", "updatedAt": 1 }';
  writeFileSync(store, `{\n${kept},\n${run}\n}`);
  for (const id of ["m", "r"]) writeFileSync(join(folder, `${id}.jsonl`), id);
  const warned = [];
  const log = { debug() {}, info() {}, error() {}, warn: ({ err }) => warned.push(err) };

  const result = await sweepCronRunSessions({ sessionStorePath: store, log });
  assert.deepEqual([result, warned], [{ swept: true, pruned: 1 }, []]);
  assert.equal(readFileSync(store, "utf8"), `{\n${kept}\n}`);
  const names = readdirSync(folder).sort(); // not sorted by Bun
  const [archive, ...rest] = names.filter((name) => name !== "m.jsonl");
  assert.match(archive, /^r\.jsonl\.deleted\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, ["sessions.json"]);

  // A truncated store is not modified, and the message names the place.
  writeFileSync(store, '{"a": ');
  const refused = await sweepCronRunSessions({ sessionStorePath: store, log, force: true });
  assert.deepEqual(refused, { swept: false, pruned: 0 });
  assert.equal(readFileSync(store, "utf8"), '{"a": ');
  assert.match(warned[0], /sessions\.json:1:\d+: .*store not modified/);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`ok: swept on ${process.platform}-${process.arch}, Node.js ${process.version}`);
