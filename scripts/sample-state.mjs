// State folders of gateways that have been busy for a while, for demonstrations of the command: chats on
// several channels, cron jobs and their runs, archives, and files of crashed writers.

import { mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createSampleStore, idOf } from "./sample-store.mjs";

const JOBS = ["inbox-triage", "morning-briefing", "backup-check", "price-watch", "standup-notes"];
const CHATS = ["telegram:direct", "whatsapp:group", "slack:channel", "discord:channel"];

/** Fills `stateFolder`, as of `nowMs`; returns the path of its store. */
export function createSampleState(stateFolder, nowMs) {
  const folder = join(stateFolder, "agents", "main", "sessions");
  const options = { entries: 600, expired: 180, nowMs, keyOf, said: 20_000 };
  const storePath = createSampleStore(folder, options);

  const temp = `${storePath}.${idOf(2_000_000)}.tmp`;
  writeFileSync(temp, readFileSync(storePath).subarray(0, 9e6));
  const hoursAgo = new Date(nowMs - 5 * 3_600_000);
  utimesSync(temp, hoursAgo, hoursAgo);
  writeFileSync(join(stateFolder, "openclaw.json"), "{}\n");
  return storePath;
}

const DAY = 24 * 3_600_000;

/** Fills `stateFolder` with three agents, as of `nowMs`, and with what sweeps do not delete. */
export function createSampleAgents(stateFolder, nowMs) {
  for (const [agent, entries, expired] of [
    ["main", 120, 40],
    ["research", 60, 25],
    ["support", 30, 0],
  ]) {
    const folder = join(stateFolder, "agents", agent, "sessions");
    createSampleStore(folder, { entries, expired, nowMs, keyOf, said: 20_000 });
    writeLeftovers(folder, nowMs, 60_000 * entries);
  }
  const logs = join(stateFolder, "logs");
  mkdirSync(logs);
  writeFileSync(join(logs, "gateway.log"), "x".repeat(4e6));
  writeFileSync(join(stateFolder, "openclaw.json"), "{}\n");
}

/** Fills `stateFolder` with an agent whose store was migrated to a database, as of `nowMs`. */
export function createSampleDatabase(stateFolder, nowMs) {
  const agent = join(stateFolder, "agents", "main");
  const storePath = createSampleStore(join(agent, "sessions"), {
    entries: 60,
    expired: 20,
    nowMs,
    keyOf,
    transcripts: false,
  });
  const imported = join(
    agent,
    "session-sqlite-import-archive",
    `legacy-store.sessions.json.imported-${nowMs}`,
  );
  mkdirSync(dirname(imported), { recursive: true });
  writeFileSync(imported, readFileSync(storePath));
  rmSync(storePath);
  const database = join(agent, "agent", "openclaw-agent.sqlite");
  mkdirSync(dirname(database));
  writeFileSync(database, databaseOf(1500, 420));
  writeLeftovers(join(agent, "sessions"), nowMs, 2e6);
}

/** Writes resets, backups, a transcript that no entry names, and temp files and locks of dead processes. */
function writeLeftovers(folder, nowMs, bytes) {
  const stamp = (days) => new Date(nowMs - days * DAY).toISOString().replaceAll(":", "-");
  const write = (name, size, days) => {
    const path = join(folder, name);
    writeFileSync(path, "x".repeat(size));
    const then = new Date(nowMs - days * DAY);
    utimesSync(path, then, then);
  };
  write(`${idOf(9001)}.jsonl`, bytes / 10, 40);
  write(`${idOf(9002)}.jsonl.reset.${stamp(60)}`, bytes / 8, 60);
  write(`sessions.json.bak.${nowMs - 90 * DAY}`, bytes, 90);
  write(`sessions.json.${idOf(2_000_000)}.tmp`, bytes, 20);
  const lock = join(folder, `${idOf(9001)}.jsonl.lock`);
  // The pid is larger than any that Linux assigns.
  writeFileSync(lock, JSON.stringify({ pid: 4_194_999, createdAt: new Date(nowMs - DAY) }));
  utimesSync(lock, new Date(nowMs - DAY), new Date(nowMs - DAY));
}

/** Returns an SQLite database as far as its header shows: some of its pages are free. */
function databaseOf(pages, freePages) {
  const bytes = Buffer.alloc(pages * 4096);
  bytes.write("SQLite format 3\0", "latin1");
  bytes.writeUInt16BE(4096, 16);
  bytes.writeUInt32BE(pages, 28);
  bytes.writeUInt32BE(freePages, 36);
  return bytes;
}

function keyOf(index, isExpired) {
  if (index === 0) {
    return "agent:main:main";
  }
  if (index <= JOBS.length) {
    return `agent:main:cron:${JOBS[index - 1]}`;
  }
  if (isExpired || index % 4 === 0) {
    // Some jobs run more often than others.
    const job = JOBS[Math.floor(((index * 7) % 25) ** 0.5)];
    return `agent:main:cron:${job}:run:${idOf(index)}`;
  }
  if (index % 11 === 0) {
    return `agent:main:subagent:${idOf(index)}`;
  }
  return `agent:main:${CHATS[((index * index) % 7) % CHATS.length]}:${100_200_000 + index * 7919}`;
}
