// cron-session-reaper/register with synthetic gateways: a package named openclaw whose bundle contains
// one reaper, and a copy of the package that knows its fingerprint. interop/ tests published gateways.

import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { addFingerprint, layOut, root, runNode, temporaryFolder } from "./fixtures/index.mjs";

// Without it the hooks run in a separate thread, which does not see CommonJS.
const hasSyncHooks = typeof (await import("node:module")).registerHooks === "function";

const reaper = ({ body = 'return "its own";', region = "src/cron/session-reaper.ts" } = {}) => `
//#region ${region}
const EVERY = 5;
async function sweepCronRunSessions(params) {
  ${body}
}
//#endregion
`;
const BUNDLE = `${reaper()}export const run = (params) => sweepCronRunSessions(params);\n`;
const PROGRAM = `
import fs from "node:fs";
const { run } = await import("./dist/chunk.js");
fs.writeFileSync("sessions.json", '{"agent:main:cron:j:run:1": {}, "a": 1}');
const lines = [];
const log = { info: (_, line) => lines.push(line), warn: (_, line) => lines.push(line), debug() {}, error() {} };
const result = await run({ sessionStorePath: "sessions.json", log, force: true });
console.log(JSON.stringify([result, lines.length, fs.readFileSync("sessions.json", "utf8").includes("cron")]));
`;
const ITS_OWN = ["its own", 0, true];
const NATIVE = [{ swept: true, pruned: 1 }, 1, false];

/** Installs the package with the fingerprint of the synthetic reaper; returns the path of register. */
function installed(folder, { addon = true } = {}) {
  const copy = join(folder, "node_modules", "cron-session-reaper");
  mkdirSync(copy, { recursive: true });
  for (const name of readdirSync(root)) {
    if (
      /^(index|load|binding)\.js$|^register\.mjs$|^package\.json$/.test(name) ||
      (addon && name.endsWith(".node"))
    ) {
      copyFileSync(join(root, name), join(copy, name));
    }
  }
  cpSync(join(root, "swap-in"), join(copy, "swap-in"), { recursive: true });
  addFingerprint(copy, BUNDLE);
  return join(copy, "register.mjs");
}

function gateway(
  files = {},
  { name = "openclaw", version = "2026.3.2", type = "module", ...options } = {},
) {
  const folder = temporaryFolder();
  const register = installed(folder, options);
  const program = join(folder, "node_modules", "openclaw", "openclaw.mjs");
  layOut(dirname(program), {
    "package.json": JSON.stringify({ name, version, type }),
    "dist/chunk.js": BUNDLE,
    "openclaw.mjs": PROGRAM,
    ...files,
  });
  return { folder, register, program };
}

async function runGateway(
  { folder, program, register },
  { option = register, env = {}, args = [program] } = {},
) {
  const { code, stdout, stderr } = await runNode(args, {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: `--import ${option}`, ...env },
  });
  return { code, printed: code === 0 && stdout ? JSON.parse(stdout) : stdout, stderr };
}

describe("a gateway of a supported version", () => {
  it("replaces the reaper of a supported gateway and prints one line", async () => {
    const { code, printed, stderr } = await runGateway(gateway());
    expect(printed).toEqual(NATIVE);
    expect(stderr).toMatch(
      /^cron-session-reaper: sweeps in place of the reaper in dist.chunk\.js of openclaw 2026\.3\.2\n$/,
    );
    expect(code).toBe(0);
  });

  it("loads register by the package's name, by its path and by its URL", async () => {
    const made = gateway();
    for (const option of [
      "cron-session-reaper/register",
      made.register,
      pathToFileURL(made.register).href,
    ]) {
      expect((await runGateway(made, { option })).printed, option).toEqual(NATIVE);
    }
  });

  it("does not modify the gateway's files", async () => {
    const made = gateway();
    await runGateway(made);
    expect(readFileSync(join(dirname(made.program), "dist/chunk.js"), "utf8")).toBe(BUNDLE);
  });

  it("replaces the reaper once if register is loaded from two places", async () => {
    const made = gateway();
    const other = installed(temporaryFolder());
    const { printed, stderr } = await runGateway(made, {
      option: `${made.register} --import ${other}`,
    });
    expect(printed).toEqual(NATIVE);
    expect(stderr.split("\n")).toHaveLength(2);
  });

  it("preserves the line numbers of the gateway's bundle", async () => {
    const thrower = `${BUNDLE}export const where = () => new Error().stack;\n`;
    const program = `const { where } = await import("./dist/chunk.js"); console.log(JSON.stringify(where().match(/chunk\\.js:(\\d+)/)[1]));`;
    const made = gateway({ "dist/chunk.js": thrower, "openclaw.mjs": program });
    expect((await runGateway(made)).stderr).toContain("sweeps in place");
    const unaffected = await runGateway(made, { env: { NODE_OPTIONS: "" } });
    expect((await runGateway(made)).printed).toBe(unaffected.printed);
  });

  it("supports a correction release of a supported version", async () => {
    expect((await runGateway(gateway({}, { version: "2026.3.23-2" }))).printed).toEqual(NATIVE);
  });

  it("replaces the reaper in a worker thread", async () => {
    const program = `
      import { Worker } from "node:worker_threads";
      new Worker(new URL("./work.mjs", import.meta.url));
    `;
    const made = gateway({ "openclaw.mjs": program, "work.mjs": PROGRAM });
    expect(await runGateway(made)).toMatchObject({ code: 0, printed: NATIVE });
  });

  it("replaces the reaper of a CommonJS bundle if Node.js has synchronous hooks", async () => {
    const chunk = `${reaper()}exports.run = (params) => sweepCronRunSessions(params);\n`;
    const made = gateway({ "dist/chunk.js": chunk }, { type: "commonjs" });
    expect((await runGateway(made)).printed).toEqual(hasSyncHooks ? NATIVE : ITS_OWN);
    const required = gateway(
      {
        "dist/chunk.js": chunk,
        "openclaw.mjs": `import { createRequire } from "node:module";\n${PROGRAM.replace("await import(", "createRequire(import.meta.url)(")}`,
      },
      { type: "commonjs" },
    );
    expect((await runGateway(required)).printed).toEqual(hasSyncHooks ? NATIVE : ITS_OWN);
  });

  it("replaces the reaper of a checkout in a folder with another name", async () => {
    const made = gateway();
    layOut(made.folder, {
      "app/package.json": JSON.stringify({
        name: "openclaw",
        version: "2026.4.15",
        type: "module",
      }),
      "app/dist/package.json": JSON.stringify({ type: "module" }),
      "app/dist/chunk.js": BUNDLE,
      "app/openclaw.mjs": PROGRAM,
    });
    expect(
      (await runGateway(made, { args: [join(made.folder, "app/openclaw.mjs")] })).printed,
    ).toEqual(NATIVE);
  });
});

describe("an unsupported gateway", () => {
  it.each(["2026.2.22", "2026.2.23-beta.1", "2026.4.30", "2026.5.2", "2027.3.2", "3.2", "x"])(
    "leaves a gateway of version %s unmodified and prints one line",
    async (version) => {
      const { printed, stderr } = await runGateway(gateway({}, { version }));
      expect(printed).toEqual(ITS_OWN);
      expect(stderr).toBe(
        `cron-session-reaper: openclaw ${version} is not one of the versions it is meant for (2026.2.23 to 2026.4.29); nothing is replaced\n`,
      );
    },
  );

  it.each([
    ["two reapers in one file", `{${reaper()}}${BUNDLE}`, /has 2 reapers instead of one/],
    ["another function body", BUNDLE.replace("its own", "its own "), /is not one that it knows/],
    [
      "another constant in its module",
      BUNDLE.replace("EVERY = 5", "EVERY = 6"),
      /is not one that it knows/,
    ],
    [
      "other parameters",
      BUNDLE.replace("sessions(params)", "sessions(params, more)").replace(
        "Sessions(params) {",
        "Sessions(params, more) {",
      ),
      /is not one that it knows/,
    ],
    [
      "another module name",
      BUNDLE.replace("cron/session-reaper.ts", "cron/reaper.ts"),
      /is not one that it knows/,
    ],
    [
      "a bundle without region comments",
      BUNDLE.replace(/\/\/#.*\n/g, ""),
      /is not one that it knows/,
    ],
  ])("leaves a gateway with %s unmodified and prints one line", async (_, bundle, line) => {
    const { code, printed, stderr } = await runGateway(gateway({ "dist/chunk.js": bundle }));
    expect([printed[1], printed[2]]).toEqual([0, true]);
    expect(stderr).toMatch(line);
    expect(stderr).toMatch(/; nothing is replaced\n$/);
    expect(stderr.split("\n")).toHaveLength(2);
    expect(code).toBe(0);
  });

  it("leaves the gateway unmodified and prints one line if the native addon cannot be loaded", async () => {
    const { printed, stderr } = await runGateway(gateway({}, { addon: false }));
    expect(printed).toEqual(ITS_OWN);
    expect(stderr).toMatch(
      /^cron-session-reaper: the native addon cannot be loaded .*nothing is replaced in dist.chunk\.js/,
    );
  });
});

describe("a process that is not affected", () => {
  it("does and prints nothing with CRON_SESSION_REAPER=off", async () => {
    const { printed, stderr } = await runGateway(gateway(), {
      env: { CRON_SESSION_REAPER: "off" },
    });
    expect(printed).toEqual(ITS_OWN);
    expect(stderr).toBe("");
  });

  it("does and prints nothing in a package with another name", async () => {
    const { printed, stderr } = await runGateway(gateway({}, { name: "openclaw-plugin" }));
    expect(printed).toEqual(ITS_OWN);
    expect(stderr).toBe("");
  });

  it("does and prints nothing in a package with an invalid package.json", async () => {
    for (const manifest of ["{}", "[]", "null", "{", '{"name":5}']) {
      const made = gateway({ "dist/package.json": manifest, "openclaw.mjs": "console.log(1)" });
      expect(await runGateway(made), manifest).toEqual({ code: 0, printed: 1, stderr: "" });
    }
  });

  it("does and prints nothing in other programs, and does not load the addon", async () => {
    const made = gateway();
    const addons = "Object.keys(require.cache).filter((name) => name.endsWith('.node')).length";
    for (const [printed, ...args] of [
      [1, "-e", "console.log(1)"],
      [1, "--input-type=module", "-e", "import 'node:fs'; console.log(1)"],
      [0, "-p", addons],
    ]) {
      expect(await runGateway(made, { args })).toEqual({ code: 0, printed, stderr: "" });
    }
  });

  it("adds nothing to the error of a program that fails", async () => {
    const made = gateway({ "openclaw.mjs": 'import "./dist/gone.js";' });
    const { code, stderr } = await runGateway(made);
    expect(code).toBe(1);
    expect(stderr).toContain("ERR_MODULE_NOT_FOUND");
    expect(stderr).not.toContain("cron-session-reaper:");
  });
});
