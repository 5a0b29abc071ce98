// What the command finds in the state folders of all gateways.

import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { findFolders } from "../cli/discovery.mjs";
import {
  command,
  homeWith,
  layOut,
  readStore,
  smallStore,
  storeIn,
  temporaryFolder,
  textOf,
  treeOf,
} from "./fixtures/index.mjs";

const DATABASE = "agent/openclaw-agent.sqlite";

/** Returns the paths of the stores that the command finds, without the home folder's path. */
async function storesIn(home, args = [], env = {}) {
  const { code, stdout, stderr } = await command(home, ["--json", ...args], { env });
  const { stores } = JSON.parse(stdout);
  return { code, stderr, paths: stores.map(({ path }) => path.replace(home, "~")) };
}

/** Creates a home folder whose configuration puts stores elsewhere; `{HOME}` stands for its path. */
function homeWithStores(setting, files) {
  const home = temporaryFolder();
  const session = { store: setting.replace("{HOME}", home) };
  layOut(home, { ".openclaw/openclaw.json": JSON.stringify({ session }), ...files });
  return home;
}

describe("session.store", () => {
  const STORE = textOf(smallStore());

  it("names stores that are found and swept with the retention of its configuration", async () => {
    const home = homeWithStores("{HOME}/data/{agentId}/sessions.json", {
      "data/main/sessions.json": STORE,
      "data/work/sessions.json": STORE,
      "data/work/a.jsonl": "{}\n",
      "data/empty/notes.txt": "",
    });
    const paths = ["main", "work"].map((agent) => `~/data/${agent}/sessions.json`);
    expect(await storesIn(home)).toEqual({ code: 0, stderr: "", paths });
    const { code, stderr } = await command(home, ["--apply", "--yes"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const agent of ["main", "work"]) {
      expect(Object.keys(readStore(join(home, `data/${agent}/sessions.json`)))).toHaveLength(2);
    }
  });

  it("may contain ~, the agent in a file name or several times, or no agent", async () => {
    for (const [setting, names] of [
      ["~/data/{agentId}.json", ["data/main.json", "data/work.json"]],
      ["{HOME}/data/sessions-{agentId}.json", ["data/sessions-main.json"]],
      ["~/data/{agentId}/x/{agentId}.json", ["data/main/x/main.json"]],
      ["~/data/all.json", ["data/all.json"]],
      ["~/.openclaw/{agentId}.json", [".openclaw/main.json"]],
    ]) {
      const files = Object.fromEntries(names.map((name) => [name, STORE]));
      const home = homeWithStores(setting, { "data/other.txt": "", ...files });
      const paths = names.map((name) => `~/${name}`);
      expect(await storesIn(home)).toEqual({ code: 0, stderr: "", paths });
    }
  });

  it("is added to the stores at the usual place, and to a state folder that is named", async () => {
    const home = homeWithStores("~/data/{agentId}.json", {
      "data/main.json": STORE,
      ".openclaw/agents/old/sessions/sessions.json": "{}",
    });
    const paths = ["~/.openclaw/agents/old/sessions/sessions.json", "~/data/main.json"];
    expect((await storesIn(home)).paths).toEqual(paths);
    expect((await storesIn(home, [join(home, ".openclaw")])).paths).toEqual(paths);
    expect((await storesIn(home, [join(home, ".openclaw/agents/old")])).paths).toEqual([paths[0]]);
  });

  it("is not followed from a copy of the state folder", async () => {
    const home = homeWithStores("{HOME}/data/{agentId}.json", { "data/main.json": STORE });
    layOut(home, {
      "copy/openclaw.json": JSON.stringify({ session: { store: `${home}/data/{agentId}.json` } }),
      "copy/agents/main/sessions/sessions.json": STORE,
    });
    expect((await storesIn(home, [join(home, "copy")])).paths).toEqual([
      "~/copy/agents/main/sessions/sessions.json",
    ]);
  });

  it("gives a store that is named by its path the retention of its configuration", async () => {
    const home = homeWithStores("~/data/{agentId}.json", { "data/main.json": STORE });
    const { code, stderr } = await command(home, [
      "--apply",
      "--yes",
      join(home, "data/main.json"),
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  it("is reported if only the gateway can evaluate it, or if no store exists there", async () => {
    const message = "which only the gateway can evaluate; pass the paths of its stores";
    for (const [setting, what] of [
      ["data/sessions.json", message],
      ["\u0024{DATA}/sessions.json", message],
      ["~/nowhere/{agentId}/sessions.json", "but no store exists there"],
    ]) {
      const home = homeWithStores(setting, {
        ".openclaw/agents/main/sessions/sessions.json": STORE,
      });
      const { code, stderr } = await storesIn(home);
      expect(code).toBe(0);
      expect(stderr).toBe(
        `! ${home}/.openclaw/openclaw.json sets session.store to ${JSON.stringify(setting)}, ${what}\n`,
      );
    }
  });
});

describe("a file at a path of session.store", () => {
  const STORE = textOf(smallStore());

  it.runIf(process.getuid?.() === 0)(
    "is reported if it cannot be read, and the others are shown",
    async () => {
      const home = homeWithStores("{HOME}/data/{agentId}/sessions.json", {
        "data/closed/sessions.json": STORE,
        "data/open/sessions.json": STORE,
      });
      const closed = join(home, "data/closed/sessions.json");
      chmodSync(closed, 0);
      spawnSync("chown", ["-R", "1234", home]);
      const { code, stdout, stderr } = await command(home, [], { uid: 1234 });
      expect(code).toBe(1);
      expect(stderr).toMatch(`✗ cannot open ${closed}: EACCES: permission denied\n`);
      expect(stdout).toMatch(/^~\/data\/closed\/sessions\.json .* failed/m);
      expect(stdout).toMatch(/^~\/data\/open\/sessions\.json .* 1 +\d+ B$/m);
    },
  );

  it("is reported, and nothing is deleted beside it, if it contains no JSON", async () => {
    const utf16 = Buffer.from(`\uFEFF${STORE}`, "utf16le");
    for (const content of [utf16, gzipSync(STORE)]) {
      const home = homeWithStores("~/data/sessions.json", {
        "data/sessions.json": content,
        "data/a.jsonl.reset.2026-02-01T00-00-00.000Z": "",
      });
      const before = treeOf(home);
      for (const args of [[], ["--apply", "--yes", "--reset-retention", "1d"]]) {
        const { code, stderr } = await command(home, args);
        expect(code).toBe(1);
        expect(stderr).toContain(`✗ ${join(home, "data/sessions.json")}:1:1: invalid JSON: `);
      }
      expect(treeOf(home)).toEqual(before);
    }
  });

  it("is reported if it has the name of another file, and ignored if only {agentId} matches", async () => {
    const named = homeWithStores("~/data/openclaw.json", { "data/openclaw.json": "{}" });
    expect(await command(named)).toMatchObject({
      code: 1,
      stderr: `✗ ${named}/data/openclaw.json is a gateway's configuration, not a session store; ${named}/.openclaw/openclaw.json sets session.store to "~/data/openclaw.json"\n`,
    });
    const matched = homeWithStores("~/.openclaw/{agentId}.json", { ".openclaw/main.json": "{}" });
    expect(await storesIn(matched)).toMatchObject({ code: 0, paths: ["~/.openclaw/main.json"] });
  });
});

describe("a state folder that cannot be searched", () => {
  /** A home folder whose configuration is not in the state folder. */
  function homeWithConfiguration() {
    const home = temporaryFolder();
    const session = { store: "~/data/{agentId}.json" };
    const meta = { lastTouchedVersion: "2026.7.35" };
    layOut(home, { "mine.json": JSON.stringify({ session, meta }), "data/main.json": "{}" });
    return home;
  }

  it("does not hide the stores of session.store if it does not exist", async () => {
    const home = homeWithConfiguration();
    const env = { OPENCLAW_CONFIG_PATH: "~/mine.json" };
    expect(await storesIn(home, [], env)).toMatchObject({ code: 0, paths: ["~/data/main.json"] });
    rmSync(join(home, "data/main.json"));
    const { code, stderr } = await storesIn(home, [], env);
    expect(code).toBe(3);
    expect(stderr).toContain(`No session store: ${home}/.openclaw does not exist\n`);
  });

  it.runIf(process.getuid?.() === 0)(
    "is reported beside the stores of session.store if it cannot be accessed",
    async () => {
      const home = homeWithConfiguration();
      layOut(home, { "closed/state/x": "" });
      spawnSync("chown", ["-R", "1234", home]);
      chownSync(join(home, "closed"), 0, 0);
      chmodSync(join(home, "closed"), 0o700);
      const state = join(home, "closed/state");
      const env = { OPENCLAW_STATE_DIR: state, OPENCLAW_CONFIG_PATH: join(home, "mine.json") };
      const denied = `✗ cannot access ${state}: EACCES: permission denied\n`;
      for (const [args, shown] of [
        [[], "~/data/main.json\n"],
        [["--apply", "--yes"], ""],
      ]) {
        const { code, stdout, stderr } = await command(home, args, { env, uid: 1234 });
        expect(code).toBe(1);
        expect(stderr).toContain(denied);
        expect(stderr).toContain("cannot determine whether a gateway is running");
        expect(stdout).toContain(shown);
      }
    },
  );
});

describe("an include that may set session.store", () => {
  it("is reported if no store is found without it", async () => {
    const home = temporaryFolder();
    layOut(home, { ".openclaw/openclaw.json": "{session: {$include: './session.json5'}}" });
    const { code, stderr } = await command(home);
    expect(code).toBe(3);
    expect(stderr).toContain(
      `! ${home}/.openclaw/openclaw.json may set session.store in an $include; pass the paths of its stores\n`,
    );
    layOut(home, { ".openclaw/agents/main/sessions/sessions.json": "{}" });
    expect((await command(home)).stderr).toBe("");
  });
});

describe("an agent's database", () => {
  /** Creates the state folder of a gateway that keeps its sessions in SQLite. */
  function homeOfLaterGateway(files = {}) {
    const home = temporaryFolder();
    const config = { meta: { lastTouchedVersion: "2026.9.6" } };
    layOut(home, {
      ".openclaw/openclaw.json": JSON.stringify(config),
      [`.openclaw/agents/main/${DATABASE}`]: "SQLite format 3\0",
      [`.openclaw/agents/work/${DATABASE}`]: "SQLite format 3\0",
      ".openclaw/agents/work/sessions/a.jsonl.deleted.2026-02-01T00-00-00.000Z": "{}\n",
      ...files,
    });
    return home;
  }

  it("is reported with the gateway's version instead of a missing store", async () => {
    const home = homeOfLaterGateway();
    for (const args of [[], [join(home, ".openclaw")]]) {
      const { code, stderr } = await command(home, args);
      expect(code).toBe(0);
      expect(stderr).toBe(
        `! the sessions of 2 agents in ~/.openclaw are in SQLite (gateway 2026.9.6), which is not swept\n`,
      );
    }
    const named = await command(home, [join(home, ".openclaw/agents/main")]);
    expect(named.code).toBe(0);
    expect(named.stderr).toContain("the sessions of one agent in");
  });

  it("is returned with its folder, whether or not that has a store", () => {
    const home = homeOfLaterGateway({
      ".openclaw/agents/main/sessions/sessions.json": "{}",
      ".openclaw/agents/old/sessions/sessions.json": "{}",
      ".openclaw/agents/left/sessions/a.jsonl": "",
    });
    const agent = (name) => join(home, ".openclaw/agents", name);
    const { folders } = findFolders([], { HOME: home });
    expect(folders.map(({ path, store, database }) => ({ path, store, database }))).toEqual(
      [
        ["left", {}],
        ["main", { store: true, database: true }],
        ["old", { store: true }],
        ["work", { database: true }],
      ].map(([name, { store, database }]) => ({
        path: join(agent(name), "sessions"),
        store: store && join(agent(name), "sessions/sessions.json"),
        database: database && join(agent(name), DATABASE),
      })),
    );
  });
});

describe("a sessions folder without a store", () => {
  it("is reported if a gateway left files in it", async () => {
    const home = temporaryFolder();
    const agent = join(home, ".openclaw/agents/old");
    layOut(home, {
      ".openclaw/agents/old/sessions/a.jsonl.deleted.2026-02-01T00-00-00.000Z": "",
      ".openclaw/agents/new/sessions": { dir: true },
      ".openclaw/sessions/notes.txt": "",
    });
    const { code, stderr } = await command(home);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: "! the sessions folders of one agent in ~/.openclaw contain no store\n",
    });
    const { folders } = findFolders([agent], {});
    expect(folders.map(({ path, store }) => ({ path, store }))).toEqual([
      { path: join(agent, "sessions"), store: undefined },
    ]);
  });

  it("is not found if nothing in it is a gateway's", async () => {
    const home = temporaryFolder();
    layOut(home, { "sessions/notes.txt": "", "other/a.jsonl": "" });
    for (const path of [home, join(home, "sessions"), join(home, "other")]) {
      expect((await command(home, [path])).code).toBe(3);
    }
  });
});

describe("something else than a file at the path of a store", () => {
  const special =
    process.platform === "win32" ? [] : [["a special file", (path) => spawnSync("mkfifo", [path])]];

  it.each([
    ["a directory", (path) => mkdirSync(path)],
    ["a link that leads nowhere", (path) => symlinkSync("/nowhere/sessions.json", path)],
    ...special,
  ])("is reported, and nothing is deleted beside it: %s", async (what, create) => {
    const home = homeWith({ main: "{}", work: smallStore() });
    const folder = dirname(storeIn(home));
    layOut(folder, { "sessions.json.bak.1700000000000": "{}", "a.jsonl": "" });
    rmSync(storeIn(home));
    create(storeIn(home));
    const before = readdirSync(folder);
    const ages = ["--backup-retention", "1d", "--reset-retention", "1d"];
    for (const args of [[], [folder], ["--apply", "--yes", ...ages]]) {
      const { code, stderr } = await command(home, args);
      expect(code).toBe(1);
      expect(stderr).toBe(`✗ expected a regular file at ${storeIn(home)}, found ${what}\n`);
      expect(readdirSync(folder)).toEqual(before);
    }
    expect(Object.keys(readStore(storeIn(home, "work")))).toHaveLength(2);
  });

  it("is not reported of folders that only match session.store", async () => {
    const home = homeWithStores("{HOME}/data/{agentId}", {
      "data/main": "{}",
      "data/logs/gateway.log": "",
    });
    expect(await storesIn(home)).toEqual({ code: 0, stderr: "", paths: ["~/data/main"] });
  });
});

describe("a folder with several stores", () => {
  it("is returned once for each store, with the database of its agent", () => {
    const home = homeWith({ main: smallStore() });
    const sessions = dirname(storeIn(home));
    layOut(home, {
      ".openclaw/openclaw.json": JSON.stringify({
        session: { store: join(sessions, "{agentId}.json") },
      }),
      ".openclaw/agents/main/sessions/work.json": "{}",
    });
    const { folders, missing } = findFolders([], { HOME: home });
    expect(missing).toEqual([]);
    expect(folders.map(({ path, store }) => [path, store])).toEqual([
      [sessions, storeIn(home)],
      [sessions, join(sessions, "work.json")],
    ]);
  });

  it("is not listed without a store if session.store names one in it", () => {
    const home = homeWith({});
    const folder = join(home, ".openclaw/agents/main/sessions");
    layOut(folder, { "main.json": "{}" });
    const config = { session: { store: "~/.openclaw/agents/{agentId}/sessions/{agentId}.json" } };
    layOut(home, { ".openclaw/openclaw.json": JSON.stringify(config) });
    const { folders } = findFolders([], { HOME: home });
    expect(folders.map(({ store }) => store)).toEqual([join(folder, "main.json")]);
  });
});

describe("a name that is not UTF-8", () => {
  it.skipIf(process.platform !== "linux")(
    "is reported with its bytes, and makes the exit code 1",
    async () => {
      const home = homeWith({ main: smallStore() });
      const agents = join(home, ".openclaw/agents");
      const folder = Buffer.concat([Buffer.from(`${agents}/b`), Buffer.from([0xff, 0x1b])]);
      mkdirSync(Buffer.concat([folder, Buffer.from("/sessions")]), { recursive: true });
      writeFileSync(Buffer.concat([folder, Buffer.from("/sessions/sessions.json")]), "{}");
      for (const args of [[], ["--apply", "--yes"]]) {
        const { code, stdout, stderr } = await command(home, args);
        expect(code).toBe(1);
        expect(stdout).toContain("agents/main/sessions/sessions.json");
        expect(stderr).toBe(
          `✗ cannot access b\\xff\\x1b in ${agents}: its name is not UTF-8; rename it to see and sweep its store\n`,
        );
      }
    },
  );
});

describe("OPENCLAW_PROFILE", () => {
  it("selects the state folder with its configuration and session.store", async () => {
    const home = homeWith({ main: smallStore() });
    layOut(home, {
      ".openclaw-work/openclaw.json": "{session: {store: '~/data/{agentId}.json'}}",
      "data/main.json": "{}",
    });
    expect(await storesIn(home, [], { OPENCLAW_PROFILE: "work" })).toEqual({
      code: 0,
      stderr: "",
      paths: ["~/data/main.json"],
    });
  });
});

describe("a link to a sessions folder", () => {
  it("does not list its store twice", async () => {
    const home = homeWith({ main: smallStore() });
    symlinkSync(dirname(storeIn(home)), join(home, "link"));
    const { paths } = await storesIn(home, [join(home, "link"), join(home, ".openclaw")]);
    expect(paths).toHaveLength(1);
  });
});
