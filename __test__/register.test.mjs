// cron-session-reaper/register with synthetic gateways: a package named openclaw whose bundle contains
// one reaper, and a copy of the package that knows its fingerprint. interop/ tests published gateways.

import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import {
  addFingerprint,
  layOut,
  root,
  runNode,
  STORE_BUNDLE,
  temporaryFolder,
} from "./fixtures/index.mjs";

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
  { option = pathToFileURL(register), env = {}, args = [program] } = {},
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
      /^cron-session-reaper: replaced the reaper in dist.chunk\.js of openclaw 2026\.3\.2 with the native sweep\n$/,
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
      option: `${pathToFileURL(made.register)} --import ${other}`,
    });
    expect(printed).toEqual(NATIVE);
    expect(stderr.split("\n")).toHaveLength(2);
  });

  it("preserves the line numbers of the gateway's bundle", async () => {
    const thrower = `${BUNDLE}export const where = () => new Error().stack;\n`;
    const program = `const { where } = await import("./dist/chunk.js"); console.log(JSON.stringify(where().match(/chunk\\.js:(\\d+)/)[1]));`;
    const made = gateway({ "dist/chunk.js": thrower, "openclaw.mjs": program });
    expect((await runGateway(made)).stderr).toContain("replaced the reaper");
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

describe("a gateway with a write queue", () => {
  const PROGRAM_WITH_CACHE = `
import fs from "node:fs";
import { calls, writeSessionStoreCache } from "./dist/store-1.js";
const { run } = await import("./dist/chunk.js");
const store = { "agent:main:cron:j:run:1": {}, "agent:main:cron:j:run:1:subagent:2": {}, "a": 1 };
fs.writeFileSync("sessions.json", JSON.stringify(store));
const { mtimeMs, size: sizeBytes } = fs.statSync("sessions.json");
writeSessionStoreCache({ store, mtimeMs, sizeBytes });
const log = { info() {}, warn() {}, debug() {}, error() {} };
const result = await run({ sessionStorePath: "sessions.json", log, force: true });
console.log(JSON.stringify([result, calls, Object.keys(store)]));
`;
  const files = { "dist/store-1.js": STORE_BUNDLE, "openclaw.mjs": PROGRAM_WITH_CACHE };
  const CORRECTED = ["write", "enter", "write", "drop snapshot", "leave"];

  it.each([
    ["2026.5.2", 1, ["agent:main:cron:j:run:1:subagent:2", "a"]],
    ["2026.5.12", 2, ["a"]],
    ["2026.7.35", 2, ["a"]],
  ])(
    "is swept inside its queue, and its cache is corrected (%s)",
    async (version, pruned, left) => {
      const { printed, stderr } = await runGateway(gateway(files, { version }));
      expect(printed).toEqual([{ swept: true, pruned }, CORRECTED, left]);
      expect(stderr).toMatch(
        /^cron-session-reaper: replaced the reaper in dist.chunk\.js of .*\n$/,
      );
    },
  );

  it.each([
    ["another writer", STORE_BUNDLE.replace("await fn()", "await fn(1)"), /writer has an unknown/],
    ["another cache", STORE_BUNDLE.replace("return true", "return !0"), /cache has an unknown/],
    [
      "no writer",
      STORE_BUNDLE.replace("runExclusiveSessionStoreWrite", "writeExclusively"),
      /found 0 modules of the session store's writer, expected one,/,
    ],
  ])("keeps its own reaper with %s and prints one line", async (_, bundle, line) => {
    const made = gateway({ ...files, "dist/store-1.js": bundle }, { version: "2026.6.11" });
    const { printed, stderr } = await runGateway(made);
    expect(printed.slice(0, 2)).toEqual(["its own", ["write"]]);
    expect(stderr).toMatch(line);
    expect(stderr.split("\n")).toHaveLength(2);
  });
});

describe("an unsupported gateway", () => {
  it.each([
    ["openclaw-cn", "2026.3.2"],
    ["@team/openclaw", "2026.6.11"],
  ])("keeps the reaper of the renamed package %s and prints one line", async (name, version) => {
    const { printed, stderr } = await runGateway(gateway({}, { name, version }));
    expect(printed).toEqual(ITS_OWN);
    expect(stderr).toBe(
      `cron-session-reaper: ${name} ${version} is not supported (only the package openclaw under this name is); using the gateway's own reaper; remove register from NODE_OPTIONS, or set CRON_SESSION_REAPER=off\n`,
    );
  });

  // Hooks in a separate thread cannot set a variable for the children of the process.
  it.skipIf(!hasSyncHooks)("prints one line for a process and its children", async () => {
    const program = `
      import { execFileSync } from "node:child_process";
      await import("./dist/chunk.js");
      const stdio = ["ignore", "pipe", "inherit"];
      console.log(process.argv[2] ?? String(execFileSync(process.execPath, [process.argv[1], "5"], { stdio })));
    `;
    const made = gateway({ "openclaw.mjs": program }, { version: "2026.9.6" });
    const { printed, stderr } = await runGateway(made);
    expect(printed).toBe(5);
    expect(stderr.split("\n")).toHaveLength(2);
  });

  it.each(["2026.2.22", "2026.2.23-beta.1", "2026.4.30", "2026.8.1", "2027.3.2", "3.2", "x"])(
    "leaves a gateway of version %s unmodified and prints one line",
    async (version) => {
      const { printed, stderr } = await runGateway(gateway({}, { version }));
      expect(printed).toEqual(ITS_OWN);
      expect(stderr).toBe(
        `cron-session-reaper: openclaw ${version} is not supported (only 2026.2.23 to 2026.4.29 and 2026.5.2 to 2026.7.35); using the gateway's own reaper; remove register from NODE_OPTIONS, or update cron-session-reaper\n`,
      );
    },
  );

  it.each([
    ["two reapers in one file", `{${reaper()}}${BUNDLE}`, /found 2 reapers in .*, expected one/],
    ["another function body", BUNDLE.replace("its own", "its own "), /has an unknown fingerprint/],
    [
      "another constant in its module",
      BUNDLE.replace("EVERY = 5", "EVERY = 6"),
      /has an unknown fingerprint/,
    ],
    [
      "other parameters",
      BUNDLE.replace("sessions(params)", "sessions(params, more)").replace(
        "Sessions(params) {",
        "Sessions(params, more) {",
      ),
      /has an unknown fingerprint/,
    ],
    [
      "another module name",
      BUNDLE.replace("cron/session-reaper.ts", "cron/reaper.ts"),
      /has an unknown fingerprint/,
    ],
    [
      "a bundle without region comments",
      BUNDLE.replace(/\/\/#.*\n/g, ""),
      /has an unknown fingerprint/,
    ],
  ])("leaves a gateway with %s unmodified and prints one line", async (_, bundle, line) => {
    const { code, printed, stderr } = await runGateway(gateway({ "dist/chunk.js": bundle }));
    expect([printed[1], printed[2]]).toEqual([0, true]);
    expect(stderr).toMatch(line);
    expect(stderr).toMatch(/; using the gateway's own reaper\n$/);
    expect(stderr.split("\n")).toHaveLength(2);
    expect(code).toBe(0);
  });

  it("leaves the gateway unmodified and prints one line if the native addon cannot be loaded", async () => {
    const { printed, stderr } = await runGateway(gateway({}, { addon: false }));
    expect(printed).toEqual(ITS_OWN);
    expect(stderr).toMatch(
      /^cron-session-reaper: the native addon cannot be loaded .*using the gateway's own reaper in dist.chunk\.js/,
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

  it("does and prints nothing in a package with a function of the same name", async () => {
    const bundle = BUNDLE.replace("cron/session-reaper.ts", "cron/sweep.ts");
    const made = gateway({ "dist/chunk.js": bundle }, { name: "openclaw-plugin" });
    const { printed, stderr } = await runGateway(made);
    expect(printed).toEqual(ITS_OWN);
    expect(stderr).toBe("");
  });

  it("prints nothing in an unsupported gateway that does not load its reaper", async () => {
    const made = gateway({ "openclaw.mjs": "console.log(1)" }, { version: "2026.9.6" });
    expect(await runGateway(made)).toEqual({ code: 0, printed: 1, stderr: "" });
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
