// What the command deletes beside a sweep, what it never deletes, the question before, and --watch.

import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { contentsOf } from "../cli/free.mjs";
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
  lockPayload,
  main,
  onTerminal,
  recent,
  runKey,
  setAge,
  smallStore,
  start,
  startCommand,
  storeIn,
  temporaryFolder,
  treeOf,
} from "./fixtures/index.mjs";

const DEAD_LOCK = '{"pid":4194999,"createdAt":"2026-03-01T12:00:00.000Z","starttime":1}';
const AGES = ["--archive-retention", "9d", "--reset-retention", "9d", "--backup-retention", "9d"];
const APPLY = ["--apply", "--yes"];

const daysAgo = (days) => Date.now() - days * DAY;
const reset = (days) => archiveName("x.jsonl", daysAgo(days)).replace(".deleted.", ".reset.");

/** An old archive, reset and backup, by name. */
const oldFiles = () => ({
  [archiveName("x.jsonl", daysAgo(30))]: "1",
  [reset(30)]: "1",
  [`sessions.json.bak.${daysAgo(30)}`]: "{}",
});

/** A store with nothing expired, so that only other files are deleted. */
const quietHome = () => homeWith({ main: { [runKey(1)]: recent("a", Date.now()) } });

/** Lays out the folder of a gateway whose store was migrated to a database; returns its home folder. */
function migratedHome(files) {
  const home = temporaryFolder();
  layOut(join(home, ".openclaw/agents/main"), {
    "agent/openclaw-agent.sqlite": "SQLite format 3\0",
    ...files,
  });
  return home;
}

/** Runs the command, and returns which paths of the home folder have disappeared. */
async function deletedBy(home, args) {
  const before = treeOf(home);
  const { code, stdout, stderr } = await command(home, args);
  const after = treeOf(home);
  const deleted = Object.keys(before).filter((path) => !Object.hasOwn(after, path));
  const rest = Object.fromEntries(Object.entries(before).filter(([path]) => path in after));
  expect(after).toEqual(rest);
  return { code, stdout, stderr, deleted: deleted.map((path) => path.replace(/.*sessions\//, "")) };
}

describe("freeing beside a sweep", () => {
  it("deletes resets and store backups only if an age is given and they are older", async () => {
    const home = quietHome();
    const [old, young] = [reset(10), reset(8)];
    const backups = [`sessions.json.bak.${daysAgo(10)}`, `sessions.json.bak.${daysAgo(8)}`];
    const files = Object.fromEntries([old, young, ...backups].map((name) => [name, "1"]));
    layOut(dirname(storeIn(home)), files);
    expect((await deletedBy(home, APPLY)).deleted).toEqual([]);
    expect(await deletedBy(home, [...APPLY, "--reset-retention", "9d"])).toMatchObject({
      code: 0,
      stderr: "",
      stdout: expect.stringMatching(/^ {2}deleted 1 reset\n {2}1 B freed/m),
      deleted: [old],
    });
    expect(await deletedBy(home, [...APPLY, "--backup-retention", "9d"])).toMatchObject({
      stdout: expect.stringContaining("deleted 1 store backup\n"),
      deleted: [backups[0]],
    });
  });

  it("uses the time of the last change of a backup whose name has none", async () => {
    const home = quietHome();
    const folder = dirname(storeIn(home));
    layOut(folder, { "sessions.json.bak.old": "1", "sessions.json.bak.new": "1" });
    setAge(join(folder, "sessions.json.bak.old"), 10 * DAY);
    const { deleted } = await deletedBy(home, [...APPLY, ...AGES]);
    expect(deleted).toEqual(["sessions.json.bak.old"]);
  });

  it("deletes locks of dead processes with --apply, and no lock of a live one", async () => {
    const home = quietHome();
    const folder = dirname(storeIn(home));
    layOut(folder, {
      "a.jsonl.lock": DEAD_LOCK,
      "b.jsonl.lock": lockPayload(),
      "c.lock": DEAD_LOCK,
      "sessions.json.lock": DEAD_LOCK,
    });
    for (const name of ["a.jsonl.lock", "c.lock", "sessions.json.lock"]) {
      setAge(join(folder, name), DAY);
    }
    const { stdout } = await command(home);
    expect(stdout).toContain("A sweep would delete 2 dead locks.");
    const { deleted } = await deletedBy(home, APPLY);
    expect(deleted).toEqual(["a.jsonl.lock", "sessions.json.lock"]);
  });

  it("deletes only regular files of the exact names, and follows no link", async () => {
    const home = quietHome();
    const elsewhere = join(home, "elsewhere");
    const stamp = archiveName("", daysAgo(30));
    layOut(dirname(storeIn(home)), {
      "live.jsonl": "1",
      [`x.jsonl${stamp}.0a.zst`]: "1",
      [`x.jsonl${stamp}~`]: "1",
      [`x.reset.${stamp.slice(9)}`]: "1",
      [`folder.jsonl${stamp}`]: { dir: true },
      [`link.jsonl${stamp}`]: { symlink: elsewhere },
      [`link.jsonl${stamp.replace("deleted", "reset")}`]: { symlink: elsewhere },
      "sessions.json.bak": "1",
      [`sub/x.jsonl${stamp}`]: "1",
      "../elsewhere.jsonl": "1",
    });
    layOut(home, { elsewhere: "1" });
    expect(await deletedBy(home, [...APPLY, ...AGES])).toMatchObject({ code: 0, deleted: [] });
  });

  it("deletes nothing beside a store that cannot be read or whose retention is unknown", async () => {
    for (const [config, store] of [
      ["{}", "[]"],
      ['{"cron": {"sessionRetention": "soon"}}', "{}"],
    ]) {
      const home = homeWith({ main: store });
      layOut(home, { ".openclaw/openclaw.json": config });
      layOut(dirname(storeIn(home)), oldFiles());
      expect(await deletedBy(home, [...APPLY, ...AGES])).toMatchObject({ code: 1, deleted: [] });
    }
  });

  it("deletes nothing beside a damaged store that is not swept, because runs are kept forever", async () => {
    const home = homeWith({ main: '{"agent:main:main": {"sessionId": "m' });
    layOut(home, { ".openclaw/openclaw.json": '{"cron": {"sessionRetention": false}}' });
    layOut(dirname(storeIn(home)), oldFiles());
    for (const args of [AGES, ["--reset-retention", "9d"], ["--backup-retention", "9d"]]) {
      const { code, stdout, stderr, deleted } = await deletedBy(home, [...APPLY, ...args]);
      expect({ code, stdout, deleted }).toEqual({ code: 1, stdout: "", deleted: [] });
      expect(stderr).toContain("sessions.json:1:37: invalid JSON");
    }
    const before = treeOf(home);
    const { child, shows, ended } = startCommand(home, [...APPLY, "--watch", "1s", ...AGES]);
    await shows("sessions.json:1:37: invalid JSON");
    child.kill("SIGTERM");
    await ended;
    expect(treeOf(home)).toEqual(before);
  });

  it("deletes nothing because of another file beside a damaged store", async () => {
    const files = { "copy.json": "{}", other: "{}", ...oldFiles() };
    for (const name of ["copy.json", "other"]) {
      const home = homeWith({ main: '{"agent' });
      const folder = dirname(storeIn(home));
      layOut(folder, files);
      const path = join(folder, name);
      for (const age of AGES.filter((word) => word.startsWith("--"))) {
        const args = ["--retention", "1h", age, "9d", path];
        for (const all of [args, [...APPLY, ...args]]) {
          const { code, stderr, deleted } = await deletedBy(home, all);
          expect({ code, deleted }).toEqual({ code: 1, deleted: [] });
          expect(stderr).toContain("sessions.json:1:8: invalid JSON");
          expect(stderr).toContain(`sed -n '1p' '${storeIn(home)}'`);
        }
      }
    }
  });

  it("deletes nothing beside several stores of which one is damaged", async () => {
    const home = temporaryFolder();
    const config = { session: { store: join(home, "data/{agentId}.json") } };
    layOut(home, {
      ".openclaw/openclaw.json": JSON.stringify(config),
      "data/a.json": JSON.stringify(smallStore()),
      "data/b.json": "[]",
      "data/c.json": "{}",
    });
    layOut(join(home, "data"), oldFiles());
    for (const args of [[], ["--details"], ["--list"], APPLY, [...APPLY, "--json"]]) {
      const { code, stderr, deleted } = await deletedBy(home, [...args, ...AGES]);
      expect({ code, deleted }).toEqual({ code: 1, deleted: [] });
      expect(stderr).not.toMatch(/TypeError|undefined/);
    }
    const { stdout } = await command(home, AGES);
    expect(stdout).toMatch(/data\/a\.json +\d+ B +2 +1 +–$/m);
    expect(stdout).toMatch(/^2 stores, 1 failed, .*, 1 expired; a sweep would free 0 B\.$/m);
  });

  it("sweeps no store beside a damaged one, whose references are unknown", async () => {
    const home = temporaryFolder();
    const config = { session: { store: join(home, "data/{agentId}.json") } };
    layOut(home, {
      ".openclaw/openclaw.json": JSON.stringify(config),
      "data/a.json": JSON.stringify(smallStore()),
      "data/a.jsonl": "1",
      "data/b.json": `{"agent:b:x": {} "agent:b:main": {"sessionId": "a"}}`,
      [`data/${archiveName("x.jsonl", daysAgo(30))}`]: "1",
    });
    const preview = await command(home);
    expect(preview).toMatchObject({ code: 1, stderr: expect.stringContaining("data/b.json:1:") });
    expect(preview.stdout).toContain("a sweep would free 0 B.");
    const before = treeOf(home);
    for (const args of [APPLY, [...APPLY, "--details"], [...APPLY, join(home, "data/a.json")]]) {
      const isOther = args.at(-1).endsWith("a.json");
      if (isOther) {
        layOut(home, { "data/sessions.json": "[" });
      }
      const { code, stdout, stderr } = await command(home, args);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain(isOther ? "data/sessions.json:1:" : "a.json: ");
    }
    expect(treeOf(home)).toEqual({ ...before, "data/sessions.json": "[" });
    const { child, shows, ended } = startCommand(home, [...APPLY, "--watch", "1s"]);
    await shows("data/sessions.json:1:");
    child.kill("SIGTERM");
    await ended;
    expect(treeOf(home)).toEqual({ ...before, "data/sessions.json": "[" });
  });

  it("does not delete a store that was named because its name is that of another's backup", async () => {
    const home = homeWith({ main: smallStore() });
    const backups = [30, 40].map((days) => `sessions.json.bak.${daysAgo(days)}`);
    const files = backups.map((name) => [name, JSON.stringify({ [runKey(3)]: recent("d") })]);
    layOut(dirname(storeIn(home)), Object.fromEntries(files));
    const paths = [storeIn(home), join(dirname(storeIn(home)), backups[0])];
    const args = ["--retention", "1h", "--backup-retention", "9d", ...paths];
    const { stdout } = await command(home, ["--list", ...args]);
    expect(stdout.match(/^ +backup .*/gm)).toEqual([expect.stringContaining(backups[1])]);
    await command(home, [...APPLY, ...args]);
    expect(backups.map((name) => existsSync(join(dirname(storeIn(home)), name)))).toEqual([
      true,
      false,
    ]);
  });

  it("reports what was deleted although the sweep fails", async () => {
    const home = homeWith({ main: smallStore() });
    const folder = dirname(storeIn(home));
    layOut(folder, { [reset(30)]: "1", "sessions.json.lock": { dir: true } });
    expect(await deletedBy(home, [...APPLY, "--reset-retention", "9d"])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("deleted 1 reset\n  1 B freed\n"),
      stderr: expect.stringContaining("sessions.json.lock, found a directory"),
      deleted: [expect.stringContaining(".reset.")],
    });
  });

  it("keeps archives if runs are kept forever, and deletes resets", async () => {
    const home = quietHome();
    layOut(home, { ".openclaw/openclaw.json": '{"cron": {"sessionRetention": false}}' });
    const old = reset(30);
    layOut(dirname(storeIn(home)), { [archiveName("x.jsonl", daysAgo(30))]: "1", [old]: "1" });
    expect((await deletedBy(home, [...APPLY, ...AGES])).deleted).toEqual([old]);
  });

  it("does not archive a transcript that a backup references which is deleted afterwards", async () => {
    const home = homeWith({ main: smallStore() });
    const folder = dirname(storeIn(home));
    const backup = `sessions.json.bak.${daysAgo(30)}`;
    layOut(folder, { [backup]: JSON.stringify({ chat: { sessionId: "a" } }) });
    await command(home, [...APPLY, ...AGES]);
    expect(Object.keys(treeOf(folder))).toEqual(["a.jsonl", "b.jsonl", "c.jsonl", "sessions.json"]);
  });
});

it("is aborted, not failed, by a signal that came before", async () => {
  const aborted = contentsOf(storeIn(quietHome()), [], AbortSignal.abort("SIGINT"));
  await expect(aborted).rejects.toMatchObject({ code: "ABORT_ERR" });
});

describe("the folder of a gateway with a database", () => {
  const imported =
    "session-sqlite-import-archive/legacy-store.sessions.json.imported-1795713975172";

  it("frees archives, resets and backups by age, and dead temp files and locks, and nothing else", async () => {
    const old = [
      archiveName("x.jsonl", daysAgo(30)),
      reset(30),
      `sessions.json.bak.${daysAgo(30)}`,
      GATEWAY_TEMP,
      "x.jsonl.lock",
    ];
    const home = migratedHome({
      ...Object.fromEntries(old.map((name) => [`sessions/${name}`, "12345"])),
      "sessions/x.jsonl.lock": DEAD_LOCK,
      "sessions/live.jsonl": "1",
      [`sessions/${archiveName("x.jsonl", daysAgo(30))}.0a1b.zst`]: "1",
      [`agent/${archiveName("x.jsonl", daysAgo(30))}`]: "1",
      [`session-sqlite-import-archive/${archiveName("x.jsonl", daysAgo(30))}`]: "1",
      [imported]: "{}",
    });
    const sessions = join(home, ".openclaw/agents/main/sessions");
    setAge(join(sessions, GATEWAY_TEMP), 5 * HOUR);
    setAge(join(sessions, "x.jsonl.lock"), 5 * HOUR);

    const { stdout } = await command(home, ["--json", ...AGES]);
    const [{ freeable }] = JSON.parse(stdout).stores;
    const announced = freeable.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(announced).toBe(20 + DEAD_LOCK.length);

    const done = await deletedBy(home, [...APPLY, ...AGES]);
    expect(done).toMatchObject({ code: 0, deleted: [...old].sort() });
    expect(done.stdout).toContain(`\n  ${announced} B freed\n`);
    expect((await deletedBy(home, [...APPLY, ...AGES])).stdout).toContain("nothing expired");
  });

  it("keeps a temp file that is newer than the store that was migrated", async () => {
    const home = migratedHome({ [`sessions/${GATEWAY_TEMP}`]: "1", [imported]: "{}" });
    setAge(join(home, ".openclaw/agents/main/sessions", GATEWAY_TEMP), 5 * HOUR);
    setAge(join(home, ".openclaw/agents/main", imported), 6 * HOUR);
    const { stdout } = await command(home);
    expect(stdout).toMatch(/temp files .* openclaw sessions cleanup --enforce$/m);
    expect((await deletedBy(home, [...APPLY, ...AGES])).deleted).toEqual([]);
  });

  it("may be a link; without a database, the backups behind it are kept", async () => {
    const old = [reset(30), `sessions.json.bak.${daysAgo(30)}`];
    for (const [database, deleted] of [
      [{ "agent/openclaw-agent.sqlite": "SQLite format 3\0" }, old],
      [{}, old.slice(0, 1)],
    ]) {
      const home = temporaryFolder();
      layOut(join(home, "disk"), Object.fromEntries(old.map((name) => [name, "1"])));
      layOut(join(home, ".openclaw/agents/main"), {
        ...database,
        sessions: { symlink: join(home, "disk") },
      });
      const { code, stderr } = await command(home, [...APPLY, ...AGES]);
      expect(code).toBe(0);
      expect(stderr).not.toContain("✗");
      const left = Object.keys(treeOf(join(home, "disk")));
      expect(old.filter((name) => !left.includes(name))).toEqual(deleted);
    }
  });

  it("accepts a database without a sessions folder", async () => {
    const home = migratedHome({});
    for (const args of [[], ["--list"], [...APPLY, "--json", "--list"]]) {
      const { code, stdout } = await command(home, [...args, ...AGES]);
      expect(code).toBe(0);
      expect(stdout).toMatch(/database \(SQLite\)|"class": "database"/);
    }
  });
});

const isRoot = process.getuid?.() === 0 && process.platform === "linux";

describe.skipIf(!isRoot)("as root", () => {
  it("does not delete through another user's link", async () => {
    const home = temporaryFolder();
    chmodSync(home, 0o755);
    const [a, b] = [12_001, 12_002];
    const old = archiveName("x.jsonl", daysAgo(30));
    layOut(home, {
      [`b/sessions/${old}`]: "1",
      "a/agents/main/agent/openclaw-agent.sqlite": "SQLite format 3\0",
      "a/agents/main/sessions": { symlink: join(home, "b/sessions") },
    });
    const owned = [
      [b, "b", "b/sessions", `b/sessions/${old}`],
      [a, "a", "a/agents", "a/agents/main", "a/agents/main/agent"],
    ];
    for (const [uid, ...paths] of owned) {
      for (const path of paths) chownSync(join(home, path), uid, uid);
    }
    spawnSync("chown", ["-h", `${a}:${a}`, join(home, "a/agents/main/sessions")]);
    chmodSync(join(home, "b/sessions"), 0o700);

    const { code, stderr } = await command(home, [...APPLY, ...AGES, join(home, "a")]);

    expect(code).toBe(1);
    expect(stderr).toContain(`permission denied with the rights of uid ${a}`);
    expect(existsSync(join(home, "b/sessions", old))).toBe(true);
  });
});

/** Mounts an empty file system of 3 MB. Returns whether that succeeded. */
function mountDisk(folder) {
  const args = ["-t", "tmpfs", "-o", "size=3m", "reaper-test", folder];
  return spawnSync("mount", args).status === 0;
}

function canMountDisk() {
  const folder = mkdtempSync(join(tmpdir(), "reaper-mount-"));
  const isMounted = isRoot && mountDisk(folder);
  if (isMounted) {
    spawnSync("umount", ["-l", folder]);
  }
  rmdirSync(folder);
  return isMounted;
}

/** Creates a disk with a store of 1.4 MB, the files and `free` bytes of free space. */
function fullDisk(free, files) {
  const home = temporaryFolder();
  const disk = join(home, "disk");
  mkdirSync(disk);
  expect(mountDisk(disk)).toBe(true);
  onTestFinished(() => void spawnSync("umount", ["-l", disk]));
  const text = "x".repeat(20_000);
  const entries = Array.from({ length: 70 }, (_, at) =>
    at < 30
      ? [runKey(at), { ...expired(`r${at}`, Date.now()), text }]
      : [`agent:main:chat:${at}`, { sessionId: `c${at}`, text }],
  );
  const store = join(disk, "sessions.json");
  layOut(disk, { "sessions.json": JSON.stringify(Object.fromEntries(entries)), ...files });
  // What fits is written before the error.
  const fill = join(disk, "fill");
  expect(() => writeFileSync(fill, "f".repeat(3_000_000))).toThrow("ENOSPC");
  truncateSync(fill, statSync(fill).size - free);
  return { home, disk, store };
}

describe.skipIf(!canMountDisk())("on a full disk", () => {
  it("deletes the archives that the preview announces, and sweeps", async () => {
    const archive = archiveName("x.jsonl", daysAgo(30));
    const young = archiveName("y.jsonl", Date.now());
    const files = { [archive]: "z".repeat(1_200_000), [young]: "1", "r1.jsonl": "1" };
    const { home, disk, store } = fullDisk(0, files);
    const args = ["--retention", "1h", store];
    const [{ preview }] = JSON.parse((await command(home, ["--json", ...args])).stdout).stores;
    expect(preview.archives.removed).toBe(1);
    const never = await command(home, [...APPLY, "--archive-retention", "never", ...args]);
    expect(never).toMatchObject({ code: 1, stderr: expect.stringContaining("ENOSPC") });
    expect(existsSync(join(disk, archive))).toBe(true);

    const { code, stdout, stderr } = await command(home, [...APPLY, ...args]);

    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("removed 30 runs, archived 1 transcript, deleted 1 old archive\n");
    expect([archive, young].map((name) => existsSync(join(disk, name)))).toEqual([false, true]);
  });

  it("names the lock file for which there is no space, and deletes no temp file without it", async () => {
    const { home, disk, store } = fullDisk(0, { [GATEWAY_TEMP]: "z".repeat(1_200_000) });
    setAge(join(disk, GATEWAY_TEMP), 30 * DAY);
    const args = [...APPLY, "--retention", "1h", store];
    const { code, stderr } = await command(home, args);
    expect(code).toBe(1);
    expect(stderr).toContain(
      `deleted only with the lock ${store}.lock, for which there is no space.`,
    );
    expect(stderr).toContain("Delete or move any other file on this disk");
    expect(existsSync(join(disk, GATEWAY_TEMP))).toBe(true);

    // What the advice asks for.
    truncateSync(join(disk, "fill"), statSync(join(disk, "fill")).size - 4096);
    const after = await command(home, args);
    expect(after).toMatchObject({ code: 0, stderr: "" });
    expect(after.stdout).toContain("removed 30 runs, deleted 1 leftover temp file\n");
  });

  it("keeps archives if only a backup that is deleted first keeps the transcripts", async () => {
    const archive = archiveName("x.jsonl", daysAgo(30));
    const backup = JSON.stringify({ chat: { sessionId: "r1", text: "z".repeat(1_200_000) } });
    const name = `sessions.json.bak.${daysAgo(30)}`;
    const files = { [name]: backup, [archive]: "1", "r1.jsonl": "1" };
    const { home, disk, store } = fullDisk(100_000, files);
    const args = [...APPLY, "--retention", "1h", "--backup-retention", "7d", store];
    const { code, stdout } = await command(home, args);
    expect(code).toBe(0);
    expect(stdout).toContain("removed 30 runs, archived 1 transcript, deleted 1 store backup\n");
    expect([archive, name].map((it) => existsSync(join(disk, it)))).toEqual([true, false]);
  });

  it("prints what a sweep deleted before it failed", async () => {
    const { home, disk, store } = fullDisk(100_000, { [GATEWAY_TEMP]: "zz" });
    setAge(join(disk, GATEWAY_TEMP), 30 * DAY);
    const { code, stderr } = await command(home, [...APPLY, "--retention", "1h", store]);
    expect(code).toBe(1);
    expect(stderr.split("deleted 1 leftover temp file (2 bytes)")).toHaveLength(2);
    expect(existsSync(join(disk, GATEWAY_TEMP))).toBe(false);
  });

  it("keeps archives if the sweep archives no transcript", async () => {
    const archive = archiveName("x.jsonl", daysAgo(30));
    const { home, disk, store } = fullDisk(0, { [archive]: "z".repeat(1_200_000) });
    const { code, stderr } = await command(home, [...APPLY, "--retention", "1h", store]);
    expect(code).toBe(1);
    expect(stderr).toContain("--archive-retention, --reset-retention and --backup-retention");
    expect(existsSync(join(disk, archive))).toBe(true);
  });

  it.each([
    ["an old archive", archiveName("x.jsonl", daysAgo(30)), ["--archive-retention", "7d"]],
    ["an old backup", `sessions.json.bak.${daysAgo(30)}`, ["--backup-retention", "7d"]],
    ["a leftover temp file", GATEWAY_TEMP, []],
  ])("sweeps after it has deleted %s", async (_, name, ages) => {
    // Enough for a lock file, but not for a store.
    const { home, disk, store } = fullDisk(100_000, { [name]: "z".repeat(1_200_000) });
    const plain = await command(home, [...APPLY, "--retention", "1h", store]);
    expect(plain).toMatchObject({ code: 1, stderr: expect.stringContaining("ENOSPC") });
    setAge(join(disk, name), 30 * DAY);
    const { code, stdout, stderr } = await command(home, [
      ...[...APPLY, "--retention", "1h", ...ages],
      store,
    ]);

    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(
      /removed 30 runs, deleted 1 (old archive|store backup|leftover temp file)\n/,
    );
    expect(existsSync(join(disk, name))).toBe(false);
  });
});

describe.skipIf(!hasScript)("the question", () => {
  it("names the stores, the counts and what cannot be undone", async () => {
    const stores = Object.fromEntries(
      ["a", "b", "c", "d", "e"].map((agent) => [agent, smallStore()]),
    );
    const home = homeWith(stores);
    layOut(dirname(storeIn(home, "a")), { [archiveName("x.jsonl", daysAgo(30))]: "1" });
    const { child, shows, ended } = onTerminal(home, ["--apply"]);
    await shows("[y/N]");
    child.stdin.write("n\n");
    const { stdout } = await ended;
    expect(stdout.replace(/\s+/g, " ")).toContain(
      "This concerns a, b, c and 2 more. It removes 5 runs, archives 5 transcripts. " +
        "It deletes 1 old archive permanently. ",
    );
    expect(stdout).toMatch(/Sweep 5 stores and free \d+ B\?/);
  });

  it("is not about a store that is refused, because its retention is unknown", async () => {
    const home = homeWith({ main: smallStore() });
    layOut(home, { ".openclaw/openclaw.json": "{}" });
    const store = { ...smallStore(), chat: { text: "x".repeat(5000) } };
    layOut(home, { "copy/sessions.json": JSON.stringify(store), "copy/a.jsonl": "{}" });
    const paths = [join(home, ".openclaw"), join(home, "copy")];
    const { child, shows, ended } = onTerminal(home, ["--apply", "--list", ...paths]);
    await shows("[y/N]");
    child.stdin.write("n\n");
    const { stdout } = await ended;
    const [, announced] = /a sweep would free (\d+ B)\./.exec(stdout);
    expect(stdout).toContain(`Sweep 1 store and free ${announced}?`);
    expect(stdout.match(/--apply would remove or archive/g)).toHaveLength(1);
  });

  it("counts the folders without a store, whose files are freed as well", async () => {
    const home = homeWith({ main: smallStore() });
    layOut(home, { [`.openclaw/agents/left/sessions/${reset(30)}`]: "1" });
    const { child, shows, ended } = onTerminal(home, ["--apply", "--reset-retention", "9d"]);
    await shows("[y/N]");
    child.stdin.write("n\n");
    expect((await ended).stdout).toContain("Sweep 1 store, clean up 1 other folder and free ");
  });

  it("shows a preview before it asks whether to watch", async () => {
    const home = homeWith({ main: smallStore() });
    const args = ["--apply", "--watch", "1h", join(home, ".openclaw"), join(home, "missing")];
    const { child, shows, ended } = onTerminal(home, args);
    await shows("without asking again?");
    child.stdin.write("n\n");
    expect((await ended).stdout).toMatch(
      /missing does not exist[\s\S]*A sweep would remove 1 run[\s\S]*Sweep every 1 h without asking again\?/,
    );
  });
});

describe("--watch", () => {
  it("deletes by age after each sweep, and reports it", async () => {
    const home = quietHome();
    const folder = dirname(storeIn(home));
    const args = [...APPLY, "--watch", "1s", "--reset-retention", "9d"];
    const { child, shows, ended } = startCommand(home, args);
    await shows("Sweeping every 1 s.");
    layOut(folder, { [reset(30)]: "1" });
    await shows("deleted 1 reset: 1 B freed");
    child.kill("SIGTERM");
    expect((await ended).code).toBe(0);
    expect(Object.keys(treeOf(folder))).toEqual(["a.jsonl", "sessions.json"]);
  });
});

describe.skipIf(!isRoot)("the preview of a user who must not write", () => {
  const USER = { uid: 12_001, gid: 12_001 };

  it.each([
    ["in the folder", 0o755, 12_001, "sessions: EACCES: permission denied; run it as the gateway"],
    ["a store of this owner", 0o777, 12_002, "sessions.json cannot be preserved; run it as"],
  ])("says that --apply would fail: %s", async (_, mode, owner, message) => {
    const home = homeWith({ main: smallStore() });
    chmodSync(home, 0o755);
    chmodSync(dirname(storeIn(home)), mode);
    chmodSync(storeIn(home), 0o644);
    chownSync(storeIn(home), owner, owner);
    const args = ["--retention", "2h", storeIn(home)];
    const preview = await command(home, args, USER);
    expect(preview).toMatchObject({ code: 0, stderr: expect.stringContaining(message) });
    expect((await command(home, [...APPLY, ...args], USER)).code).toBe(1);
    // Nothing is due, so nothing fails.
    const quiet = await command(home, ["--retention", "7d", storeIn(home)], USER);
    expect(quiet).toMatchObject({ code: 0, stderr: "" });
  });
});

describe.skipIf(!isRoot)("--watch in a folder with another user's files", () => {
  it("reports once that one cannot be deleted", async () => {
    const home = quietHome();
    const folder = dirname(storeIn(home));
    const [own, foreign] = [reset(20), reset(30)];
    layOut(folder, { [foreign]: "1" });
    chmodSync(home, 0o755);
    chmodSync(folder, 0o1777);
    chownSync(storeIn(home), 12_001, 12_001);
    const args = [...APPLY, "--watch", "1s", "--reset-retention", "9d", storeIn(home)];
    const { child, output, shows, ended } = start(
      process.execPath,
      [main, ...args, "--retention", "7d"],
      { env: environment(home), uid: 12_001, gid: 12_001 },
    );
    await shows(`cannot delete ${join(folder, foreign)}: EPERM`);
    // Reported in a later sweep than the failure.
    layOut(folder, { [own]: "1" });
    chownSync(join(folder, own), 12_001, 12_001);
    await shows("deleted 1 reset");
    child.kill("SIGTERM");
    await ended;
    expect(output.stderr.match(/cannot delete/g)).toHaveLength(1);
    expect(existsSync(join(folder, foreign))).toBe(true);
  });
});

describe("the options", () => {
  it("refuses an age without a unit or below a minute, and --list with --watch", async () => {
    const home = quietHome();
    for (const [args, message] of [
      [["--reset-retention", "7"], "--reset-retention 7: add a unit; do you mean 7d or 7h?"],
      [["--backup-retention", "0h"], "--backup-retention 0h: write at least 1m"],
      [["--backup-retention", "never"], "--backup-retention never: not a duration"],
      [[...APPLY, "--list", "--watch", "5m"], "--list cannot be used with --watch"],
    ]) {
      const { code, stderr } = await command(home, args);
      expect(code).toBe(2);
      expect(stderr).toContain(message);
    }
  });

  it("names with --list what would be removed, with control characters escaped", async () => {
    const home = homeWith({
      main: { [runKey(1, "\x1b[31m")]: expired("a", Date.now()) },
      work: smallStore(),
    });
    const { stdout } = await command(home, ["--list"]);
    expect(stdout).toContain("run         agent:main:cron:\\u{1b}[31m:run:1\n");
    expect(stdout).toContain("transcript  ~/.openclaw/agents/work/sessions/a.jsonl\n");
    const { stdout: json } = await command(home, ["--list", "--json"]);
    expect(JSON.parse(json).stores[0].removals).toEqual({
      runs: [runKey(1, "\x1b[31m")],
      transcripts: [join(dirname(storeIn(home)), "a.jsonl")],
      archives: [],
      resets: [],
      backups: [],
      temps: [],
      locks: [],
    });
  });
});
