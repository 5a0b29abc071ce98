// The state folder of a gateway that has been busy for a while, for demonstrations of the command:
// chats on several channels, cron jobs and their runs, archives, and a temp file of a crashed writer.

import { readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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
