// docs/troubleshooting.md quotes messages, so that readers find them: each quote must be a message of
// the code.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "./fixtures/index.mjs";

const read = (...path) => readFileSync(join(root, ...path), "utf8");
const page = read("docs", "troubleshooting.md");

const sources = ["src", "swap-in", "cli"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true })
    .filter((name) => /\.(rs|m?js)$/.test(name))
    .map((name) => read(folder, name)),
);
const code = [...sources, ...["index.js", "load.js", "register.mjs"].map((name) => read(name))]
  .join("\n")
  // A comment is not a message.
  .replace(/^\s*\/\/.*$/gm, "");
// With `…` for every placeholder, as on the page.
const messages = code.replace(/\$?\{[^{}\n"]*\}/g, "…");

// The verbs of `cannot … <path>: <reason>`.
const operations = [
  ...messages.matchAll(
    /(?:\bcontext\(|\bobstructed\(|\boperation: |\bOTHER_STORE: &str = )\s*"([a-z ]+)"/g,
  ),
].map(([, operation]) => operation);

const quotes = [...page.matchAll(/(`+)((?:(?!\1).)*…(?:(?!\1).)*|cron-reaper: .*?)\1/g)]
  .map(([, , quote]) => quote)
  // The name of a symbol of the C library.
  .filter((quote) => !/^GLIBC_/.test(quote));
const headings = [...page.matchAll(/^### `(.*)`$/gm)].map(([, heading]) => heading);
const examples = [...page.matchAll(/^```text\n(.*?)\n```$/gms)].flatMap(([, block]) =>
  block.split("\n"),
);

/** Returns the text of a message for each `…` of its quote; undefined if the quote does not match. */
function placeholdersIn(message, quote) {
  const pieces = quote.split("…").map(escaped);
  return new RegExp(`^${pieces.join("(.+?)")}$`).exec(message)?.slice(1);
}

function escaped(text) {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

describe("docs/troubleshooting.md", () => {
  it("has a heading for each of at least 17 messages", () => {
    expect(headings.length).toBeGreaterThanOrEqual(17);
  });

  it.each([...new Set([...headings, ...quotes])])("quotes a message of the code: %s", (quote) => {
    const operation = /^cannot ([a-z ]+?) …$/.exec(quote)?.[1];
    if (operation !== undefined) {
      expect(operations).toContain(operation);
      return;
    }
    for (const piece of quote.split("…").map((piece) => piece.trim())) {
      // Not toContain, which would print all sources.
      expect(messages.includes(piece), piece).toBe(true);
    }
  });

  it.each(examples)("shows an example of a heading: %s", (example) => {
    const [placeholders] = headings
      .map((heading) => placeholdersIn(example, heading))
      .filter(Boolean);
    expect(placeholders, "no heading has the words of the example").toBeDefined();
    // Several words in a placeholder are a message too: the reason of the failure.
    for (const words of placeholders.filter((text) => /^[a-z]+( [a-z]+){2,}$/.test(text))) {
      expect(messages.includes(words), words).toBe(true);
    }
  });

  it.each([...new Set(operations)])("names the operation: cannot %s …", (operation) => {
    expect(page).toContain(`\`cannot ${operation} …\``);
  });

  it("names the code of the error for a missing binary", () => {
    expect(page).toContain(/error\.code = "(\w+)"/.exec(read("load.js"))[1]);
  });

  it("quotes every error message of src/error.rs that a user can act on", () => {
    const errors = read("src", "error.rs").matchAll(/#\[error\(\s*"((?:[^"\\]|\\.)*)"/g);
    for (const [, message] of errors) {
      // An abort is not a failure: the caller asked for it.
      if (message === "the operation was aborted") continue;
      const words = message.split(/\{[^}]*\}/).map((piece) => piece.trim());
      for (const piece of words) expect(page).toContain(piece);
    }
  });
});
