// The command reads the gateway's configuration as the gateway does.

import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { command, DAY, homeWith, layOut, smallStore, treeOf } from "./fixtures/index.mjs";

/** Returns a home folder with a store for each agent and a configuration with this text. */
function configured(text, agents = ["main"]) {
  const home = homeWith(Object.fromEntries(agents.map((agent) => [agent, smallStore()])));
  layOut(home, { ".openclaw/openclaw.json": text });
  return home;
}

/** Returns the retention that the command uses for the first store, and where it comes from. */
async function retentionOf(home) {
  const { code, stdout, stderr } = await command(home, ["--json"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const [{ retentionMs, retentionFrom }] = JSON.parse(stdout).stores;
  return [retentionMs, retentionFrom];
}

/** Runs --apply, which must refuse and modify nothing. Returns stderr without the home folder's path. */
async function refusal(home) {
  const before = treeOf(home);
  const { code, stdout, stderr } = await command(home, ["--apply", "--yes"]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(treeOf(home)).toEqual(before);
  return stderr.replaceAll(home, "~");
}

const FILE = "~/.openclaw/openclaw.json";

describe("a configuration in JSON5", () => {
  it("reads comments, bare keys, single quotes, trailing commas and escapes", async () => {
    for (const text of [
      "{\n  // keep a week\n  cron: { sessionRetention: '7d', },\n}\n",
      '{cron: {"session\\u0052etention": "7d"}} /* mine */',
      "{cron: {sessionRetention: '1d', sessionRetention: '7\\\nd'}}",
    ]) {
      expect(await retentionOf(configured(text))).toEqual([7 * DAY, FILE]);
    }
  });

  it("reads a byte order mark before JSON and JSON5", async () => {
    for (const text of ['{"cron":{"sessionRetention":"7d"}}', "{cron:{sessionRetention:'7d'}}"]) {
      expect(await retentionOf(configured(`\uFEFF${text}`))).toEqual([7 * DAY, FILE]);
    }
  });

  it("uses the default if the retention is not set", async () => {
    for (const text of ["{}", "{cron: {}}", "{cron: null}", "{agents: {list: []}} // none"]) {
      expect(await retentionOf(configured(text))).toEqual([DAY, "the default"]);
    }
  });

  it("names line and column of a syntax error", async () => {
    for (const [text, place] of [
      ["{\n  cron: {sessionRetention: '7d'\n", ":3:1: not valid JSON5"],
      ["", ":1:1: not valid JSON5"],
      ["{cron: }", ":1:8: not valid JSON5"],
      ["[]", ": not an object"],
      ["null", ": not an object"],
      ["{\0}\0", ": not a text in UTF-8 (it contains zero bytes, as UTF-16 does)"],
    ]) {
      expect(await refusal(configured(text))).toBe(
        `✗ cannot read the retention from ${FILE}${place}; pass --retention\n`,
      );
    }
  });
});

describe("a configuration that only the gateway can evaluate", () => {
  it("names the gateway's command if an include or a variable may set the retention", async () => {
    for (const text of [
      '{"$include": "./base.json5"}',
      "{cron: {$include: ['./cron.json5']}}",
      "{cron: {sessionRetention: {$include: './retention.json5'}}}",
      "{cron: {sessionRetention: '\u0024{KEEP}'}}",
    ]) {
      expect(await refusal(configured(text))).toBe(
        `✗ cannot evaluate the retention in ${FILE} ($include or \${…}); "openclaw config get cron.sessionRetention" prints it; pass --retention\n`,
      );
    }
  });

  it("reads the retention if includes and variables cannot change it", async () => {
    for (const text of [
      "{$include: './base.json5', cron: {sessionRetention: '7d'}}",
      "{cron: {$include: './cron.json5', sessionRetention: '7d'}}",
      "{agents: {$include: './agents.json5'}, cron: {sessionRetention: '7d'}}",
      "{gateway: {token: '\u0024{TOKEN}'}, cron: {sessionRetention: '7d'}}",
    ]) {
      expect(await retentionOf(configured(text))).toEqual([7 * DAY, FILE]);
    }
    const elsewhere = "{agents: {$include: './agents.json5'}, gateway: {token: '\u0024{TOKEN}'}}";
    expect(await retentionOf(configured(elsewhere))).toEqual([DAY, "the default"]);
  });
});

describe("a doubt about the retention", () => {
  it("is reported once for a configuration, however many stores it applies to", async () => {
    const home = configured("{cron: {sessionRetention: 24}}", ["a", "b", "c"]);
    const message = `cron.sessionRetention in ${FILE} is 24, which the gateway rejects: write a text with a unit, such as "24h" or "7d"; pass --retention\n`;
    const shown = await command(home);
    expect(shown.code).toBe(0);
    expect(shown.stderr.replaceAll(home, "~")).toBe(`! ${message}`);
    expect(await refusal(home)).toBe(`✗ ${message}`);
    const { stores } = JSON.parse((await command(home, ["--json"])).stdout);
    expect(stores.map(({ doubt }) => doubt)).toEqual(Array(3).fill(stores[0].doubt));
  });

  it("is reported for each store if it concerns the store", async () => {
    const home = configured("{}", ["a", "b"]);
    const paths = ["x", "y"].map((name) => join(home, `${name}/sessions.json`));
    layOut(home, { "x/sessions.json": "{}", "y/sessions.json": "{}" });
    const { stderr } = await command(home, paths);
    expect(stderr.replaceAll(home, "~")).toBe(
      ["x", "y"]
        .map(
          (name) =>
            `! ~/${name}/sessions.json: no openclaw.json found for this store, so its retention is unknown; pass --retention\n`,
        )
        .join(""),
    );
  });

  it("has a separate message for each cause", async () => {
    const messages = [];
    for (const value of ["24", "0", "true", "null", '""', '"soon"', '"0h"', "{}", "Infinity"]) {
      const stderr = await refusal(configured(`{cron: {sessionRetention: ${value}}}`));
      expect(stderr).toContain(`cron.sessionRetention in ${FILE} is `);
      messages.push(stderr.replace(/.* is \S+, /, ""));
    }
    // The same: both numbers, null and an empty text, true and an object.
    expect(new Set(messages).size).toBe(6);
  });
});

describe("a setting that is probably meant as cron.sessionRetention", () => {
  it("is reported by its full name, and --apply requires --retention", async () => {
    for (const [text, name] of [
      ["{'cron.sessionRetention': '30d'}", "cron.sessionRetention"],
      ["{cron: {sessionretention: '30d'}}", "cron.sessionretention"],
      ["{cron: {session_retention: '30d'}}", "cron.session_retention"],
      ["{cron: {sesionRetention: '30d'}}", "cron.sesionRetention"],
      ["{cron: {retention: '30d'}}", "cron.retention"],
      ["{session: {sessionRetention: '30d'}}", "session.sessionRetention"],
      ["{agents: {defaults: {sessionRetention: '30d'}}}", "agents.defaults.sessionRetention"],
      ["{sessionRetention: '30d'}", "sessionRetention"],
    ]) {
      const home = configured(text);
      expect(await refusal(home)).toBe(
        `✗ ${FILE} sets ${name}, but the gateway reads cron.sessionRetention; pass --retention\n`,
      );
      expect((await command(home, ["--apply", "--yes", "--retention", "1d"])).stderr).toBe("");
    }
  });

  it("is not reported if the retention is set, or if it belongs to a plugin", async () => {
    for (const text of [
      "{cron: {sessionRetention: '1d'}, session: {sessionRetention: '30d'}}",
      "{plugins: {sessionRetention: '30d'}, channels: {x: {sessionRetention: '1h'}}}",
      "{session: {retention: '30d'}}",
    ]) {
      expect((await command(configured(text), ["--apply", "--yes"])).stderr).toBe("");
    }
  });
});
