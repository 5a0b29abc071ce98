// A session store like those that owners of a gateway report: entries of 15 to 60 KB, nearly all of
// it text with many escapes, with the transcripts that they name and archives of earlier sweeps.

import { closeSync, mkdirSync, openSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

const HOUR = 3_600_000;

/**
 * Writes `sessions.json` and its transcripts into `folder`.
 *
 * @param folder The target folder; created if it is missing.
 * @param options `entries`: how many. `expired`: how many of them are cron runs that ended two days
 * before `nowMs`. `smallest`, `largest`: bytes of text in an entry. `transcripts: false` writes the
 * store alone. `root`: the folder that its entries name their transcripts in, if not relatively.
 * `keyOf`: the key of an entry, by its number and whether it expired. `said`: characters in a
 * transcript and in an archive.
 * @returns The path of the store.
 */
export function createSampleStore(folder, options) {
  const {
    entries,
    expired,
    nowMs,
    smallest = 15_000,
    largest = 60_000,
    transcripts = true,
    root = "",
    keyOf = plainKey,
    said = 400,
  } = options;
  mkdirSync(folder, { recursive: true });
  const storePath = join(folder, "sessions.json");
  const text = promptText(largest);
  const random = randomNumbers(entries);

  // Entry by entry, because a big store is longer than the longest string.
  const file = openSync(`${storePath}.new`, "w", 0o600);
  for (let index = 0; index < entries; index++) {
    const isExpired =
      Math.floor(((index + 1) * expired) / entries) > Math.floor((index * expired) / entries);
    const sessionId = idOf(index);
    const entry = {
      sessionId,
      updatedAt: nowMs - (isExpired ? 48 * HOUR : Math.floor(random() * 12 * HOUR)),
      sessionFile: join(root, `${sessionId}.jsonl`),
      chatType: "direct",
      model: "large-3",
      inputTokens: Math.floor(random() * 90_000),
      skillsSnapshot: {
        prompt: text.slice(0, smallest + Math.floor(random() * (largest - smallest))),
      },
      label: "“Täglicher Bericht” — läuft um 7:00",
    };
    const lines = JSON.stringify({ [keyOf(index, isExpired)]: entry }, null, 2).slice(2, -2);
    writeSync(file, `${index === 0 ? "{\n" : ",\n"}${lines}`);
    if (transcripts) {
      const header = { type: "session", id: sessionId, text: text.slice(0, said) };
      writeFileSync(join(folder, `${sessionId}.jsonl`), `${JSON.stringify(header)}\n`);
    }
  }
  writeSync(file, entries === 0 ? "{}" : "\n}");
  closeSync(file);
  renameSync(`${storePath}.new`, storePath);

  if (transcripts) {
    createArchives(folder, nowMs, text.slice(0, said));
  }
  return storePath;
}

function createArchives(folder, nowMs, text) {
  for (let age = 1; age <= 40; age++) {
    const stamp = new Date(nowMs - age * 2 * HOUR).toISOString().replaceAll(":", "-");
    writeFileSync(
      join(folder, `${idOf(1_000_000 + age)}.jsonl.deleted.${stamp}`),
      `${JSON.stringify({ text })}\n`,
    );
  }
}

/** Returns the key of a chat, of a cron job's session or of a run. Only runs expire. */
function plainKey(index, isExpired) {
  if (isExpired || index % 3 === 0) {
    return `agent:main:cron:daily-report-${index % 7}:run:${idOf(index)}`;
  }
  return index % 3 === 1 ? `agent:main:telegram:direct:${index}` : `agent:main:cron:job-${index}`;
}

export function idOf(index) {
  return `0c5e55ed-0000-4000-8000-${index.toString(16).padStart(12, "0")}`;
}

function promptText(length) {
  let text = "";
  for (let line = 1; text.length < length; line++) {
    text += `<skill name="weather-${line}">\n\tSay: "It's ${line} °C\\n" and read C:\\skills\\${line}\\SKILL.md\n</skill>\n`;
  }
  return text;
}

/** Returns a generator of the same numbers every time, so that a sample store can be rebuilt. */
function randomNumbers(seed) {
  let state = seed + 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
