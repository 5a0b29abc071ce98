// The examples, run as their first lines say.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { layOut, temporaryFolder, treeOf, withoutStamps } from "./fixtures/folder.mjs";

const examples = fileURLToPath(new URL("../examples", import.meta.url));
const RUN = '"agent:main:cron:j:run:1":{"sessionId":"r","updatedAt":1}';
const CHAT = '"agent:main:main":{"sessionId":"m"}';

function example(name, ...args) {
  return spawnSync(process.execPath, [join(examples, name), ...args], { encoding: "utf8" });
}

describe("examples", () => {
  it("drop-in.mjs sweeps stores as the gateway does", () => {
    const folder = temporaryFolder();
    layOut(folder, { "a.json": `{${CHAT},${RUN}}`, "b.json": "{", "r.jsonl": "r" });
    const [a, b] = ["a.json", "b.json"].map((name) => join(folder, name));

    const { stdout, stderr, status } = example("drop-in.mjs", a, b);
    expect(status).toBe(0);
    expect(stdout.split("\n")).toEqual([
      'cron-reaper: pruned 1 expired cron run session(s) {"pruned":1,"retentionMs":86400000}',
      `${a}: swept, 1 removed`,
      `${b}: not swept`,
      "",
    ]);
    expect(stderr).toMatch(/^cron-reaper: failed to sweep session store .*b\.json:1:2/);
    expect(withoutStamps(treeOf(folder))).toEqual({
      "a.json": `{${CHAT}}`,
      "b.json": "{",
      "r.jsonl.deleted.{STAMP}": "r",
    });
  });

  it("own-cron.mjs sweeps the stores of all agents, and tells of those that it cannot", () => {
    const folder = temporaryFolder();
    layOut(folder, {
      "agents/main/sessions/sessions.json": `{${CHAT},${RUN}}`,
      "agents/other/sessions/sessions.json": `{${RUN},${CHAT}}`,
      "agents/new": { dir: true },
    });
    const swept = example("own-cron.mjs", folder, "--once");
    expect([swept.stderr, swept.status]).toEqual(["", 0]);
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
    const failed = example("own-cron.mjs", folder, "--once");
    expect(failed.status).toBe(1);
    expect(failed.stderr).toContain("cron-reaper: failed to sweep session store");

    const bare = example("own-cron.mjs");
    expect([bare.status, bare.stdout]).toEqual([2, ""]);
    expect(bare.stderr).toMatch(/^usage: .*<state folder> \[--once\]\n$/);
  });

  it("dashboard.mjs prints a figure for each store and changes nothing", () => {
    const folder = temporaryFolder();
    const files = { 'a"b.json': `{${CHAT},${RUN}}`, "b.json": "{" };
    layOut(folder, files);
    const { stdout, stderr } = example(
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
