// Runs the gateway's own updates in three processes and native sweeps in two of them, on one store. No
// update may be lost, every run must be removed once, and no file may be left.

import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gatewayNode } from "../gateway.mjs";

const worker = path.join(path.dirname(fileURLToPath(import.meta.url)), "worker.mjs");

export async function shareLocks(version, seconds) {
  // In memory if possible: on a busy disk, a write under the lock may take longer than the gateway's
  // waiters wait.
  const scratch = fs.existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir();
  const folder = fs.mkdtempSync(path.join(scratch, "reaper-locks-"));
  const store = path.join(folder, "sessions.json");
  const filler = Object.fromEntries(
    Array.from({ length: 50 }, (_, i) => [
      `agent:main:telegram:dm:${i}`,
      { sessionId: `s${i}`, updatedAt: Date.now(), text: "\n".repeat(10_000) },
    ]),
  );
  const start = () => fs.writeFileSync(store, JSON.stringify(filler, null, 2));

  const run = async (name, what, time = seconds) => {
    const { stdout } = await promisify(execFile)(gatewayNode(), [
      worker,
      version,
      store,
      name,
      String(time),
      what,
    ]);
    return JSON.parse(stdout.trim().split("\n").at(-1));
  };
  // Without sweeps, for comparison: the writers wait for each other.
  start();
  const writers = ["w1", "w2", "w3"];
  const alone = await Promise.all(writers.map((name) => run(name, "writes", seconds / 4)));
  for (const name of fs.readdirSync(folder)) fs.rmSync(path.join(folder, name));

  start();
  const results = await Promise.all([run("w1", "both"), run("w2", "writes"), run("w3", "both")]);
  results.push(await run("last", "sweeps", 0.5));

  const problems = results.flatMap(({ name, failed }) => failed.map((text) => `${name}: ${text}`));
  const entries = JSON.parse(fs.readFileSync(store, "utf8"));
  for (const { name, updates } of results.slice(0, 3)) {
    const count = entries[`counter:${name}`]?.count;
    if (count !== updates) problems.push(`${name}: ${updates} updates, ${count} in the store`);
  }
  const sum = (field) => results.reduce((total, one) => total + one[field], 0);
  if (sum("pruned") !== sum("added"))
    problems.push(`${sum("added")} runs, ${sum("pruned")} pruned`);
  const names = fs.readdirSync(folder);
  const archives = names.filter((name) => /\.jsonl\.deleted\./.test(name)).length;
  if (archives !== sum("added")) problems.push(`${sum("added")} transcripts, ${archives} archived`);
  const leftovers = names.filter(
    (name) => name !== "sessions.json" && !/\.jsonl\.deleted\./.test(name),
  );
  if (leftovers.length > 0) problems.push(`left behind: ${leftovers.slice(0, 10).join(", ")}`);
  const longest = (field, of = results) => Math.round(Math.max(...of.map((one) => one[field])));
  fs.rmSync(folder, { recursive: true, force: true });
  return {
    problems,
    updates: sum("updates"),
    sweeps: sum("sweeps"),
    pruned: sum("pruned"),
    longestWaitMs: longest("longestWaitMs"),
    longestWaitAloneMs: longest("longestWaitMs", alone),
    longestSweepMs: longest("longestSweepMs"),
  };
}
