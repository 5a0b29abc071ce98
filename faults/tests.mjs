// Runs tests of the tree and sums the figures that they print.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { isBuilt, isInstalled, root } from "../scripts/prepare.mjs";
import { MUTANTS, plant } from "./mutants.mjs";
import { run } from "./programs.mjs";
import { bite, figure, none, skipped } from "./table.mjs";

export const name = "tests";

const MINUTES = 60_000;

export async function campaign({ short, scratch }) {
  if (short) {
    skipped("figures of the cargo tests", "their short forms are ordinary tests: cargo test");
    return;
  }
  await contention();
  await schedules();
  await corpora();
  await throughNode(scratch);
}

/** Some planted faults are in ordinary tests, which fail unless the fault is detected. */
export async function bites({ scratch }) {
  const contended = await cargoTest(["--lib", "lock::tests::detects_lost_increments_without"]);
  const lost = Number(/kills, (\d+) lost/.exec(contended.output)?.[1] ?? 0);
  bite("contention with kills", "no lock", lost > 0 ? [`${lost} increments lost`] : []);
  const model = await cargoTest(["--lib", "lock::model::detects_"]);
  const found = [...model.output.matchAll(/^test lock::model::(detects_\w+) \.\.\. ok/gm)];
  const all = /^running (\d+) tests?$/m.exec(model.output)?.[1];
  const caught = model.ok && found.length === Number(all) && found.length >= 4;
  bite("schedules", `${all} faults`, caught ? found.map(([, it]) => it) : []);
  for (const [index, mutant] of MUTANTS.entries()) {
    await mutantBites(mutant, join(scratch, `mutant-${index}`));
  }
}

/** Only a test that compiled, ran and failed has detected the fault. */
async function mutantBites({ corpus, fault, tests, ...change }, folder) {
  plant(change, folder);
  const { output } = await cargoTest(tests, { cwd: folder });
  const failed = [...output.matchAll(/^test ([\w:]+) \.\.\. FAILED$/gm)].map(([, test]) => test);
  bite(corpus, fault, failed);
}

async function cargoTest(args, { release = false, cwd = root } = {}) {
  const profile = release ? ["--release"] : [];
  const command = ["test", "--locked", ...profile, ...args];
  // The arguments may already contain `--`, before those of the test program.
  const options = args.includes("--") ? ["--nocapture"] : ["--", "--nocapture"];
  const { code, stdout, stderr } = await run("cargo", [...command, ...options], {
    timeoutMs: 10 * MINUTES,
    cwd,
    // Copies of the tree share the tree's target folder.
    env: { CARGO_TARGET_DIR: process.env.CARGO_TARGET_DIR ?? join(root, "target") },
  });
  // With --nocapture, the lines that a test prints are between its name and its result.
  const output = stdout.replaceAll(/^(test [\w:]+ \.\.\. )((?:.*\n)*?)(ok|FAILED)$/gm, "$2$1$3");
  return { ok: code === 0, output, problems: code === 0 ? [] : failures(`${stdout}\n${stderr}`) };
}

function failures(output) {
  const lines = output.split("\n").filter((line) => /FAILED|panicked at|^error/.test(line));
  return lines.length > 0 ? lines : output.trimEnd().split("\n").slice(-5);
}

const sum = (output, pattern) =>
  [...output.matchAll(pattern)].reduce((total, [, number]) => total + Number(number), 0);

async function contention() {
  const test = "lock::tests::loses_none_of_ten_thousand_increments";
  const { output, problems } = await cargoTest(["--lib", test, "--", "--ignored"]);
  const [, increments, kills, lost] =
    /(\d+) increments, (\d+) kills, (\d+) lost/.exec(output)?.map(Number) ?? [];
  figure("increments by four native holders", increments ?? 0, 10_000, problems);
  figure("random kills of these holders", kills ?? 0, 900);
  none("increments lost", lost ?? "?");
}

async function schedules() {
  const test = "lock::model::holds_in_a_hundred_thousand_schedules";
  const args = ["--lib", test, "--", "--ignored"];
  const { output, problems } = await cargoTest(args, { release: true });
  const played = sum(output, /(\d+) schedules: /g);
  figure("schedules of the lock's own code, model checked", played, 100_000, problems);
}

async function corpora() {
  const stores = await cargoTest(["--lib", "store::"]);
  const broken = sum(stores.output, /(\d+) broken stores refused/g);
  figure("broken stores refused", broken, 40, stores.problems);
  figure("unusual valid stores swept", sum(stores.output, /(\d+) odd stores swept/g), 8);
  const modules = ["transcripts::tests::locate::", "lock::tests::"];
  const { output, problems } = await cargoTest(["--lib", "--", ...modules]);
  figure("path tricks detected", sum(output, /(\d+) path tricks/g), 40, problems);
  figure("live locks not taken", sum(output, /(\d+) live locks not stolen/g), 14);
  const others = sum(output, /(\d+) other kinds of files refused/g);
  figure("other objects at the lock's path", others, 3);
}

async function throughNode(scratch) {
  const what = "broken stores and path tricks through Node.js";
  if (!isInstalled() || !isBuilt()) {
    skipped(what, "the addon is not built: npm install, npm run build");
    return;
  }
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const report = join(scratch, "vitest.json");
  const files = ["__test__/damage.test.mjs", "__test__/paths.test.mjs"].filter((file) =>
    existsSync(join(root, file)),
  );
  const reporter = ["--reporter=json", `--outputFile=${report}`];
  const { code, stderr } = await run(process.execPath, [vitest, "run", ...reporter, ...files], {
    timeoutMs: 5 * MINUTES,
  });
  const { default: counts } = await import(report, { with: { type: "json" } });
  figure(what, counts.numPassedTests, 80, code === 0 ? [] : failures(stderr));
}
