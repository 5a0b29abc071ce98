// ARCHITECTURE.md: the tests and files that it names exist.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const page = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");

const rustSources = readdirSync(join(root, "src"), { recursive: true })
  .filter((name) => name.endsWith(".rs"))
  .map((name) => readFileSync(join(root, "src", name), "utf8"))
  .join("\n");

/** The last column of the tables of invariants. */
const detectedBy = [...page.matchAll(/^\| \d+ \|.*\| (.*) \|$/gm)].map(([, tests]) => tests);

describe("ARCHITECTURE.md", () => {
  it("names a test or a campaign for each invariant", () => {
    expect(detectedBy.length).toBeGreaterThanOrEqual(20);
    for (const tests of detectedBy) expect(tests).toMatch(/`[^`]+`|"[^"]+"/);
  });

  it("names tests of the crate and campaigns that exist", () => {
    const names = detectedBy.flatMap((tests) => [...tests.matchAll(/`([^`]+)`/g)]);
    for (const [, name] of names) {
      const isCampaign = existsSync(join(root, "faults", `${name}.mjs`));
      expect(isCampaign || rustSources.includes(`fn ${name}()`), name).toBe(true);
    }
  });

  it("names tests of index.js that exist", () => {
    const surface = readFileSync(join(root, "__test__/surface.test.mjs"), "utf8");
    const names = detectedBy.flatMap((tests) => [...tests.matchAll(/"([^"]+)"/g)]);
    expect(names.length).toBeGreaterThan(0);
    for (const [, name] of names) expect(surface).toContain(`it("${name}"`);
  });

  it("links to files that exist", () => {
    for (const [, target] of page.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
      if (!target.includes(":")) expect(existsSync(join(root, target)), target).toBe(true);
    }
  });
});
