// cron-session-reaper/register beside made-up gateways: a package of the name with a bundle that holds
// one function of the reaper's name, whose fingerprint a copy of the package is told. The published
// gateways have their turn in interop/.

import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { fingerprintOf } from "../swap-in/replace.js";
import { layOut, temporaryFolder } from "./fixtures/folder.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
// Without it hooks run in a thread of their own, which sees less.
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

/** The package as it is installed, but that it knows the made-up reaper. */
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
  const known = join(copy, "swap-in", "gateways.json");
  const gateways = JSON.parse(readFileSync(known, "utf8"));
  gateways.fingerprints.push(fingerprintOf(BUNDLE));
  writeFileSync(known, JSON.stringify(gateways));
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

function start(
  { folder, program, register },
  { option = register, env = {}, args = [program] } = {},
) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: `--import ${option}`, ...env },
  });
  return { status, printed: status === 0 && stdout ? JSON.parse(stdout) : stdout, said: stderr };
}

describe("a gateway of a version that it is meant for", () => {
  it("is swept natively, and one line says so", () => {
    const { status, printed, said } = start(gateway());
    expect(printed).toEqual(NATIVE);
    expect(said).toMatch(
      /^cron-session-reaper: replaced the reaper in dist.chunk\.js of openclaw 2026\.3\.2 with the native sweep\n$/,
    );
    expect(status).toBe(0);
  });

  it("is found by the package's bare name, by its path and by its address", () => {
    const made = gateway();
    for (const option of [
      "cron-session-reaper/register",
      made.register,
      pathToFileURL(made.register).href,
    ]) {
      expect(start(made, { option }).printed, option).toEqual(NATIVE);
    }
  });

  it("keeps its files as they are", () => {
    const made = gateway();
    start(made);
    expect(readFileSync(join(dirname(made.program), "dist/chunk.js"), "utf8")).toBe(BUNDLE);
  });

  it("is swept natively when the module is loaded twice, or from two places", () => {
    const made = gateway();
    const other = installed(temporaryFolder());
    const { printed, said } = start(made, { option: `${made.register} --import ${other}` });
    expect(printed).toEqual(NATIVE);
    expect(said.split("\n")).toHaveLength(2);
  });

  it("keeps the numbers of its lines", () => {
    const thrower = `${BUNDLE}export const where = () => new Error().stack;\n`;
    const program = `const { where } = await import("./dist/chunk.js"); console.log(JSON.stringify(where().match(/chunk\\.js:(\\d+)/)[1]));`;
    const made = gateway({ "dist/chunk.js": thrower, "openclaw.mjs": program });
    expect(start(made).said).toContain("replaced the reaper");
    expect(start(made).printed).toBe(start(made, { env: { NODE_OPTIONS: "" } }).printed);
  });

  it("may be a correction of that version", () => {
    expect(start(gateway({}, { version: "2026.3.23-2" })).printed).toEqual(NATIVE);
  });

  it("is swept natively in a worker thread too", () => {
    const program = `
      import { Worker } from "node:worker_threads";
      new Worker(new URL("./work.mjs", import.meta.url));
    `;
    const made = gateway({ "openclaw.mjs": program, "work.mjs": PROGRAM });
    expect(start(made)).toMatchObject({ status: 0, printed: NATIVE });
  });

  it("can be a bundle in CommonJS where hooks see it, and runs as ever where they do not", () => {
    const chunk = `${reaper()}exports.run = (params) => sweepCronRunSessions(params);\n`;
    const made = gateway({ "dist/chunk.js": chunk }, { type: "commonjs" });
    expect(start(made).printed).toEqual(hasSyncHooks ? NATIVE : ITS_OWN);
    const required = gateway(
      {
        "dist/chunk.js": chunk,
        "openclaw.mjs": `import { createRequire } from "node:module";\n${PROGRAM.replace("await import(", "createRequire(import.meta.url)(")}`,
      },
      { type: "commonjs" },
    );
    expect(start(required).printed).toEqual(hasSyncHooks ? NATIVE : ITS_OWN);
  });

  it("can be a checkout whose folder has another name", () => {
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
    expect(start(made, { args: [join(made.folder, "app/openclaw.mjs")] }).printed).toEqual(NATIVE);
  });
});

describe("a gateway is left as it is, and one line says so,", () => {
  it.each(["2026.2.22", "2026.2.23-beta.1", "2026.4.30", "2026.5.2", "2027.3.2", "3.2", "x"])(
    "of version %s",
    (version) => {
      const { printed, said } = start(gateway({}, { version }));
      expect(printed).toEqual(ITS_OWN);
      expect(said).toBe(
        `cron-session-reaper: openclaw ${version} is not supported (only 2026.2.23 to 2026.4.29); using the gateway's own reaper\n`,
      );
    },
  );

  it.each([
    ["with two reapers in one file", `{${reaper()}}${BUNDLE}`, /found 2 reapers in .*, expected one/],
    ["with another body", BUNDLE.replace("its own", "its own "), /has an unknown fingerprint/],
    [
      "with another constant near it",
      BUNDLE.replace("EVERY = 5", "EVERY = 6"),
      /has an unknown fingerprint/,
    ],
    [
      "with other parameters",
      BUNDLE.replace("sessions(params)", "sessions(params, more)").replace(
        "Sessions(params) {",
        "Sessions(params, more) {",
      ),
      /has an unknown fingerprint/,
    ],
    [
      "in another module",
      BUNDLE.replace("cron/session-reaper.ts", "cron/reaper.ts"),
      /has an unknown fingerprint/,
    ],
    ["without the bundler's marks", BUNDLE.replace(/\/\/#.*\n/g, ""), /has an unknown fingerprint/],
  ])("%s", (_, bundle, line) => {
    const { status, printed, said } = start(gateway({ "dist/chunk.js": bundle }));
    expect([printed[1], printed[2]]).toEqual([0, true]);
    expect(said).toMatch(line);
    expect(said).toMatch(/; using the gateway's own reaper\n$/);
    expect(said.split("\n")).toHaveLength(2);
    expect(status).toBe(0);
  });

  it("where the native addon cannot be loaded", () => {
    const { printed, said } = start(gateway({}, { addon: false }));
    expect(printed).toEqual(ITS_OWN);
    expect(said).toMatch(
      /^cron-session-reaper: the native addon cannot be loaded .*using the gateway's own reaper in dist.chunk\.js/,
    );
  });
});

describe("nothing is done, and nothing said,", () => {
  it("with CRON_SESSION_REAPER=off", () => {
    const { printed, said } = start(gateway(), { env: { CRON_SESSION_REAPER: "off" } });
    expect(printed).toEqual(ITS_OWN);
    expect(said).toBe("");
  });

  it("in a package of another name", () => {
    const { printed, said } = start(gateway({}, { name: "openclaw-plugin" }));
    expect(printed).toEqual(ITS_OWN);
    expect(said).toBe("");
  });

  it("in a package without a version, a name or sense", () => {
    for (const manifest of ["{}", "[]", "null", "{", '{"name":5}']) {
      const made = gateway({ "dist/package.json": manifest, "openclaw.mjs": "console.log(1)" });
      expect(start(made), manifest).toEqual({ status: 0, printed: 1, said: "" });
    }
  });

  it("in processes that are no gateway", () => {
    const made = gateway();
    expect(start(made, { args: ["-e", "console.log(1)"] })).toEqual({
      status: 0,
      printed: 1,
      said: "",
    });
    expect(
      start(made, { args: ["--input-type=module", "-e", "import 'node:fs'; console.log(1)"] }),
    ).toEqual({ status: 0, printed: 1, said: "" });
    expect(
      start(made, {
        args: ["-p", "Object.keys(require.cache).filter((name) => name.endsWith('.node')).length"],
      }),
    ).toEqual({ status: 0, printed: 0, said: "" });
  });

  it("to what fails in the program itself", () => {
    const made = gateway({ "openclaw.mjs": 'import "./dist/gone.js";' });
    const { status, said } = start(made);
    expect(status).toBe(1);
    expect(said).toContain("ERR_MODULE_NOT_FOUND");
    expect(said).not.toContain("cron-session-reaper:");
  });
});
