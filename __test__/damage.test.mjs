// Damaged stores are refused and not modified; unusual but valid stores are swept.

import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  failedWith,
  layOut,
  NOW,
  readStore,
  runKey,
  storeWith,
  sweep,
  sweptCleanly,
  temporaryFolder,
  treeOf,
} from "./fixtures/index.mjs";

const RUN = runKey(1);
const expired = `"${RUN}": {"sessionId": "run-1", "updatedAt": 1}`;
const good = `{\n  ${expired},\n  "agent:main:main": {"updatedAt": 1}\n}`;

describe("a damaged store", () => {
  // What the store is, its text, and the line and column of the first wrong byte, if tested.
  const damaged = [
    ["is empty", "", "1:1"],
    ["is blank", " \n\t\n ", "3:2"],
    ["is truncated after the opening brace", "{", "1:2"],
    ["is truncated inside a key", `{"agent:ma`, "1:11"],
    ["is truncated after a key", `{"a"`, "1:5"],
    ["is truncated after a colon", `{"a":`, "1:6"],
    ["is truncated inside an entry", good.slice(0, 50), "2:49"],
    ["is truncated after an entry", good.slice(0, 72), undefined],
    ["is truncated before the last brace", good.slice(0, -1), "4:1"],
    ["is truncated inside an escape", '{"a": "\\u12', "1:12"],
    ["begins with a byte order mark", `\ufeff${good}`, "1:1"],
    ["has a letter after its end", `${good}x`, "4:2"],
    ["is two stores one after the other", `${good}\n${good}`, "5:1"],
    ["ends with a zero byte", `${good}\0`, "4:2"],
    ["is all zero bytes", "\0".repeat(4096), "1:1"],
    ["is an array", "[]", "1:1"],
    ["is an array of entries", `[{"updatedAt": 1}]`, "1:1"],
    ["is null", "null", "1:1"],
    ["is a number", "42", "1:1"],
    ["is a string", '"{}"', "1:1"],
    ["is true", "true", "1:1"],
    ["has a comment", `{\n  // runs\n  ${expired}\n}`, "2:3"],
    ["has a trailing comma", `{\n  ${expired},\n}`, "3:1"],
    ["has a comma before the first entry", `{,${expired}}`, "1:2"],
    ["has two commas", `{${expired},,"b":1}`, undefined],
    ["lacks a comma between entries", `{"a": 1 "b": 2}`, "1:9"],
    ["lacks a colon", `{"a" 1}`, "1:6"],
    ["has a key without quotes", "{a: 1}", "1:2"],
    ["has a key in single quotes", "{'a': 1}", "1:2"],
    ["has a key that is a number", "{1: 1}", "1:2"],
    ["has NaN", `{${expired}, "a": NaN}`, undefined],
    ["has Infinity", `{"a": -Infinity}`, "1:8"],
    ["has undefined", `{"a": undefined}`, "1:7"],
    ["has a number with a leading zero", `{"a": 01}`, "1:8"],
    ["has a number that ends with a decimal point", `{"a": 1.}`, "1:9"],
    ["has a number with a plus sign", `{"a": +1}`, "1:7"],
    ["has a hexadecimal number", `{"a": 0x10}`, "1:8"],
    ["has a line break inside a string", `{"a": "b\nc"}`, undefined],
    ["has a tab inside a string", `{"a": "b\tc"}`, "1:9"],
    ["has an invalid escape", `{"a": "\\x41"}`, "1:9"],
    ["has mismatched brackets", `{"a": [1}, "b": 1]}`, "1:9"],
    ["has white space that JSON does not allow", `{\u00a0"a": 1}`, "1:2"],
    ["is damaged after an expired run", `{${expired}, "b": {"c": tru}}`, undefined],
    ["is an HTML page", "<!doctype html><title>502</title>", "1:1"],
  ];

  it("tests only stores that JSON.parse rejects or that are not objects", () => {
    for (const [, text] of damaged) {
      let root;
      try {
        root = JSON.parse(text);
      } catch {
        continue;
      }
      expect(typeof root === "object" && root !== null && !Array.isArray(root)).toBe(false);
    }
  });

  it.each(damaged)(
    "leaves a store that %s unmodified and logs line and column",
    async (_, text, position) => {
      const { folder, storePath } = storeWith(text, {
        "run-1.jsonl": "{}\n",
        "old.deleted.2020-01-01T00-00-00Z": "",
      });
      const before = treeOf(folder);

      const outcome = await sweep(storePath);

      expect(outcome).toEqual(failedWith(expect.any(String)));
      const [[, { err }]] = outcome.calls;
      const logged = err.match(/^Error: (.*):(\d+:\d+): invalid JSON: (.+) \(store not modified; /);
      expect(logged, err).not.toBeNull();
      expect(logged[1]).toBe(storePath);
      if (position !== undefined) {
        expect(logged[2], err).toBe(position);
      }
      expect(treeOf(folder)).toEqual(before);
    },
  );

  it("leaves a directory at the store's path unmodified and logs what it found", async () => {
    const folder = temporaryFolder();
    layOut(folder, { "sessions.json/sessions.json": good });
    const before = treeOf(folder);
    const storePath = join(folder, "sessions.json");
    expect(await sweep(storePath)).toEqual(
      failedWith(
        `Error: cannot read the session store: expected a regular file at ${storePath}, found a directory; name its sessions.json`,
      ),
    );
    expect(treeOf(folder)).toEqual(before);
  });

  // The superuser can read every file.
  it.skipIf(process.getuid?.() === 0)(
    "logs the path of a store without read permission",
    async () => {
      const { storePath } = storeWith(good);
      chmodSync(storePath, 0);
      expect(await sweep(storePath)).toEqual(failedWith(expect.stringContaining(storePath)));
    },
  );
});

describe("an unusual but valid store", () => {
  const bytes = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
  const lines = (...entries) => `{\n  ${entries.join(",\n  ")}\n}`;
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  // What the store contains, and the text of the kept entries.
  const unusual = [
    ["nesting that is 100,000 deep", `"a": ${deep}`],
    ["a number beyond the range of JavaScript", '"a": {"b": 1e400, "c": -1e400}'],
    [
      "numbers that JavaScript formats differently",
      '"a": [1.0, 1E+2, -0, 0.10, 1e-7, 100000000000000000000000]',
    ],
    ["a lone surrogate", '"a": "\\ud800 \\udfff\\ud83d"'],
    ["unnecessary escapes", '"\\u0061\\/": "\\u0062\\/\\u00e9"'],
    ["invalid UTF-8", bytes('"a": "', [0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80], '"')],
    ["white space of every kind", '"a"\t:\r\n\t { "b"  :\t1\r\n}'],
    ["an empty key", '"": {"sessionId": "x"}'],
    ["the key __proto__", '"__proto__": {"updatedAt": 1}'],
    ["the key constructor", '"constructor": {"updatedAt": 1}'],
    ["a duplicate key", '"a": {"updatedAt": 1},\n  "a": {"updatedAt": 2}'],
    ["duplicate fields", '"a": {"updatedAt": 1, "updatedAt": 2}'],
    [
      "entries that are not objects",
      '"a": 1,\n  "b": "x",\n  "c": null,\n  "d": [1],\n  "e": true',
    ],
    ["a string with line separators", '"a": "\u2028\u2029\u007f"'],
    ["a run from the future", '"agent:main:cron:j:run:2": {"updatedAt": 9e99}'],
    ["a run whose time is an object", '"agent:main:cron:j:run:2": {"updatedAt": {}}'],
    ["a run that is null", '"agent:main:cron:j:run:2": null'],
    [
      "a duplicate run whose last occurrence is not expired",
      '"agent:main:cron:j:run:2": {"updatedAt": 1},\n  "agent:main:cron:j:run:2": {"updatedAt": 9e99}',
    ],
    ["an entry of one megabyte", `"a": "${'\\n\\"'.repeat(250_000)}"`],
    [
      "old fields of the gateway",
      '"a": {"provider": "telegram", "room": "x", "lastProvider": "y"}',
    ],
  ];

  it.each(unusual)("sweeps a store with %s and keeps it byte for byte", async (_, kept) => {
    const around = ['"first": {"updatedAt": 1}', '"last": {"updatedAt": 1}'];
    const [before, after] = lines(around[0], "MIDDLE", around[1]).split("MIDDLE");
    for (const [head, tail] of [
      [`${expired},\n  `, ""],
      ["", `,\n  ${expired}`],
    ]) {
      const { storePath } = storeWith(bytes(before, head, kept, tail, after));
      expect(await sweep(storePath)).toEqual(sweptCleanly(1));
      const left = readFileSync(storePath);
      expect(left.equals(bytes(before, kept, after)), left.toString("latin1", 0, 400)).toBe(true);
    }
  });

  it.each(unusual)("does not rewrite a store with %s if no run is expired", async (_, kept) => {
    // Formatted differently from the gateway's stores, with white space around it.
    const { folder, storePath } = storeWith(bytes("\n{ ", kept, "}\r\n\t "));
    const before = treeOf(folder);
    expect(await sweep(storePath)).toEqual(sweptCleanly(0));
    expect(treeOf(folder)).toEqual(before);
  });

  const forms = [
    ["on one line", (entries) => `{${entries.join(",")}}`],
    ["with Windows line ends", (entries) => `{\r\n  ${entries.join(",\r\n  ")}\r\n}\r\n`],
    ["with tabs", (entries) => `{\n\t${entries.join(",\n\t")}\n}`],
    ["with leading commas", (entries) => `{ ${entries.join("\n, ")}\n}\n`],
    ["with a final line break", (entries) => `{\n  ${entries.join(",\n  ")}\n}\n`],
  ];
  it.each(forms)(
    "keeps a store %s valid for every combination of removed entries",
    async (_, form) => {
      const folder = temporaryFolder();
      const storePath = join(folder, "sessions.json");
      const key = (isRemoved, place) => (isRemoved ? runKey(place) : String(place));
      for (let pattern = 1; pattern < 32; pattern++) {
        const isRemoved = [0, 1, 2, 3, 4].map((place) => ((pattern >> place) & 1) === 1);
        const entries = isRemoved.map((it, place) => `"${key(it, place)}": {"updatedAt": 1.0}`);
        layOut(folder, { "sessions.json": form(entries) });
        const pruned = isRemoved.filter(Boolean).length;
        expect((await sweep(storePath)).result).toEqual({ swept: true, pruned });
        const kept = entries.filter((_, place) => !isRemoved[place]);
        const text = readFileSync(storePath, "utf8");
        expect(text.match(/"[^"]+": \{"updatedAt": 1\.0\}/g) ?? []).toEqual(kept);
        expect(Object.keys(readStore(storePath))).toHaveLength(5 - pruned);
      }
    },
  );

  it("leaves a store without entries unmodified", async () => {
    const { folder, storePath } = storeWith(" { } \n");
    expect(await sweep(storePath)).toEqual(sweptCleanly(0));
    expect(treeOf(folder)).toEqual({ "sessions.json": " { } \n" });
  });

  const fresh = `"${RUN}": {"updatedAt": ${NOW}}`;
  const escaped = expired
    .replace("agent", "\\u0061gent")
    .replace("run:1", "r\\u0075n:\\ud83d\\ude00");
  it.each([
    ["the last entries and writes an empty object", lines(expired), "{}"],
    [
      "all occurrences of a duplicate key whose last one is expired",
      lines(fresh, '"a": 1', expired),
      lines('"a": 1'),
    ],
    ["a run whose key is written with escapes", lines('"a": 1', escaped), lines('"a": 1')],
  ])("removes %s", async (_, before, after) => {
    const { folder, storePath } = storeWith(before);
    expect(await sweep(storePath)).toEqual(sweptCleanly(1));
    expect(treeOf(folder)).toEqual({ "sessions.json": after });
  });
});
