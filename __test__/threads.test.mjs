// The process cannot start another thread.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { failedWith, programPath, runKey, runNode, storeWith } from "./fixtures/index.mjs";

const hasPrlimit = spawnSync("prlimit", ["--version"]).status === 0;
// A garbage collection in a process without free address space aborts it: this makes it unnecessary.
const WITHOUT_COLLECTION = "--min-semi-space-size=16";

describe.skipIf(!hasPrlimit)("a process without another thread", () => {
  it("logs a failed sweep, rejects an inspection with EAGAIN, and exits", async () => {
    const text = JSON.stringify({ [runKey(1)]: { updatedAt: 1 } });
    const { storePath } = storeWith(text);

    const program = programPath("without-threads");
    const { code, stdout } = await runNode([WITHOUT_COLLECTION, program, storePath]);

    expect(code).toBe(0);
    const message = `cannot start a thread for ${storePath}: `;
    expect(JSON.parse(stdout)).toEqual({
      swept: failedWith(expect.stringContaining(`Error: ${message}`)),
      inspected: { code: "EAGAIN", message: expect.stringContaining(message) },
    });
    expect(readFileSync(storePath, "utf8")).toBe(text);
  });
});
