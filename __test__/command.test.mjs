// The command as a user starts it: a process of its own, in a home folder of its own.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { progressLine } from "../cli/show.mjs";
import { ago, duration, printable, size, table } from "../cli/text.mjs";
import { draw, session } from "../scripts/picture.mjs";
import { layOut, temporaryFolder, treeOf, withoutStamps } from "./fixtures/folder.mjs";
import { lockPayload } from "./fixtures/gateway-lock.mjs";

const HOUR = 3_600_000;
const root = fileURLToPath(new URL("..", import.meta.url));
const main = join(root, "cli/main.mjs");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Of this test's environment only what a program needs to start. */
function environment(home, env = {}) {
  return { PATH: process.env.PATH, HOME: home, ...env };
}

/** Runs the command to its end, with neither a terminal nor an input. */
async function command(home, args = [], { env, ...options } = {}) {
  const child = spawn(process.execPath, [main, ...args], {
    env: environment(home, env),
    stdio: ["ignore", "pipe", "pipe"],
    ...options,
  });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) {
    child[name].setEncoding("utf8").on("data", (text) => {
      output[name] += text;
    });
  }
  const [code, signal] = await once(child, "close");
  return { code: code ?? signal, ...output };
}

const runKey = (run, job = "nightly") => `agent:main:cron:${job}:run:${run}`;
const expired = (sessionId) => ({ sessionId, updatedAt: Date.now() - 25 * HOUR });
const recent = (sessionId) => ({ sessionId, updatedAt: Date.now() - HOUR });

/** A home folder with stores, by agent; with the transcript of every entry. */
function homeWith(stores) {
  const home = temporaryFolder();
  for (const [agent, store] of Object.entries(stores)) {
    const folder = join(home, ".openclaw/agents", agent, "sessions");
    const isText = typeof store === "string";
    layOut(folder, { "sessions.json": isText ? store : JSON.stringify(store, null, 2) });
    for (const { sessionId } of isText ? [] : Object.values(store)) {
      layOut(folder, { [`${sessionId}.jsonl`]: "{}\n" });
    }
  }
  return home;
}

const storeIn = (home, agent = "main") =>
  join(home, ".openclaw/agents", agent, "sessions/sessions.json");

/** One expired run, one that is not, a chat. */
const small = () => ({
  [runKey(1)]: expired("a"),
  [runKey(2)]: recent("b"),
  "agent:main:telegram:direct:5": recent("c"),
});

/** A terminal of its own, by the `script` of util-linux. */
function onTerminal(home, args, env) {
  const line = [process.execPath, main, ...args].map((word) => `'${word}'`).join(" ");
  const child = spawn("script", ["-qec", line, "/dev/null"], {
    env: environment(home, { TERM: "xterm", ...env }),
    stdio: ["pipe", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    output += text;
  });
  return {
    child,
    async shows(text) {
      while (!output.includes(text)) {
        await sleep(20);
      }
    },
    async end() {
      const [code] = await once(child, "close");
      return { code, output };
    },
  };
}

const hasScript = /util-linux/.test(
  spawnSync("script", ["--version"], { encoding: "utf8" }).stdout,
);

describe("showing", () => {
  it("tells what is in the store, what a sweep would do, and changes nothing", async () => {
    const home = homeWith({ main: small() });
    const folder = join(storeIn(home), "..");
    layOut(folder, {
      "old.jsonl.deleted.2026-02-01T00-00-00.000Z": "12",
      "sessions.json.3ab3ddeb-5fc7-4d35-adf6-d83c0627287f.tmp": "123",
    });
    const times = () =>
      [".", "sessions.json", "a.jsonl"].map((name) => statSync(join(folder, name)).mtimeMs);
    const before = [treeOf(home), times()];

    const { code, stdout, stderr } = await command(home);

    expect([treeOf(home), times()]).toEqual(before);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.split("\n");
    expect(lines[0]).toBe("~/.openclaw/agents/main/sessions/sessions.json");
    for (const line of [
      /^ {2}3 entries, \d+ B$/,
      /^ {4}cron run +2 +\d+ B {2}█{20}$/,
      /^ {4}telegram +1 +\d+ B {2}█+.?$/,
      /^ {4}all +2 +\d+ B {2}the oldest from 1 day ago$/,
      /^ {4}expired +1 +\d+ B {2}not updated for 1 day \(the default\)$/,
      /^ {4}\d+ B {2}2 runs {2}1 expired {2}nightly$/,
      /^ {4}\d+ B {2}agent:main:cron:nightly:run:1$/,
      /^ {4}transcripts +3 +9 B$/,
      /^ {4}archives +1 +2 B {2}the oldest from \d+ days ago$/,
      /^ {4}temp files +1 +3 B {2}left by/,
      /^ {2}A sweep would remove 1 run, archive 1 transcript/,
      /^ {2}It would free \d+ B\.$/,
      /^ {2}Nothing was changed\. Run again with --apply to sweep\.$/,
    ]) {
      expect(lines).toContainEqual(expect.stringMatching(line));
    }
  });

  it("of a fresh state folder finds nothing to do", async () => {
    const { code, stdout, stderr } = await command(homeWith({ main: "{}" }));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("  0 entries, 2 B\n");
    expect(stdout).toContain("  A sweep would find nothing to do.\n");
    expect(stdout).not.toContain("--apply");
  });

  it("of a huge store tells as much, soon", async () => {
    const entries = Array.from(
      { length: 100_000 },
      (_, index) =>
        `"${runKey(index, `job-${index % 50}`)}":{"updatedAt":${Math.floor(index / 50) % 4 === 0 ? 5 : 9e15}}`,
    );
    const home = homeWith({ main: `{${entries.join(",")}}` });
    const began = performance.now();
    const { code, stdout } = await command(home);
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(code).toBe(0);
    expect(stdout).toContain("100,000 entries");
    expect(stdout).toMatch(/expired +25,000 /);
    expect(stdout).toMatch(/2,000 runs +500 expired +job-/);
    expect(stdout).toContain("would remove 25,000 runs.");
  });

  it("makes names harmless that would steer the terminal", async () => {
    const home = homeWith({
      main: {
        "agent:main:telegram:\x1b[2J\u202e:5": recent("a"),
        [runKey(1, "\x07job")]: recent("b"),
      },
    });
    const { stdout } = await command(home, [], { env: { FORCE_COLOR: "0" } });
    expect(stdout).toContain("agent:main:telegram:\\u{1b}[2J\\u{202e}:5");
    expect(stdout).toContain("\\u{7}job");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  });

  it("shows as many of the biggest as asked for", async () => {
    const home = homeWith({ main: small() });
    const { stdout } = await command(home, ["--top", "1"]);
    expect(stdout.match(/^ {4}\d+ B {2}agent:/gm)).toHaveLength(1);
    const none = await command(home, ["--top", "0"]);
    expect(none.stdout).not.toContain("Biggest");
  });

  it("is quiet when whoever reads it has enough", async () => {
    const agents = Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`a${at}`, small()]));
    const home = homeWith(agents);
    const line = `'${process.execPath}' '${main}' | head -n 1`;
    const { stdout, stderr, status } = spawnSync("sh", ["-c", line], {
      env: environment(home),
      encoding: "utf8",
    });
    expect({ stdout, stderr, status }).toEqual({
      stdout: "~/.openclaw/agents/a0/sessions/sessions.json\n",
      stderr: "",
      status: 0,
    });
  });
});

describe("finding stores", () => {
  const found = async (home, args, env) => {
    const { stdout, code } = await command(home, ["--json", ...(args ?? [])], { env });
    return { code, paths: JSON.parse(stdout).stores.map(({ path }) => path) };
  };

  it("looks where the gateway would", async () => {
    const home = homeWith({ main: "{}", work: "{}" });
    const both = [storeIn(home), storeIn(home, "work")];
    const elsewhere = temporaryFolder();
    expect(await found(home)).toEqual({ code: 0, paths: both });
    expect(await found(elsewhere, [], { OPENCLAW_HOME: home })).toEqual({ code: 0, paths: both });
    const OPENCLAW_STATE_DIR = " ~/.openclaw";
    expect(await found(home, [], { OPENCLAW_STATE_DIR })).toEqual({ code: 0, paths: both });
    const state = { OPENCLAW_STATE_DIR: join(home, ".openclaw"), OPENCLAW_HOME: elsewhere };
    expect(await found(elsewhere, [], state)).toEqual({ code: 0, paths: both });
    expect((await found(home, [], { OPENCLAW_HOME: "undefined" })).paths).toEqual(both);
    layOut(elsewhere, { ".clawdbot/agents/old/sessions/sessions.json": "{}" });
    const old = join(elsewhere, ".clawdbot/agents/old/sessions/sessions.json");
    expect(await found(elsewhere)).toEqual({ code: 0, paths: [old] });
  });

  it("takes a store, a sessions folder, an agent's folder or a state folder, each store once", async () => {
    const home = homeWith({ main: "{}", work: "{}" });
    const agents = join(home, ".openclaw/agents");
    const store = storeIn(home);
    for (const path of [store, join(store, ".."), join(agents, "main")]) {
      expect((await found(home, [path])).paths).toEqual([store]);
    }
    const both = [store, storeIn(home, "work")];
    for (const path of [agents, join(home, ".openclaw")]) {
      expect((await found(home, [path])).paths).toEqual(both);
    }
    expect((await found(home, [store, agents, store])).paths).toEqual(both);
    const relative = await command(home, ["--json", "sessions.json"], { cwd: join(store, "..") });
    expect(JSON.parse(relative.stdout).stores[0].path).toBe(store);
  });

  it("says where it looked in vain", async () => {
    const home = temporaryFolder();
    const none = await command(home);
    expect(none).toMatchObject({ code: 3, stdout: "" });
    expect(none.stderr).toContain(`No session store: ${home}/.openclaw does not exist\n`);
    expect(none.stderr).toContain("OPENCLAW_STATE_DIR");

    mkdirSync(join(home, ".openclaw/agents/main"), { recursive: true });
    const empty = await command(home);
    expect(empty.code).toBe(3);
    expect(empty.stderr).toContain(`no sessions.json in ${home}/.openclaw\n`);

    const named = await command(home, ["nowhere"], { cwd: home });
    expect(named.code).toBe(3);
    expect(named.stderr).toContain(`${home}/nowhere does not exist\n`);
    expect(existsSync(join(home, "nowhere"))).toBe(false);
  });

  it("follows a store that is a link, and writes through it", async () => {
    const home = homeWith({ main: {} });
    const disk = join(home, "disk.json");
    writeFileSync(disk, JSON.stringify(small()));
    const link = join(home, ".openclaw/agents/linked/sessions/sessions.json");
    mkdirSync(join(link, ".."), { recursive: true });
    symlinkSync(disk, link);
    expect((await found(home)).paths).toEqual([link, storeIn(home)]);
    const { code } = await command(home, ["--apply", "--yes"]);
    expect(code).toBe(0);
    expect(treeOf(join(link, ".."))).toEqual({ "sessions.json": `-> ${disk}` });
    expect(Object.keys(JSON.parse(readFileSync(disk, "utf8")))).toHaveLength(2);
  });
});

/** Tells whether `--apply` went ahead; what it did not sweep has to be as it was. */
async function applied(home, args, env) {
  const before = treeOf(home);
  const { code, stdout, stderr } = await command(home, ["--apply", "--yes", ...args], { env });
  const isSwept = stdout.includes("removed ");
  expect(code).toBe(stderr === "" ? 0 : 1);
  if (isSwept) {
    expect(treeOf(home)).not.toEqual(before);
  } else {
    expect(treeOf(home)).toEqual(before);
  }
  return isSwept ? "swept" : stderr === "" ? "nothing to do" : stderr;
}

describe("a store whose gateway keeps runs for ever", () => {
  const forEver = '{"cron": {"sessionRetention": false}}';
  const store = JSON.stringify(small());

  it("is left alone wherever it lies in the state folder", async () => {
    for (const place of ["sessions.json", "sessions/sessions.json"]) {
      const home = temporaryFolder();
      const path = join(home, ".openclaw", place);
      layOut(home, { ".openclaw/openclaw.json": forEver, [`.openclaw/${place}`]: store });
      for (const args of [[], [path], [join(home, ".openclaw")]]) {
        expect(await applied(home, args)).toBe("nothing to do");
      }
      expect(await applied(home, ["--retention", "1d"])).toBe("swept");
    }
  });

  it("is left alone also by way of a link, which is swept where it leads", async () => {
    const home = homeWith({ main: small() });
    const links = { "link.json": { symlink: storeIn(home) } };
    layOut(home, { ...links, folder: { symlink: join(storeIn(home), "..") } });
    layOut(home, { ".openclaw/openclaw.json": forEver });
    for (const name of ["link.json", "folder"]) {
      expect(await applied(home, [join(home, name)])).toBe("nothing to do");
    }
    expect(await applied(home, ["--retention", "1d", join(home, "link.json")])).toBe("swept");
    const after = withoutStamps(treeOf(home));
    expect(after).toHaveProperty([".openclaw/agents/main/sessions/a.jsonl.deleted.{STAMP}"]);
    expect(after["link.json"]).toBe(`-> ${storeIn(home)}`);
  });

  it("is left alone under the earlier name of the configuration, and unclear under others", async () => {
    const home = homeWith({ main: small() });
    layOut(home, { ".openclaw/clawdbot.json": forEver });
    expect(await applied(home, [])).toBe("nothing to do");
    layOut(home, { ".openclaw/openclaw.json": "{}" });
    expect(await applied(home, [])).toBe("swept");
    for (const name of ["moldbot.json", "moltbot.json"]) {
      const other = homeWith({ main: small() });
      layOut(other, { [`.openclaw/${name}`]: forEver });
      expect(await applied(other, [])).toMatch(
        new RegExp(`only some gateway versions read the retention from .*${name}`),
      );
    }
  });

  it("is left alone when two folders share it by a link", async () => {
    const home = homeWith({ main: small() });
    layOut(home, {
      ".openclaw/openclaw.json": forEver,
      ".openclaw-work/openclaw.json": "{}",
      ".openclaw-work/agents/main/sessions": { symlink: join(storeIn(home), "..") },
    });
    const work = join(home, ".openclaw-work");
    const message = "more than one state folder may set the retention";
    expect(await applied(home, [work])).toContain(message);
    expect(await applied(home, [], { OPENCLAW_STATE_DIR: work })).toContain(message);
    expect(await applied(home, [work, join(home, ".openclaw")])).toContain(message);
  });
});

describe("a store of which it is not clear how long runs are kept", () => {
  it("is one without a configuration, except in the usual state folder", async () => {
    const home = homeWith({ main: small() });
    const copy = join(home, "copy.json");
    writeFileSync(copy, JSON.stringify(small()));
    const backup = join(home, "backup/agents/main/sessions/sessions.json");
    layOut(join(backup, ".."), { "sessions.json": JSON.stringify(small()) });
    for (const path of [copy, backup, join(home, "backup")]) {
      expect(await applied(home, [path])).toContain(
        "no openclaw.json found for this store, so its retention is unknown; pass --retention\n",
      );
      const shown = await command(home, [path]);
      expect(shown.code).toBe(0);
      expect(shown.stdout).toContain("Run again with --apply and --retention to sweep.");
      const [{ doubt }] = JSON.parse((await command(home, ["--json", path])).stdout).stores;
      expect(shown.stderr).toContain(doubt);
    }
    expect(await applied(home, [copy, "--retention", "1d"])).toBe("swept");
    layOut(home, { "backup/openclaw.json": "{}" });
    expect(await applied(home, [backup])).toBe("swept");
    expect(await applied(home, [storeIn(home)])).toBe("swept");
  });

  it("is one whose configuration cannot be read", async () => {
    const home = homeWith({ main: small() });
    const file = join(home, ".openclaw/openclaw.json");
    mkdirSync(file);
    const message = `cannot read the retention from ${file}: `;
    expect(await applied(home, [])).toContain(`${message}EISDIR: illegal operation on a directory; pass`);
    rmSync(file, { recursive: true });
    symlinkSync(join(home, "nowhere"), file);
    expect(await applied(home, [])).toContain(`${message}ENOENT: no such file or directory; pass`);
    unlinkSync(file);
    const OPENCLAW_CONFIG_PATH = join(home, "mistyped.json");
    expect(await applied(home, [], { OPENCLAW_CONFIG_PATH })).toContain(
      "mistyped.json: ENOENT: no such file",
    );
    expect(await applied(home, [])).toBe("swept");
  });

  it.skipIf(process.getuid?.() !== 0)("is one whose configuration is closed to us", async () => {
    const home = homeWith({ main: small() });
    layOut(home, { ".openclaw/openclaw.json": '{"cron": {"sessionRetention": false}}' });
    chmodSync(join(home, ".openclaw/openclaw.json"), 0o600);
    chmodSync(home, 0o755);
    const nobody = { uid: 65534, gid: 65534 };
    const { code, stderr } = await command(home, ["--apply", "--yes"], nobody);
    expect(code).toBe(1);
    expect(stderr).toContain("openclaw.json: EACCES: permission denied; pass --retention");
  });

  it("is one to which another configuration may apply", async () => {
    const work = ".openclaw-work/agents/main/sessions/sessions.json";
    const config = '{"cron": {"sessionRetention": false}}';
    for (const [files, env, args, message] of [
      [{ "mine.json": "{}" }, { OPENCLAW_CONFIG_PATH: "~/mine.json" }, [work], "may not apply to"],
      [{}, { CLAWDBOT_CONFIG_PATH: "~/mine.json" }, [], "retention from CLAWDBOT_CONFIG_PATH"],
      [{}, { CLAWDBOT_STATE_DIR: "~/mine" }, [], "retention from CLAWDBOT_STATE_DIR"],
      [{ ".clawdbot/clawdbot.json": config }, {}, [], "clawdbot.json may set the retention"],
      [{ ".openclaw/.env": "A=1\nOPENCLAW_CONFIG_PATH=/x" }, {}, [], ".env may select another"],
      [{ ".config/openclaw/gateway.env": "OPENCLAW_HOME=/x" }, {}, [], "gateway.env may select"],
    ]) {
      const home = homeWith({ main: small() });
      layOut(home, {
        [work]: JSON.stringify(small()),
        ".openclaw-work/openclaw.json": "{}",
        ...files,
      });
      const paths = args.map((path) => join(home, path));
      expect(await applied(home, paths, env)).toContain(message);
      expect(await applied(home, [...paths, "--retention", "1d"], env)).toBe("swept");
    }
    const home = homeWith({ main: small() });
    layOut(home, {
      ".openclaw/.env": "# OPENCLAW_HOME=/x\nKEY=OPENCLAW_HOME",
      "mine.json": config,
    });
    expect(await applied(home, [], { OPENCLAW_CONFIG_PATH: "~/mine.json" })).toBe("nothing to do");
    expect(await applied(home, [])).toBe("swept");
  });

  it("is one whose configuration says something that is no duration", async () => {
    for (const [value, message] of [
      [
        '"forever"',
        'openclaw.json is "forever", which is not a duration (the gateway rejects',
      ],
      ['""', 'openclaw.json is "", which is not a duration'],
      ["null", "openclaw.json is null, which is not a duration"],
      ["24", "openclaw.json is 24, which is not a duration"],
    ]) {
      const home = homeWith({ main: small() });
      layOut(home, { ".openclaw/openclaw.json": `{"cron": {"sessionRetention": ${value}}}` });
      expect(await applied(home, [])).toContain(message);
      expect((await command(home)).stdout).not.toContain("openclaw.json)");
    }
  });
});

describe("a store that cannot be shown", () => {
  it("damaged: says where and what to do, shows the others, and leaves all as it was", async () => {
    const damaged = '{\n  "a": {"text": "it\'s a long line before the place"}, "b": tru}';
    const home = homeWith({ bad: damaged, good: small() });
    const before = treeOf(home);
    for (const args of [[], ["--apply", "--yes", "--retention", "9d"]]) {
      const { code, stdout, stderr } = await command(home, args);
      expect(code).toBe(1);
      expect(stdout).toContain("agents/good/sessions/sessions.json");
      expect(stderr).toContain(`${storeIn(home, "bad")}:2:63: invalid JSON: expected \`true\``);
      expect(treeOf(home)).toEqual(before);
      // The advice works as it stands.
      const [, look] = stderr.match(/To show the position: (.*)/);
      expect(execFileSync("sh", ["-c", look], { encoding: "utf8" })).toContain('"b": tru}');
    }
  });

  it("empty: gives no advice to look into it", async () => {
    for (const text of ["", " \n"]) {
      const { code, stderr } = await command(homeWith({ main: text }));
      expect(code).toBe(1);
      expect(stderr).toContain("sessions.json:");
      expect(stderr).toContain("Stop the gateway before you repair the store");
      expect(stderr).not.toContain("sed -n");
    }
  });

  it("without permission: says whose it is to run this", async () => {
    const home = homeWith({ main: small(), other: small() });
    const closed = join(storeIn(home), "..");
    chmodSync(home, 0o755);
    chmodSync(closed, 0o000);
    onTestFinished(() => chmodSync(closed, 0o755));
    // Nothing is closed to root.
    const somebody = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};
    const { code, stdout, stderr } = await command(home, [], somebody);
    expect(code).toBe(1);
    expect(stdout).toContain("agents/other/sessions/sessions.json\n  3 entries");
    expect(stderr).toContain(`✗ cannot access ${storeIn(home)}: EACCES: permission denied\n`);
    expect(stderr).toContain("Run the command as the gateway's user.");
  });

  it("locked by a process that lives: waits, then says so, and nothing is changed", async () => {
    const home = homeWith({ main: small() });
    layOut(join(storeIn(home), ".."), { "sessions.json.lock": lockPayload() });
    const before = treeOf(home);
    expect((await command(home)).code).toBe(0);
    const { code, stderr } = await command(home, ["--apply", "--yes"]);
    expect(code).toBe(1);
    expect(stderr).toContain(`session file locked (timeout 10000ms): pid=${process.pid}`);
    expect(stderr).toContain("Try again in a minute.");
    expect(treeOf(home)).toEqual(before);
  });
});

describe("a sweep that waits for a lock", () => {
  const locked = () => {
    const home = homeWith({ main: small() });
    const lock = `${storeIn(home)}.lock`;
    writeFileSync(lock, lockPayload());
    return { home, lock };
  };

  it("ends by the signal that it gets, and leaves nothing behind", async () => {
    const { home } = locked();
    const before = treeOf(home);
    for (const signal of ["SIGINT", "SIGTERM"]) {
      const args = [main, "--apply", "--yes"];
      const child = spawn(process.execPath, args, { env: environment(home), stdio: "ignore" });
      await sleep(1000);
      child.kill(signal);
      expect(await once(child, "close")).toEqual([null, signal]);
      expect(treeOf(home)).toEqual(before);
    }
  });

  it.skipIf(!hasScript)("says on a terminal what it is at, and takes that back", async () => {
    const { home, lock } = locked();
    const terminal = onTerminal(home, ["--apply", "--yes"]);
    await terminal.shows("\r\x1b[2KSweeping ~/.openclaw/agents/main/sessions/sessions.json …");
    rmSync(lock);
    const { code, output } = await terminal.end();
    expect(code).toBe(0);
    expect(output).toContain("…\r\x1b[2K\x1b[32m✓");
    expect(output).toContain("removed 1 run");
  });
});

describe("--json", () => {
  it("prints one document and nothing else, whatever happens", async () => {
    const home = homeWith({ bad: "[]", good: small() });
    const { code, stdout, stderr } = await command(home, ["--json"]);
    expect(code).toBe(1);
    expect(stderr).toContain("agents/bad/sessions/sessions.json:1:1");
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({
      version,
      stateFolder: join(home, ".openclaw"),
      exitCode: 1,
      stores: [
        { path: storeIn(home, "bad"), error: { code: "ERR_SESSION_STORE_INVALID", line: 1, column: 1 } },
        {
          path: storeIn(home, "good"),
          retentionMs: 24 * HOUR,
          retentionFrom: "the default",
          inspection: { entries: 3, runs: { total: 2, expired: 1 } },
          preview: { pruned: 1, dryRun: true, reason: "dry-run", transcripts: { archived: 1 } },
        },
      ],
      missing: [],
    });
    expect(document.stores[1]).not.toHaveProperty("sweep");
    const nowhere = JSON.parse((await command(home, ["--json", join(home, "x")])).stdout);
    expect(nowhere).toMatchObject({ exitCode: 3, stores: [], missing: [`${home}/x does not exist`] });
  });

  it("with --apply has what the sweep did", async () => {
    const home = homeWith({ main: small() });
    const { code, stdout, stderr } = await command(home, ["--json", "--apply", "--yes"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [{ inspection, sweep }] = JSON.parse(stdout).stores;
    expect(inspection.entries).toBe(3);
    expect(sweep).toMatchObject({ swept: true, reason: null, pruned: 1, dryRun: false });
  });
});

describe("--apply", () => {
  it("sweeps what it was agreed to sweep", async () => {
    const home = homeWith({ main: small(), work: { [runKey(9)]: recent("z") } });
    const before = treeOf(home);
    const { code, stdout, stderr } = await command(home, ["--apply", "--yes"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const path = (agent) => `~/.openclaw/agents/${agent}/sessions/sessions.json`;
    expect(stdout.replace(/\d+ (B|ms)/g, "# $1")).toBe(
      `✓ ${path("main")}
  removed 1 run, archived 1 transcript
  # B freed, the store from # B to # B, in # ms
· ${path("work")}
  nothing to do
`,
    );
    const sessions = ".openclaw/agents/main/sessions";
    const { [`${sessions}/a.jsonl`]: transcript, ...expected } = before;
    const after = withoutStamps(treeOf(home));
    expected[`${sessions}/a.jsonl.deleted.{STAMP}`] = transcript;
    expected[`${sessions}/sessions.json`] = after[`${sessions}/sessions.json`];
    expect(after).toEqual(expected);
    const left = JSON.parse(readFileSync(storeIn(home), "utf8"));
    expect(Object.keys(left)).toEqual([runKey(2), "agent:main:telegram:direct:5"]);
  });

  it("refuses without a terminal and without --yes", async () => {
    const home = homeWith({ main: small() });
    const before = treeOf(home);
    const { code, stdout, stderr } = await command(home, ["--apply"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toBe(
      "cron-session-reaper: --apply needs a terminal to ask for confirmation; add --yes\n",
    );
    expect(treeOf(home)).toEqual(before);
  });

  it("keeps runs as long as it is told, or as the gateway is", async () => {
    const home = homeWith({ main: small() });
    const config = (text) => layOut(home, { ".openclaw/openclaw.json": text });
    const preview = async (args = []) => {
      const [store] = JSON.parse((await command(home, ["--json", ...args])).stdout).stores;
      return [store.preview.pruned, store.retentionFrom];
    };
    expect(await preview(["--retention", "30m"])).toEqual([2, "--retention"]);
    config('{"cron": {"sessionRetention": "30h"}}');
    expect(await preview()).toEqual([0, "~/.openclaw/openclaw.json"]);
    expect(await preview(["--retention", "24h"])).toEqual([1, "--retention"]);
    config('{"cron": {"sessionRetention": false}}');
    expect(await preview()).toEqual([0, "~/.openclaw/openclaw.json"]);
    expect((await command(home)).stdout).toContain("runs are kept forever");
    config('{"cron": {}}');
    expect(await preview()).toEqual([1, "the default"]);
  });

  it("does not guess what a configuration means that only the gateway can read", async () => {
    for (const text of [
      '{cron: {sessionRetention: "30d"}} // mine',
      '{"cron": {"sessionRetention": "\u0024{KEEP}"}}',
      '{"$include": "./cron.json"}',
      '{"\\u0024include": "./cron.json"}',
      '{cron: {"session\\u0052etention": false}}',
      "{cron: {}}",
      '{"gateway": {}, ',
      "",
    ]) {
      const home = homeWith({ main: small() });
      layOut(home, { ".openclaw/openclaw.json": text });
      const before = treeOf(home);
      const shown = await command(home);
      expect(shown.code).toBe(0);
      expect(shown.stderr).toContain("pass --retention");
      const refused = await command(home, ["--apply", "--yes"]);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain("pass --retention");
      expect(treeOf(home)).toEqual(before);
      expect((await command(home, ["--apply", "--yes", "--retention", "1d"])).code).toBe(0);
      expect(treeOf(home)).not.toEqual(before);
    }
  });

  it("ages archives as it is told", async () => {
    const home = homeWith({ main: { [runKey(1)]: recent("a") } });
    const folder = join(storeIn(home), "..");
    const stamp = new Date(Date.now() - 50 * HOUR).toISOString().replaceAll(":", "-");
    layOut(folder, { [`x.jsonl.deleted.${stamp}`]: "12345" });
    const sweep = async (...args) => (await command(home, ["--apply", "--yes", ...args])).stdout;
    expect(await sweep()).toMatch(/^ {2}nothing to do$/m);
    expect(await sweep("--archive-retention", "never")).toMatch(/^ {2}nothing to do$/m);
    expect(await sweep("--archive-retention", "3d")).toMatch(/^ {2}nothing to do$/m);
    expect(await sweep("--archive-retention", "2d")).toMatch(
      /^ {2}deleted 1 old archive\n {2}5 B freed, in/m,
    );
    expect(Object.keys(treeOf(folder))).toEqual(["a.jsonl", "sessions.json"]);
    layOut(home, { ".openclaw/openclaw.json": '{"cron": {"sessionRetention": false}}' });
    layOut(folder, { [`x.jsonl.deleted.${stamp}`]: "12345" });
    const kept = "nothing to do: runs and archives are kept forever";
    expect(await sweep("--archive-retention", "2d")).toContain(kept);
  });

  it("deletes dead temp files also where no run goes", async () => {
    const home = homeWith({ main: { [runKey(1)]: recent("a") } });
    const store = storeIn(home);
    const temp = `${store}.3ab3ddeb-5fc7-4d35-adf6-d83c0627287f.tmp`;
    writeFileSync(temp, readFileSync(store));
    const hoursAgo = new Date(Date.now() - 5 * HOUR);
    utimesSync(temp, hoursAgo, hoursAgo);
    expect((await command(home)).stdout).toContain("A sweep would delete 1 leftover temp file.");
    expect(existsSync(temp)).toBe(true);
    expect((await command(home, ["--apply", "--yes"])).stdout).toContain(
      "deleted 1 leftover temp file",
    );
    expect(existsSync(temp)).toBe(false);
  });
});

describe.skipIf(!hasScript)("on a terminal", () => {
  const question = "Sweep 1 store and free";

  it("asks, and takes a no, an empty line or the end of input for a no", async () => {
    const home = homeWith({ main: small() });
    const before = treeOf(home);
    for (const answer of ["n\n", "\n", "yo\n", "\x04"]) {
      const terminal = onTerminal(home, ["--apply"]);
      await terminal.shows(question);
      terminal.child.stdin.write(answer);
      const { code, output } = await terminal.end();
      expect(code).toBe(0);
      expect(output).toContain("Nothing was changed.");
      expect(treeOf(home)).toEqual(before);
    }
  });

  it("shows everything before it asks, and sweeps after a yes", async () => {
    const home = homeWith({ main: small() });
    const terminal = onTerminal(home, ["--apply"]);
    await terminal.shows(question);
    terminal.child.stdin.write("y\n");
    const { code, output } = await terminal.end();
    expect(code).toBe(0);
    expect(output).toMatch(
      /Cron runs[\s\S]*A sweep would remove 1 run[\s\S]*Sweep 1 store and free \d+ B\?.* \[y\/N\] [\s\S]*removed 1 run/,
    );
    expect(Object.keys(JSON.parse(readFileSync(storeIn(home), "utf8")))).toHaveLength(2);
  });

  it("asks nothing when there is nothing to do", async () => {
    const terminal = onTerminal(homeWith({ main: "{}" }), ["--apply"]);
    const { code, output } = await terminal.end();
    expect(code).toBe(0);
    expect(output).not.toContain("[y/N]");
  });

  it("ends by the signal of Ctrl-C at the question", async () => {
    const home = homeWith({ main: small() });
    const before = treeOf(home);
    const terminal = onTerminal(home, ["--apply"]);
    await terminal.shows(question);
    terminal.child.stdin.write("\x03");
    expect((await terminal.end()).code).toBe(130);
    expect(treeOf(home)).toEqual(before);
  });

  it("has colours there, unless they are not wanted, and none in a pipe, unless they are", async () => {
    const home = homeWith({ main: small() });
    const coloured = "\x1b[1m~/.openclaw";
    expect((await onTerminal(home, []).end()).output).toContain(coloured);
    expect((await onTerminal(home, [], { FORCE_COLOR: "" }).end()).output).toContain(coloured);
    for (const env of [{ NO_COLOR: "1" }, { FORCE_COLOR: "0" }, { TERM: "dumb" }]) {
      expect((await onTerminal(home, [], env).end()).output).not.toContain("\x1b");
    }
    for (const env of [{}, { FORCE_COLOR: "" }]) {
      expect((await command(home, [], { env })).stdout).not.toContain("\x1b");
    }
    expect((await command(home, [], { env: { FORCE_COLOR: "1" } })).stdout).toContain(coloured);
  });
});

describe("--watch", () => {
  it("sweeps again and again, says what it did, and ends cleanly when told to", async () => {
    const home = homeWith({ main: small() });
    const args = ["--apply", "--yes", "--watch", "1s"];
    const child = spawn(process.execPath, [main, ...args], { env: environment(home) });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
    const until = async (isSo) => {
      while (!isSo()) {
        await sleep(50);
      }
    };
    await until(() => output.includes("removed 1 run"));
    const store = JSON.parse(readFileSync(storeIn(home), "utf8"));
    writeFileSync(storeIn(home), JSON.stringify({ ...store, [runKey(3)]: expired("d") }));
    await until(() => !readFileSync(storeIn(home), "utf8").includes(runKey(3)));
    await sleep(1500);
    child.kill("SIGTERM");
    const [code, signal] = await once(child, "close");
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    const lines = output.trimEnd().split("\n");
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      expect(line).toMatch(
        /^\d{4}-\d\d-\d\dT[\d:.]+Z ~\/\.openclaw\/agents\/main\/.*: removed 1 run/,
      );
    }
    expect(existsSync(`${storeIn(home)}.lock`)).toBe(false);
  });

  it("waits for a store that is not there yet, and says once what fails", async () => {
    const home = temporaryFolder();
    const args = ["--apply", "--yes", "--watch", "1s"];
    const child = spawn(process.execPath, [main, ...args], { env: environment(home) });
    let output = "";
    child.stderr.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
    await sleep(1500);
    layOut(join(storeIn(home), ".."), { "sessions.json": "[]" });
    await sleep(3500);
    child.kill("SIGINT");
    expect(await once(child, "close")).toEqual([0, null]);
    expect(output.match(/No session store/g)).toHaveLength(1);
    expect(output.match(/sessions\.json:1:1/g)).toHaveLength(1);
  });
});

describe("the command line", () => {
  it("explains itself", async () => {
    const home = temporaryFolder();
    const help = await command(home, ["--help"]);
    expect(help).toMatchObject({ code: 0, stderr: "" });
    for (const word of ["--apply", "--watch", "--json", "Exit codes", "OPENCLAW_STATE_DIR"]) {
      expect(help.stdout).toContain(word);
    }
    expect(Math.max(...help.stdout.split("\n").map((line) => line.length))).toBeLessThan(84);
    expect(await command(home, ["-h"])).toEqual(help);
    expect(await command(home, ["--version"])).toEqual({
      code: 0,
      stdout: `${version}\n`,
      stderr: "",
    });
  });

  it("refuses what it does not understand", async () => {
    const home = homeWith({ main: small() });
    const before = treeOf(home);
    const wrong = [
      [["--aply"], "Unknown option '--aply'; see --help"],
      [["--apply=yes"], "'--apply' does not take an argument"],
      [["--yes"], "--yes requires --apply"],
      [["--watch", "5m"], "--watch requires --apply"],
      [["--apply", "--yes", "--json", "--watch", "5m"], "--json cannot be used with --watch"],
      [["--apply", "--yes", "--watch", "5"], "--watch 5: write a time from 1s to 24d, such as 5m"],
      [["--apply", "--yes", "--watch", "10ms"], "--watch 10ms: write a time"],
      [["--apply", "--yes", "--watch", "99d"], "--watch 99d: write a time"],
      [["--apply", "--yes", "--retention", "1 day"], "--retention 1 day: not a duration; write"],
      [["--retention", ""], "--retention : not a duration"],
      [
        ["--archive-retention", "forever"],
        '--archive-retention forever: not a duration; write 7d, or "never"',
      ],
      [["--top", "-1"], "'--top' argument is ambiguous; see --help"],
      [["--top", "all"], "--top all: not a number from 0 to 1000"],
      [["--top", "1001"], "--top 1001: not a number from 0 to 1000"],
      [["--apply", "--yes", ""], "a path is empty; write . for the current folder"],
    ];
    for (const [args, message] of wrong) {
      const { code, stdout, stderr } = await command(home, args, {
        cwd: join(storeIn(home), ".."),
      });
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain(message);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(stderr.startsWith("cron-session-reaper: ")).toBe(true);
    }
    expect(treeOf(home)).toEqual(before);
  });

  it("says once which program cannot be loaded", async () => {
    const env = { NAPI_RS_NATIVE_LIBRARY_PATH: join(root, "LICENSE") };
    const { code, stdout, stderr } = await command(homeWith({ main: "{}" }), [], { env });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^cron-session-reaper: cannot be loaded on /);
  });
});

describe("what a person reads", () => {
  it("has the share of a long work on a narrow terminal, whatever the path", () => {
    const path = `/srv/${"long/".repeat(30)}sessions.json`;
    const line = progressLine("Reading", path, "12 % of 31.2 MB", 80);
    expect(line).toMatch(/^Reading 12 % of 31\.2 MB \/srv\/long.*…$/);
    expect(line).toHaveLength(79);
    expect(progressLine("Sweeping", "/a.json", "", 80)).toBe("Sweeping /a.json …");
  });

  it("has sizes and times in units of theirs", () => {
    expect([0, 999, 1000, 999_949, 999_950, 31_249_999, 1.5e9, 2e15].map(size)).toEqual([
      "0 B",
      "999 B",
      "1.0 KB",
      "999.9 KB",
      "1.0 MB",
      "31.2 MB",
      "1.5 GB",
      "2000.0 TB",
    ]);
    const times = [0.4, 999, 1500, 59_999, 300_000, 330_000, 1.5 * HOUR, 24 * HOUR, 53.5 * HOUR];
    expect(times.map(duration)).toEqual([
      "0 ms",
      "999 ms",
      "1.5 s",
      "60 s",
      "5 min",
      "5 min 30 s",
      "1 h 30 min",
      "1 day",
      "2 days 5 h",
    ]);
    expect([-5, 59_000, 119_000, 5.9 * HOUR, 49 * HOUR].map(ago)).toEqual([
      "just now",
      "just now",
      "1 min ago",
      "5 h ago",
      "2 days ago",
    ]);
  });

  it("has columns that stand below each other", () => {
    const shout = (text) => text.toUpperCase();
    const rows = [
      ["a", "1", ["x", shout]],
      ["bcd", "200", "y"],
    ];
    expect(table(rows, "lrl")).toEqual(["a      1  X", "bcd  200  y"]);
    expect(printable("naïve ✓ 日本 \u009b\n")).toBe("naïve ✓ 日本 \\u{9b}\\u{a}");
  });

  it("looks as in the picture of the README", () => {
    // Only how long the sweep took is another each time.
    const text = (svg) =>
      svg.replace(/ in \d+ ms/g, "").replace(/(width|height|viewBox)="[^"]*"/g, "");
    const committed = readFileSync(join(root, "docs/terminal.svg"), "utf8");
    expect(text(draw(session()))).toBe(text(committed));
  });
});
