// Run by rights.mjs as another user: writes a store with expired runs and their transcripts, replaces a
// path by a link, and undoes it, in a loop. It ignores all errors: a sweep may be faster.

import {
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

const [path, target, store, when] = process.argv.slice(-4);
const folder = dirname(store);
const aside = `${path}.aside`;
const lock = `${store}.lock`;

function attempt(change) {
  try {
    change();
  } catch {}
}

const run = (id, more) => [`agent:main:cron:j:run:${id}`, { sessionId: id, updatedAt: 1, ...more }];

function layOut() {
  const entries = [run("r"), run("s", { sessionFile: "sub/s.jsonl" }), ["agent:main:main", {}]];
  attempt(() => mkdirSync(join(folder, "sub")));
  attempt(() => writeFileSync(join(folder, "sub/s.jsonl"), "mine"));
  attempt(() => writeFileSync(join(folder, "r.jsonl"), "mine"));
  // In place, so that the store keeps its owner.
  attempt(() => writeFileSync(store, JSON.stringify(Object.fromEntries(entries)), { mode: 0o600 }));
}

function untilLocked(isLocked, ms) {
  const end = performance.now() + ms;
  while (existsSync(lock) !== isLocked && performance.now() < end);
}

console.log("ready");
for (;;) {
  layOut();
  if (when === "while the lock is held") {
    untilLocked(true, 30);
  } else {
    untilLocked(true, Math.random() * 6);
  }
  attempt(() => renameSync(path, aside));
  attempt(() => symlinkSync(target, path));
  untilLocked(false, when === "while the lock is held" ? 8 : Math.random() * 4);
  attempt(() => unlinkSync(path));
  attempt(() => (existsSync(aside) ? renameSync(aside, path) : undefined));
  attempt(() => rmSync(aside, { recursive: true }));
}
