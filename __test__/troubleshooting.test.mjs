// docs/troubleshooting.md quotes messages so that people find them: each has to be one that is
// really said.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (...path) => readFileSync(join(root, ...path), "utf8");
const page = read("docs", "troubleshooting.md");

const sources = ["src", "swap-in", "cli"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true })
    .filter((name) => /\.(rs|m?js)$/.test(name))
    .map((name) => read(folder, name)),
);
const code = [...sources, ...["index.js", "load.js", "register.mjs"].map((name) => read(name))]
  .join("\n")
  // Comments may say anything.
  .replace(/^\s*\/\/.*$/gm, "");
// With every placeholder as `…`, as the page writes them.
const said = code.replace(/\$?\{[^{}\n"]*\}/g, "…");

const quotes = [...page.matchAll(/(`+)((?:(?!\1).)*…(?:(?!\1).)*|cron-reaper: .*?)\1/g)]
  .map(([, , quote]) => quote)
  // Names of files and of a symbol of the C library.
  .filter((quote) => !/^GLIBC_/.test(quote));
const headings = [...page.matchAll(/^### `(.*)`$/gm)].map(([, heading]) => heading);
const shown = [...page.matchAll(/^```text\n(.*?)\n```$/gms)].flatMap(([, block]) =>
  block.split("\n"),
);

describe("docs/troubleshooting.md", () => {
  it("quotes messages in its headings", () => {
    expect(headings.length).toBeGreaterThanOrEqual(17);
  });

  it.each([...new Set([...headings, ...quotes])])("quotes what is said: %s", (quote) => {
    const operation = /^cannot ([a-z ]+?) …$/.exec(quote)?.[1];
    if (operation !== undefined) {
      expect(said).toContain(`context("${operation}"`);
      return;
    }
    for (const piece of quote.split("…").map((piece) => piece.trim())) {
      expect(said).toContain(piece);
    }
  });

  it.each(shown)("shows what is said: %s", (line) => {
    // What differs, paths and numbers, stands in no source; neither does a reason together with the
    // sentence that it is put into.
    const pieces = line.split(/\/\S*\/[^\s:]+|\d+|; | \(|: /).map((piece) => piece.trim());
    expect(pieces.some((piece) => piece.length > 20)).toBe(true);
    for (const piece of pieces) expect(said).toContain(piece);
  });

  it("names the code of the error that it is about", () => {
    expect(page).toContain(/error\.code = "(\w+)"/.exec(read("load.js"))[1]);
  });

  it("has the words of the errors that a user can do something about", () => {
    const messages = read("src", "error.rs").matchAll(/#\[error\(\s*"((?:[^"\\]|\\.)*)"/g);
    for (const [, message] of messages) {
      // Nothing is wrong then: its caller stopped it.
      if (message === "the operation was aborted") continue;
      const words = message.split(/\{[^}]*\}/).map((piece) => piece.trim());
      for (const piece of words) expect(page).toContain(piece);
    }
  });
});
