// What is in a state folder, found without the command: its files and their classes, by the rules of
// docs/command.md.

import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

const STAMP = "\\d{4}-\\d\\d-\\d\\dT\\d\\d-\\d\\d-\\d\\d(?:\\.\\d{3})?Z";
const UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";

/** The classes by the name of a file in a sessions folder. The first match counts. */
const NAMES = [
  ["archives", `\\.deleted\\.(${STAMP})$`],
  ["resets", `\\.jsonl\\.reset\\.(${STAMP})$`],
  ["exports", `\\.jsonl\\.deleted\\.${STAMP}\\.[^.]+\\.zst$`],
  ["backups", "^sessions\\.json\\.bak\\.(.+)$"],
  ["kept", `^sessions\\.json\\.kept\\.${STAMP}$`],
  ["temps", `^sessions\\.json\\.(?:\\d+\\.)?${UUID}\\.tmp$`],
  ["locks", "^sessions\\.json\\.lock$|\\.jsonl\\.lock$"],
  ["checkpoints", `.\\.checkpoint\\.${UUID}\\.jsonl$`],
  ["trajectories", "\\.trajectory\\.jsonl$|\\.trajectory-path\\.json$"],
  ["transcripts", "\\.jsonl$"],
  ["caches", "^\\.usage-cost-cache\\."],
].map(([name, pattern]) => [name, new RegExp(pattern)]);

/** Returns `{ bytes, hash, mtimeMs }` of each file below a folder, by its path in the folder. */
export function filesBelow(root) {
  const files = new Map();
  for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const contents = fs.readFileSync(file);
    files.set(path.relative(root, file), {
      bytes: contents.length,
      hash: createHash("sha256").update(contents).digest("hex"),
      mtimeMs: fs.statSync(file).mtimeMs,
    });
  }
  return files;
}

/** Returns the class of a file by its path in the state folder; undefined if the command does not show it. */
export function classOf(file, { bytes }) {
  const [agents, , folder, name, ...below] = file.split(path.sep);
  if (agents !== "agents") return undefined;
  if (folder === "session-sqlite-import-archive") return "imported";
  if (folder === "agent") {
    if (name === "openclaw-agent.sqlite") return "database";
    // The index of the log, and an empty log, are not shown.
    return name === "openclaw-agent.sqlite-wal" && bytes > 0 ? "log" : undefined;
  }
  if (folder !== "sessions") return undefined;
  if (below.length > 0) return name === "skills-prompts" ? "caches" : "others";
  return classOfName(name);
}

function classOfName(name) {
  return NAMES.find(([, pattern]) => pattern.test(name))?.[0] ?? "others";
}

/** Returns when an archive, a reset or a backup was made, by its name. */
export function madeMs(file) {
  const [, stamp] = NAMES.map(([, pattern]) => pattern.exec(path.basename(file))).find(Boolean);
  if (/^\d+$/.test(stamp)) return Number(stamp);
  return Date.parse(stamp.replace(/(\d\d)-(\d\d)-(\d\d[.\d]*Z)$/, "$1:$2:$3"));
}

/** Returns how a folder differs from what it should be after the named files are deleted. */
export function differencesAfter(before, after, deleted) {
  const gone = new Set(deleted);
  const problems = [];
  for (const [file, { hash }] of before) {
    const now = after.get(file);
    if (now === undefined && !gone.has(file)) problems.push(`${file} is gone`);
    if (now !== undefined && gone.has(file)) problems.push(`${file} was announced and is not gone`);
    if (now !== undefined && now.hash !== hash) problems.push(`${file} was changed`);
  }
  for (const file of after.keys()) if (!before.has(file)) problems.push(`${file} is new`);
  for (const file of gone) if (!before.has(file)) problems.push(`${file} did not exist`);
  return problems;
}

export const bytesOf = (files) => [...files.values()].reduce((sum, { bytes }) => sum + bytes, 0);
