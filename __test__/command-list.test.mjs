// --list: on random folders, it names exactly what --apply then removes.
//
//   LIST_FOLDERS=10000 npx vitest run __test__/command-list.test.mjs     a longer campaign
//   LIST_SEED=123 LIST_FOLDERS=1 npx vitest run …                        one of its folders again

import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  command,
  layOut,
  layOutRandom,
  temporaryFolder,
  treeOf,
  withoutStamps,
} from "./fixtures/index.mjs";

const FOLDERS = Number(process.env.LIST_FOLDERS ?? 50);
const SEED = Number(process.env.LIST_SEED ?? 1);
/** How many folders one call of the command gets. */
const BATCH = 250;

const AGES = ["--archive-retention", "2d", "--reset-retention", "10d", "--backup-retention", "10d"];
const DELETED = ["archives", "resets", "backups", "temps", "locks"];

/** Returns the tree that is left of a folder after everything in `removals` was removed. */
function expectedAfter(before, folder, removals, kept) {
  const expected = { ...before };
  const nameOf = (path) => path.slice(folder.length + 1);
  for (const path of DELETED.flatMap((name) => removals[name])) {
    expect(expected, path).toHaveProperty([nameOf(path)]);
    delete expected[nameOf(path)];
  }
  const rename = (name, to) => {
    expected[to] = expected[name];
    delete expected[name];
  };
  for (const path of removals.transcripts) {
    rename(nameOf(path), `${nameOf(path)}.deleted.{STAMP}`);
  }
  for (const path of kept) {
    rename(nameOf(path), "sessions.json.kept.{STAMP}");
  }
  if (removals.runs.length > 0) {
    const entries = Object.entries(JSON.parse(before["sessions.json"]));
    const isKept = ([key]) => !removals.runs.includes(key);
    expected["sessions.json"] = Object.fromEntries(entries.filter(isKept));
    expect(entries.length).toBe(
      removals.runs.length + Object.keys(expected["sessions.json"]).length,
    );
  }
  return expected;
}

/** Returns the tree with the stamps of new files replaced, and the store parsed if it has changed. */
function comparable(tree, before) {
  const known = Object.keys(before);
  const entries = Object.entries(withoutStamps(tree, known)).map(([name, content]) => {
    const isNewKept = /^sessions\.json\.kept\./.test(name) && !known.includes(name);
    const isChanged = name === "sessions.json" && content !== before[name];
    return [
      isNewKept ? "sessions.json.kept.{STAMP}" : name,
      isChanged ? JSON.parse(content) : content,
    ];
  });
  return Object.fromEntries(entries);
}

const sizeOf = (tree) => Object.values(tree).reduce((sum, text) => sum + text.length, 0);

async function removesWhatItLists(seeds) {
  const state = join(temporaryFolder(), "state");
  const agents = join(state, "agents");
  mkdirSync(agents, { recursive: true });
  layOut(state, { "openclaw.json": "{}" });
  for (const seed of seeds) {
    layOutRandom(join(agents, `seed-${seed}`), seed);
  }
  const before = new Map(readdirSync(agents).map((agent) => [agent, treeOf(join(agents, agent))]));
  const parsed = async (...args) => {
    const { stdout } = await command(state, [
      ...args,
      "--json",
      "--retention",
      "3d",
      ...AGES,
      state,
    ]);
    return JSON.parse(stdout).stores;
  };
  const listed = await parsed("--list");
  for (const [agent, tree] of before) {
    expect(treeOf(join(agents, agent)), agent).toEqual(tree);
  }

  const applied = await parsed("--apply", "--yes");

  let counted = 0;
  for (const [at, { path, removals, preview, freeable, error }] of listed.entries()) {
    const folder = basename(path) === "sessions.json" ? join(path, "..") : path;
    const agent = basename(join(folder, ".."));
    const all = before.get(agent);
    const inside = Object.entries(all).filter(([name]) => name.startsWith("sessions/"));
    const own = Object.fromEntries(inside.map(([name, text]) => [name.slice(9), text]));
    delete own[""];
    const after = treeOf(folder);
    if (error) {
      expect(after, agent).toEqual(own);
      continue;
    }
    const { sweep, freed, error: failed } = applied[at];
    expect(failed, agent).toBeUndefined();
    const kept = preview?.temps.kept ?? [];
    expect(comparable(after, own), agent).toEqual(expectedAfter(own, folder, removals, kept));
    const bytes = (report, files) =>
      (report?.bytes.reclaimed ?? 0) + files.reduce((sum, file) => sum + file.bytes, 0);
    const announced = bytes(preview, freeable);
    expect(bytes(sweep, freed), agent).toBe(announced);
    expect(sizeOf(own) - sizeOf(after), agent).toBe(announced);
    counted += Object.values(removals).flat().length;
  }
  rmSync(state, { recursive: true });
  return counted;
}

// Only a guard: a folder takes some milliseconds.
const timeout = 600_000 + FOLDERS * 1000;

describe("--list", () => {
  it(`names exactly what --apply removes from ${FOLDERS} random folders`, { timeout }, async () => {
    let counted = 0;
    for (let first = SEED; first < SEED + FOLDERS; first += BATCH) {
      const count = Math.min(BATCH, SEED + FOLDERS - first);
      counted += await removesWhatItLists(Array.from({ length: count }, (_, at) => first + at));
    }
    // A test in which nothing is removed would prove nothing.
    expect(counted).toBeGreaterThan(FOLDERS > 10 ? FOLDERS : -1);
  });
});
