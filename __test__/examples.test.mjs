// The examples, run as their first lines describe.

import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  layOut,
  root,
  runNode,
  temporaryFolder,
  treeOf,
  withoutStamps,
} from "./fixtures/index.mjs";

const RUN = '"agent:main:cron:j:run:1":{"sessionId":"r","updatedAt":1}';
const CHAT = '"agent:main:main":{"sessionId":"m"}';

function example(name, ...args) {
  return runNode([join(root, "examples", name), ...args]);
}

describe("examples", () => {
  it("sweeps stores as the gateway does in drop-in.mjs", async () => {
    const folder = temporaryFolder();
    layOut(folder, { "a.json": `{${CHAT},${RUN}}`, "b/b.json": "{", "r.jsonl": "r" });
    const [a, b] = ["a.json", "b/b.json"].map((name) => join(folder, name));

    const { stdout, stderr, code } = await example("drop-in.mjs", a, b);
    expect(code).toBe(0);
    expect(stdout.split("\n")).toEqual([
      'cron-reaper: pruned 1 expired cron run session(s) {"pruned":1,"retentionMs":86400000}',
      `${a}: swept, 1 removed`,
      `${b}: not swept`,
      "",
    ]);
    expect(stderr).toMatch(/^cron-reaper: failed to sweep session store .*b\.json:1:2/);
    expect(withoutStamps(treeOf(folder))).toEqual({
      "a.json": `{${CHAT}}`,
      "b/": "",
      "b/b.json": "{",
      "r.jsonl.deleted.{STAMP}": "r",
    });
  });

  it("sweeps the stores of all agents in own-cron.mjs, and reports those that fail", async () => {
    const folder = temporaryFolder();
    layOut(folder, {
      "agents/main/sessions/sessions.json": `{${CHAT},${RUN}}`,
      "agents/other/sessions/sessions.json": `{${RUN},${CHAT}}`,
      "agents/new": { dir: true },
    });
    const swept = await example("own-cron.mjs", folder, "--once");
    expect([swept.stderr, swept.code]).toEqual(["", 0]);
    expect(swept.stdout.match(/pruned 1 expired cron run session\(s\)/g)).toHaveLength(2);
    const after = {
      "agents/": "",
      "agents/main/": "",
      "agents/main/sessions/": "",
      "agents/main/sessions/sessions.json": `{${CHAT}}`,
      "agents/new/": "",
      "agents/other/": "",
      "agents/other/sessions/": "",
      "agents/other/sessions/sessions.json": `{${CHAT}}`,
    };
    expect(treeOf(folder)).toEqual(after);

    layOut(folder, { "agents/main/sessions/sessions.json": "{" });
    const failed = await example("own-cron.mjs", folder, "--once");
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain("cron-reaper: failed to sweep session store");

    const bare = await example("own-cron.mjs");
    expect([bare.code, bare.stdout]).toEqual([2, ""]);
    expect(bare.stderr).toMatch(/^usage: .*<state folder> \[--once\]\n$/);
  });

  it("prints figures for each store in dashboard.mjs, and modifies nothing", async () => {
    const folder = temporaryFolder();
    const files = { 'a"b.json': `{${CHAT},${RUN}}`, "b.json": "{" };
    layOut(folder, files);
    const { stdout, stderr } = await example(
      "dashboard.mjs",
      ...[...Object.keys(files), "mistyped.json"].map((name) => join(folder, name)),
    );
    const label = `{store="${folder}/a\\"b.json"}`;
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toContain(`cron_sessions_entries${label} 2`);
    expect(lines).toContain(`cron_sessions_entries_expired${label} 1`);
    expect(lines).toContain(`cron_sessions_store_bytes${label} ${files['a"b.json'].length}`);
    expect(lines).toContain(`cron_sessions_failed${label} 0`);
    expect(lines).toContain(`cron_sessions_failed{store="${folder}/b.json"} 1`);
    expect(stdout).not.toMatch(/undefined|NaN/);
    expect(lines).toContain(`cron_sessions_failed{store="${folder}/mistyped.json"} 1`);
    expect(lines.filter((line) => line.includes("mistyped"))).toHaveLength(1);
    expect(stderr).toContain(`${folder}/mistyped.json: store not found\n`);
    expect(stderr).toContain("b.json:1:2");
    for (const line of stderr.trimEnd().split("\n")) {
      expect(line.split(folder)).toHaveLength(2);
    }
    expect(treeOf(folder)).toEqual(files);
  });
});
