// Migrates a folder of 2026.3.2 with a later gateway's `openclaw doctor --fix`, and frees it with the
// command. Checks that the command shows every file once, and frees exactly what it announces, and that
// the gateway lists the same sessions afterwards.

import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { labelOf } from "../../cli/classes.mjs";
import { size } from "../../cli/text.mjs";
import { startTimeOf } from "../differential/scene.mjs";
import { commandsOf, createState, DELETED, sessionsOf, stateIn, transcriptOf } from "./create.mjs";
import { bytesOf, classOf, differencesAfter, filesBelow, madeMs } from "./folder.mjs";

const COMMAND = new URL("../../cli/main.mjs", import.meta.url).pathname;
const CREATED_BY = "2026.3.2";
const AGENTS = ["main", "work"];
const LIVE_LOCK = "live.jsonl.lock";
const KEPT_MS = 30 * 24 * 3_600_000;
const AGES = ["archive", "reset", "backup"].flatMap((name) => [`--${name}-retention`, "30d"]);
/** Every class that can be beside a database. Only a store has orphaned transcripts. */
const CLASSES = [
  ...["database", "log", "transcripts", "archives", "resets", "backups", "checkpoints"],
  ...["trajectories", "imported", "exports", "temps", "locks", "kept", "caches", "others"],
];

/** Resolves to the figures of the check and what differs. */
export async function checkMigrated(version) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "reaper-migrate-"));
  const state = stateIn(root);
  try {
    const port = await createState(CREATED_BY, root);
    const later = commandsOf(version, root);
    const keys = AGENTS.flatMap((agent) =>
      keysOf(path.join(sessionsOf(state, agent), "sessions.json")),
    );
    await migrate(later, state);
    const sessions = await listedSessions(later, port, deleteSession);
    addLaterFiles(state);

    const before = filesBelow(state);
    const shown = checkShown(state, before);
    const announced = checkAnnounced(state, before);
    const freed = checkFreed(state, before, announced);
    const listed = await listedSessions(later, port);
    return {
      files: shown.files,
      classes: shown.classes,
      deleted: announced.files.length,
      announcedBytes: announced.bytes,
      freedBytes: freed.bytes,
      sessions: sessions.length,
      problems: [
        ...unlisted(keys, sessions),
        ...shown.problems,
        ...announced.problems,
        ...freed.problems,
        ...differencesBetween(sessions, listed),
        ...missedFaults(state, before, sessions, announced),
      ],
    };
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
}

const keysOf = (store) => Object.keys(JSON.parse(fs.readFileSync(store, "utf8")));

/** Returns the sessions of the store that the gateway does not list after the migration. */
function unlisted(keys, sessions) {
  return keys
    .filter((key) => key !== DELETED && !sessions.some((session) => session.key === key))
    .map((key) => `${key} is not listed`);
}

async function migrate({ run }, state) {
  await run(["doctor", "--fix", "--non-interactive", "--yes"]);
  for (const agent of AGENTS) {
    const folder = path.dirname(sessionsOf(state, agent));
    const archive = fs.readdirSync(path.join(folder, "session-sqlite-import-archive"));
    const isMigrated =
      fs.existsSync(path.join(folder, "agent", "openclaw-agent.sqlite")) &&
      archive.some((name) => name.startsWith("legacy-store.sessions.json.imported-")) &&
      !fs.existsSync(path.join(folder, "sessions", "sessions.json"));
    if (!isMigrated) throw new Error(`openclaw doctor --fix did not migrate ${folder}`);
  }
}

/**
 * Starts the gateway, and lists its sessions in both of its ways. `use` is called before. The gateway is
 * then killed: its write-ahead logs remain, which the next start needs.
 */
async function listedSessions(later, port, use = async () => {}) {
  const gateway = await later.start(port);
  try {
    await use(later);
    const lists = [
      await later.json("sessions", "--all-agents", "--limit", "all"),
      await later.call("sessions.list", {}),
    ];
    await gateway.kill("SIGKILL");
    return lists.flatMap(({ sessions }, list) =>
      sessions
        .map(({ key, sessionId, updatedAt }) => ({ list, key, sessionId, updatedAt }))
        .sort((a, b) => (a.key < b.key ? -1 : 1)),
    );
  } finally {
    await gateway.end();
  }
}

/** The gateway exports the transcript of a deleted session. */
const deleteSession = ({ run }) => run(["sessions", "delete", DELETED, "--yes"]);

/**
 * Adds what the migration does not leave: the lock of a live process, and a transcript and a checkpoint, as
 * an earlier gateway that is started once more writes them.
 */
function addLaterFiles(state) {
  const folder = sessionsOf(state, "work");
  const lock = { pid: process.pid, createdAt: new Date().toISOString() };
  const id = randomUUID();
  for (const [name, text] of [
    [LIVE_LOCK, JSON.stringify({ ...lock, starttime: startTimeOf("self") })],
    [`${id}.jsonl`, transcriptOf(id)],
    [`${id}.checkpoint.${randomUUID()}.jsonl`, transcriptOf(id)],
  ])
    fs.writeFileSync(path.join(folder, name), text);
}

/** Runs the command on the state folder. Returns what it printed. */
function reaper(state, ...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [COMMAND, ...args], {
    encoding: "utf8",
    env: { PATH: process.env.PATH, HOME: path.join(state, "home"), OPENCLAW_STATE_DIR: state },
  });
  if (status !== 0) throw new Error(`the command exited with ${status}: ${stderr}`);
  return stdout;
}

/** Returns the class of a file. Only locks of dead processes have their own. */
function shownClassOf(file, figures) {
  const name = classOf(file, figures);
  return name === "locks" && path.basename(file) === LIVE_LOCK ? "others" : name;
}

/** Compares what the command shows with the files in the folder. */
function checkShown(state, files) {
  const { stores } = JSON.parse(reaper(state, "--json"));
  const overview = reaper(state);
  const details = reaper(state, "--details");
  const all = new Map();
  const problems = [];
  for (const agent of AGENTS) {
    const folder = sessionsOf(state, agent);
    const below = path.relative(state, path.dirname(folder)) + path.sep;
    const expected = figuresOf([...files].filter(([file]) => file.startsWith(below)));
    const store = stores.find((store) => store.path === folder);
    const shown = store.folder.map(({ class: name, files, bytes }) => [name, { files, bytes }]);
    const sorted = (figures) => [...figures].sort(([a], [b]) => (a < b ? -1 : 1));
    if (!isDeepStrictEqual(sorted(shown), sorted(expected)))
      problems.push(
        `${agent}: shows ${JSON.stringify(shown)}, not ${JSON.stringify([...expected])}`,
      );
    const [own] = details.split(`${folder}\n`)[1].split(`${path.sep}sessions\n`);
    problems.push(...missingLines(own, expected).map((line) => `${agent}: no line "${line}"`));
    for (const [name, { files, bytes }] of expected) {
      const sum = all.get(name) ?? { files: 0, bytes: 0 };
      all.set(name, { files: sum.files + files, bytes: sum.bytes + bytes });
    }
  }
  problems.push(...missingLines(overview, all).map((line) => `the overview: no line "${line}"`));
  for (const name of CLASSES) if (!all.has(name)) problems.push(`the folder has no ${name}`);
  const count = [...all.values()].reduce((sum, { files }) => sum + files, 0);
  return { files: count, classes: all.size, problems };
}

function figuresOf(files) {
  const figures = new Map();
  for (const [file, stat] of files) {
    const name = shownClassOf(file, stat);
    if (name === undefined) continue;
    const sum = figures.get(name) ?? { files: 0, bytes: 0 };
    figures.set(name, { files: sum.files + 1, bytes: sum.bytes + stat.bytes });
  }
  return figures;
}

/** Returns the lines of classes that a text lacks. */
function missingLines(text, figures) {
  const lines = new Set(text.split("\n").map((line) => line.trim().replaceAll(/ {2,}/g, " ")));
  return [...figures]
    .map(([name, { files, bytes }]) => `${labelOf(name)} ${files} ${size(bytes)} `)
    .filter((expected) => ![...lines].some((line) => line.startsWith(expected)));
}

/** Compares what the command announces with what is due by the rules. */
function checkAnnounced(state, files) {
  const { stores } = JSON.parse(reaper(state, "--json", "--list", ...AGES));
  const listed = stores.flatMap(({ removals }) => Object.values(removals).flat());
  const freeable = stores.flatMap((store) => store.freeable);
  const relative = (file) => path.relative(state, file);
  const due = [...files].filter(([file, stat]) => isDue(files, file, stat)).map(([file]) => file);
  const bytes = freeable.reduce((sum, file) => sum + file.bytes, 0);
  const problems = [];
  const announced = listed.map(relative).sort();
  if (!isDeepStrictEqual(announced, due.sort()))
    problems.push(`--list names ${announced.join(", ")}, but ${due.join(", ")} are due`);
  if (!isDeepStrictEqual(announced, freeable.map(({ path }) => relative(path)).sort()))
    problems.push("--list names other files than freeable");
  for (const options of [[], ["--details", "--list"]]) {
    const text = reaper(state, ...options, ...AGES);
    const isAnnounced =
      options.length === 0
        ? text.includes(`a sweep would free ${size(bytes)}.`)
        : listed.every((file) => text.includes(`  ${file}\n`));
    if (!isAnnounced) problems.push(`${options.join(" ")} does not announce the same: ${text}`);
  }
  return { files: announced, bytes, problems };
}

/** Returns whether the options of the check free a file. */
function isDue(files, file, stat) {
  const name = shownClassOf(file, stat);
  if (["archives", "resets", "backups"].includes(name)) return madeMs(file) < Date.now() - KEPT_MS;
  // A younger temp file may contain what the migrated store did not.
  return name === "locks" || (name === "temps" && stat.mtimeMs <= storeMs(files, file));
}

/** Returns when the store was written that a file is beside, by its copy in the import archive. */
function storeMs(files, file) {
  const agent = path.dirname(path.dirname(file));
  const copy = path.join(agent, "session-sqlite-import-archive", "legacy-store.sessions.json.");
  return [...files].find(([name]) => name.startsWith(copy))[1].mtimeMs;
}

/** Frees, and compares the folder with the one before. */
function checkFreed(state, before, announced) {
  const { stores } = JSON.parse(reaper(state, "--apply", "--yes", "--json", ...AGES));
  const after = filesBelow(state);
  const bytes = bytesOf(before) - bytesOf(after);
  const problems = differencesAfter(before, after, announced.files);
  const reported = stores.flatMap(({ freed }) => freed).reduce((sum, file) => sum + file.bytes, 0);
  if (bytes !== announced.bytes || reported !== announced.bytes)
    problems.push(`${announced.bytes} bytes announced, ${reported} reported, ${bytes} freed`);
  const again = JSON.parse(reaper(state, "--json", ...AGES)).stores.flatMap((it) => it.freeable);
  if (again.length > 0) problems.push(`${again.length} files are announced again`);
  return { bytes, problems };
}

function differencesBetween(sessions, listed) {
  if (isDeepStrictEqual(sessions, listed)) return [];
  return [`the sessions were ${JSON.stringify(sessions)}, now ${JSON.stringify(listed)}`];
}

/** Returns which of several faults the comparisons do not notice: the negative control. */
function missedFaults(state, before, sessions, { files }) {
  const [imported] = [...before].find(([file, stat]) => classOf(file, stat) === "imported");
  const [database] = [...before].find(([file, stat]) => classOf(file, stat) === "database");
  const expected = new Map(before);
  for (const file of files) expected.delete(file);
  const without = (file) => new Map([...expected].filter(([name]) => name !== file));
  const changed = new Map(expected).set(database, { ...before.get(database), hash: "" });
  const kept = new Map(expected).set(files[0], before.get(files[0]));
  const more = new Map(expected).set("more", { bytes: 0, hash: "" });
  const noticed = (after) => differencesAfter(before, after, files).length === 1;
  const faults = [
    ["a deleted import", noticed(without(imported))],
    ["a changed database", noticed(changed)],
    ["a file that was not freed", noticed(kept)],
    ["a new file", noticed(more)],
    ["a missing session", differencesBetween(sessions, sessions.slice(1)).length === 1],
    ["a file that is not shown", checkShown(state, before).problems.length > 0],
  ];
  return faults.filter(([, isNoticed]) => !isNoticed).map(([fault]) => `${fault} is not noticed`);
}
