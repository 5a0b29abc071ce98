// Which files a sweep touches, and which it must not, whatever an entry says.

import { execFileSync } from "node:child_process";
import { chmodSync, linkSync, lstatSync, readFileSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { layOut, temporaryFolder, treeOf, withoutStamps } from "./fixtures/folder.mjs";
import { HOUR, NOW, pruneLine, sweep } from "./fixtures/reaper.mjs";

const run = (name) => `agent:main:cron:job:run:${name}`;
const text = (store) => JSON.stringify(store, null, 2);

/** What is new under its name and what is no longer there: `x.jsonl` if it was archived. */
async function archivedBy(folder, store, params) {
  layOut(folder, { "sessions/sessions.json": text(store) });
  const before = treeOf(folder);
  const outcome = await sweep(join(folder, "sessions/sessions.json"), params);
  const after = withoutStamps(treeOf(folder), Object.keys(before));
  const gone = Object.keys(before).filter((path) => !(path in after));
  const isNew = Object.keys(after).filter((path) => !(path in before));
  expect(isNew.sort()).toEqual(gone.map((path) => `${path}.deleted.{STAMP}`).sort());
  for (const path of gone) {
    expect(after[`${path}.deleted.{STAMP}`]).toBe(before[path]);
  }
  for (const path of Object.keys(before).filter((path) => path in after)) {
    if (path !== "sessions/sessions.json") {
      expect(after[path], path).toBe(before[path]);
    }
  }
  return { ...outcome, archived: gone.sort() };
}

describe("the transcript of a run that goes", () => {
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

  // What is said in the entry, and what is archived for it.
  const cases = [
    ["named by its id", { sessionId: "id" }, ["id.jsonl"]],
    ["named by its id in capitals", { sessionId: "ID-2" }, ["ID-2.jsonl"]],
    ["named by an id with blanks around it", { sessionId: " id\n" }, ["id.jsonl"]],
    [
      "named by an id of 128 characters",
      { sessionId: "x".repeat(128) },
      [`${"x".repeat(128)}.jsonl`],
    ],
    ["named by an id of 129 characters", { sessionId: "x".repeat(129) }, []],
    ["named by an id with a path in it", { sessionId: "sub/deep" }, []],
    ["named by an id that climbs", { sessionId: "../secret" }, []],
    ["named by an id of two points", { sessionId: ".." }, []],
    ["named by an id that begins with a point", { sessionId: ".hidden" }, []],
    ["named by an id with a zero byte", { sessionId: "id\0" }, []],
    ["named by an id with a backslash", { sessionId: "sub\\deep" }, []],
    ["named by a blank id", { sessionId: " " }, []],
    [
      "named by a file",
      { sessionId: "-", sessionFile: "custom name.jsonl" },
      ["custom name.jsonl"],
    ],
    [
      "named by an id and a file",
      { sessionId: "id", sessionFile: "sub/deep.jsonl" },
      ["id.jsonl", "sub/deep.jsonl"],
    ],
    [
      "named by a file in a subfolder",
      { sessionId: "-", sessionFile: "./sub/../sub/deep.jsonl" },
      ["sub/deep.jsonl"],
    ],
    [
      "named by an absolute file within",
      { sessionId: "-", sessionFile: "{ROOT}/sessions/id.jsonl" },
      ["id.jsonl"],
    ],
    [
      "named by an absolute file outside",
      { sessionId: "-", sessionFile: "{ROOT}/secret.jsonl" },
      [],
    ],
    ["named by a file that climbs", { sessionId: "-", sessionFile: "../secret.jsonl" }, []],
    [
      "named by a file that climbs and comes back",
      { sessionId: "-", sessionFile: "../sessions/id.jsonl" },
      [],
    ],
    [
      "named by a file in a folder that begins alike",
      { sessionId: "-", sessionFile: "../sessions-2/near.jsonl" },
      [],
    ],
    [
      "named by a file that begins with two points",
      { sessionId: "-", sessionFile: "..odd.jsonl" },
      [],
    ],
    ["named by a link that stays within", { sessionId: "linked-in" }, ["sub/deep.jsonl"]],
    ["named by a link that leads out", { sessionId: "linked-out" }, []],
    ["named by a link to the store", { sessionId: "linked-store" }, []],
    ["named by a link to nowhere", { sessionId: "dangling" }, []],
    ["named by a link to itself", { sessionId: "loop" }, []],
    [
      "named by a file in a linked folder outside",
      { sessionId: "-", sessionFile: "out/secret.jsonl" },
      [],
    ],
    [
      "named by a file in a linked folder within",
      { sessionId: "-", sessionFile: "in/deep.jsonl" },
      ["sub/deep.jsonl"],
    ],
    ["named by a file that is the store", { sessionId: "-", sessionFile: "sessions.json" }, []],
    ["named by a file that is no transcript", { sessionId: "-", sessionFile: "notes.txt" }, []],
    ["named by a file that is a folder", { sessionId: "-", sessionFile: "folder.jsonl" }, []],
    ["named by a file that is the store's folder", { sessionId: "-", sessionFile: "." }, []],
    ["named by a file that is missing", { sessionId: "-", sessionFile: "missing.jsonl" }, []],
    ["named by a file with a zero byte", { sessionId: "-", sessionFile: "id.jsonl\0" }, []],
    ["named by a file that is a number", { sessionId: "id", sessionFile: 7 }, ["id.jsonl"]],
    ["named by a file that is a list", { sessionId: "-", sessionFile: ["id.jsonl"] }, []],
    ["named by a home folder", { sessionId: "-", sessionFile: "~/id.jsonl" }, []],
    ["named by a URL", { sessionId: "-", sessionFile: "file:///{ROOT}/sessions/id.jsonl" }, []],
  ];

  it.each(cases)("%s: only what is its own is archived", async (_, entry, expected) => {
    const folder = temporaryFolder();
    layOut(folder, files);
    const said = JSON.parse(JSON.stringify(entry).replaceAll("{ROOT}", folder));
    const { result, calls, archived } = await archivedBy(folder, { [run(1)]: said, a: {} });
    expect(result).toEqual({ swept: true, pruned: 1 });
    expect(calls).toEqual([pruneLine(1)]);
    expect(archived).toEqual(expected.map((path) => `sessions/${path}`).sort());
  });

  it("stays where it is if another entry has its id", async () => {
    const folder = temporaryFolder();
    layOut(folder, files);
    const store = { [run(1)]: { sessionId: "id" }, "agent:main:main": { sessionId: "id" } };
    expect((await archivedBy(folder, store)).archived).toEqual([]);
  });

  it.each([
    ["by name", "id.jsonl"],
    ["by its absolute path", "{ROOT}/sessions/id.jsonl"],
    ["by a detour", "sub/../id.jsonl"],
    ["through a link", "to-id.jsonl"],
  ])("stays where it is if another entry's sessionFile names it %s", async (_, sessionFile) => {
    const folder = temporaryFolder();
    layOut(folder, { ...files, "sessions/to-id.jsonl": { symlink: "id.jsonl" } });
    const other = { sessionId: "other", sessionFile: sessionFile.replace("{ROOT}", folder) };
    const store = { [run(1)]: { sessionId: "id" }, "agent:main:main": other };
    const { result, archived } = await archivedBy(folder, store);
    expect(result.pruned).toBe(1);
    expect(archived).toEqual([]);
  });

  it.skipIf(process.platform === "win32")("stays where it is if it is a pipe", async () => {
    const folder = temporaryFolder();
    layOut(folder, { "sessions/a.txt": "" });
    execFileSync("mkfifo", [join(folder, "sessions/pipe.jsonl")]);
    const { result, archived } = await archivedBy(folder, { [run(1)]: { sessionId: "pipe" } });
    expect(result.pruned).toBe(1);
    expect(archived).toEqual([]);
  });

  it("and its entry stay while a live process has the transcript locked", async () => {
    const folder = temporaryFolder();
    const lock = { pid: process.pid, createdAt: new Date().toISOString(), starttime: startTime() };
    layOut(folder, { ...files, "sessions/id.jsonl.lock": JSON.stringify(lock) });
    const store = { [run(1)]: { sessionId: "id" }, [run(2)]: { sessionId: "ID-2" } };
    const { result, archived } = await archivedBy(folder, store);
    expect(result).toEqual({ swept: true, pruned: 1 });
    expect(archived).toEqual(["sessions/ID-2.jsonl"]);
    const left = JSON.parse(readFileSync(join(folder, "sessions/sessions.json"), "utf8"));
    expect(Object.keys(left)).toEqual([run(1)]);
  });

  it("is archived beside an archive of the same name, and replaces none", async () => {
    const folder = temporaryFolder();
    const store = text({ [run(1)]: { sessionId: "id" } });
    layOut(folder, { "sessions/id.jsonl": "{}\n", "sessions/sessions.json": store });
    // The stamp is the wall clock's: every name of a stretch of time is taken, and the sweep is in it.
    const begin = Date.now() + 300;
    const taken = Array.from({ length: 700 }, (_, ms) => {
      const stamp = new Date(begin + ms).toISOString().replaceAll(":", "-");
      return `sessions/id.jsonl.deleted.${stamp}`;
    });
    layOut(folder, { [taken[0]]: "an earlier one" });
    for (const path of taken.slice(1)) {
      linkSync(join(folder, taken[0]), join(folder, path));
    }
    await sleep(Math.max(0, begin - Date.now()));
    await sweep(join(folder, "sessions/sessions.json"), { nowMs: begin });

    const tree = treeOf(folder);
    for (const path of taken) {
      expect(tree[path]).toBe("an earlier one");
    }
    const added = Object.keys(tree).filter((path) => tree[path] === "{}\n");
    expect(added).toEqual([
      expect.stringMatching(/^sessions\/id\.jsonl\.deleted\.[-0-9]+T[-0-9.]+Z$/),
    ]);
  });

  function startTime() {
    if (process.platform !== "linux") {
      return 0;
    }
    const stat = readFileSync("/proc/self/stat", "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  }
});

describe("archives of earlier sweeps", () => {
  const names = {
    "a.jsonl.deleted.2026-02-28T11-59-59.999Z": "old",
    "a.jsonl.deleted.2026-02-28T12-00-00.000Z": "just young enough",
    "b.jsonl.deleted.2026-02-28T11-59-59Z": "old",
    "c.deleted.2020-01-01T00-00-00.000Z": "old",
    "d.jsonl.deleted.2020-01-01T00-00-00.000Z.bak": "no archive",
    "e.jsonl.deleted.2020-01-01T00:00:00.000Z": "no archive",
    "f.jsonl.deleted.2020-13-01T00-00-00.000Z": "no archive",
    "g.jsonl.reset.2020-01-01T00-00-00.000Z": "no archive",
    "sub/h.jsonl.deleted.2020-01-01T00-00-00.000Z": "in another folder",
  };

  const oldOnes = Object.keys(names).filter((name) => names[name] === "old");

  it("are deleted when they are older than the retention and something was archived", async () => {
    const folder = temporaryFolder();
    layOut(folder, { ...names, "id.jsonl": "{}\n" });
    layOut(folder, { "sessions.json": text({ [run(1)]: { sessionId: "id" } }) });
    await sweep(join(folder, "sessions.json"));
    const tree = treeOf(folder);
    const gone = Object.keys(names).filter((name) => !(name in tree));
    expect(gone).toEqual(oldOnes);
  });

  it("stay when nothing was archived", async () => {
    const folder = temporaryFolder();
    layOut(folder, { ...names, "sessions.json": text({ [run(1)]: { sessionId: "id" } }) });
    await sweep(join(folder, "sessions.json"));
    expect(Object.keys(treeOf(folder))).toEqual(expect.arrayContaining(Object.keys(names)));
  });

  it.skipIf(process.platform === "win32")("stay when they are links or folders", async () => {
    const folder = temporaryFolder();
    const odd = {
      "link.deleted.2020-01-01T00-00-00.000Z": { symlink: "precious" },
      "folder.deleted.2020-01-01T00-00-00.000Z": { dir: true },
      precious: "precious",
    };
    layOut(folder, { ...odd, "id.jsonl": "{}\n" });
    layOut(folder, { "sessions.json": text({ [run(1)]: { sessionId: "id" } }) });
    await sweep(join(folder, "sessions.json"));
    const tree = treeOf(folder);
    expect(tree["link.deleted.2020-01-01T00-00-00.000Z"]).toBe("-> precious");
    expect(tree).toHaveProperty(["folder.deleted.2020-01-01T00-00-00.000Z/"]);
  });
});

describe("a store", () => {
  const before = text({ [run(1)]: { updatedAt: 1 }, a: { updatedAt: 1 } });
  const after = text({ a: { updatedAt: 1 } });

  it("that is a symbolic link is written through, and stays a link", async () => {
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

  it("in a folder that is a symbolic link is swept where it is", async () => {
    const folder = temporaryFolder();
    layOut(folder, {
      "real/sessions.json": text({ [run(1)]: { sessionId: "id" }, a: { updatedAt: 1 } }),
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

  it("that is a link to nowhere counts as missing", async () => {
    const folder = temporaryFolder();
    layOut(folder, { "sessions.json": { symlink: "nowhere.json" } });
    const { result, calls } = await sweep(join(folder, "sessions.json"));
    expect({ result, calls }).toEqual({ result: { swept: true, pruned: 0 }, calls: [] });
    expect(treeOf(folder)).toEqual({ "sessions.json": "-> nowhere.json" });
  });

  it.each([
    ["file", "sessions.json"],
    ["folder", "a/b/sessions.json"],
  ])("whose %s is missing is swept, and nothing is created", async (_, path) => {
    const folder = temporaryFolder();
    const { result, calls } = await sweep(join(folder, path));
    expect({ result, calls }).toEqual({ result: { swept: true, pruned: 0 }, calls: [] });
    expect(treeOf(folder)).toEqual({});
  });

  it("that is found from the working folder is swept there", async () => {
    const folder = temporaryFolder();
    layOut(folder, { "sessions.json": before });
    const cwd = process.cwd();
    process.chdir(folder);
    try {
      expect((await sweep("sessions.json")).result.pruned).toBe(1);
    } finally {
      process.chdir(cwd);
    }
    expect(treeOf(folder)).toEqual({ "sessions.json": after });
  });

  it.each(["with a blank", "ünïcödé 😀", "$HOME", "a'b\"c", "-rf", "new\nline"])(
    "in a folder named %j is swept like any other",
    async (name) => {
      const folder = temporaryFolder();
      layOut(folder, { [`${name}/sessions.json`]: before });
      expect((await sweep(join(folder, name, "sessions.json"))).result.pruned).toBe(1);
      expect(treeOf(join(folder, name))).toEqual({ "sessions.json": after });
    },
  );

  it("whose path has a zero byte is warned about", async () => {
    const { result, calls } = await sweep("sessions\0.json");
    expect(result).toEqual({ swept: false, pruned: 0 });
    expect(calls).toHaveLength(1);
    expect(calls[0][0]).toBe("warn");
  });

  it.skipIf(process.platform === "win32")("is private after the sweep: mode 0600", async () => {
    const folder = temporaryFolder();
    const storePath = join(folder, "sessions.json");
    layOut(folder, { "sessions.json": before });
    chmodSync(storePath, 0o644);
    await sweep(storePath);
    expect(statSync(storePath).mode & 0o777).toBe(0o600);
  });

  it("of which nothing goes is the very same file", async () => {
    const folder = temporaryFolder();
    const storePath = join(folder, "sessions.json");
    layOut(folder, { "sessions.json": after });
    utimesSync(storePath, 1e9, 1e9);
    const { ino, mtimeMs, ctimeMs } = lstatSync(storePath);
    expect((await sweep(storePath, { nowMs: NOW + HOUR })).result).toEqual({
      swept: true,
      pruned: 0,
    });
    expect(lstatSync(storePath)).toMatchObject({ ino, mtimeMs, ctimeMs });
  });
});
