// The package as it is published: what is in it, and that it works where it is installed.

import { execFileSync } from "node:child_process";
import { copyFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { layOut, temporaryFolder } from "./fixtures/folder.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

function npm(cwd, ...args) {
  return execFileSync("npm", args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    shell: process.platform === "win32",
  });
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
      "package.json",
      "register.d.ts",
      "register.mjs",
      "swap-in/gateways.json",
      "swap-in/loader.mjs",
      "swap-in/replace.js",
    ]);
  });

  it("runs nothing when it is installed", async () => {
    const { default: manifest } = await import("../package.json", { with: { type: "json" } });
    expect(
      Object.keys(manifest.scripts).filter((name) =>
        /install|prepare|prepublish|^pre|^post/.test(name),
      ),
    ).toEqual([]);
    expect(manifest.dependencies).toBeUndefined();
  });

  it("works from CommonJS, from an ECMAScript module and from TypeScript", () => {
    const folder = temporaryFolder();
    const [{ filename }] = JSON.parse(npm(root, "pack", "--json", "--pack-destination", folder));
    layOut(folder, { "package.json": "{}" });
    npm(
      folder,
      "install",
      `./${filename}`,
      "--ignore-scripts",
      "--offline",
      "--no-audit",
      "--no-fund",
    );
    // In a release the addon comes from the platform's own package; here it is the one just built.
    const installed = join(folder, "node_modules", "cron-session-reaper");
    for (const addon of readdirSync(root).filter((name) => name.endsWith(".node"))) {
      copyFileSync(join(root, addon), join(installed, addon));
    }

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
      const printed = execFileSync(process.execPath, [name], { cwd: folder, encoding: "utf8" });
      expect(JSON.parse(printed), name).toEqual([
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

    const command = join(folder, "node_modules/.bin/cron-session-reaper");
    layOut(folder, { "sessions.json": '{"agent:main:cron:j:run:1": {}, "a": 1}' });
    const shown = execFileSync(command, ["sessions.json"], {
      cwd: folder,
      encoding: "utf8",
      shell: process.platform === "win32",
    });
    expect(shown).toContain("A sweep would remove 1 run.");

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
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const compilerOptions = { strict: true, noEmit: true, module: "nodenext", types: [] };
    const files = ["use.mts", "use.cts"];
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    expect(typeErrors()).toBe("");

    function typeErrors() {
      try {
        return execFileSync(process.execPath, [tsc], { cwd: folder, encoding: "utf8" });
      } catch (error) {
        return error.stdout;
      }
    }
  });
});
