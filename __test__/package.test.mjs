// The packages as they are published: what is in them, and that they work where they are installed,
// without a compiler.

import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { folderOf, pack, platforms } from "../scripts/packages.mjs";
import { fingerprintOf } from "../swap-in/replace.js";
import { layOut, temporaryFolder } from "./fixtures/folder.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

const folder = realpathSync(mkdtempSync(join(tmpdir(), "reaper-test-")));
const installed = join(folder, "node_modules", manifest.name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** An environment in which nothing can be compiled: Node.js is all that is on the path. */
function withoutCompiler() {
  const bin = join(folder, "bin");
  if (!existsSync(bin)) {
    mkdirSync(bin);
    const node = process.platform === "win32" ? "node.exe" : "node";
    symlinkSync(process.execPath, join(bin, node));
  }
  return { ...process.env, PATH: bin };
}

function npm(cwd, ...args) {
  const options = { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] };
  if (process.platform === "win32") {
    return execFileSync("npm", args, { ...options, shell: true });
  }
  // By its path, so that it is found with nothing else on the path.
  const [program] = process.env.PATH.split(delimiter)
    .map((entry) => join(entry, "npm"))
    .filter((path) => existsSync(path));
  return execFileSync(process.execPath, [realpathSync(program), ...args], {
    ...options,
    env: withoutCompiler(),
  });
}

function install(where, ...tarballs) {
  layOut(where, { "package.json": "{}" });
  npm(where, "install", ...tarballs, "--offline", "--no-audit", "--no-fund");
}

function node(...args) {
  const options = { cwd: folder, encoding: "utf8", env: withoutCompiler() };
  return spawnSync(process.execPath, args, options);
}

describe("the packed package", () => {
  it("has what it needs and nothing else", () => {
    const [{ files }] = JSON.parse(npm(root, "pack", "--dry-run", "--json"));
    expect(files.map(({ path }) => path).sort()).toEqual([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "binding.d.ts",
      "binding.js",
      "cli/command.mjs",
      "cli/main.mjs",
      "cli/show.mjs",
      "cli/stores.mjs",
      "cli/text.mjs",
      "index.d.ts",
      "index.js",
      "load.js",
      "package.json",
      "register.d.ts",
      "register.mjs",
      "swap-in/gateways.json",
      "swap-in/loader.mjs",
      "swap-in/replace.js",
    ]);
  });

  it("runs nothing when it is installed", () => {
    expect(
      Object.keys(manifest.scripts).filter((name) =>
        /install|prepare|prepublish|^pre|^post/.test(name),
      ),
    ).toEqual([]);
    expect(manifest.dependencies).toBeUndefined();
  });

  it("has the version of the crate", () => {
    const crate = readFileSync(join(root, "Cargo.toml"), "utf8");
    expect(/^version = "(.+)"$/m.exec(crate)[1]).toBe(manifest.version);
  });
});

describe("the packages of the platforms", () => {
  it("are the ones that the loader asks for", () => {
    const loader = readFileSync(join(root, "binding.js"), "utf8");
    expect(platforms).toHaveLength(8);
    for (const { name, binary } of platforms) {
      expect(loader).toContain(`require('${manifest.name}-${name}')`);
      expect(loader).toContain(`require('./${binary}')`);
    }
  });

  it("lie in npm/ as they are written from package.json (node scripts/packages.mjs folders)", () => {
    expect(readdirSync(join(root, "npm")).sort()).toEqual(platforms.map(({ name }) => name).sort());
    for (const platform of platforms) {
      for (const [name, text] of Object.entries(folderOf(platform))) {
        const committed = readFileSync(join(root, "npm", platform.name, name), "utf8");
        expect(committed, `npm/${platform.name}/${name}`).toBe(text);
      }
    }
  });

  it("are not packed without their binaries", () => {
    const nothing = temporaryFolder();
    expect(() => pack(nothing, { binaries: nothing })).toThrow(
      /no binary in .* for darwin-x64, .*linux-arm64-musl; build them/,
    );
    expect(readdirSync(nothing)).toEqual([]);
  });
});

describe("installed from tarballs, with no compiler on the path", () => {
  let main;
  let packed;

  beforeAll(() => {
    const tarballs = pack(join(folder, "tarballs"), { binaries: root, some: true });
    expect(tarballs.length, "the addon is built").toBeGreaterThan(1);
    install(folder, ...tarballs);
    main = tarballs.at(-1);
    packed = platforms.filter(({ binary }) => existsSync(join(root, binary)));
    expect(packed).toHaveLength(tarballs.length - 1);
  });

  it("brings the license of each crate in a binary", () => {
    for (const { name, triple, binary } of packed) {
      const tarball = `tarballs/${manifest.name}-${name}-${manifest.version}.tgz`;
      execFileSync("tar", ["-xzf", tarball], { cwd: folder });
      const text = readFileSync(join(folder, "package", "THIRD-PARTY.md"), "utf8");
      rmSync(join(folder, "package"), { recursive: true });
      const titles = [...text.matchAll(/^## (.*)$/gm)].map(([, title]) => title);

      // What cargo itself says is linked, and what panics in the binary name.
      const options = ["--edges=normal,no-proc-macro", "--prefix=none", "--format={p}"];
      const tree = execFileSync(
        "cargo",
        ["tree", "--locked", "--offline", "--target", triple, ...options],
        { cwd: root, encoding: "utf8" },
      );
      const crates = [...tree.matchAll(/^(\S+) v(\S+)( \(\*\))?$/gm)].map(
        ([, crate, version]) => `${crate} ${version}`,
      );
      expect(titles).toEqual([
        "The standard library of Rust, and the crates in it",
        ...new Set(crates.sort()),
      ]);
      const addon = readFileSync(join(root, binary), "latin1");
      const named = [
        ...addon.matchAll(/[\\/]src[\\/][^\\/]+[\\/]([a-z][\w-]*)-(\d+\.\d+\.\d+)[\\/]src/g),
      ];
      expect(named.length).toBeGreaterThan(0);
      for (const [, crate, version] of named) expect(titles).toContain(`${crate} ${version}`);

      for (const section of text.split(/^## /m).slice(1)) {
        expect(section).toMatch(/Permission (is|to)/);
      }
    }
  });

  it("has nothing of this tree in it, and asks for the binary of each platform", () => {
    const own = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    expect(own).not.toHaveProperty("scripts");
    expect(own).not.toHaveProperty("devDependencies");
    expect(Object.keys(own.optionalDependencies)).toEqual(
      platforms.map(({ name }) => `${manifest.name}-${name}`).sort(),
    );
    expect(readdirSync(installed).filter((name) => name.endsWith(".node"))).toEqual([]);
  });

  it.skipIf(process.platform === "win32")("really has no compiler", () => {
    const compilers = `["cc", "gcc", "clang", "cargo", "rustc"].map((name) => require("node:child_process").spawnSync(name).error?.code)`;
    const { stdout } = node("-p", `JSON.stringify(${compilers})`);
    expect(JSON.parse(stdout)).toEqual(Array(5).fill("ENOENT"));
  });

  it("works from CommonJS and from an ECMAScript module", () => {
    const body = `
      const calls = [];
      const log = { info: (...args) => calls.push(args), warn: (...args) => calls.push(args), debug() {}, error() {} };
      resetReaperThrottle();
      sweepCronRunSessions({ sessionStorePath: "sessions.json", log, cronConfig: { sessionRetention: "2h" } })
        .then((result) => console.log(JSON.stringify([result, calls, resolveRetentionMs()])));
    `;
    const names = "{ resetReaperThrottle, resolveRetentionMs, sweepCronRunSessions }";
    const programs = {
      "use.cjs": `const ${names} = require("cron-session-reaper");${body}`,
      "use.mjs": `import ${names} from "cron-session-reaper";${body}`,
    };
    for (const [name, program] of Object.entries(programs)) {
      layOut(folder, {
        "sessions.json": '{"agent:main:cron:j:run:1": {}, "a": 1}',
        [name]: program,
      });
      const { stdout, stderr } = node(name);
      expect(stderr, name).toBe("");
      expect(JSON.parse(stdout), name).toEqual([
        { swept: true, pruned: 1 },
        [
          [
            { pruned: 1, retentionMs: 7_200_000 },
            "cron-reaper: pruned 1 expired cron run session(s)",
          ],
        ],
        86_400_000,
      ]);
    }
  });

  it("has its types", () => {
    const typed = `
      import { resolveRetentionMs, sweepCronRunSessions, type ReaperResult } from "cron-session-reaper";
      const log = { debug() {}, info() {}, warn() {}, error() {} };
      export const result: Promise<ReaperResult> = sweepCronRunSessions({ sessionStorePath: "s", log });
      export const ms: number | null = resolveRetentionMs({ sessionRetention: false });
      // @ts-expect-error: the types are there, and not any
      resolveRetentionMs(7);
    `;
    writeFileSync(join(folder, "use.mts"), typed);
    writeFileSync(join(folder, "use.cts"), typed);
    const compilerOptions = { strict: true, noEmit: true, module: "nodenext", types: [] };
    const files = ["use.mts", "use.cts"];
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    const { stdout, status } = node(join(root, "node_modules/typescript/bin/tsc"));
    expect([stdout, status]).toEqual(["", 0]);
  });

  it("takes the place of a gateway's reaper", () => {
    const bundle = `
//#region src/cron/session-reaper.ts
async function sweepCronRunSessions(params) {
  return "its own";
}
//#endregion
console.log(JSON.stringify(await sweepCronRunSessions({ sessionStorePath: "none.json", log: console })));
`;
    layOut(folder, {
      "node_modules/openclaw/package.json":
        '{"name":"openclaw","version":"2026.3.2","type":"module"}',
      "node_modules/openclaw/gateway.js": bundle,
    });
    // The made-up reaper becomes one that it knows.
    const known = join(installed, "swap-in", "gateways.json");
    const gateways = JSON.parse(readFileSync(known, "utf8"));
    gateways.fingerprints.push(fingerprintOf(bundle));
    writeFileSync(known, JSON.stringify(gateways));

    const program = join("node_modules", "openclaw", "gateway.js");
    expect(node(program).stdout).toBe('"its own"\n');
    const { stdout, stderr } = node("--import", "cron-session-reaper/register", program);
    expect(stdout).toBe('{"swept":true,"pruned":0}\n');
    expect(stderr).toContain("sweeps in place of the reaper in gateway.js of openclaw 2026.3.2");
  });

  it("has its command", () => {
    layOut(folder, { "sessions.json": '{"agent:main:cron:j:run:1": {}, "a": 1}' });
    const shown = execFileSync(join(folder, "node_modules", ".bin", manifest.name), ["."], {
      cwd: folder,
      encoding: "utf8",
      env: withoutCompiler(),
      shell: process.platform === "win32",
    });
    expect(shown).toContain("A sweep would remove 1 run.");
  });

  it("says what is missing where optional dependencies were left out", () => {
    const alone = temporaryFolder();
    install(alone, main, "--omit=optional");
    const use = `try { require("${manifest.name}") } catch (error) { console.log(error.code, error.message) }`;
    const said = execFileSync(process.execPath, ["-e", use], { cwd: alone, encoding: "utf8" });
    expect(said).toMatch(/^ERR_CRON_SESSION_REAPER_NO_BINARY .* is not installed\. Install again/);
  });
});
