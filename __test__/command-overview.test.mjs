// The command's overview of two or more stores, and what it shows of a folder by class.

import { execFileSync } from "node:child_process";
import { chmodSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import stringWidth from "string-width";
import { describe, expect, it } from "vitest";
import { totals } from "../cli/overview.mjs";
import { shortenedInMiddle, table } from "../cli/text.mjs";
import {
  archiveName,
  command,
  DAY,
  environment,
  expired,
  GATEWAY_TEMP,
  hasScript,
  homeWith,
  layOut,
  lockPayload,
  main,
  recent,
  run,
  runKey,
  setAge,
  smallStore,
  startCommand,
  storeIn,
  temporaryFolder,
  treeOf,
} from "./fixtures/index.mjs";

const UUID = "3ab3ddeb-5fc7-4d35-adf6-d83c0627287f";
const DEAD_LOCK = '{"pid":4194999,"createdAt":"2026-03-01T12:00:00.000Z","starttime":1}';

/** Adds a file of each class to the folder of the agent `main`. */
function addClasses(home) {
  const folder = dirname(storeIn(home));
  const then = Date.now() - 40 * DAY;
  layOut(folder, {
    "orphan.jsonl": "12",
    [archiveName("x.jsonl", then)]: "123",
    [archiveName("x.jsonl", then).replace(".deleted.", ".reset.")]: "1234",
    [`sessions.json.bak.${then}`]: "{}   ",
    [`c.checkpoint.${UUID}.jsonl`]: "123456",
    [`${archiveName("x.jsonl", then)}.0a1b.zst`]: "1234567",
    [GATEWAY_TEMP]: "12345678",
    "b.jsonl.lock": DEAD_LOCK,
    ".usage-cost-cache.json": "123456789",
    "skills-prompts/sha256/aa/1.txt": "1",
    "notes.txt": "1234567890",
  });
  setAge(join(folder, GATEWAY_TEMP), 40 * DAY);
  setAge(join(folder, "b.jsonl.lock"), 40 * DAY);
}

/** Returns the rows of the table of classes: `{ <class>: [files, size, oldest, freed by] }`. */
function classesIn(stdout) {
  const [, table] = stdout.split(/In (?:the same folder|their folders)\n/);
  const rows = table.split("\n\n")[0].split("\n").slice(1);
  return Object.fromEntries(
    rows.map((row) => {
      const [name, ...cells] = row.trim().split(/ {2,}/);
      return [name, cells];
    }),
  );
}

/** Creates the state folder of a gateway whose store was migrated to a database. */
function migratedHome() {
  const home = temporaryFolder();
  const header = Buffer.alloc(4 * 4096);
  header.write("SQLite format 3\0", "latin1");
  header.writeUInt16BE(4096, 16);
  header.writeUInt32BE(4, 28);
  header.writeUInt32BE(2, 36);
  layOut(join(home, ".openclaw/agents/main"), {
    "agent/openclaw-agent.sqlite": header,
    "agent/openclaw-agent.sqlite-wal": "123",
    "sessions/sessions.json.bak.1760000000000": "{}",
    "sessions/left.jsonl": "1234",
    [`sessions/${GATEWAY_TEMP}`]: "12345",
    [`session-sqlite-import-archive/legacy-store.sessions.json.imported-${Date.now()}`]: "{}",
  });
  setAge(join(home, ".openclaw/agents/main/sessions", GATEWAY_TEMP), 40 * DAY);
  return home;
}

describe("the overview of two or more stores", () => {
  it("shows one line for each store and totals, and modifies nothing", async () => {
    const home = homeWith({ main: smallStore(), work: {} });
    layOut(home, { ".openclaw/logs/gateway.log": "x".repeat(3000), ".openclaw/media/a": "1" });
    const before = treeOf(home);
    const { code, stdout, stderr } = await command(home);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(treeOf(home)).toEqual(before);
    const lines = stdout.split("\n");
    expect(lines[0]).toBe("~/.openclaw");
    for (const line of [
      /^ +size +runs +expired +frees$/,
      /^main +\d+ B +2 +1 +\d+ B$/,
      /^work +2 B +0 +0 +–$/,
      /^Also in ~\/\.openclaw: logs\/ 3\.0 KB, media\/ 1 B$/,
      /^2 stores, \d+ B, 2 runs, 1 expired; a sweep would free \d+ B\.$/,
      /^Nothing was changed\. Run again with --apply to sweep\. --details shows/,
    ]) {
      expect(lines).toContainEqual(expect.stringMatching(line));
    }
    expect(classesIn(stdout).transcripts.slice(0, 2)).toEqual(["3", "9 B"]);
  });

  it("shows each store in full with --details, and one if there is only one", async () => {
    const home = homeWith({ main: smallStore(), work: smallStore() });
    const details = await command(home, ["--details"]);
    expect(details.stdout.match(/^ {2}Cron runs$/gm)).toHaveLength(2);
    const one = await command(home, [storeIn(home)]);
    expect(one.stdout.match(/^ {2}Cron runs$/gm)).toHaveLength(1);
  });

  it("shows 400 agents in at most 450 lines", async () => {
    const agents = Array.from({ length: 400 }, (_, at) => [`a${at}`, smallStore()]);
    const { code, stdout } = await command(homeWith(Object.fromEntries(agents)));
    const lines = stdout.trimEnd().split("\n");
    expect(code).toBe(0);
    expect(lines.length).toBeLessThanOrEqual(450);
    expect(lines.slice(-2)[0]).toMatch(
      /^400 stores, .*, 800 runs, 400 expired; a sweep would free/,
    );
  });

  it("marks a store that cannot be read, and shows the others", async () => {
    const home = homeWith({ bad: "[]", good: smallStore() });
    const { code, stdout, stderr } = await command(home);
    expect(code).toBe(1);
    expect(stderr).toContain("agents/bad/sessions/sessions.json:1:1");
    expect(stdout).toMatch(/^bad +– +– +failed +–$/m);
    expect(stdout).toMatch(/^1 store, 1 failed, /m);
  });

  it("counts a store that was read, but whose folder was not, once", () => {
    const inspection = { bytes: 88, runs: { total: 2, expired: 1 } };
    const contents = [];
    expect(totals([{ inspection }, { inspection, contents }, { contents }])).toBe(
      "1 store, 1 failed, 1 other folder, 88 B, 2 runs, 1 expired; a sweep would free 0 B.",
    );
  });

  it("names two stores of one agent by their paths", async () => {
    const home = homeWith({ main: smallStore(), work: smallStore() });
    layOut(home, {
      ".openclaw/openclaw.json":
        "{session: {store: '~/.openclaw/agents/{agentId}/sessions/{agentId}.json'}}",
      ".openclaw/agents/main/sessions/main.json": JSON.stringify(smallStore()),
    });
    const names = ["main.json", "sessions.json"].map((name) => {
      return `~/.openclaw/agents/main/sessions/${name}`;
    });
    const { stdout } = await command(home);
    const named = (lines) => (lines ?? []).map((line) => line.match(/[^ :]+/)[0]).sort();
    expect(named(stdout.match(/^\S.* +\d+ B +2 +1 +\d+ B$/gm))).toEqual(["work", ...names].sort());
    const done = await command(home, ["--apply", "--yes"]);
    const swept = done.stdout.match(/(?<=^✓ ).*: removed 1 run/gm);
    expect(named(swept)).toEqual(["work", ...names].sort());
  });

  it("prints one line for each store that was swept, and the sum", async () => {
    const home = homeWith({ a: smallStore(), b: smallStore(), c: {} });
    const { stdout } = await command(home, ["--apply", "--yes"]);
    expect(
      stdout.match(/^✓ [ab]: removed 1 run, archived 1 transcript; \d+ B freed/gm),
    ).toHaveLength(2);
    expect(stdout).toContain("· 1 store: nothing expired\n");
    expect(stdout).toMatch(/^3 stores: removed 2 runs, archived 2 transcripts; \d+ B freed$/m);
  });
});

describe("the result of two or more stores", () => {
  const APPLY = ["--apply", "--yes", "--reset-retention", "9d"];

  it("says why a store was not changed, and counts those that failed after a change", async () => {
    const home = homeWith({ a: smallStore(), b: smallStore(), c: {} });
    const [a, b] = ["a", "b"].map((agent) => dirname(storeIn(home, agent)));
    layOut(a, { "a.jsonl.lock": lockPayload() });
    const reset = archiveName("x.jsonl", Date.now() - 40 * DAY).replace(".deleted.", ".reset.");
    layOut(b, { [reset]: "1", "sessions.json.lock": { dir: true } });
    const { code, stdout } = await command(home, APPLY);
    expect(code).toBe(1);
    expect(stdout.split("\n")).toEqual([
      "✓ b: deleted 1 reset; 1 B freed",
      "· 1 store: 1 expired run kept: transcript being written",
      "· 1 store: nothing expired",
      "3 stores: deleted 1 reset; 1 B freed",
      "",
    ]);
  });

  it("does not say that nothing is expired if runs are kept forever", async () => {
    const home = homeWith({ a: smallStore(), b: smallStore() });
    layOut(home, { ".openclaw/openclaw.json": '{"cron": {"sessionRetention": false}}' });
    const { stdout } = await command(home, APPLY);
    expect(stdout).toBe("· 2 stores: not swept: runs and archives are kept forever\n");
  });
});

describe("the classes of a folder", () => {
  it("shows the files, size and age of each class, and what frees it", async () => {
    const home = homeWith({ main: smallStore() });
    addClasses(home);
    const { stdout } = await command(home);
    const lock = `${DEAD_LOCK.length} B`;
    expect(classesIn(stdout)).toEqual({
      transcripts: ["3", "9 B", "just now", "--apply archives 3 B (1 file); the rest: in use"],
      "orphaned transcripts": ["1", "2 B", "just now", "openclaw doctor, which archives them"],
      archives: ["1", "3 B", "40 days ago", "--apply frees 3 B"],
      resets: ["1", "4 B", "40 days ago", "--apply --reset-retention <time>"],
      "store backups": ["1", "5 B", "40 days ago", "--apply --backup-retention <time>"],
      checkpoints: ["1", "6 B", "just now", "the gateway, with their sessions"],
      "exports (zst)": ["1", "7 B", "just now", "the gateway, with their rows"],
      "temp files": ["1", "8 B", "40 days ago", "--apply frees 8 B"],
      "dead locks": ["1", lock, "40 days ago", `--apply frees ${lock}`],
      caches: ["2", "10 B", "just now", "openclaw sessions cleanup --enforce"],
      others: ["1", "10 B", "just now", "nothing"],
    });
  });

  it("lists each class once with --json, also if its files are in several places", async () => {
    const home = homeWith({ main: smallStore() });
    addClasses(home);
    layOut(dirname(storeIn(home)), { "notes/1.txt": "12" });
    const { stdout } = await command(home, ["--json"]);
    const { folder } = JSON.parse(stdout).stores[0];
    const names = folder.map((figures) => figures.class);
    expect(names).toEqual([...new Set(names)]);
    expect(folder).toContainEqual(
      expect.objectContaining({ class: "others", files: 2, bytes: 12, isIncomplete: false }),
    );
    expect(folder).toContainEqual(
      expect.objectContaining({ class: "caches", files: 2, bytes: 10, isIncomplete: false }),
    );
  });

  it("counts no subfolders of a state folder or an agent's folder that contains a store", async () => {
    const home = homeWith({ main: smallStore() });
    const config = { session: { store: "~/.openclaw/agents/{agentId}/{agentId}.json" } };
    layOut(join(home, ".openclaw"), {
      "openclaw.json": JSON.stringify(config),
      "sessions.json": "{}",
      "credentials/x.json": "12",
      "agents/main/main.json": "{}",
      "agents/main/agent/x.json": "123",
      "agents/main/sessions/sub/x.txt": "1234",
    });
    const { stdout } = await command(home);
    expect(stdout).toMatch(/^3 stores, /m);
    const { transcripts, others } = classesIn(stdout);
    expect(transcripts.slice(0, 2)).toEqual(["3", "9 B"]);
    // The configuration, and the file in the subfolder of the sessions folder.
    expect(others.slice(0, 2)).toEqual(["2", `${JSON.stringify(config).length + 4} B`]);

    layOut(home, { "copy/agents/x/y.jsonl": "12345", "copy/sessions.json": "{}" });
    const copy = await command(home, [join(home, "copy/sessions.json")]);
    expect(copy.stdout).not.toContain("others");
  });

  it("counts once what is in the folder of one store and below that of another", async () => {
    const home = homeWith({ main: smallStore() });
    const config = { session: { store: "~/.openclaw/agents/{agentId}.json" } };
    layOut(join(home, ".openclaw"), {
      "openclaw.json": JSON.stringify(config),
      "agents/main.json": "{}",
      "agents/notes/x.txt": "1234",
    });
    const { transcripts, others } = classesIn((await command(home)).stdout);
    expect(transcripts.slice(0, 2)).toEqual(["3", "9 B"]);
    expect(others.slice(0, 2)).toEqual(["1", "4 B"]);
  });

  it("counts no transcript of an expired run as an orphan", async () => {
    const home = homeWith({ main: { [runKey(1)]: expired("a", Date.now()) } });
    expect(classesIn((await command(home)).stdout)).toEqual({
      transcripts: ["1", "3 B", "just now", "--apply archives 3 B"],
    });
  });

  it("does not say that there is nothing to do beside something that can be freed", async () => {
    const home = homeWith({ main: { [runKey(1)]: recent("a", Date.now()) } });
    expect((await command(home)).stdout).toContain("A sweep would find nothing to do.");
    layOut(dirname(storeIn(home)), { [archiveName("x.jsonl", Date.now() - 9 * DAY)]: "1" });
    for (const args of [[], ["--apply", "--yes"]]) {
      const { stdout } = await command(home, args);
      expect(stdout).not.toMatch(/nothing to do/i);
    }
    expect((await command(home)).stdout).toContain("--apply --archive-retention <time>");
  });

  it("reads size and free pages of a database from its header, and names the gateway's commands", async () => {
    const home = migratedHome();
    const before = treeOf(home);
    const { code, stdout } = await command(home);
    expect(code).toBe(0);
    expect(treeOf(home)).toEqual(before);
    expect(stdout).toContain("~/.openclaw/agents/main/sessions\n  The sessions are in a database");
    expect(classesIn(stdout)).toMatchObject({
      "database (SQLite)": [
        "1",
        "16.4 KB",
        "just now",
        "openclaw doctor --session-sqlite compact --session-sqlite-all-agents, offline (8.2 KB)",
      ],
      "write-ahead log": ["1", "3 B", "just now", "the gateway, when it is stopped"],
      transcripts: ["1", "4 B", "just now", "openclaw doctor --fix, which imports them"],
      "import archive": ["1", "2 B", "just now", "openclaw update cleanup, offline"],
      "temp files": ["1", "5 B", "40 days ago", "--apply frees 5 B"],
    });
  });

  it("names no free pages that a database cannot have", async () => {
    const home = migratedHome();
    const header = Buffer.alloc(100, 0xff);
    header.write("SQLite format 3\0", "latin1");
    layOut(home, { ".openclaw/agents/main/agent/openclaw-agent.sqlite": header });
    const { stdout } = await command(home);
    expect(classesIn(stdout)["database (SQLite)"]).toEqual(["1", "100 B", "just now", "in use"]);
  });

  it("recommends nothing that needs a database where there is neither a database nor a store", async () => {
    const home = homeWith({ main: smallStore() });
    layOut(dirname(storeIn(home)), { [GATEWAY_TEMP]: "{}" });
    rmSync(storeIn(home));
    expect(classesIn((await command(home)).stdout)).toEqual({
      transcripts: ["3", "9 B", "just now", "nothing: their store is missing"],
      "temp files": ["1", "2 B", "just now", "nothing: they may be the only copy of sessions"],
    });
  });

  it("does not refer to what frees the rest if nothing frees it", async () => {
    const home = temporaryFolder();
    const folder = join(home, ".openclaw/agents/main/sessions");
    layOut(folder, { "sessions.json.bak.1760000000000": "{}", [GATEWAY_TEMP]: "{}" });
    const { stdout } = await command(home);
    expect(stdout).toContain("\n  --apply would free nothing.\n");
    layOut(folder, { [archiveName("x.jsonl", Date.now() - 40 * DAY)]: "1" });
    expect((await command(home)).stdout).toContain("see above for what frees the rest");
  });

  it("does not recommend an archive retention if archives are kept forever", async () => {
    const home = homeWith({ main: smallStore() });
    layOut(home, { ".openclaw/openclaw.json": '{"cron":{"sessionRetention":false}}' });
    layOut(dirname(storeIn(home)), { [archiveName("x.jsonl", Date.now() - 40 * DAY)]: "123" });
    const { archives } = classesIn((await command(home)).stdout);
    expect(archives.at(-1)).toBe("nothing: archives are kept as long as runs, forever");
  });

  it.runIf(process.getuid?.() === 0)("says that a subfolder could not be listed", async () => {
    const home = homeWith({ main: smallStore() });
    layOut(dirname(storeIn(home)), { "sub/x": "1", "other/y": "12" });
    chmodSync(join(dirname(storeIn(home)), "sub"), 0);
    execFileSync("chown", ["-R", "1234", home]);
    const { stdout } = await command(home, ["--json"], { uid: 1234 });
    const [{ folder }] = JSON.parse(stdout).stores;
    expect(folder).toContainEqual(
      expect.objectContaining({ class: "others", files: 1, bytes: 2, isIncomplete: true }),
    );
  });

  it("shows the names of jobs from cron/jobs.json", async () => {
    const home = homeWith({ main: smallStore() });
    for (const invalid of ["[", "5", '{"jobs":{}}', '{"jobs":[null,{"id":"job","name":5}]}']) {
      layOut(home, { ".openclaw/cron/jobs.json": invalid });
      expect((await command(home)).stdout).toMatch(/2 runs {2}1 expired {2}job$/m);
    }
    const jobs = { version: 1, jobs: [{ id: "job", name: "朝の\x07報告" }] };
    layOut(home, { ".openclaw/cron/jobs.json": JSON.stringify(jobs) });
    expect((await command(home)).stdout).toMatch(/1 expired {2}朝の\\u\{7\}報告 \(job\)$/m);
  });
});

describe("what frees a class whose files are in several folders", () => {
  const RESET = archiveName("x.jsonl", Date.now() - 40 * DAY).replace(".deleted.", ".reset.");
  const ARCHIVE = archiveName("x.jsonl", Date.now() - 40 * DAY);
  const DATABASE = { "agent/openclaw-agent.sqlite": "SQLite format 3\0" };

  /** Returns what frees each class, in the overview of agents with a store and other files. */
  async function freedIn(config, agents, args) {
    const home = temporaryFolder();
    layOut(home, { ".openclaw/openclaw.json": JSON.stringify(config) });
    for (const [agent, files] of Object.entries(agents)) {
      layOut(join(home, ".openclaw/agents", agent), files);
    }
    const { stdout } = await command(home, args);
    const classes = Object.entries(classesIn(stdout));
    return Object.fromEntries(classes.map(([name, cells]) => [name, cells.at(-1)]));
  }

  it("names what allows --apply if only the refused stores have such files", async () => {
    const freed = await freedIn(
      { meta: { lastTouchedVersion: "2026.9.1" } },
      { db: DATABASE, main: { "sessions/sessions.json": "{}", [`sessions/${RESET}`]: "" } },
    );
    expect(freed.resets).toBe("--apply --reset-retention <time>, after openclaw doctor --fix");
  });

  it("names each way that frees some of them", async () => {
    const backup = `sessions/sessions.json.bak.${Date.now() - 40 * DAY}`;
    const others = { [`sessions/${ARCHIVE}`]: "", [`sessions/${GATEWAY_TEMP}`]: "" };
    const config = { cron: { sessionRetention: false } };
    const store = { "sessions/sessions.json": "{}" };
    const freed = await freedIn(config, {
      a: { ...store, ...others },
      // An import archive without the store: nothing shows that the database contains the temp file.
      b: { ...DATABASE, "session-sqlite-import-archive/x": "", ...others },
      c: { "sessions/x.jsonl": "", [backup]: "" },
    });
    expect(freed).toMatchObject({
      archives:
        "nothing: archives are kept as long as runs, forever; elsewhere --apply --archive-retention <time>",
      "temp files":
        "nothing yet: they may be in use; elsewhere openclaw sessions cleanup --enforce",
      "store backups": "nothing: they may be the only copy of sessions",
      transcripts: "nothing: their store is missing",
    });
    const args = ["--archive-retention", "1d"];
    expect((await freedIn(config, { a: { ...store, ...others }, b: others }, args)).archives).toBe(
      "--apply frees 0 B (1 file); the rest: nothing: archives are kept as long as runs, forever",
    );
  });
});

describe("stores that share a folder", () => {
  /** Creates a home folder with three stores in one folder, and files of the folder and of a store. */
  function sharedHome() {
    const home = temporaryFolder();
    const config = { session: { store: join(home, "data/{agentId}.json") } };
    const then = Date.now() - 40 * DAY;
    const archive = archiveName("x.jsonl", then);
    layOut(home, { ".openclaw/openclaw.json": JSON.stringify(config) });
    for (const agent of ["a", "b", "c"]) {
      layOut(join(home, "data"), {
        [`${agent}.json`]: JSON.stringify({ [runKey(1)]: expired(agent, Date.now()) }),
        [`${agent}.jsonl`]: "123",
      });
    }
    layOut(join(home, "data"), {
      [archive]: "12345",
      [archive.replace(".deleted.", ".reset.")]: "1234567",
      [`b.json.bak.${then}`]: "{}",
      "a.jsonl.lock": DEAD_LOCK,
      "sub/notes.txt": "1234",
    });
    setAge(join(home, "data/a.jsonl.lock"), 40 * DAY);
    return home;
  }

  const AGES = ["--reset-retention", "9d", "--backup-retention", "9d"];

  it("show what is in the folder once, and announce exactly what --apply frees", async () => {
    const home = sharedHome();
    const { stdout } = await command(home, AGES);
    const lock = `${DEAD_LOCK.length} B`;
    expect(classesIn(stdout)).toEqual({
      transcripts: ["3", "9 B", "just now", "--apply archives 9 B"],
      archives: ["1", "5 B", "40 days ago", "--apply frees 5 B"],
      resets: ["1", "7 B", "40 days ago", "--apply frees 7 B"],
      "store backups": ["1", "2 B", "40 days ago", "--apply frees 2 B"],
      "dead locks": ["1", lock, "40 days ago", `--apply frees ${lock}`],
      others: ["1", "4 B", "just now", "nothing"],
    });
    const [, announced] = /a sweep would free (\d+ B)\.$/m.exec(stdout);
    const { stores } = JSON.parse((await command(home, ["--json", "--list", ...AGES])).stdout);
    expect(stores.map(({ folder }) => folder.length)).toEqual([6, 0, 0]);
    expect(stores.map(({ removals }) => removals.archives.length)).toEqual([1, 0, 0]);
    expect(stores.flatMap(({ freeable }) => freeable.map((it) => it.class)).sort()).toEqual([
      "backups",
      "locks",
      "resets",
    ]);
    const done = await command(home, ["--apply", "--yes", ...AGES]);
    expect(done.code).toBe(0);
    expect(done.stdout).toContain(`deleted 1 old archive, 1 reset, 1 store backup and 1 dead lock`);
    expect(done.stdout).toContain(`; ${announced} freed\n`);
  });

  it("announce once the transcript of a session that has expired runs in two of them", async () => {
    const home = temporaryFolder();
    const config = { session: { store: join(home, "data/{agentId}.json") } };
    const store = JSON.stringify({ [runKey(1)]: expired("x", Date.now()) });
    layOut(home, {
      ".openclaw/openclaw.json": JSON.stringify(config),
      "data/a.json": store,
      "data/b.json": store,
      "data/x.jsonl": "123",
    });
    const archived = async (field, args) => {
      const { stdout } = await command(home, ["--json", "--list", ...args]);
      return JSON.parse(stdout).stores.map((result) => result[field].transcripts);
    };
    const once = [
      { archived: 1, bytes: 3 },
      { archived: 0, bytes: 0 },
    ];
    expect(await archived("preview", [])).toEqual(once);
    expect(await archived("removals", [])).toEqual([[join(home, "data/x.jsonl")], []]);
    expect(await archived("sweep", ["--apply", "--yes"])).toEqual(once);
  });

  it("announce once what two sweeps of folders one in the other would delete", async () => {
    const home = homeWith({ main: { [runKey(1)]: expired("a", Date.now()) } });
    const sessionFile = "agents/main/sessions/b.jsonl";
    const store = { [runKey(2)]: { ...expired("b", Date.now()), sessionFile } };
    layOut(join(home, ".openclaw"), { "sessions.json": JSON.stringify(store) });
    const archive = archiveName("x.jsonl", Date.now() - 40 * DAY);
    layOut(dirname(storeIn(home)), { "b.jsonl": "123", [archive]: "x".repeat(5000) });
    const [, announced] = /would free ([\d.]+ \w+)\.$/m.exec((await command(home)).stdout);
    const { stdout } = await command(home, ["--apply", "--yes"]);
    expect(stdout).toMatch(/removed 2 runs, archived 2 transcripts, deleted 1 old archive; /);
    expect(stdout).toContain(`; ${announced} freed\n`);
  });

  it("keep a transcript that a backup of one references until all of them are swept", async () => {
    const home = sharedHome();
    const backup = `a.json.bak.${Date.now() - 40 * DAY}`;
    layOut(join(home, "data"), { [backup]: JSON.stringify({ chat: { sessionId: "c" } }) });
    const args = ["--json", "--list", ...AGES];
    const { stores } = JSON.parse((await command(home, args)).stdout);
    expect(stores.map(({ removals }) => removals.transcripts.length)).toEqual([1, 1, 0]);
    const swept = JSON.parse((await command(home, ["--apply", "--yes", ...args])).stdout).stores;
    expect(swept.map(({ sweep }) => sweep.transcripts.archived)).toEqual([1, 1, 0]);
    expect(treeOf(join(home, "data"))).toHaveProperty(["c.jsonl"]);
    expect(treeOf(join(home, "data"))).not.toHaveProperty([backup]);
  });

  it("keep it also with --watch", async () => {
    const home = sharedHome();
    const backup = `a.json.bak.${Date.now() - 40 * DAY}`;
    layOut(join(home, "data"), { [backup]: JSON.stringify({ chat: { sessionId: "c" } }) });
    const args = ["--apply", "--yes", "--watch", "1h", ...AGES];
    const { child, shows, ended } = startCommand(home, args);
    await shows("data/c.json: removed 1 run");
    child.kill("SIGTERM");
    await ended;
    expect(treeOf(join(home, "data"))).toHaveProperty(["c.jsonl"]);
    expect(treeOf(join(home, "data"))).not.toHaveProperty([backup]);
  });

  it("name with --details the store with which their folder is shown", async () => {
    const { stdout } = await command(sharedHome(), ["--details", ...AGES]);
    expect(stdout.match(/In the same folder/g)).toHaveLength(1);
    expect(
      stdout.match(/What is in the same folder is shown with ~\/data\/a\.json\./g),
    ).toHaveLength(2);
    expect(classesIn(stdout)["store backups"].at(-1)).toBe("--apply frees 2 B");
  });
});

describe.skipIf(!hasScript)("on a terminal", () => {
  it.each([40, 55, 57, 65, 80, 120, 200])(
    "prints no line wider than a terminal of %i columns",
    async (columns) => {
      const wide = `agent:main:telegram:${"日本語".repeat(30)}:5`;
      const store = {
        ...smallStore(),
        [wide]: recent("w", Date.now()),
        ["k".repeat(300)]: {},
        [runKey(3, `a-job-with-a-long-name-${"x".repeat(40)}`)]: recent("l", Date.now()),
      };
      const home = homeWith({ main: store, [`work-${"x".repeat(60)}`]: smallStore() });
      addClasses(home);
      // A path without spaces is named in a column of notes.
      const config = `~/${"c".repeat(60)}.json`;
      layOut(home, { [config.slice(2)]: '{"cron": {"sessionRetention": "12h"}}' });
      for (const args of [[], ["--details"], [storeIn(home)]]) {
        const words = [process.execPath, main, ...args].map((word) => `'${word}'`).join(" ");
        const line = `stty cols ${columns}; ${words}`;
        const { code, stdout } = await run("script", ["-qec", line, "/dev/null"], {
          env: environment(home, { TERM: "xterm", NO_COLOR: "1", OPENCLAW_CONFIG_PATH: config }),
        });
        expect(code).toBe(0);
        const lines = stdout.replaceAll("\r", "").split("\n");
        expect(lines.length).toBeGreaterThan(10);
        expect(lines.filter((text) => stringWidth(text) > columns)).toEqual([]);
      }
    },
  );
});

describe("texts", () => {
  it("shortens a text in the middle, by the columns that it takes", () => {
    expect(shortenedInMiddle("agent:main:cron:job:run:12345", 15)).toBe("agent:m…n:12345");
    expect(shortenedInMiddle("日本語日本語", 9)).toBe("日本…本語");
    expect(shortenedInMiddle("short", 9)).toBe("short");
  });

  it("aligns columns with wide characters, and puts what does not fit below its row", () => {
    const rows = [
      ["日本", "1", "a note with several words"],
      ["ab", "20", ""],
    ];
    expect(table(rows, "lrl")).toEqual(["日本   1  a note with several words", "ab    20"]);
    expect(table(rows, "lrl", 26)).toEqual([
      "日本   1",
      "  a note with several",
      "  words",
      "ab    20",
    ]);
  });
});
