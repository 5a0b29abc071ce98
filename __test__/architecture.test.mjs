// ARCHITECTURE.md: the tests and files that it names exist.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const page = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");

const rustFiles = readdirSync(join(root, "src"), { recursive: true })
  .filter((name) => name.endsWith(".rs"))
  .map((name) => ({ name, text: readFileSync(join(root, "src", name), "utf8") }));
const rustSources = rustFiles.map(({ text }) => text).join("\n");

/** The modules that each module may use, beside itself. */
const BASE = ["gateway", "system", "error", "abort"];
const ALLOWED = {
  sweep: ["store", "lock", "transcripts", ...BASE],
  inspect: ["store", "lock", "transcripts", ...BASE],
  store: BASE,
  lock: BASE,
  transcripts: BASE,
  gateway: [],
  system: [],
  error: ["system"],
  abort: ["error"],
};

/** The last column of the tables of invariants. */
const detectedBy = [...page.matchAll(/^\| \d+ \|.*\| (.*) \|$/gm)].map(([, tests]) => tests);

/** Returns whether the file, or the module of that name, defines a function, type or constant. */
function defines(file, name) {
  const paths = [file, `src/${file}.rs`, `src/${file}/mod.rs`].map((path) => join(root, path));
  const path = paths.find((path) => /\.\w+$/.test(path) && existsSync(path));
  const definition = new RegExp(
    `\\b(fn|function|struct|enum|trait|type|interface|const|static) ${name}\\b`,
  );
  return path !== undefined && definition.test(readFileSync(path, "utf8"));
}

describe("ARCHITECTURE.md", () => {
  it("names a test or a campaign for each invariant", () => {
    expect(detectedBy.length).toBeGreaterThanOrEqual(20);
    for (const tests of detectedBy) expect(tests).toMatch(/`[^`]+`|"[^"]+"/);
  });

  it("names tests of the crate and campaigns that exist", () => {
    const names = detectedBy.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)]);
    for (const [, name] of names) {
      const isCampaign = existsSync(join(root, "faults", `${name}.mjs`));
      expect(isCampaign || rustSources.includes(`fn ${name}()`), name).toBe(true);
    }
  });

  it("names tests of index.js that exist", () => {
    const files = ["surface", "store-writer"].map((name) => `__test__/${name}.test.mjs`);
    const tests = files.map((file) => readFileSync(join(root, file), "utf8")).join("");
    const names = detectedBy.flatMap((cell) => [...cell.matchAll(/"([^"]+)"/g)]);
    expect(names.length).toBeGreaterThan(0);
    for (const [, name] of names) expect(tests).toContain(`it("${name}"`);
  });

  it("describes the dependencies between the modules", () => {
    const isTest = /(^|\/)(tests|testing|\w*_tests|model|virtual_time)(\/|\.rs$)/;
    const wrong = [];
    for (const { name, text } of rustFiles.filter(({ name }) => !isTest.test(name))) {
      const module = name.split("/")[0].replace(/\.rs$/, "");
      const code = text
        .split(/^#\[cfg\(test\)\]\n(?:#\[cfg\(unix\)\]\n)?mod tests \{/m)[0]
        .replaceAll(/^\s*\/\/.*$/gm, "");
      for (const [, used] of code.matchAll(/\bcrate::(\w+)/g)) {
        const allowed = ALLOWED[module];
        if (allowed && used !== module && !allowed.includes(used)) wrong.push(`${name}: ${used}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("shows the same picture of a sweep as src/lib.rs, with functions that exist", () => {
    const picture = page.match(/```text\n(.*?)```/s)[1];
    const lib = readFileSync(join(root, "src/lib.rs"), "utf8");
    expect(lib.replaceAll(/^\/\/! ?/gm, "")).toContain(picture);
    const steps = picture.trimEnd().split("\n").slice(1);
    expect(steps.length).toBeGreaterThanOrEqual(13);
    for (const step of steps) {
      const [, name, file] = step.match(/^ *(\w+)(?: → \w+)? +(\S+) {2}/);
      expect(defines(file, name), step).toBe(true);
    }
  });

  it("names every file of the crate that is not a test", () => {
    const layout = page.split("## Layout")[1].split("\n## ")[0];
    for (const { name } of rustFiles) {
      if (/(^|_|\/)tests(\/|\.rs$)|\/(model|virtual_time)\.rs$/.test(name)) continue;
      const file = name.match(/(\w+)\.rs$/)[1];
      const folder = `src/${name.slice(0, -file.length - 3)}`;
      const row = layout.split("\n").find((line) => line.startsWith(`| \`${folder}\``));
      const isNamed = layout.includes(`\`src/${name}\``) || row?.includes(`\`${file}\``);
      expect(isNamed || folder === "src/testing/", name).toBe(true);
    }
  });

  it("names for each rule the functions, types or constants that implement it", () => {
    const rules = page.split("## Where each rule is")[1].split("\n## ")[0];
    const rows = [...rules.matchAll(/^\| (?!rule|---)(.*) \| (.*) \|$/gm)];
    expect(rows.length).toBeGreaterThanOrEqual(55);
    for (const [row, , where] of rows) {
      const places = [...where.matchAll(/\[([^\]]+)\]\(\1\): ([^;[]*`\w+`[^;[]*)/g)];
      expect(places.length, row).toBeGreaterThan(0);
      for (const [, file, names] of places) {
        for (const [, name] of names.matchAll(/`(\w+)`/g)) {
          expect(defines(file, name), `${file}: ${name}`).toBe(true);
        }
      }
    }
  });

  it("links to files that exist", () => {
    for (const [, target] of page.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
      if (!target.includes(":")) expect(existsSync(join(root, target)), target).toBe(true);
    }
  });
});
