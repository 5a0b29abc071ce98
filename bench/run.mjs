// npm run bench [-- --quick] [-- --only WORD,…]: measures the cost of a sweep, compared with a copy.
//
// Builds stores of 10 MB to 1 GB in the temporary folder ($TMPDIR), so it measures the disk of that
// folder. All figures are medians of at least five rounds, except a writer's longest wait, which is the
// maximum. Contestants take turns, so that other load affects all of them. Linux only: reads /proc.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { drawCosts } from "./chart.mjs";
import { installedGateway } from "./contestants.mjs";
import { ROWS } from "./rows.mjs";
import { expectFreeSpace, SIZES } from "./stores.mjs";
import { printRow, printTable } from "./table.mjs";

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    only: { type: "string", default: "" },
  },
});

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const sizes = SIZES.filter(({ mb }) => !options.quick || mb < 1_000);
const only = options.only.split(",").filter(Boolean);

expectFreeSpace(tmpdir(), sizes);
const folder = realpathSync(mkdtempSync(join(tmpdir(), "reaper-bench-")));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
process.on("SIGINT", () => process.exit(130));

const gateway = await installedGateway();
const bench = { folder, sizes, gateway, rounds: Number(options.rounds), costs: [] };
const machine = {
  processor: cpus()[0]?.model,
  cores: cpus().length,
  node: process.versions.node,
  loadBefore: loadavg()[0],
  gateway: gateway?.version,
};
console.log(`${machine.cores} × ${machine.processor}, Node.js ${machine.node}`);
console.log(
  `load ${machine.loadBefore.toFixed(1)}; gateway: ${gateway?.version ?? "not installed"}\n`,
);

const rows = [];
for (const { name, measure } of ROWS) {
  if (only.length > 0 && !only.some((word) => name.includes(word))) {
    continue;
  }
  for await (const row of measure(bench)) {
    rows.push(row);
    printRow(row);
  }
}
machine.loadAfter = loadavg()[0];

printTable(rows);
console.log(
  `\nload before ${machine.loadBefore.toFixed(1)}, after ${machine.loadAfter.toFixed(1)}`,
);

const results = join(ROOT, "bench-results");
mkdirSync(results, { recursive: true });
writeFileSync(
  join(results, "latest.json"),
  `${JSON.stringify({ date: new Date(), commit: commit(), machine, rows, costs: bench.costs }, null, 2)}\n`,
);
if (bench.costs.length > 1) {
  // The published picture needs all sizes.
  const isWhole = !options.quick && only.length === 0;
  const picture = join(...(isWhole ? [ROOT, "docs"] : [results]), "cost.svg");
  mkdirSync(join(ROOT, "docs"), { recursive: true });
  writeFileSync(picture, drawCosts(bench.costs));
  console.log(`${picture}: ${statSync(picture).size} bytes`);
}

function commit() {
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], { cwd: ROOT, encoding: "utf8" }).trim();
  } catch {
    return undefined;
  }
}
