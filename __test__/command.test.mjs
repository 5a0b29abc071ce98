// The command, as a user starts it.

import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { progressLine } from "../cli/show.mjs";
import { ago, duration, printable, size, table } from "../cli/text.mjs";
import { draw, PICTURES, session } from "../scripts/picture.mjs";
import {
  archiveName,
  command,
  DAY,
  environment,
  expired,
  GATEWAY_TEMP,
  HOUR,
  hasScript,
  homeWith,
  layOut,
  lockStore,
  main,
  manifest,
  onTerminal,
  readStore,
  recent,
  replaceStore,
  root,
  run,
  runKey,
  setAge,
  smallStore,
  startCommand,
  storeIn,
  temporaryFolder,
  textOf,
  treeOf,
  until,
  untilPrepared,
  withoutDurations,
  withoutStamps,
} from "./fixtures/index.mjs";

/** A user without rights to the files of the test, if the test runs as root. */
const NOT_ROOT = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};

describe("a preview", () => {
  it("shows what is in a store and what a sweep would remove, and modifies nothing", async () => {
    const home = homeWith({ main: smallStore() });
    const folder = dirname(storeIn(home));
    layOut(folder, {
      "old.jsonl.deleted.2026-02-01T00-00-00.000Z": "12",
      [GATEWAY_TEMP]: "123",
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
      /^ {4}\d+ B {2}2 runs {2}1 expired {2}job$/,
      /^ {4}\d+ B {2}agent:main:cron:job:run:1$/,
      /^ {4}transcripts +3 +9 B +just now {2}--apply archives 3 B \(1 file\); the rest: in use$/,
      /^ {4}archives +1 +2 B {2}\d+ days ago {2}--apply frees 2 B$/,
      /^ {4}temp files +1 +3 B +just now {2}nothing yet: they may be in use$/,
      /^ {2}A sweep would remove 1 run, archive 1 transcript/,
      /^ {2}It would free \d+ B\.$/,
      /^ {2}Nothing was changed\. Run again with --apply to sweep\.$/,
    ]) {
      expect(lines).toContainEqual(expect.stringMatching(line));
    }
  });

  it("finds nothing to do in an empty store", async () => {
    const { code, stdout, stderr } = await command(homeWith({ main: "{}" }));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("  0 entries, 2 B\n");
    expect(stdout).toContain("  A sweep would find nothing to do.\n");
    expect(stdout).not.toContain("--apply");
  });

  it("counts entries, runs and jobs of a store with 100,000 entries", async () => {
    const entries = Array.from(
      { length: 100_000 },
      (_, index) =>
        `"${runKey(index, `job-${index % 50}`)}":{"updatedAt":${Math.floor(index / 50) % 4 === 0 ? 5 : 9e15}}`,
    );
    const home = homeWith({ main: `{${entries.join(",")}}` });
    const { code, stdout } = await command(home);
    expect(code).toBe(0);
    expect(stdout).toContain("100,000 entries");
    expect(stdout).toMatch(/expired +25,000 /);
    expect(stdout).toMatch(/2,000 runs +500 expired +job-/);
    expect(stdout).toContain("would remove 25,000 runs.");
  });

  it("escapes control characters in names", async () => {
    const home = homeWith({
      main: {
        "agent:main:telegram:\x1b[2J\u202e:5": recent("a", Date.now()),
        [runKey(1, "\x07job")]: recent("b", Date.now()),
      },
    });
    const { stdout } = await command(home, [], { env: { FORCE_COLOR: "0" } });
    expect(stdout).toContain("agent:main:telegram:\\u{1b}[2J\\u{202e}:5");
    expect(stdout).toContain("\\u{7}job");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the test is about them
    expect(stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  });

  it("shows as many of the biggest entries as --top says", async () => {
    const home = homeWith({ main: smallStore() });
    const { stdout } = await command(home, ["--top", "1"]);
    expect(stdout.match(/^ {4}\d+ B {2}agent:/gm)).toHaveLength(1);
    const none = await command(home, ["--top", "0"]);
    expect(none.stdout).not.toContain("Biggest");
  });

  it("ends without an error when its reader closes the pipe", async () => {
    const agents = Object.fromEntries(
      Array.from({ length: 300 }, (_, at) => [`a${at}`, smallStore()]),
    );
    const home = homeWith(agents);
    const line = `'${process.execPath}' '${main}' | head -n 1`;
    expect(await run("sh", ["-c", line], { env: environment(home) })).toEqual({
      code: 0,
      stdout: "~/.openclaw\n",
      stderr: "",
    });
  });
});

describe("the search for stores", () => {
  const found = async (home, args, env) => {
    const { stdout, code } = await command(home, ["--json", ...(args ?? [])], { env });
    return { code, paths: JSON.parse(stdout).stores.map(({ path }) => path) };
  };

  it("searches the state folder that the gateway would use", async () => {
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

  it("accepts the path of a store, a sessions folder, an agent's folder or a state folder, and lists each store once", async () => {
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

  it("names the paths without a store", async () => {
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

  it("writes through a store that is a symbolic link", async () => {
    const home = homeWith({ main: {} });
    const disk = join(home, "disk.json");
    writeFileSync(disk, JSON.stringify(smallStore()));
    const link = join(home, ".openclaw/agents/linked/sessions/sessions.json");
    mkdirSync(join(link, ".."), { recursive: true });
    symlinkSync(disk, link);
    expect((await found(home)).paths).toEqual([link, storeIn(home)]);
    const { code } = await command(home, ["--apply", "--yes"]);
    expect(code).toBe(0);
    expect(treeOf(dirname(link))).toEqual({ "sessions.json": `-> ${disk}` });
    expect(Object.keys(readStore(disk))).toHaveLength(2);
  });
});

/**
 * Runs the command with --apply. Returns "swept", "nothing to do" or the message on stderr, and checks
 * that nothing was modified if nothing was swept.
 */
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

describe("a gateway that keeps runs forever", () => {
  const forever = '{"cron": {"sessionRetention": false}}';
  it("does not sweep a store anywhere in the state folder of a gateway that keeps runs forever", async () => {
    for (const place of ["sessions.json", "sessions/sessions.json"]) {
      const home = temporaryFolder();
      const path = join(home, ".openclaw", place);
      layOut(home, {
        ".openclaw/openclaw.json": forever,
        [`.openclaw/${place}`]: textOf(smallStore()),
      });
      for (const args of [[], [path], [join(home, ".openclaw")]]) {
        expect(await applied(home, args)).toBe("nothing to do");
      }
      expect(await applied(home, ["--retention", "1d"])).toBe("swept");
    }
  });

  it("applies the retention of the folder to which a link leads", async () => {
    const home = homeWith({ main: smallStore() });
    const links = { "link.json": { symlink: storeIn(home) } };
    layOut(home, { ...links, folder: { symlink: join(storeIn(home), "..") } });
    layOut(home, { ".openclaw/openclaw.json": forever });
    for (const name of ["link.json", "folder"]) {
      expect(await applied(home, [join(home, name)])).toBe("nothing to do");
    }
    expect(await applied(home, ["--retention", "1d", join(home, "link.json")])).toBe("swept");
    const after = withoutStamps(treeOf(home));
    expect(after).toHaveProperty([".openclaw/agents/main/sessions/a.jsonl.deleted.{STAMP}"]);
    expect(after["link.json"]).toBe(`-> ${storeIn(home)}`);
  });

  it("reads the configuration by its earlier name, and refuses other names", async () => {
    const home = homeWith({ main: smallStore() });
    layOut(home, { ".openclaw/clawdbot.json": forever });
    expect(await applied(home, [])).toBe("nothing to do");
    layOut(home, { ".openclaw/openclaw.json": "{}" });
    expect(await applied(home, [])).toBe("swept");
    for (const name of ["moldbot.json", "moltbot.json"]) {
      const other = homeWith({ main: smallStore() });
      layOut(other, { [`.openclaw/${name}`]: forever });
      expect(await applied(other, [])).toMatch(
        new RegExp(`only some gateway versions read the retention from .*${name}`),
      );
    }
  });

  it("refuses a store that two state folders share by a link", async () => {
    const home = homeWith({ main: smallStore() });
    layOut(home, {
      ".openclaw/openclaw.json": forever,
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

describe("an unknown retention", () => {
  it("refuses to sweep a store without a configuration outside the usual state folder", async () => {
    const home = homeWith({ main: smallStore() });
    const copy = join(home, "copy.json");
    writeFileSync(copy, JSON.stringify(smallStore()));
    const backup = join(home, "backup/agents/main/sessions/sessions.json");
    layOut(join(backup, ".."), { "sessions.json": JSON.stringify(smallStore()) });
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

  it("refuses to sweep if the configuration cannot be read", async () => {
    const home = homeWith({ main: smallStore() });
    const file = join(home, ".openclaw/openclaw.json");
    mkdirSync(file);
    const message = `cannot read the retention from ${file}: `;
    expect(await applied(home, [])).toContain(`${message}not a regular file; pass`);
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

  it.skipIf(process.getuid?.() !== 0)(
    "refuses to sweep if it may not read the configuration",
    async () => {
      const home = homeWith({ main: smallStore() });
      layOut(home, { ".openclaw/openclaw.json": '{"cron": {"sessionRetention": false}}' });
      chmodSync(join(home, ".openclaw/openclaw.json"), 0o600);
      chmodSync(home, 0o755);
      const { code, stderr } = await command(home, ["--apply", "--yes"], NOT_ROOT);
      expect(code).toBe(1);
      expect(stderr).toContain("openclaw.json: EACCES: permission denied; pass --retention");
    },
  );

  it("refuses to sweep if another configuration may apply", async () => {
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
      const home = homeWith({ main: smallStore() });
      layOut(home, {
        [work]: JSON.stringify(smallStore()),
        ".openclaw-work/openclaw.json": "{}",
        ...files,
      });
      const paths = args.map((path) => join(home, path));
      expect(await applied(home, paths, env)).toContain(message);
      expect(await applied(home, [...paths, "--retention", "1d"], env)).toBe("swept");
    }
    const home = homeWith({ main: smallStore() });
    layOut(home, {
      ".openclaw/.env": "# OPENCLAW_HOME=/x\nKEY=OPENCLAW_HOME",
      "mine.json": config,
    });
    expect(await applied(home, [], { OPENCLAW_CONFIG_PATH: "~/mine.json" })).toBe("nothing to do");
    expect(await applied(home, [])).toBe("swept");
  });

  it("refuses to sweep if the configured retention is not a duration", async () => {
    for (const [value, message] of [
      ['"forever"', 'openclaw.json is "forever", which is not a duration such as "24h"'],
      ['""', 'openclaw.json is "", which the gateway rejects: remove it for the default'],
      ["null", "openclaw.json is null, which the gateway rejects: remove it for the default"],
      ["24", "openclaw.json is 24, which the gateway rejects: write a text with a unit"],
      ["0", "openclaw.json is 0, which the gateway rejects: write false to keep runs forever"],
      ["true", 'openclaw.json is true, which the gateway rejects: write a text such as "24h"'],
      ['["24h"]', 'openclaw.json is ["24h"], which the gateway rejects: write a text such as'],
      ['"0h"', 'openclaw.json is "0h", which removes every run as soon as it has ended'],
    ]) {
      const home = homeWith({ main: smallStore() });
      layOut(home, { ".openclaw/openclaw.json": `{"cron": {"sessionRetention": ${value}}}` });
      expect(await applied(home, [])).toContain(message);
      expect((await command(home)).stdout).not.toContain("openclaw.json)");
    }
  });
});

describe("a file that is not a store", () => {
  it("says what it is, modifies nothing and gives no advice for damaged stores", async () => {
    const home = homeWith({ main: smallStore() });
    layOut(home, {
      "a.jsonl": '{"type":"session"}\n{"x":1}\n',
      "a.jsonl.deleted.2026-03-01T12-00-00.000Z": "{}\n",
      "openclaw.json": '{"cron":{"enabled":true}}',
      "agent.sqlite": "SQLite format 3\0 and more",
    });
    writeFileSync(join(home, "utf16.json"), Buffer.from("\uFEFF{}", "utf16le"));
    writeFileSync(join(home, "store.json.gz"), Buffer.from([0x1f, 0x8b, 8, 0]));
    const before = treeOf(home);
    for (const [name, what] of [
      ["a.jsonl", "a transcript"],
      ["a.jsonl.deleted.2026-03-01T12-00-00.000Z", "a transcript"],
      ["openclaw.json", "a gateway's configuration"],
      ["agent.sqlite", "an SQLite database"],
      ["utf16.json", "a text in UTF-16"],
      ["store.json.gz", "a gzip file"],
      ["/dev/null", "a special file"],
    ]) {
      const { code, stderr } = await command(home, [resolve(home, name)]);
      expect(code).toBe(1);
      expect(stderr).toContain(`${name} is ${what}`);
      expect(stderr).toContain("not a session store");
      expect(stderr).not.toContain("repair");
    }
    expect(treeOf(home)).toEqual(before);
  });

  it("reports a relative path in a removed working directory, and accepts an absolute one", async () => {
    const home = homeWith({ main: smallStore() });
    const [node, program] = [process.execPath, join(root, "cli/main.mjs")];
    const inRemoved = (path, env) =>
      spawnSync(
        "sh",
        ["-c", `mkdir gone; cd gone; rmdir ../gone; exec ${node} ${program} ${path}`],
        {
          cwd: home,
          encoding: "utf8",
          env: { PATH: process.env.PATH, HOME: home, ...env },
        },
      );
    const relative = inRemoved("./sessions.json");
    expect([relative.status, relative.stderr.split("\n").length]).toEqual([1, 2]);
    expect(relative.stderr).toContain(
      "the working directory no longer exists; pass an absolute path",
    );
    expect(inRemoved(storeIn(home)).status).toBe(0);
    for (const name of ["OPENCLAW_HOME", "OPENCLAW_STATE_DIR", "OPENCLAW_CONFIG_PATH"]) {
      const { status, stderr } = inRemoved(storeIn(home), { [name]: "relative" });
      expect(status, name).toBe(1);
      expect(stderr, name).toMatch(
        /^cron-session-reaper: the working directory no longer exists; change .*\n$/,
      );
    }
  });

  it.runIf(process.getuid?.() === 0)("accepts a path of a user without a home folder", async () => {
    const home = homeWith({ main: smallStore() });
    chmodSync(home, 0o755);
    const env = { PATH: process.env.PATH };
    const args = [join(root, "cli/main.mjs"), storeIn(home), "--retention", "7d"];
    // No such user exists, and HOME is not set. With nothing due, there is no note about the folder.
    const { code, stderr } = await run(process.execPath, args, { env, uid: 54321, gid: 54321 });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  it("reports that session.store puts stores elsewhere", async () => {
    const home = homeWith({ main: smallStore() });
    const config = { session: { store: "/data/{agentId}/sessions.json" } };
    layOut(home, { ".openclaw/openclaw.json": JSON.stringify(config) });
    expect((await command(home)).stderr).toContain(
      'openclaw.json sets session.store to "/data/{agentId}/sessions.json", but no store exists',
    );
    expect((await command(home, [storeIn(home)])).stderr).not.toContain("session.store");
  });

  it("uses the state folder of OPENCLAW_PROFILE", async () => {
    const home = homeWith({ main: smallStore() });
    const sessions = ".openclaw-work/agents/main/sessions/sessions.json";
    layOut(home, { [sessions]: "{}", ".openclaw-work/openclaw.json": "{}" });
    const shown = async (profile) =>
      (await command(home, [], { env: { OPENCLAW_PROFILE: profile } })).stdout.split("\n")[0];
    expect(await shown("work")).toContain(sessions);
    expect(await shown("default")).toContain(".openclaw/agents/main");
  });

  it("shows a run from the future as such", async () => {
    const home = homeWith({
      main: { [runKey(1)]: { sessionId: "a", updatedAt: Date.now() + 400 * DAY } },
    });
    expect((await command(home)).stdout).toContain("the oldest from 399 days in the future");
  });
});

describe("a configuration that was probably meant differently", () => {
  it("refuses to sweep if the retention is set under another name", async () => {
    for (const [config, name] of [
      ['{"cron.sessionRetention": "30d"}', "cron.sessionRetention"],
      ['{"cron": {"sessionretention": "30d"}}', "cron.sessionretention"],
      ['{"session": {"sessionRetention": "30d"}}', "session.sessionRetention"],
      ['{"sessionRetention": "30d"}', "sessionRetention"],
    ]) {
      const home = homeWith({ main: smallStore() });
      layOut(home, { ".openclaw/openclaw.json": config });
      expect(await applied(home, [])).toContain(
        `openclaw.json sets ${name}, but the gateway reads cron.sessionRetention; pass --retention`,
      );
    }
  });

  it("reads a configuration with a byte order mark", async () => {
    const home = homeWith({ main: smallStore() });
    layOut(home, { ".openclaw/openclaw.json": '\uFEFF{"cron": {"sessionRetention": false}}' });
    expect(await applied(home, [])).toBe("nothing to do");
  });

  it.skipIf(process.platform === "win32")("does not wait for the writer of a FIFO", async () => {
    const home = homeWith({ main: smallStore() });
    execFileSync("mkfifo", [join(home, ".openclaw/openclaw.json")]);
    expect(await applied(home, [])).toContain("openclaw.json: not a regular file; pass");
  });
});

describe("a store that cannot be read", () => {
  it("names the place in a damaged store, shows the others, and modifies nothing", async () => {
    const damaged = '{\n  "a": {"text": "it\'s a long line before the place"}, "b": tru}';
    const home = homeWith({ bad: damaged, good: smallStore() });
    const before = treeOf(home);
    for (const args of [[], ["--apply", "--yes", "--retention", "9d"]]) {
      const { code, stdout, stderr } = await command(home, args);
      expect(code).toBe(1);
      expect(stdout).toContain(args.length > 0 ? "1 store: nothing expired" : "\ngood ");
      expect(stderr).toContain(`${storeIn(home, "bad")}:2:63: invalid JSON: expected \`true\``);
      expect(treeOf(home)).toEqual(before);
      // The advice is a command that works.
      const [, advice] = stderr.match(/To show the position: (.*)/);
      expect((await run("sh", ["-c", advice])).stdout).toContain('"b": tru}');
    }
  });

  it("does not advise a command with a path that must be escaped", async () => {
    const home = temporaryFolder();
    for (const [name, isAdvised] of [
      ["it's", true],
      ["\u{1f468}\u200d\u{1f469}", false],
      ...(process.platform === "win32" ? [] : [["a\nb", false]]),
    ]) {
      layOut(home, { [`${name}/sessions.json`]: '{"a":' });
      const { code, stderr } = await command(home, [join(home, name)]);
      expect(code).toBe(1);
      expect(stderr).toContain("sessions.json:1:6: invalid JSON");
      expect(stderr.includes("sed -n")).toBe(isAdvised);
    }
  });

  it("does not advise to look into an empty store", async () => {
    for (const text of ["", " \n"]) {
      const { code, stderr } = await command(homeWith({ main: text }));
      expect(code).toBe(1);
      expect(stderr).toContain("sessions.json:");
      expect(stderr).toContain("Stop the gateway before you repair the store");
      expect(stderr).not.toContain("sed -n");
    }
  });

  it("advises to run as the gateway's user if it may not read a folder", async () => {
    const home = homeWith({ main: smallStore(), other: smallStore() });
    const closed = dirname(storeIn(home));
    chmodSync(home, 0o755);
    chmodSync(closed, 0o000);
    onTestFinished(() => chmodSync(closed, 0o755));
    const { code, stdout, stderr } = await command(home, [], NOT_ROOT);
    expect(code).toBe(1);
    expect(stdout).toContain("agents/other/sessions/sessions.json\n  3 entries");
    expect(stderr).toContain(`✗ cannot access ${storeIn(home)}: EACCES: permission denied\n`);
    expect(stderr).toContain("Run the command as the gateway's user.");
  });

  it("reports a store that a live process locks, and modifies nothing", async () => {
    const home = homeWith({ main: smallStore() });
    lockStore(storeIn(home));
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
  it.each(["SIGINT", "SIGTERM"])(
    "ends by %s while it waits, and leaves nothing behind",
    async (signal) => {
      const home = homeWith({ main: smallStore() });
      lockStore(storeIn(home));
      const before = treeOf(home);
      const { child, ended } = startCommand(home, ["--apply", "--yes"]);
      await untilPrepared(storeIn(home), child.pid);
      child.kill(signal);
      expect(await ended).toEqual({ code: signal, stdout: "", stderr: "" });
      expect(treeOf(home)).toEqual(before);
    },
  );

  it.skipIf(!hasScript)(
    "shows a line on a terminal while it waits, and clears the line",
    async () => {
      const home = homeWith({ main: smallStore() });
      const release = lockStore(storeIn(home));
      const { shows, ended } = onTerminal(home, ["--apply", "--yes"]);
      await shows("\r\x1b[2KSweeping ~/.openclaw/agents/main/sessions/sessions.json …");
      release();
      const { code, stdout } = await ended;
      expect(code).toBe(0);
      expect(stdout).toContain("…\r\x1b[2K\x1b[32m✓");
      expect(stdout).toContain("removed 1 run");
    },
  );
});

describe("--json", () => {
  it("prints one JSON document, also if a store fails", async () => {
    const home = homeWith({ bad: "[]", good: smallStore() });
    const { code, stdout, stderr } = await command(home, ["--json"]);
    expect(code).toBe(1);
    expect(stderr).toContain("agents/bad/sessions/sessions.json:1:1");
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({
      version: manifest.version,
      stateFolder: join(home, ".openclaw"),
      exitCode: 1,
      stores: [
        {
          path: storeIn(home, "bad"),
          error: { code: "ERR_SESSION_STORE_INVALID", line: 1, column: 1 },
        },
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
    expect(nowhere).toMatchObject({
      exitCode: 3,
      stores: [],
      missing: [`${home}/x does not exist`],
    });
  });

  it("prints what the sweep did with --json and --apply", async () => {
    const home = homeWith({ main: smallStore() });
    const { code, stdout, stderr } = await command(home, ["--json", "--apply", "--yes"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [{ inspection, sweep }] = JSON.parse(stdout).stores;
    expect(inspection.entries).toBe(3);
    expect(sweep).toMatchObject({ swept: true, reason: null, pruned: 1, dryRun: false });
  });
});

describe("--apply", () => {
  it("sweeps and reports each store with --apply --yes", async () => {
    const home = homeWith({ main: smallStore(), work: { [runKey(9)]: recent("z", Date.now()) } });
    const before = treeOf(home);
    const { code, stdout, stderr } = await command(home, ["--apply", "--yes"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(withoutDurations(stdout).replace(/\d+ B/g, "# B")).toBe(
      `✓ main: removed 1 run, archived 1 transcript; # B freed, the store from # B to # B, in {TIME}
· 1 store: nothing expired
2 stores: removed 1 run, archived 1 transcript; # B freed
`,
    );
    const sessions = ".openclaw/agents/main/sessions";
    const { [`${sessions}/a.jsonl`]: transcript, ...expected } = before;
    const after = withoutStamps(treeOf(home));
    expected[`${sessions}/a.jsonl.deleted.{STAMP}`] = transcript;
    expected[`${sessions}/sessions.json`] = after[`${sessions}/sessions.json`];
    expect(after).toEqual(expected);
    const left = Object.keys(readStore(storeIn(home)));
    expect(left).toEqual([runKey(2), "agent:main:telegram:direct:5"]);
  });

  it("refuses --apply without --yes if there is no terminal", async () => {
    const home = homeWith({ main: smallStore() });
    const before = treeOf(home);
    const { code, stdout, stderr } = await command(home, ["--apply"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toBe(
      "cron-session-reaper: --apply needs a terminal to ask for confirmation; add --yes\n",
    );
    expect(treeOf(home)).toEqual(before);
  });

  it("takes the retention from --retention, else from the gateway's configuration", async () => {
    const home = homeWith({ main: smallStore() });
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

  it("refuses a configuration whose retention it cannot evaluate", async () => {
    for (const text of [
      '{"cron": {"sessionRetention": "\u0024{KEEP}"}}',
      '{"$include": "./cron.json"}',
      '{"\\u0024include": "./cron.json"}',
      '{cron: {$include: "./cron.json"}} // mine',
      '{"gateway": {}, ',
      "",
    ]) {
      const home = homeWith({ main: smallStore() });
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

  it("deletes archives older than --archive-retention", async () => {
    const home = homeWith({ main: { [runKey(1)]: recent("a", Date.now()) } });
    const folder = dirname(storeIn(home));
    const old = { [archiveName("x.jsonl", Date.now() - 50 * HOUR)]: "12345" };
    layOut(folder, old);
    const sweep = async (...args) => (await command(home, ["--apply", "--yes", ...args])).stdout;
    expect(await sweep()).toMatch(/^ {2}nothing expired$/m);
    expect(await sweep("--archive-retention", "never")).toMatch(/^ {2}nothing expired$/m);
    expect(await sweep("--archive-retention", "3d")).toMatch(/^ {2}nothing expired$/m);
    expect(await sweep("--archive-retention", "2d")).toMatch(
      /^ {2}deleted 1 old archive\n {2}5 B freed, in/m,
    );
    expect(Object.keys(treeOf(folder))).toEqual(["a.jsonl", "sessions.json"]);
    layOut(home, { ".openclaw/openclaw.json": '{"cron": {"sessionRetention": false}}' });
    layOut(folder, old);
    const kept = "not swept: runs and archives are kept forever";
    expect(await sweep("--archive-retention", "2d")).toContain(kept);
  });

  it("deletes leftover temp files although no run is removed", async () => {
    const home = homeWith({ main: { [runKey(1)]: recent("a", Date.now()) } });
    const store = storeIn(home);
    const temp = join(dirname(store), GATEWAY_TEMP);
    writeFileSync(temp, readFileSync(store));
    setAge(temp, 5 * HOUR);
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

  /** Runs the command on a terminal, and types an answer to its question. */
  async function answered(home, answer) {
    const { child, shows, ended } = onTerminal(home, ["--apply"]);
    await shows(question);
    child.stdin.write(answer);
    return ended;
  }

  it.each(["n\n", "\n", "yo\n", "\x04"])("modifies nothing if the answer is %j", async (answer) => {
    const home = homeWith({ main: smallStore() });
    const before = treeOf(home);
    const { code, stdout } = await answered(home, answer);
    expect(code).toBe(0);
    expect(stdout).toContain("Nothing was changed.");
    expect(treeOf(home)).toEqual(before);
  });

  it("shows everything before it asks, and sweeps if the answer is yes", async () => {
    const home = homeWith({ main: smallStore() });
    const { code, stdout } = await answered(home, "y\n");
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /Cron runs[\s\S]*A sweep would remove 1 run[\s\S]*Sweep 1 store and free \d+ B\?.* \[y\/N\] [\s\S]*removed 1 run/,
    );
    expect(Object.keys(readStore(storeIn(home)))).toHaveLength(2);
  });

  it("ends with code 130 and modifies nothing if the answer is Ctrl-C", async () => {
    const home = homeWith({ main: smallStore() });
    const before = treeOf(home);
    expect((await answered(home, "\x03")).code).toBe(130);
    expect(treeOf(home)).toEqual(before);
  });

  it("does not ask if there is nothing to do", async () => {
    const { code, stdout } = await onTerminal(homeWith({ main: "{}" }), ["--apply"]).ended;
    expect(code).toBe(0);
    expect(stdout).not.toContain("[y/N]");
  });

  it("prints colours on a terminal but not into a pipe, unless NO_COLOR, FORCE_COLOR or TERM say otherwise", async () => {
    const home = homeWith({ main: smallStore() });
    const bold = "\x1b[1m~/.openclaw";
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a colour begins with one
    const colour = /\x1b\[[\d;]*m/;
    const shown = async (env) => (await onTerminal(home, [], env).ended).stdout;
    for (const env of [{}, { FORCE_COLOR: "" }]) {
      expect(await shown(env)).toContain(bold);
      expect((await command(home, [], { env })).stdout).not.toContain("\x1b");
    }
    for (const env of [{ NO_COLOR: "1" }, { FORCE_COLOR: "0" }, { TERM: "dumb" }]) {
      expect(await shown(env)).not.toMatch(colour);
    }
    expect((await command(home, [], { env: { FORCE_COLOR: "1" } })).stdout).toContain(bold);
  });
});

describe("--watch", () => {
  const WATCH = ["--apply", "--yes", "--watch", "1s"];

  /** Adds an expired run to the agent's store, and waits until the command reports its removal. */
  async function addExpiredRun(home, agent, output) {
    const reports = () => output.stdout.split(`agents/${agent}/`).length;
    const before = reports();
    const storePath = storeIn(home, agent);
    replaceStore(storePath, { ...readStore(storePath), [runKey("x")]: expired("x", Date.now()) });
    await until(`the sweep of ${agent} is reported`, () => reports() > before);
  }

  it("reports each sweep that removes something, and ends with code 0 on SIGTERM", async () => {
    const home = homeWith({ quiet: { [runKey(1)]: recent("q", Date.now()) }, work: smallStore() });
    const { child, output, ended, shows } = startCommand(home, WATCH);
    await shows("removed 1 run");
    // Each of these sweeps follows a sweep of the other store, which has nothing to report.
    await addExpiredRun(home, "work", output);
    await addExpiredRun(home, "work", output);
    child.kill("SIGTERM");
    const { code, stdout } = await ended;
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(3);
    for (const line of lines) {
      expect(line).toMatch(
        /^\d{4}-\d\d-\d\dT[\d:.]+Z ~\/\.openclaw\/agents\/work\/.*: removed 1 run/,
      );
    }
    expect(existsSync(`${storeIn(home, "work")}.lock`)).toBe(false);
  });

  it("waits for a missing store, and reports a lasting failure once", async () => {
    const home = homeWith({ work: {} });
    const paths = [storeIn(home), storeIn(home, "work")];
    const { child, output, ended, shows } = startCommand(home, [...WATCH, ...paths]);
    await shows("No session store");
    // The paths are swept in turn: after two reports about one, the other was looked at again.
    await addExpiredRun(home, "work", output);
    await addExpiredRun(home, "work", output);
    mkdirSync(dirname(storeIn(home)), { recursive: true });
    replaceStore(storeIn(home), "[]");
    await shows("sessions.json:1:1");
    await addExpiredRun(home, "work", output);
    await addExpiredRun(home, "work", output);
    child.kill("SIGINT");
    const { code, stderr } = await ended;
    expect(code).toBe(0);
    expect(stderr.match(/No session store/g)).toHaveLength(1);
    expect(stderr.match(/sessions\.json:1:1/g)).toHaveLength(1);
  });
});

describe("the command line", () => {
  it("prints its help and its version", async () => {
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
      stdout: `${manifest.version}\n`,
      stderr: "",
    });
  });

  it("rejects wrong arguments with one line and code 2, and modifies nothing", async () => {
    const home = homeWith({ main: smallStore() });
    const before = treeOf(home);
    const wrong = [
      [["--aply"], "Unknown option '--aply'; did you mean --apply? See --help"],
      [["--appyl"], "did you mean --apply?"],
      [["--retentions", "7d"], "did you mean --retention?"],
      [["--unlike"], "Unknown option '--unlike'; see --help"],
      [["--enforce"], "Unknown option '--enforce'; to sweep, use --apply"],
      [["--all-agents"], "all agents' stores are the default"],
      [["--store", "x"], "name a store without an option"],
      [["--store=x"], "name a store without an option"],
      [["--fix-missing"], 'use "openclaw sessions cleanup" for this'],
      [["--active-key", "k"], "only expired runs are removed"],
      [["-f"], "Unknown option '-f'; to sweep without a question, use --apply --yes"],
      [["--Apply"], "did you mean --apply?"],
      [["--arch", "7d"], "did you mean --archive-retention?"],
      [["-apply"], "did you mean --apply?"],
      [["--retention"], "argument missing; see --help"],
      [["--\x1b[31mx\x07"], "Unknown option '--\\u{1b}[31mx\\u{7}'"],
      [["--apply", "--yes", "--dry-run"], "--apply cannot be used with --dry-run"],
      [["--apply", "-y", "-n"], "--apply cannot be used with --dry-run"],
      [["--apply=yes"], "'--apply' does not take an argument"],
      [["--yes"], "--yes requires --apply"],
      [["--watch", "5m"], "--watch requires --apply"],
      [["--apply", "--yes", "--json", "--watch", "5m"], "--json cannot be used with --watch"],
      [["--apply", "--yes", "--watch", "5"], "--watch 5: write a time from 1s to 24d, such as 5m"],
      [["--apply", "--yes", "--watch", "10ms"], "--watch 10ms: write a time"],
      [["--apply", "--yes", "--watch", "99d"], "--watch 99d: write a time"],
      [["--apply", "--yes", "--retention", "1 day"], "--retention 1 day: not a duration; write"],
      [["--retention", ""], "--retention : not a duration"],
      [["--retention", "7"], "--retention 7: add a unit; do you mean 7d or 7h?"],
      [
        ["--archive-retention", "30"],
        "--archive-retention 30: add a unit; do you mean 30d or 30h?",
      ],
      [
        ["--retention", "1M"],
        "--retention 1M: M counts minutes, not months; write 1m, or a number",
      ],
      [["--archive-retention", "6M"], "--archive-retention 6M: M counts minutes, not months"],
      [["--retention", "0"], "--retention 0: write at least 1m"],
      [["--retention", "59s"], "--retention 59s: write at least 1m"],
      [["--archive-retention", "0h"], "--archive-retention 0h: write at least 1m"],
      [
        ["--archive-retention", "forever"],
        '--archive-retention forever: not a duration; write 7d, or "never"',
      ],
      [["--top", "-1"], "--top needs a value, and -1 begins with a dash; see --help"],
      [["--retention", "-5d"], "--retention needs a value, and -5d begins with a dash; see --help"],
      [["--retention", "7d", "--retention", "-5d"], "--retention needs a value, and -5d begins"],
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

  it("accepts the usual names for a preview and the version", async () => {
    const home = homeWith({ main: smallStore() });
    const { stdout } = await command(home);
    for (const name of ["--dry-run", "-n"]) {
      const preview = await command(home, [name]);
      expect(preview.code).toBe(0);
      expect(preview.stdout.split("\n")).toHaveLength(stdout.split("\n").length);
    }
    expect((await command(home, ["-V"])).stdout).toMatch(/^\d+\.\d+\.\d+/);
  });

  it("prints one line if the addon cannot be loaded", async () => {
    const env = { NAPI_RS_NATIVE_LIBRARY_PATH: join(root, "LICENSE") };
    const { code, stdout, stderr } = await command(homeWith({ main: "{}" }), [], { env });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^cron-session-reaper: cannot be loaded on /);
  });
});

describe("texts", () => {
  it("keeps the percentage in a progress line on a narrow terminal", () => {
    const path = `/srv/${"long/".repeat(30)}sessions.json`;
    const line = progressLine("Reading", path, "12 % of 31.2 MB", 80);
    expect(line).toMatch(/^Reading 12 % of 31\.2 MB \/srv\/long.*…$/);
    expect(line).toHaveLength(79);
    expect(progressLine("Sweeping", "/a.json", "", 80)).toBe("Sweeping /a.json …");
  });

  it("formats sizes, durations and ages with their units", () => {
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

  it("aligns the columns of a table, and escapes control characters", () => {
    const shout = (text) => text.toUpperCase();
    const rows = [
      ["a", "1", ["x", shout]],
      ["bcd", "200", "y"],
    ];
    expect(table(rows, "lrl")).toEqual(["a      1  X", "bcd  200  y"]);
    expect(printable("naïve ✓ 日本 \u009b\n")).toBe("naïve ✓ 日本 \\u{9b}\\u{a}");
  });

  it.each(Object.entries(PICTURES))(
    "prints what docs/%s shows (npm run docs:picture)",
    (name, sample) => {
      expect(draw(session(sample))).toBe(readFileSync(join(root, "docs", name), "utf8"));
    },
  );
});
