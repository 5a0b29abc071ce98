// Stores that are broken are refused and left alone, and stores that are merely odd are swept.

import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { layOut, temporaryFolder, treeOf } from "./fixtures/folder.mjs";
import { failLine, NOW, pruneLine, sweep } from "./fixtures/reaper.mjs";

const RUN = "agent:main:cron:job:run:1";
const expired = `"${RUN}": {"sessionId": "run-1", "updatedAt": 1}`;
const good = `{\n  ${expired},\n  "agent:main:main": {"updatedAt": 1}\n}`;

describe("a broken store", () => {
  // What it is, its text, and where the first byte stands that does not fit.
  const broken = [
    ["is empty", "", "1:1"],
    ["is blank", " \n\t\n ", "3:2"],
    ["is cut after the opening brace", "{", "1:2"],
    ["is cut within a key", `{"agent:ma`, "1:11"],
    ["is cut after a key", `{"a"`, "1:5"],
    ["is cut after a colon", `{"a":`, "1:6"],
    ["is cut within an entry", good.slice(0, 50), "2:49"],
    ["is cut after an entry", good.slice(0, 72), undefined],
    ["is cut before the last brace", good.slice(0, -1), "4:1"],
    ["is cut within an escape", '{"a": "\\u12', "1:12"],
    ["begins with a byte order mark", `\ufeff${good}`, "1:1"],
    ["goes on after its end", `${good}x`, "4:2"],
    ["is two stores in a row", `${good}\n${good}`, "5:1"],
    ["ends with a zero byte", `${good}\0`, "4:2"],
    ["is all zero bytes", "\0".repeat(4096), "1:1"],
    ["is an array", "[]", "1:1"],
    ["is an array of entries", `[{"updatedAt": 1}]`, "1:1"],
    ["is null", "null", "1:1"],
    ["is a number", "42", "1:1"],
    ["is a string", '"{}"', "1:1"],
    ["is true", "true", "1:1"],
    ["has a comment", `{\n  // runs\n  ${expired}\n}`, "2:3"],
    ["has a comma before the end", `{\n  ${expired},\n}`, "3:1"],
    ["has a comma before the first entry", `{,${expired}}`, "1:2"],
    ["has two commas", `{${expired},,"b":1}`, undefined],
    ["has no comma between entries", `{"a": 1 "b": 2}`, "1:9"],
    ["has no colon", `{"a" 1}`, "1:6"],
    ["has a key without quotes", "{a: 1}", "1:2"],
    ["has a key in single quotes", "{'a': 1}", "1:2"],
    ["has a key that is a number", "{1: 1}", "1:2"],
    ["has NaN", `{${expired}, "a": NaN}`, undefined],
    ["has Infinity", `{"a": -Infinity}`, "1:8"],
    ["has undefined", `{"a": undefined}`, "1:7"],
    ["has a number with a leading zero", `{"a": 01}`, "1:8"],
    ["has a number that ends with its point", `{"a": 1.}`, "1:9"],
    ["has a number with a plus sign", `{"a": +1}`, "1:7"],
    ["has a hexadecimal number", `{"a": 0x10}`, "1:8"],
    ["has a line break within a string", `{"a": "b\nc"}`, undefined],
    ["has a tab within a string", `{"a": "b\tc"}`, "1:9"],
    ["has an escape that is none", `{"a": "\\x41"}`, "1:9"],
    ["has brackets that do not match", `{"a": [1}, "b": 1]}`, "1:9"],
    ["has white space that JSON does not know", `{\u00a0"a": 1}`, "1:2"],
    ["breaks after what would go", `{${expired}, "b": {"c": tru}}`, undefined],
    ["is something else altogether", "<!doctype html><title>502</title>", "1:1"],
  ];

  it("comes in more than 25 kinds here", () => {
    expect(broken.length).toBeGreaterThan(25);
    for (const [, text] of broken) {
      let root;
      try {
        root = JSON.parse(text);
      } catch {
        continue;
      }
      expect(typeof root === "object" && root !== null && !Array.isArray(root)).toBe(false);
    }
  });

  it.each(broken)("that %s is refused, and stays as it is", async (_, text, position) => {
    const folder = temporaryFolder();
    layOut(folder, {
      "sessions.json": text,
      "run-1.jsonl": "{}\n",
      "old.deleted.2020-01-01T00-00-00Z": "",
    });
    const before = treeOf(folder);
    const storePath = join(folder, "sessions.json");

    const { result, calls } = await sweep(storePath);

    expect(result).toEqual({ swept: false, pruned: 0 });
    expect(calls).toEqual([failLine(expect.any(String))]);
    const [, { err }] = calls[0];
    const told = err.match(/^Error: (.*):(\d+:\d+): invalid JSON: (.+) \(store not modified; /);
    expect(told, err).not.toBeNull();
    expect(told[1]).toBe(storePath);
    if (position !== undefined) {
      expect(told[2], err).toBe(position);
    }
    expect(treeOf(folder)).toEqual(before);
  });

  it("that is a folder is refused, and stays as it is", async () => {
    const folder = temporaryFolder();
    layOut(folder, { "sessions.json/sessions.json": good });
    const before = treeOf(folder);
    const storePath = join(folder, "sessions.json");
    const { result, calls } = await sweep(storePath);
    expect(result).toEqual({ swept: false, pruned: 0 });
    expect(calls).toEqual([
      failLine(`Error: expected a regular file at ${storePath}, found a directory`),
    ]);
    expect(treeOf(folder)).toEqual(before);
  });

  // The superuser may read everything.
  it.skipIf(process.getuid?.() === 0)("that may not be read is refused", async () => {
    const folder = temporaryFolder();
    layOut(folder, { "sessions.json": good });
    const storePath = join(folder, "sessions.json");
    chmodSync(storePath, 0);
    const { result, calls } = await sweep(storePath);
    expect(result).toEqual({ swept: false, pruned: 0 });
    expect(calls).toEqual([failLine(expect.stringContaining(storePath))]);
  });
});

describe("a store that is odd but valid", () => {
  const bytes = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
  const lines = (...entries) => `{\n  ${entries.join(",\n  ")}\n}`;
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  // What it has, the entry that stays as it stands in the file.
  const odd = [
    ["nesting that is 100,000 deep", `"a": ${deep}`],
    ["a number beyond JavaScript's", '"a": {"b": 1e400, "c": -1e400}'],
    [
      "numbers that JavaScript writes in another way",
      '"a": [1.0, 1E+2, -0, 0.10, 1e-7, 100000000000000000000000]',
    ],
    ["a lone surrogate", '"a": "\\ud800 \\udfff\\ud83d"'],
    ["escapes that nobody needs", '"\\u0061\\/": "\\u0062\\/\\u00e9"'],
    ["bytes that are no UTF-8", bytes('"a": "', [0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80], '"')],
    ["white space of every kind", '"a"\t:\r\n\t { "b"  :\t1\r\n}'],
    ["an empty key", '"": {"sessionId": "x"}'],
    ["the key __proto__", '"__proto__": {"updatedAt": 1}'],
    ["the key constructor", '"constructor": {"updatedAt": 1}'],
    ["a key that stands twice", '"a": {"updatedAt": 1},\n  "a": {"updatedAt": 2}'],
    ["fields that stand twice", '"a": {"updatedAt": 1, "updatedAt": 2}'],
    ["entries that are no objects", '"a": 1,\n  "b": "x",\n  "c": null,\n  "d": [1],\n  "e": true'],
    ["a text with line separators", '"a": "\u2028\u2029\u007f"'],
    ["a run of a time to come", '"agent:main:cron:j:run:2": {"updatedAt": 9e99}'],
    ["a run whose time is no number", '"agent:main:cron:j:run:2": {"updatedAt": {}}'],
    ["a run that is null", '"agent:main:cron:j:run:2": null'],
    [
      "a run that is no longer expired further down",
      '"agent:main:cron:j:run:2": {"updatedAt": 1},\n  "agent:main:cron:j:run:2": {"updatedAt": 9e99}',
    ],
    ["an entry of a megabyte", `"a": "${'\\n\\"'.repeat(250_000)}"`],
    [
      "an old field of the gateway's",
      '"a": {"provider": "telegram", "room": "x", "lastProvider": "y"}',
    ],
  ];

  it.each(odd)("(%s) is swept, and what stays is the same to the byte", async (_, stays) => {
    const folder = temporaryFolder();
    const around = ['"first": {"updatedAt": 1}', '"last": {"updatedAt": 1}'];
    const [before, after] = lines(around[0], "MIDDLE", around[1]).split("MIDDLE");
    for (const [head, tail] of [
      [`${expired},\n  `, ""],
      ["", `,\n  ${expired}`],
    ]) {
      layOut(folder, { "sessions.json": bytes(before, head, stays, tail, after) });
      const { result, calls } = await sweep(join(folder, "sessions.json"));
      expect({ result, calls }).toEqual({
        result: { swept: true, pruned: 1 },
        calls: [pruneLine(1)],
      });
      const left = readFileSync(join(folder, "sessions.json"));
      expect(left.equals(bytes(before, stays, after)), left.toString("latin1", 0, 400)).toBe(true);
    }
  });

  it.each(odd)("(%s) is not written at all when nothing goes", async (_, stays) => {
    const folder = temporaryFolder();
    // Not formatted as the gateway formats it, and with white space around it.
    layOut(folder, { "sessions.json": bytes("\n{ ", stays, "}\r\n\t ") });
    const before = treeOf(folder);
    const { result, calls } = await sweep(join(folder, "sessions.json"));
    expect({ result, calls }).toEqual({ result: { swept: true, pruned: 0 }, calls: [] });
    expect(treeOf(folder)).toEqual(before);
  });

  const forms = [
    ["on one line", (entries) => `{${entries.join(",")}}`],
    ["with Windows line ends", (entries) => `{\r\n  ${entries.join(",\r\n  ")}\r\n}\r\n`],
    ["with tabs", (entries) => `{\n\t${entries.join(",\n\t")}\n}`],
    ["with commas at the front", (entries) => `{ ${entries.join("\n, ")}\n}\n`],
    ["with a final line break", (entries) => `{\n  ${entries.join(",\n  ")}\n}\n`],
  ];
  it.each(forms)("(%s) keeps valid, whichever entries go", async (_, form) => {
    const folder = temporaryFolder();
    const stay = (name) => `"${name}": {"updatedAt": 1.0}`;
    const go = (name) => `"agent:main:cron:j:run:${name}": {"updatedAt": 1.0}`;
    // Every pattern of five entries that stay (0) or go (1).
    for (let pattern = 1; pattern < 32; pattern++) {
      const kinds = [0, 1, 2, 3, 4].map((place) => (pattern >> place) & 1);
      const entries = kinds.map((goes, place) => (goes ? go(place) : stay(place)));
      layOut(folder, { "sessions.json": form(entries) });
      const pruned = kinds.filter(Boolean).length;
      expect((await sweep(join(folder, "sessions.json"))).result).toEqual({ swept: true, pruned });
      const text = readFileSync(join(folder, "sessions.json"), "utf8");
      const kept = entries.filter((_, place) => !kinds[place]);
      expect(text.match(/"[^"]+": \{"updatedAt": 1\.0\}/g) ?? []).toEqual(kept);
      expect(Object.keys(JSON.parse(text))).toHaveLength(5 - pruned);
    }
  });

  it("(without entries) is left as it is", async () => {
    const folder = temporaryFolder();
    layOut(folder, { "sessions.json": " { } \n" });
    const { result } = await sweep(join(folder, "sessions.json"));
    expect(result).toEqual({ swept: true, pruned: 0 });
    expect(treeOf(folder)).toEqual({ "sessions.json": " { } \n" });
  });

  it("(of nothing but expired runs) becomes an empty object", async () => {
    const folder = temporaryFolder();
    layOut(folder, { "sessions.json": lines(expired) });
    expect((await sweep(join(folder, "sessions.json"))).result).toEqual({ swept: true, pruned: 1 });
    expect(treeOf(folder)).toEqual({ "sessions.json": "{}" });
  });

  it("(with an expired run that stands twice) loses both", async () => {
    const folder = temporaryFolder();
    const fresh = `"${RUN}": {"updatedAt": ${NOW}}`;
    layOut(folder, { "sessions.json": lines(fresh, '"a": 1', expired) });
    expect((await sweep(join(folder, "sessions.json"))).result).toEqual({ swept: true, pruned: 1 });
    expect(treeOf(folder)).toEqual({ "sessions.json": lines('"a": 1') });
  });

  it("(with a run whose key is written in escapes) loses it", async () => {
    const folder = temporaryFolder();
    const escaped = expired
      .replace("agent", "\\u0061gent")
      .replace("run:1", "r\\u0075n:\\ud83d\\ude00");
    layOut(folder, { "sessions.json": lines('"a": 1', escaped) });
    expect((await sweep(join(folder, "sessions.json"))).result).toEqual({ swept: true, pruned: 1 });
    expect(treeOf(folder)).toEqual({ "sessions.json": lines('"a": 1') });
  });
});
