// What the command does with files that are not stores, with wrong times and with control characters.

import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { jsonText } from "../cli/text.mjs";
import {
  command,
  DAY,
  environment,
  expired,
  HOUR,
  homeWith,
  layOut,
  main,
  recent,
  run,
  runKey,
  smallStore,
  storeIn,
  temporaryFolder,
  textOf,
  treeOf,
} from "./fixtures/index.mjs";

describe("a file that is not a store", () => {
  const STORE = textOf(smallStore());

  it.each([
    ["a.jsonl", '{"type":"session"}\n{"x":1}\n', "a transcript"],
    ["a.jsonl.reset.2026-03-01T12-00-00.000Z", "{}\n", "a transcript"],
    ["a.jsonl.bak.1772366400000", "{}\n", "a transcript"],
    ["sessions.json.lock", '{"pid":1,"createdAt":"2026-03-01"}', "a lock file"],
    ["cron/jobs.json", '{"version":1,"jobs":[]}', "the gateway's list of cron jobs"],
    [".env", "A=1\n", "a file of environment variables"],
    ["store.bz2", Buffer.from("BZh91AY"), "a bzip2 file"],
    ["store.zip", Buffer.from("PK\x03\x04"), "a zip file"],
    ["a.png", Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d]), "an image"],
    ["openclaw.json", '{"cron":{"enabled":true}}', "a gateway's configuration"],
    ["openclaw.json.bak", "{}", "a gateway's configuration"],
    ["clawdbot.json.bak.3", "{}", "a gateway's configuration"],
    [
      "agent.db",
      "SQLite format 3\0 and more",
      "an SQLite database, in which gateways from 2026.8.1",
    ],
    ["store.gz", gzipSync(STORE), "a gzip file"],
    ["store.zst", Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x04]), "a zstd file"],
    ["utf16le.json", Buffer.from(`\uFEFF${STORE}`, "utf16le"), "a text in UTF-16"],
    ["utf16be.json", Buffer.from(`\uFEFF${STORE}`, "utf16le").swap16(), "a text in UTF-16"],
    ["no-mark.json", Buffer.from(STORE, "utf16le"), "a text in UTF-16"],
    ["/dev/null", undefined, "a special file"],
  ])("is named for what it is: %s", async (name, content, what) => {
    const folder = temporaryFolder();
    const path = content === undefined ? name : join(folder, name);
    layOut(folder, content === undefined ? {} : { [name]: content });
    const before = treeOf(folder);
    for (const args of [[path], [path, "--apply", "--yes", "--retention", "1d"]]) {
      const { code, stdout, stderr } = await command(folder, args);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(/^✗ .*, not a session store; name a sessions\.json or its folder\n$/);
      expect(stderr).toContain(`${path} is ${what}`);
    }
    expect(treeOf(folder)).toEqual(before);
  });

  it("is not assumed of a store with an unusual name", async () => {
    const home = temporaryFolder();
    layOut(home, { "main.json": STORE, empty: "{}", "jobs.json": STORE });
    // A shell completes the name of a link to a folder with a slash.
    for (const name of ["main.json", "empty", "jobs.json", "main.json/"]) {
      expect((await command(home, [join(home, name)])).code).toBe(0);
    }
  });
});

describe.runIf(existsSync("/dev/full"))("an output that cannot be written", () => {
  it.each([[["--help"]], [["--json"]], [[]], [["--apply", "--yes"]]])(
    "is one sentence, and a requested sweep is completed: %s",
    async (args) => {
      const home = homeWith({ a: smallStore(), b: smallStore() });
      const full = openSync("/dev/full", "w");
      const { code, stderr } = await command(home, args, { stdio: ["ignore", full, "pipe"] });
      closeSync(full);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^cron-session-reaper: cannot write the output: ENOSPC: .*\n$/m);
      expect(stderr).not.toMatch(/\n\s+at /);
      const isSwept = (agent) => !readFileSync(storeIn(home, agent), "utf8").includes(":run:1");
      expect(["a", "b"].map(isSwept)).toEqual([args.length === 2, args.length === 2]);
    },
  );
});

describe.skipIf(process.platform === "win32")("an output of which only a part fits", () => {
  it("is reported, although the system wrote the part without an error", async () => {
    const home = homeWith({ main: smallStore() });
    const line = `ulimit -f 1; '${process.execPath}' '${main}' --json > part.json`;
    const { code, stderr } = await run("sh", ["-c", line], { cwd: home, env: environment(home) });
    expect(code).toBe(1);
    expect(stderr).toContain("cannot write the output: EFBIG: ");
  });
});

describe("runs with a wrong time", () => {
  it("are counted and explained", async () => {
    const now = Date.now();
    const { stdout } = await command(
      homeWith({
        main: {
          [runKey(1)]: { sessionId: "a", updatedAt: now + 400 * DAY },
          [runKey(2)]: { sessionId: "b", updatedAt: now * 1000 },
          [runKey(3)]: { sessionId: "c", updatedAt: new Date(now).toISOString() },
          [runKey(4)]: expired("d", now),
        },
      }),
    );
    expect(stdout).toMatch(/^ {4}in the future +2 +updatedAt is later than now/m);
    expect(stdout).toMatch(/^ {4}never expire +1 +updatedAt is not a number \(such as a date/m);
    expect(stdout).toContain("A sweep would remove 1 run");
  });

  it("are not mentioned if there are none", async () => {
    const now = Date.now();
    const { stdout } = await command(
      homeWith({
        main: { [runKey(1)]: recent("a", now), [runKey(2)]: { updatedAt: now + HOUR / 2 } },
      }),
    );
    expect(stdout).not.toMatch(/in the future|never expire/);
  });
});

describe("control characters", () => {
  // ESC, the one-byte CSI, BEL, and a character that reverses the text.
  const BAD = "\x1b[31m\x9b1m\x07\u202e";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the test is about them
  const RAW = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/;

  /** Runs the command, and checks that something was printed and that it contains none of them. */
  async function shown(home, args, env) {
    const { code, stdout, stderr } = await command(home, args, { env });
    expect(stdout + stderr).not.toBe("");
    expect(stdout).not.toMatch(RAW);
    expect(stderr).not.toMatch(RAW);
    return { code, stdout, stderr };
  }

  it("of an argument are escaped", async () => {
    const home = homeWith({ main: "{}" });
    for (const args of [
      [`--${BAD}`],
      [`-${BAD}`],
      [`--apply=${BAD}`],
      ["--top", BAD],
      ["--retention", BAD],
      ["--archive-retention", `7${BAD}`],
      ["--apply", "--yes", "--watch", BAD],
    ]) {
      expect((await shown(home, args)).code).toBe(2);
    }
    expect((await shown(home, [join(home, BAD)])).code).toBe(3);
  });

  it("of a path, a key, a job and a file name are escaped, also in --json", async () => {
    const home = temporaryFolder();
    const folder = join(home, BAD);
    layOut(folder, {
      "sessions.json": textOf({
        [runKey(BAD, BAD)]: expired("a", Date.now()),
        [`agent:main:${BAD}:direct:5`]: { sessionId: BAD, sessionFile: `${BAD}.jsonl` },
      }),
      "damaged.json": `{"${BAD}"`,
      [`${BAD}.jsonl`]: "",
    });
    mkdirSync(join(folder, "directory.json"));
    for (const args of [[], ["--json"], ["--apply", "--yes", "--retention", "9d"]]) {
      expect((await shown(home, [...args, folder])).code).toBe(0);
    }
    expect((await shown(home, ["--json", join(folder, "damaged.json")])).code).toBe(1);
    expect((await shown(home, [join(folder, "directory.json")])).code).toBe(3);
    expect((await shown(home, [join(folder, `${BAD}.jsonl`)])).code).toBe(1);
  });

  it("of a configuration and the environment are escaped", async () => {
    for (const config of [
      { cron: { sessionRetention: BAD } },
      { cron: { [`${BAD}sessionRetention`]: 1, sessionRetentio: BAD } },
      { session: { store: `/x/${BAD}.json` } },
      { meta: { lastTouchedVersion: `2026.9.6-${BAD}` } },
    ]) {
      const home = homeWith({ main: "{}" });
      layOut(home, { ".openclaw/openclaw.json": JSON.stringify(config) });
      await shown(home, []);
      await shown(home, ["--json"]);
      await shown(home, ["--apply", "--yes"]);
    }
    const home = homeWith({ main: "{}" });
    writeFileSync(join(home, ".openclaw/openclaw.json"), `{${BAD}`);
    await shown(home, []);
    for (const name of ["OPENCLAW_STATE_DIR", "OPENCLAW_PROFILE", "OPENCLAW_CONFIG_PATH"]) {
      await shown(home, [], { [name]: join(home, BAD) });
    }
  });

  it("do not change the value of a JSON document", () => {
    const value = { [BAD]: [BAD, "line\nbreak", "日本 ✓ 👍", "\u{e0001}"] };
    const text = jsonText(value);
    expect(JSON.parse(text)).toEqual(value);
    expect(text).not.toMatch(RAW);
    expect(text).toContain("日本 ✓ 👍");
    expect(text).toContain("\\udb40\\udc01");
  });
});
