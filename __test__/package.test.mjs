// The published packages: their contents, and that they work where they are installed, without a
// compiler. Also the lock file of this repository.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
} from "node:fs";
import { delimiter, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { folderOf, pack, platforms } from "../scripts/packages.mjs";
import {
  addFingerprint,
  layOut,
  manifest,
  root,
  run,
  runNode,
  sharedFolder,
  temporaryFolder,
} from "./fixtures/index.mjs";

const folder = sharedFolder();
const installed = join(folder, "node_modules", manifest.name);

/** Returns an environment without a compiler: Node.js is the only program on the path. */
function withoutCompiler() {
  const bin = join(folder, "bin");
  if (!existsSync(bin)) {
    mkdirSync(bin);
    const node = process.platform === "win32" ? "node.exe" : "node";
    symlinkSync(process.execPath, join(bin, node));
  }
  return { ...process.env, PATH: bin };
}

async function npm(cwd, ...args) {
  if (process.platform === "win32") {
    return succeeded(await run("npm", args, { cwd, shell: true }));
  }
  // By its path, because only Node.js is on the path.
  const [program] = process.env.PATH.split(delimiter)
    .map((entry) => join(entry, "npm"))
    .filter((path) => existsSync(path));
  const options = { cwd, env: withoutCompiler() };
  return succeeded(await runNode([realpathSync(program), ...args], options));
}

function succeeded({ code, stdout, stderr }) {
  expect(code, stderr).toBe(0);
  return stdout;
}

function install(where, ...tarballs) {
  layOut(where, { "package.json": "{}" });
  return npm(where, "install", ...tarballs, "--offline", "--no-audit", "--no-fund");
}

/** Runs Node.js in the folder with the installed package. */
function node(...args) {
  return runNode(args, { cwd: folder, env: withoutCompiler() });
}

describe("package-lock.json", () => {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  const REGENERATE =
    "regenerate it: rm -r node_modules package-lock.json && npm install --package-lock-only";

  it("locks the optional packages of every platform, without which npm 11 refuses `npm ci`", () => {
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(
        (name) =>
          !(`${path}/node_modules/${name}` in packages) && !(`node_modules/${name}` in packages),
      ),
    );
    expect(missing, REGENERATE).toEqual([]);
  });

  it("names no registry other than the public one", () => {
    const resolved = Object.values(packages).flatMap(({ resolved = [] }) => resolved);
    const others = resolved.filter((url) => !url.startsWith("https://registry.npmjs.org/"));
    expect(others, REGENERATE).toEqual([]);
  });

  it("locks the versions of package.json", () => {
    const { version, dependencies, devDependencies } = packages[""];
    expect({ version, dependencies, devDependencies }, REGENERATE).toEqual({
      version: manifest.version,
      dependencies: manifest.dependencies,
      devDependencies: manifest.devDependencies,
    });
  });
});

describe("the packed package", () => {
  it("packs exactly the files that the package needs", async () => {
    const [{ files }] = JSON.parse(await npm(root, "pack", "--dry-run", "--json"));
    const own = files.map(({ path }) => path).filter((path) => !path.startsWith("node_modules/"));
    expect(own.sort()).toEqual([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "binding.d.ts",
      "binding.js",
      "cli/classes.mjs",
      "cli/command.mjs",
      "cli/config.mjs",
      "cli/discovery.mjs",
      "cli/file-kind.mjs",
      "cli/files.mjs",
      "cli/folder.mjs",
      "cli/free.mjs",
      "cli/main.mjs",
      "cli/overview.mjs",
      "cli/running-gateway.mjs",
      "cli/show.mjs",
      "cli/similar.mjs",
      "cli/state-folder.mjs",
      "cli/text.mjs",
      "index.d.ts",
      "index.js",
      "load.js",
      "package.json",
      "register.d.mts",
      "register.mjs",
      "swap-in/gateways.json",
      "swap-in/loader.mjs",
      "swap-in/replace.js",
      "swap-in/store-writer.js",
    ]);
  });

  // Bundled, because the packages are tested without a registry and everyone gets the tested version.
  it("bundles its dependencies, with their licenses", async () => {
    const names = Object.keys(manifest.dependencies);
    expect(manifest.bundleDependencies).toEqual(names);
    const [{ bundled, files }] = JSON.parse(await npm(root, "pack", "--dry-run", "--json"));
    expect(bundled).toEqual(expect.arrayContaining(names));
    const paths = files.map(({ path }) => path.toLowerCase());
    for (const name of bundled) {
      const license = new RegExp(`^node_modules/${name}/license(\\.md)?$`);
      expect(paths).toContainEqual(expect.stringMatching(license));
    }
  });

  it("runs no script on installation", () => {
    expect(
      Object.keys(manifest.scripts).filter((name) =>
        /install|prepare|prepublish|^pre|^post/.test(name),
      ),
    ).toEqual([]);
  });

  it("has the same version as the crate", () => {
    const crate = readFileSync(join(root, "Cargo.toml"), "utf8");
    expect(/^version = "(.+)"$/m.exec(crate)[1]).toBe(manifest.version);
  });
});

describe("the packages of the platforms", () => {
  it("has a package for each platform that the loader requires", () => {
    const loader = readFileSync(join(root, "binding.js"), "utf8");
    expect(platforms).toHaveLength(8);
    for (const { name, binary } of platforms) {
      expect(loader).toContain(`require('${manifest.name}-${name}')`);
      expect(loader).toContain(`require('./${binary}')`);
    }
  });

  it("has the folders in npm/ that `node scripts/packages.mjs folders` writes", () => {
    expect(readdirSync(join(root, "npm")).sort()).toEqual(platforms.map(({ name }) => name).sort());
    for (const platform of platforms) {
      for (const [name, text] of Object.entries(folderOf(platform))) {
        const committed = readFileSync(join(root, "npm", platform.name, name), "utf8");
        expect(committed, `npm/${platform.name}/${name}`).toBe(text);
      }
    }
  });

  it("refuses to pack packages whose binary is missing", () => {
    const nothing = temporaryFolder();
    expect(() => pack(nothing, { binaries: nothing })).toThrow(
      /no binary in .* for darwin-x64, .*linux-arm64-musl; build them/,
    );
    expect(readdirSync(nothing)).toEqual([]);
  });
});

describe("the package installed from tarballs, without a compiler", () => {
  let main;
  let packed;

  beforeAll(async () => {
    const tarballs = pack(join(folder, "tarballs"), { binaries: root, some: true });
    expect(tarballs.length, "the addon is not built").toBeGreaterThan(1);
    await install(folder, ...tarballs);
    main = tarballs.at(-1);
    packed = platforms.filter(({ binary }) => existsSync(join(root, binary)));
    expect(packed).toHaveLength(tarballs.length - 1);
  });

  it("contains the license of each crate in a binary", async () => {
    for (const { name, triple, binary } of packed) {
      const tarball = `tarballs/${manifest.name}-${name}-${manifest.version}.tgz`;
      const file = "package/THIRD-PARTY.md";
      const text = succeeded(await run("tar", ["-xzOf", tarball, file], { cwd: folder }));
      const titles = [...text.matchAll(/^## (.*)$/gm)].map(([, title]) => title);

      // The crates that cargo lists as linked, and those that panic messages in the binary name.
      const options = ["--edges=normal,no-proc-macro", "--prefix=none", "--format={p}"];
      const tree = succeeded(
        await run("cargo", ["tree", "--locked", "--offline", "--target", triple, ...options], {
          cwd: root,
        }),
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

  it("contains no scripts, and depends on the packages of all platforms", () => {
    const own = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    expect(own).not.toHaveProperty("scripts");
    expect(own).not.toHaveProperty("devDependencies");
    expect(Object.keys(own.optionalDependencies)).toEqual(
      platforms.map(({ name }) => `${manifest.name}-${name}`).sort(),
    );
    expect(readdirSync(installed).filter((name) => name.endsWith(".node"))).toEqual([]);
  });

  it.skipIf(process.platform === "win32")("finds no compiler on the path", async () => {
    const compilers = `["cc", "gcc", "clang", "cargo", "rustc"].map((name) => require("node:child_process").spawnSync(name).error?.code)`;
    const { stdout } = await node("-p", `JSON.stringify(${compilers})`);
    expect(JSON.parse(stdout)).toEqual(Array(5).fill("ENOENT"));
  });

  it("sweeps from CommonJS and from an ECMAScript module", async () => {
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
      const { stdout, stderr } = await node(name);
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

  it("has types for ECMAScript modules and CommonJS", async () => {
    const typed = `
      import { resolveRetentionMs, sweepCronRunSessions, type ReaperResult } from "cron-session-reaper";
      const log = { debug() {}, info() {}, warn() {}, error() {} };
      export const result: Promise<ReaperResult> = sweepCronRunSessions({ sessionStorePath: "s", log });
      export const ms: number | null = resolveRetentionMs({ sessionRetention: false });
      // @ts-expect-error: fails if the types are missing
      resolveRetentionMs(7);
    `;
    const compilerOptions = { strict: true, noEmit: true, module: "nodenext", types: [] };
    const files = ["use.mts", "use.cts"];
    layOut(folder, {
      "use.mts": typed,
      "use.cts": typed,
      "tsconfig.json": JSON.stringify({ compilerOptions, files }),
    });
    const { stdout, code } = await node(join(root, "node_modules/typescript/bin/tsc"));
    expect({ stdout, code }).toEqual({ stdout: "", code: 0 });
  });

  it("replaces a gateway's reaper with --import", async () => {
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
    addFingerprint(installed, bundle);

    const program = join("node_modules", "openclaw", "gateway.js");
    expect((await node(program)).stdout).toBe('"its own"\n');
    const { stdout, stderr } = await node("--import", "cron-session-reaper/register", program);
    expect(stdout).toBe('{"swept":true,"pruned":0}\n');
    expect(stderr).toContain("replaced the reaper in gateway.js of openclaw 2026.3.2");
  });

  it("has a command that runs", async () => {
    layOut(folder, { "sessions.json": '{"agent:main:cron:j:run:1": {}, "a": 1}' });
    const { stdout } = await run(join(folder, "node_modules", ".bin", manifest.name), ["."], {
      cwd: folder,
      env: withoutCompiler(),
      shell: process.platform === "win32",
    });
    expect(stdout).toContain("A sweep would remove 1 run.");
  });

  it("names the missing package if optional dependencies are omitted", async () => {
    const alone = temporaryFolder();
    await install(alone, main, "--omit=optional");
    const use = `try { require("${manifest.name}") } catch (error) { console.log(error.code, error.message) }`;
    const { stdout } = await runNode(["-e", use], { cwd: alone });
    expect(stdout).toMatch(
      /^ERR_CRON_SESSION_REAPER_NO_BINARY .* is not installed\. Install again/,
    );
  });
});
