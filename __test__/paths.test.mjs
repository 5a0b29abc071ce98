// The files that a sweep renames, writes and deletes, and those that it must not touch.

import { execFileSync } from "node:child_process";
import { chmodSync, linkSync, lstatSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  archiveName,
  CHAT,
  failedWith,
  HOUR,
  inJson,
  layOut,
  lockPayload,
  NOW,
  readStore,
  repeatUntilInTime,
  runKey,
  storeWith,
  sweep,
  sweptCleanly,
  temporaryFolder,
  textOf,
  treeOf,
  until,
  withoutStamps,
} from "./fixtures/index.mjs";

/**
 * Sweeps a store in the subfolder `sessions`, and checks that transcripts were archived and nothing
 * else was changed. Returns the outcome and the paths of the transcripts.
 */
async function archivedBy(folder, store) {
  layOut(folder, { "sessions/sessions.json": textOf(store) });
  const before = treeOf(folder);
  const outcome = await sweep(join(folder, "sessions/sessions.json"));
  const after = withoutStamps(treeOf(folder), Object.keys(before));
  const [gone, same] = [[], []];
  for (const path of Object.keys(before)) {
    (path in after ? same : gone).push(path);
  }
  const added = Object.keys(after).filter((path) => !(path in before));
  expect(added.sort()).toEqual(gone.map((path) => `${path}.deleted.{STAMP}`).sort());
  for (const path of gone) {
    expect(after[`${path}.deleted.{STAMP}`]).toBe(before[path]);
  }
  for (const path of same.filter((path) => path !== "sessions/sessions.json")) {
    expect(after[path], path).toBe(before[path]);
  }
  return { ...outcome, archived: gone.sort() };
}

describe("the transcript of a removed run", () => {
  const files = {
    "secret.jsonl": "outside\n",
    "outside/secret.jsonl": "outside\n",
    "sessions-2/near.jsonl": "outside\n",
    "sessions/id.jsonl": "{}\n",
    "sessions/ID-2.jsonl": "{}\n",
    "sessions/custom name.jsonl": "{}\n",
    "sessions/sub/deep.jsonl": "{}\n",
    "sessions/..odd.jsonl": "{}\n",
    "sessions/.hidden.jsonl": "{}\n",
    "sessions/notes.txt": "notes\n",
    "sessions/upper.JSONL": "{}\n",
    "sessions/folder.jsonl": { dir: true },
    "sessions/linked-in.jsonl": { symlink: "sub/deep.jsonl" },
    "sessions/linked-out.jsonl": { symlink: "../outside/secret.jsonl" },
    "sessions/linked-store.jsonl": { symlink: "sessions.json" },
    "sessions/dangling.jsonl": { symlink: "nowhere.jsonl" },
    "sessions/loop.jsonl": { symlink: "loop.jsonl" },
    "sessions/out": { symlink: "../outside" },
    "sessions/in": { symlink: "sub" },
    [`sessions/${"x".repeat(128)}.jsonl`]: "{}\n",
    [`sessions/${"x".repeat(129)}.jsonl`]: "{}\n",
  };

  // What the entry names, its fields, and the archived transcripts.
  const cases = [
    ["the id of a transcript", { sessionId: "id" }, ["id.jsonl"]],
    ["an id in capitals", { sessionId: "ID-2" }, ["ID-2.jsonl"]],
    ["an id with white space around it", { sessionId: " id\n" }, ["id.jsonl"]],
    ["an id of 128 characters", { sessionId: "x".repeat(128) }, [`${"x".repeat(128)}.jsonl`]],
    ["an id of 129 characters", { sessionId: "x".repeat(129) }, []],
    ["an id that contains a path", { sessionId: "sub/deep" }, []],
    ["an id that leads to the parent folder", { sessionId: "../secret" }, []],
    ["the id ..", { sessionId: ".." }, []],
    ["an id that begins with a dot", { sessionId: ".hidden" }, []],
    ["an id with a zero byte", { sessionId: "id\0" }, []],
    ["an id with a backslash", { sessionId: "sub\\deep" }, []],
    ["a blank id", { sessionId: " " }, []],
    ["a file", { sessionId: "-", sessionFile: "custom name.jsonl" }, ["custom name.jsonl"]],
    [
      "an id and another file",
      { sessionId: "id", sessionFile: "sub/deep.jsonl" },
      ["id.jsonl", "sub/deep.jsonl"],
    ],
    [
      "a file in a subfolder",
      { sessionId: "-", sessionFile: "./sub/../sub/deep.jsonl" },
      ["sub/deep.jsonl"],
    ],
    [
      "an absolute path inside the folder",
      { sessionId: "-", sessionFile: "{ROOT}/sessions/id.jsonl" },
      ["id.jsonl"],
    ],
    [
      "an absolute path outside the folder",
      { sessionId: "-", sessionFile: "{ROOT}/secret.jsonl" },
      [],
    ],
    ["a file in the parent folder", { sessionId: "-", sessionFile: "../secret.jsonl" }, []],
    [
      "a file in the folder, by way of the parent folder",
      { sessionId: "-", sessionFile: "../sessions/id.jsonl" },
      [],
    ],
    [
      "a file in a sibling folder with the same prefix",
      { sessionId: "-", sessionFile: "../sessions-2/near.jsonl" },
      [],
    ],
    ["a file whose name begins with two dots", { sessionId: "-", sessionFile: "..odd.jsonl" }, []],
    ["a link to a file inside the folder", { sessionId: "linked-in" }, ["sub/deep.jsonl"]],
    ["a link to a file outside the folder", { sessionId: "linked-out" }, []],
    ["a link to the store", { sessionId: "linked-store" }, []],
    ["a dangling link", { sessionId: "dangling" }, []],
    ["a link to itself", { sessionId: "loop" }, []],
    ["a file in a linked folder outside", { sessionId: "-", sessionFile: "out/secret.jsonl" }, []],
    [
      "a file in a linked folder inside",
      { sessionId: "-", sessionFile: "in/deep.jsonl" },
      ["sub/deep.jsonl"],
    ],
    ["the store", { sessionId: "-", sessionFile: "sessions.json" }, []],
    ["a file that is not a transcript", { sessionId: "-", sessionFile: "notes.txt" }, []],
    ["a directory", { sessionId: "-", sessionFile: "folder.jsonl" }, []],
    ["the store's folder", { sessionId: "-", sessionFile: "." }, []],
    ["a missing file", { sessionId: "-", sessionFile: "missing.jsonl" }, []],
    ["a file name with a zero byte", { sessionId: "-", sessionFile: "id.jsonl\0" }, []],
    ["an id, and a number as the file", { sessionId: "id", sessionFile: 7 }, ["id.jsonl"]],
    ["an array as the file", { sessionId: "-", sessionFile: ["id.jsonl"] }, []],
    ["a path that begins with ~", { sessionId: "-", sessionFile: "~/id.jsonl" }, []],
    ["a URL", { sessionId: "-", sessionFile: "file:///{ROOT}/sessions/id.jsonl" }, []],
  ];

  /** Lays out `files`, and sweeps a store with these entries there. */
  async function archived(entries, more = {}) {
    const folder = temporaryFolder();
    layOut(folder, { ...files, ...more });
    const store = JSON.parse(JSON.stringify(entries).replaceAll("{ROOT}", inJson(folder)));
    return { folder, ...(await archivedBy(folder, store)) };
  }

  it.each(cases)(
    "archives only a run's own transcript if its entry names %s",
    async (_, entry, expected) => {
      const { result, calls, archived: paths } = await archived({ [runKey(1)]: entry, a: {} });
      expect({ result, calls }).toEqual(sweptCleanly(1));
      expect(paths).toEqual(expected.map((path) => `sessions/${path}`).sort());
    },
  );

  it.each([
    ["has its id", { sessionId: "id" }],
    ["names it", { sessionId: "other", sessionFile: "id.jsonl" }],
    ["names it by its absolute path", { sessionFile: "{ROOT}/sessions/id.jsonl" }],
    ["names it by way of a subfolder", { sessionFile: "sub/../id.jsonl" }],
    ["names it through a link", { sessionFile: "to-id.jsonl" }],
  ])("keeps a transcript if another entry %s", async (_, other) => {
    const store = { [runKey(1)]: { sessionId: "id" }, [CHAT]: other };
    const link = { "sessions/to-id.jsonl": { symlink: "id.jsonl" } };
    const { result, archived: paths } = await archived(store, link);
    expect(result.pruned).toBe(1);
    expect(paths).toEqual([]);
  });

  it.skipIf(process.platform === "win32")(
    "keeps a pipe with the name of a transcript",
    async () => {
      const folder = temporaryFolder();
      layOut(folder, { "sessions/a.txt": "" });
      execFileSync("mkfifo", [join(folder, "sessions/pipe.jsonl")]);
      const { result, archived } = await archivedBy(folder, { [runKey(1)]: { sessionId: "pipe" } });
      expect(result.pruned).toBe(1);
      expect(archived).toEqual([]);
    },
  );

  it("keeps an expired run and its transcript while a live process locks the transcript", async () => {
    const store = { [runKey(1)]: { sessionId: "id" }, [runKey(2)]: { sessionId: "ID-2" } };
    const lock = { "sessions/id.jsonl.lock": lockPayload() };
    const { folder, result, archived: paths } = await archived(store, lock);
    expect(result).toEqual({ swept: true, pruned: 1 });
    expect(paths).toEqual(["sessions/ID-2.jsonl"]);
    const left = readStore(join(folder, "sessions/sessions.json"));
    expect(Object.keys(left)).toEqual([runKey(1)]);
  });

  it("replaces no archive: the new one gets the next free millisecond", async () => {
    // The stamp is the time of the sweep, for which the names of 900 ms are taken in advance.
    const COUNT = 900;
    await repeatUntilInTime(async (attempt) => {
      const { folder, storePath } = storeWith(
        { [runKey(1)]: { sessionId: "id" } },
        { "id.jsonl": "new", earlier: "earlier" },
      );
      const beginMs = Date.now() + 50 * (attempt + 1);
      const nameAt = (ms) => archiveName("id.jsonl", beginMs + ms);
      const taken = Array.from({ length: COUNT }, (_, ms) => nameAt(ms));
      for (const name of taken) {
        linkSync(join(folder, "earlier"), join(folder, name));
      }
      await until("the first name is that of the current time", () => Date.now() >= beginMs);
      await sweep(storePath, { nowMs: beginMs });

      const tree = treeOf(folder);
      for (const name of taken) {
        expect(tree[name]).toBe("earlier");
      }
      const added = Object.keys(tree).filter((name) => tree[name] === "new");
      expect(added).toHaveLength(1);
      return added[0] === nameAt(COUNT);
    });
  });
});

describe("archives of earlier sweeps", () => {
  const archives = {
    "a.jsonl.deleted.2026-02-28T11-59-59.999Z": "old",
    "a.jsonl.deleted.2026-02-28T12-00-00.000Z": "just young enough",
    "b.jsonl.deleted.2026-02-28T11-59-59Z": "old",
    "c.deleted.2020-01-01T00-00-00.000Z": "old",
    "d.jsonl.deleted.2020-01-01T00-00-00.000Z.bak": "not an archive",
    "e.jsonl.deleted.2020-01-01T00:00:00.000Z": "not an archive",
    "f.jsonl.deleted.2020-13-01T00-00-00.000Z": "not an archive",
    "g.jsonl.reset.2020-01-01T00-00-00.000Z": "not an archive",
    "sub/h.jsonl.deleted.2020-01-01T00-00-00.000Z": "in another folder",
  };
  const oneRun = { [runKey(1)]: { sessionId: "id" } };

  it("deletes archives older than the retention if a transcript was archived", async () => {
    const { folder, storePath } = storeWith(oneRun, { ...archives, "id.jsonl": "{}\n" });
    await sweep(storePath);
    const tree = treeOf(folder);
    const deleted = Object.keys(archives).filter((name) => !(name in tree));
    expect(deleted).toEqual(Object.keys(archives).filter((name) => archives[name] === "old"));
  });

  it("keeps old archives if no transcript was archived", async () => {
    const { folder, storePath } = storeWith(oneRun, archives);
    await sweep(storePath);
    expect(treeOf(folder)).toMatchObject(archives);
  });

  it.skipIf(process.platform === "win32")(
    "keeps links and directories with the name of an old archive",
    async () => {
      const { folder, storePath } = storeWith(oneRun, {
        "link.deleted.2020-01-01T00-00-00.000Z": { symlink: "precious" },
        "folder.deleted.2020-01-01T00-00-00.000Z": { dir: true },
        precious: "precious",
        "id.jsonl": "{}\n",
      });
      await sweep(storePath);
      expect(treeOf(folder)).toMatchObject({
        "link.deleted.2020-01-01T00-00-00.000Z": "-> precious",
        "folder.deleted.2020-01-01T00-00-00.000Z/": "",
      });
    },
  );
});

describe("the path of a store", () => {
  const before = textOf({ [runKey(1)]: { updatedAt: 1 }, a: { updatedAt: 1 } });
  const after = textOf({ a: { updatedAt: 1 } });

  it("writes through a store that is a symbolic link, and keeps the link", async () => {
    const folder = temporaryFolder();
    layOut(folder, {
      "disk/real.json": before,
      "sessions/sessions.json": { symlink: "../disk/real.json" },
    });
    expect((await sweep(join(folder, "sessions/sessions.json"))).result.pruned).toBe(1);
    expect(treeOf(folder)).toEqual({
      "disk/": "",
      "disk/real.json": after,
      "sessions/": "",
      "sessions/sessions.json": "-> ../disk/real.json",
    });
  });

  it("sweeps a store in a linked folder where the folder is", async () => {
    const folder = temporaryFolder();
    layOut(folder, {
      "real/sessions.json": textOf({ [runKey(1)]: { sessionId: "id" }, a: { updatedAt: 1 } }),
      "real/id.jsonl": "{}\n",
      link: { symlink: "real" },
    });
    expect((await sweep(join(folder, "link/sessions.json"))).result.pruned).toBe(1);
    expect(withoutStamps(treeOf(folder))).toEqual({
      link: "-> real",
      "real/": "",
      "real/id.jsonl.deleted.{STAMP}": "{}\n",
      "real/sessions.json": after,
    });
  });

  it("treats a dangling link as a missing store", async () => {
    const folder = temporaryFolder();
    layOut(folder, { "sessions.json": { symlink: "nowhere.json" } });
    expect(await sweep(join(folder, "sessions.json"))).toEqual(sweptCleanly(0));
    expect(treeOf(folder)).toEqual({ "sessions.json": "-> nowhere.json" });
  });

  it.each([
    ["file", "sessions.json"],
    ["folder", "a/b/sessions.json"],
  ])("succeeds and creates nothing if the store's %s is missing", async (_, path) => {
    const folder = temporaryFolder();
    expect(await sweep(join(folder, path))).toEqual(sweptCleanly(0));
    expect(treeOf(folder)).toEqual({});
  });

  it("resolves a relative path from the working directory", async () => {
    const { folder } = storeWith(before);
    const cwd = process.cwd();
    process.chdir(folder);
    try {
      expect((await sweep("sessions.json")).result.pruned).toBe(1);
    } finally {
      process.chdir(cwd);
    }
    expect(treeOf(folder)).toEqual({ "sessions.json": after });
  });

  it.each(["with a space", "ünïcödé 😀", "$HOME", "a'b\"c", "-rf", "new\nline"])(
    "sweeps a store in a folder named %j",
    async (name) => {
      const folder = temporaryFolder();
      layOut(folder, { [`${name}/sessions.json`]: before });
      expect((await sweep(join(folder, name, "sessions.json"))).result.pruned).toBe(1);
      expect(treeOf(join(folder, name))).toEqual({ "sessions.json": after });
    },
  );

  it("fails for a path with a zero byte and logs a warning", async () => {
    expect(await sweep("sessions\0.json")).toEqual(failedWith(expect.any(String)));
  });

  it.skipIf(process.platform === "win32")("gives a rewritten store the mode 0600", async () => {
    const { storePath } = storeWith(before);
    chmodSync(storePath, 0o644);
    await sweep(storePath);
    expect(statSync(storePath).mode & 0o777).toBe(0o600);
  });

  it("keeps the inode and the times of a store from which nothing is removed", async () => {
    const { storePath } = storeWith(after);
    utimesSync(storePath, 1e9, 1e9);
    const { ino, mtimeMs, ctimeMs } = lstatSync(storePath);
    expect(await sweep(storePath, { nowMs: NOW + HOUR })).toEqual(sweptCleanly(0));
    expect(lstatSync(storePath)).toMatchObject({ ino, mtimeMs, ctimeMs });
  });
});
