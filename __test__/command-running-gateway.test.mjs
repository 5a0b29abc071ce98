// The command beside a running gateway, which it finds by the gateway's own lock files.

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import {
  archiveName,
  command,
  environment,
  HOUR,
  hasScript,
  homeWith,
  layOut,
  main,
  onTerminal,
  readStore,
  replaceStore,
  setAge,
  smallStore,
  start,
  startTime,
  storeIn,
  treeOf,
  until,
} from "./fixtures/index.mjs";

const LOCK_FOLDER = process.platform === "win32" ? "openclaw" : `openclaw-${process.getuid()}`;
const SWEEP = ["--apply", "--yes"];

/** Creates the home folder of a gateway of a version; without one, of an unknown version. */
function homeOf(version, agents = ["main"]) {
  const home = homeWith(Object.fromEntries(agents.map((agent) => [agent, smallStore()])));
  const meta = version && { lastTouchedVersion: version };
  layOut(home, { ".openclaw/openclaw.json": JSON.stringify({ meta }), "tmp/x": "" });
  return home;
}

const configIn = (home) => join(home, ".openclaw/openclaw.json");

/** Writes a lock file as a gateway does, in its temporary folder or in `folder`. Returns its path. */
function lockGateway(home, payload, folder = "tmp") {
  const configPath = payload?.configPath ?? configIn(home);
  const hash = createHash("sha256").update(configPath).digest("hex").slice(0, 8);
  const name = payload?.stateDir ? "gateway.state.lock" : `gateway.${hash}.lock`;
  const path = join(home, folder, LOCK_FOLDER, name);
  mkdirSync(dirname(path), { recursive: true });
  const createdAt = new Date().toISOString();
  writeFileSync(path, payload ? JSON.stringify({ createdAt, configPath, ...payload }) : "");
  return path;
}

/** The payload of a live process, by default this one. */
const alive = (pid = process.pid) => ({ pid, startTime: startTime(pid) });

/** Returns the variables that name the gateway's temporary folder: TEMP and TMP on Windows. */
function temporaryIn(home) {
  const folder = join(home, "tmp");
  return { TMPDIR: folder, TEMP: folder, TMP: folder };
}

/** Runs the command with the gateway's temporary folder. */
function inHome(home, args, env) {
  return command(home, args, { env: { ...temporaryIn(home), ...env } });
}

/** Runs --apply. Returns "swept" or stderr, and checks that nothing changed if nothing was swept. */
async function applied(home, args = [], env = {}) {
  const before = treeOf(home);
  const { code, stdout, stderr } = await inHome(home, [...SWEEP, ...args], env);
  if (stdout.includes("removed 1 run")) {
    expect(code).toBe(0);
    expect(stderr.replace(/^! no gateway found on .*\n/, "")).toBe("");
    return "swept";
  }
  expect(code).toBe(1);
  expect(treeOf(home)).toEqual(before);
  return stderr;
}

/** Starts a process that runs until the test ends. */
function startProcess(program, args, options) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"], ...options });
  onTestFinished(() => child.kill("SIGKILL"));
  return child;
}

/** Returns the pid of a process that has ended and that its parent has not awaited. */
async function zombie() {
  const stdio = ["ignore", "pipe", "ignore", "pipe"];
  const parent = startProcess("sh", ["-c", "cat <&3 & echo $!; exec sleep 600 3<&-"], { stdio });
  const [text] = await once(parent.stdout, "data");
  const of = (pid, name) => readFileSync(`/proc/${pid}/${name}`, "utf8");
  // The shell would await its child.
  await until("the parent is not a shell", () => of(parent.pid, "comm") === "sleep\n");
  parent.stdio[3].end();
  const pid = Number(text);
  await until("the process is a zombie", () => / Z /.test(of(pid, "stat")));
  return pid;
}

describe("beside a running gateway that does not lock its store", () => {
  it("refuses --apply, names the gateway and the solution, and modifies nothing", async () => {
    for (const version of ["2026.5.2", "2026.5.28", "2026.7.1-2", "2026.7.35"]) {
      const home = homeOf(version);
      const lock = lockGateway(home, alive());
      expect(await applied(home)).toBe(
        `✗ a gateway is running on ${home}/.openclaw (pid ${process.pid} in ${lock}), and gateway ${version} does not lock its stores, so that removed runs would reappear; sweep inside the gateway (cron-session-reaper/register), or stop the gateway before the sweep\n`,
      );
      expect(await applied(home, ["--retention", "1d", "--offline"])).toContain("is running on");
      rmSync(lock);
      expect(await applied(home)).toBe("swept");
    }
  });

  it("announces that nothing would be freed, and reports the reason once for all stores", async () => {
    const home = homeOf("2026.7.35", ["a", "b", "c"]);
    lockGateway(home, alive());
    const { code, stdout, stderr } = await inHome(home, []);
    expect(code).toBe(0);
    expect(stdout).not.toContain("Run again");
    expect(stdout).toMatch(/^a +\d+ B +2 +1 +–$/m);
    expect(stdout).toContain(
      "3 expired; a sweep would free 0 B; --apply is refused for 3 stores: a gateway is running.\n",
    );
    expect(stderr).toMatch(/^! a gateway is running on .*\n$/);
    expect((await applied(home)).match(/is running on/g)).toHaveLength(1);
    const { stores } = JSON.parse((await inHome(home, ["--json"])).stdout);
    expect(stores.map(({ refusal }) => refusal)).toEqual(Array(3).fill(stores[0].refusal));
    expect(stores.map(({ inspection }) => inspection.runs.expired)).toEqual([1, 1, 1]);
    expect(stores.map(({ preview }) => preview)).toEqual([undefined, undefined, undefined]);
    expect(stores[0].refusal).toContain("is running on");
  });

  it("finds it in the state folder, by its environment and by its configuration", async () => {
    const home = homeOf("2026.7.35");
    const state = join(home, ".openclaw");
    const elsewhere = join(home, "config/mine.json");
    layOut(home, { "config/mine.json": readFileSync(configIn(home)) });
    const gatewayWith = (variables) => {
      const env = { ...environment(home), ...variables };
      return alive(startProcess("sleep", ["600"], { env, cwd: home }).pid);
    };
    const byConfiguration = { OPENCLAW_CONFIG_PATH: elsewhere };
    for (const [payload, folder, variables] of [
      [alive(), ".openclaw/tmp"],
      [{ ...alive(), stateDir: state, configPath: elsewhere }],
      [{ ...alive(), stateDir: `${state}/../.openclaw`, role: "gateway" }],
      [{ ...alive(), configPath: elsewhere }, undefined, byConfiguration],
      ...(process.platform === "linux"
        ? [
            [{ ...gatewayWith({ OPENCLAW_STATE_DIR: "~/.openclaw" }), configPath: elsewhere }],
            [{ ...gatewayWith({ OPENCLAW_STATE_DIR: ".openclaw" }), configPath: elsewhere }],
            // The command is not given the variable of the gateway's service.
            [{ ...gatewayWith(byConfiguration), configPath: elsewhere }],
            // If the environment does not match, the configuration may.
            [gatewayWith({ OPENCLAW_STATE_DIR: "elsewhere" })],
          ]
        : []),
    ]) {
      const lock = lockGateway(home, payload, folder);
      expect(await applied(home, [], variables)).toContain(`pid ${payload.pid} in ${lock}`);
      rmSync(lock);
    }
    expect(await applied(home)).toBe("swept");
  });

  it.skipIf(!hasScript)("checks again after the question", async () => {
    const home = homeOf("2026.7.35");
    const before = treeOf(home);
    const env = temporaryIn(home);
    const { child, shows, ended } = onTerminal(home, ["--apply"], env);
    await shows("Sweep 1 store and free");
    const lock = lockGateway(home, alive());
    child.stdin.write("y\n");
    const { code, stdout } = await ended;
    expect(code).toBe(1);
    expect(stdout).toContain("a gateway is running on");
    rmSync(dirname(lock), { recursive: true });
    expect(treeOf(home)).toEqual(before);
  });

  it("pauses --watch while the gateway runs, and reports it once", async () => {
    const home = homeOf("2026.7.35");
    const lock = lockGateway(home, alive());
    const watch = start(process.execPath, [main, ...SWEEP, "--watch", "1s"], {
      env: environment(home, temporaryIn(home)),
    });
    await watch.shows("a gateway is running on");
    expect(Object.keys(readStore(storeIn(home)))).toHaveLength(3);
    rmSync(lock);
    await watch.shows("removed 1 run");
    await watch.shows("no gateway found on");
    lockGateway(home, alive());
    await until("the gateway is reported again", () => {
      return watch.output.stderr.match(/is running on/g).length === 2;
    });
    replaceStore(storeIn(home), smallStore());
    watch.child.kill("SIGTERM");
    expect((await watch.ended).code).toBe(0);
    expect(Object.keys(readStore(storeIn(home)))).toHaveLength(3);
  });
});

describe("the preview of a store that is not swept", () => {
  it.each([
    ["2026.7.35", "a gateway is running", "while the gateway is stopped"],
    ["2026.8.3", "its gateway keeps the sessions in SQLite", "after openclaw doctor --fix"],
  ])("announces what --apply does, which is nothing: gateway %s", async (version, why, when) => {
    const home = homeOf(version);
    lockGateway(home, alive());
    const then = Date.now() - 40 * 24 * HOUR;
    layOut(dirname(storeIn(home)), {
      [archiveName("x.jsonl", then).replace(".deleted.", ".reset.")]: "1",
      "x.jsonl.lock": '{"pid":4194999,"createdAt":"2026-03-01T12:00:00.000Z","starttime":1}',
    });
    setAge(join(dirname(storeIn(home)), "x.jsonl.lock"), HOUR);
    const ages = ["--reset-retention", "1d", "--archive-retention", "1d"];
    const { code, stdout } = await inHome(home, ages);
    expect(code).toBe(0);
    expect(stdout).toContain(
      `--apply would be refused and free nothing: ${why}. 1 run is expired.\n`,
    );
    expect(stdout).not.toMatch(/would (remove|free \d)|Run again|--apply (frees|archives)/);
    expect(stdout).toMatch(new RegExp(`resets .*--apply --reset-retention <time>, ${when}$`, "m"));
    expect(stdout).toMatch(new RegExp(`dead locks .*--apply, ${when}$`, "m"));
    const { stores } = JSON.parse((await inHome(home, ["--json", "--list", ...ages])).stdout);
    expect(stores[0].freeable).toEqual([]);
    expect(Object.values(stores[0].removals).flat()).toEqual([]);
    expect(await applied(home, ages)).not.toBe("swept");
  });
});

describe("a lock file that no running gateway holds", () => {
  const dead = () => spawnSync(process.execPath, ["-e", ""]).pid;

  it("does not prevent a sweep, which says that no gateway was found", async () => {
    const payloads = [
      { pid: dead(), startTime: 1 },
      { ...alive(), role: "node" },
      { ...alive(), stateDir: "/elsewhere" },
      { ...alive(), configPath: "/elsewhere/openclaw.json" },
      { pid: "1" },
    ];
    if (process.platform === "linux") {
      payloads.push({ pid: await zombie() }, { pid: process.pid, startTime: 1 });
    }
    for (const payload of payloads) {
      const home = homeOf("2026.7.35");
      const lock = lockGateway(home, payload);
      setAge(lock, HOUR);
      const { code, stdout, stderr } = await inHome(home, SWEEP);
      expect({ code, stderr }).toEqual({
        code: 0,
        stderr: `! no gateway found on ${home}/.openclaw (last: 2026.7.35)\n`,
      });
      expect(stdout).toContain("removed 1 run");
    }
  });

  it("is ignored under other names", async () => {
    const home = homeOf("2026.7.35");
    const lock = lockGateway(home, alive());
    const text = readFileSync(lock);
    rmSync(lock);
    for (const name of ["gateway.lock", "gateway.0123abcd.lock.sqlite", "node.0123abcd.lock"]) {
      writeFileSync(join(dirname(lock), name), text);
    }
    expect(await applied(home)).toBe("swept");
  });
});

describe("a gateway about which something is unknown", () => {
  const UNKNOWN = "cannot determine whether a gateway is running on";

  it("requires --offline while a lock file is being written", async () => {
    const home = homeOf("2026.7.35");
    const lock = lockGateway(home, undefined);
    expect(await applied(home)).toBe(
      `✗ ${UNKNOWN} ${home}/.openclaw: ${lock} is being written; if none is running, pass --offline\n`,
    );
    setAge(lock, HOUR);
    expect(await applied(home)).toBe("swept");
  });

  it("requires --offline if a lock file cannot be read", async () => {
    const home = homeOf("2026.7.35");
    const lock = lockGateway(home, alive());
    rmSync(lock);
    mkdirSync(lock);
    expect(await applied(home)).toContain(`${UNKNOWN} ${home}/.openclaw: cannot read ${lock}`);
    expect(await applied(home, ["--offline"])).toBe("swept");
  });

  it("requires --offline if its version is unknown and it is running", async () => {
    for (const version of [undefined, "nightly"]) {
      const home = homeOf(version);
      const lock = lockGateway(home, alive());
      expect(await applied(home)).toContain(
        `✗ a gateway of unknown version is running on ${home}/.openclaw (pid ${process.pid} in ${lock})`,
      );
      expect(await applied(home, ["--offline"])).toBe("swept");
    }
    expect(await applied(homeOf(undefined))).toBe("swept");
  });

  it("accepts --offline only with --apply", async () => {
    const { code, stderr } = await inHome(homeOf(undefined), ["--offline"]);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: "cron-session-reaper: --offline requires --apply\n",
    });
  });
});

describe("other gateways", () => {
  it("sweeps beside a running gateway that locks its store", async () => {
    for (const version of ["2026.2.23", "2026.4.29"]) {
      const home = homeOf(version);
      lockGateway(home, alive());
      const { code, stderr } = await inHome(home, SWEEP);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(Object.keys(readStore(storeIn(home)))).toHaveLength(2);
    }
  });

  it("does not sweep what a gateway with SQLite left behind", async () => {
    const database = { ".openclaw/agents/main/agent/openclaw-agent.sqlite": "" };
    for (const [version, files] of [
      ["2026.8.1", {}],
      ["2026.9.6", database],
      ["2026.7.2-beta.1", {}],
      [undefined, database],
    ]) {
      const home = homeOf(version);
      layOut(home, files);
      expect(await applied(home, ["--offline"])).toBe(
        `✗ ${storeIn(home)} is not swept: ${version ? `gateway ${version}` : "a gateway from 2026.8.1 on"} keeps the sessions of its state folder in SQLite; "openclaw doctor --fix" migrates what is left in it\n`,
      );
      expect((await inHome(home, [])).code).toBe(0);
    }
    // An agent's database from before a downgrade.
    const home = homeOf("2026.7.35");
    layOut(home, database);
    expect(await applied(home)).toBe("swept");
  });
});
