// docs/service.md: its files are valid, and the programs in them accept their arguments.

import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  environment,
  homeWith,
  layOut,
  main,
  root,
  run,
  smallStore,
  start,
  temporaryFolder,
} from "./fixtures/index.mjs";

const page = readFileSync(join(root, "docs/service.md"), "utf8");
const blocks = (language) =>
  [...page.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, kind]) => kind === language)
    .map(([, , text]) => text);
/** The unit files by path, which is in their first line. */
const units = Object.fromEntries(
  blocks("ini").map((text) => [/^# (\S+)\n/.exec(text)[1], text.replace(/^.*\n/, "")]),
);
const [plist] = blocks("xml");
const register = `file://${join(root, "register.mjs")}`;
const withOwnPaths = (text) =>
  text
    .replaceAll("/usr/local/bin/cron-session-reaper", main)
    .replaceAll("file:///usr/local/lib/node_modules/cron-session-reaper/register.mjs", register);

const works = (program, args) => spawnSync(program, args).status === 0;
const hasSystemd = works("systemd-analyze", ["--version"]);
const hasPython = works("python3", ["-c", "import plistlib"]);

/** Runs a command with the arguments of a service until it sweeps. */
async function startsSweeping(args) {
  const home = homeWith({ main: smallStore() });
  const { child, shows, ended } = start(process.execPath, args, { env: environment(home) });
  await shows("removed 1 run");
  child.kill("SIGTERM");
  expect(await ended).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^Sweeping every 5/),
  });
}

describe("the systemd units", () => {
  it("has one for a user, one for the system, and a drop-in for the gateway's", () => {
    expect(Object.keys(units)).toEqual([
      "~/.config/systemd/user/openclaw-gateway.service.d/cron-session-reaper.conf",
      "~/.config/systemd/user/cron-session-reaper.service",
      "/etc/systemd/system/cron-session-reaper.service",
    ]);
  });

  it.skipIf(!hasSystemd)("are accepted by systemd, without a warning", () => {
    const folder = temporaryFolder();
    const gateway =
      "[Unit]\nDescription=OpenClaw Gateway\n[Service]\nExecStart=/bin/true\nRestart=always\n[Install]\nWantedBy=default.target\n";
    layOut(folder, { "openclaw-gateway.service": gateway });
    const fileOf = (path) => path.replace(/^.*?\/systemd\/(user|system)\//, "");
    const names = Object.entries(units).map(([path, text], at) => {
      // The user "openclaw" does not exist here, and two of the units have the same name.
      const own = withOwnPaths(text).replace(/^User=.*$/m, "User=root");
      const name = fileOf(path).replace(/^cron-session-reaper\.service/, `reaper-${at}.service`);
      layOut(folder, { [name]: own });
      return name;
    });
    const services = ["openclaw-gateway.service", ...names.filter((it) => it.endsWith("service"))];
    const { status, stdout, stderr } = spawnSync("systemd-analyze", ["verify", ...services], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, SYSTEMD_UNIT_PATH: `${folder}:` },
    });
    const about = (text) => text.split("\n").filter((line) => /reaper|openclaw/.test(line));
    expect({ status, about: about(stdout + stderr) }).toEqual({ status: 0, about: [] });
  });

  it("run the command with arguments that it accepts", async () => {
    const lines = Object.values(units).flatMap((text) => text.match(/^ExecStart=.*$/gm) ?? []);
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      const [, ...args] = line.replace("ExecStart=", "").split(" ");
      await startsSweeping([main, ...args]);
    }
  });

  it("do not restart the command after wrong usage", async () => {
    const { code } = await run(process.execPath, [main, "--no-such-option"]);
    for (const text of Object.values(units).slice(1)) {
      expect(/^RestartPreventExitStatus=(.*)$/m.exec(text)[1].split(" ")).toContain(String(code));
    }
  });

  it("let the command find a running gateway", () => {
    const system = units["/etc/systemd/system/cron-session-reaper.service"];
    expect(system).toContain("PrivateTmp=no\n");
    expect(system).toContain("ProtectProc=default\n");
    expect(system).not.toMatch(/PrivatePIDs|ProcSubset|InaccessiblePaths/);
  });
});

describe("the gateway's service", () => {
  it("loads the native sweep by the drop-in's NODE_OPTIONS", async () => {
    const [dropIn] = Object.values(units);
    const [, options] = /^Environment="NODE_OPTIONS=(.*)"$/m.exec(withOwnPaths(dropIn));
    await expectLoads({ NODE_OPTIONS: options });
  });

  it.skipIf(process.platform === "win32")(
    "loads it by the wrapper, with other options",
    async () => {
      const folder = temporaryFolder();
      const [text] = blocks("sh").filter((text) => text.startsWith("#!/bin/sh"));
      const wrapper = join(folder, "wrapper");
      // In place of the gateway: a program that prints what it receives.
      const program =
        "console.log(JSON.stringify([process.argv.slice(2), process.execArgv, process.env.NODE_OPTIONS]))";
      mkdirSync(join(folder, "bin"));
      writeFileSync(join(folder, "gateway.mjs"), program);
      writeFileSync(
        join(folder, "bin/openclaw"),
        `#!/bin/sh\nexec '${process.execPath}' '${join(folder, "gateway.mjs")}' "$@"\n`,
      );
      writeFileSync(wrapper, withOwnPaths(text));
      for (const path of [wrapper, join(folder, "bin/openclaw")]) chmodSync(path, 0o755);
      const { code, stdout, stderr } = await run(wrapper, ["gateway", "--port", "18789"], {
        env: { PATH: `${folder}/bin:${process.env.PATH}`, NODE_OPTIONS: "--no-deprecation" },
      });
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const [args, , options] = JSON.parse(stdout);
      expect(args).toEqual(["gateway", "--port", "18789"]);
      expect(options).toBe(`--import ${register} --no-deprecation`);
      await expectLoads({ NODE_OPTIONS: options });
    },
  );

  /** Expects that a gateway which is started with these variables reports its replacement. */
  async function expectLoads(env) {
    const folder = temporaryFolder();
    const bundle =
      "//#region src/cron/session-reaper.ts\nasync function sweepCronRunSessions(params) {}\n//#endregion\n";
    const entry = join(folder, "node_modules/openclaw/gateway.js");
    layOut(dirname(entry), {
      "package.json": '{"name":"openclaw","version":"2026.3.2","type":"module"}',
      "gateway.js": bundle,
    });
    const { code, stderr } = await run(process.execPath, [entry], {
      env: { PATH: process.env.PATH, ...env },
    });
    expect(code).toBe(0);
    expect(stderr).toContain("cron-session-reaper: ");
    expect(stderr).toContain("openclaw 2026.3.2");
  }
});

describe("the launchd agent", () => {
  it.skipIf(!hasPython)("is a valid property list with the command's arguments", async () => {
    const read =
      "import json, plistlib, sys; json.dump(plistlib.loads(sys.stdin.buffer.read()), sys.stdout)";
    const { status, stdout, stderr } = spawnSync("python3", ["-c", read], {
      input: plist,
      encoding: "utf8",
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const agent = JSON.parse(stdout);
    expect(agent).toMatchObject({ Label: "cron-session-reaper", RunAtLoad: true, Umask: 0o077 });
    const [node, program, ...args] = agent.ProgramArguments;
    expect([node, program].every((path) => path.startsWith("/"))).toBe(true);
    expect(program.endsWith("/cron-session-reaper/cli/main.mjs")).toBe(true);
    await startsSweeping([main, ...args]);
  });
});

describe("the shell commands", () => {
  it.skipIf(process.platform === "win32")("are valid", async () => {
    for (const text of blocks("sh")) {
      expect(await run("sh", ["-n", "-c", text])).toEqual({ code: 0, stdout: "", stderr: "" });
    }
  });
});
