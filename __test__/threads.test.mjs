// Where the system gives no thread, a sweep fails like any other, and nothing keeps Node.js alive.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { layOut, temporaryFolder } from "./fixtures/folder.mjs";

const program = fileURLToPath(new URL("fixtures/without-threads.mjs", import.meta.url));
const hasPrlimit = spawnSync("prlimit", ["--version"]).status === 0;
// Later ones end themselves when the address space that they reach for is not to be had.
const bearsIt = Number(process.versions.node.split(".")[0]) < 22;

describe.skipIf(!hasPrlimit || !bearsIt)("without another thread", () => {
  it("a sweep warns, an inspection rejects, and the process ends", () => {
    const folder = temporaryFolder();
    const store = join(folder, "sessions.json");
    const text = '{"agent:main:cron:j:run:1":{"updatedAt":1}}';
    layOut(folder, { "sessions.json": text });

    const { stdout, status, signal } = spawnSync(process.execPath, [program, store], {
      encoding: "utf8",
      timeout: 10_000,
    });
    expect([status, signal]).toEqual([0, null]);
    const { swept, warnings, inspected } = JSON.parse(stdout);
    expect(swept).toEqual({ swept: false, pruned: 0 });
    const said = `cannot start a thread for ${store}: `;
    expect(warnings).toEqual([
      [
        { err: expect.stringContaining(`Error: ${said}`) },
        "cron-reaper: failed to sweep session store",
      ],
    ]);
    expect(inspected).toEqual({ code: "EAGAIN", message: expect.stringContaining(said) });
    expect(readFileSync(store, "utf8")).toBe(text);
  });
});
