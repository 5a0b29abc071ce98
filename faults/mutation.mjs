// Changes one operator or removes one statement at a time, in the modules that lock, commit and archive,
// and runs the tests of the crate on each such mutant. A mutant that no test detects shows a rule that
// no test asserts.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../scripts/prepare.mjs";
import { copyTree } from "./mutants.mjs";
import { EQUIVALENT } from "./mutation-equivalent.mjs";
import { GENEROUS_LIMIT_MS, run, spread } from "./programs.mjs";
import { bite, figure, skipped } from "./table.mjs";

export const name = "mutants";

/** How many mutants are tried, spread evenly over all of them. */
const TRIED = Number(process.env.MUTANTS ?? 150);

/** A mutant whose tests take so many times as long as the tests of the unchanged crate waits forever. */
const TOO_LONG = 4;

const LOCK = ["takeover", "found", "staleness", "heartbeat", "payload", "mod"];
const COMMIT = [
  "src/store/replace.rs",
  "src/store/leftovers/mod.rs",
  "src/sweep/commit_loop.rs",
  "src/sweep/plan.rs",
  "src/sweep/other_stores.rs",
  "src/sweep/run_transcripts.rs",
  "src/sweep/prepared.rs",
  "src/sweep/cleanup.rs",
  "src/transcripts/archive.rs",
  "src/transcripts/links.rs",
  "src/transcripts/names.rs",
];

/** The files, each with the tests that are tried first: the fast ones of the same module. */
const FILES = [
  ...LOCK.map((file) => ({
    file: `src/lock/${file}.rs`,
    first: [["lock::tests", "lock::staleness", "lock::payload"], ["lock::model::holds"]],
  })),
  ...COMMIT.map((file) => ({
    file,
    first: [["sweep::", "store::leftovers", "transcripts::", "--skip=hashes", "--skip=recorded"]],
  })),
];

/** What is replaced by what. Comparisons and operators have spaces on both sides; types have none. */
const OPERATORS = [
  [/ == /g, " != "],
  [/ != /g, " == "],
  [/ < /g, " <= "],
  [/ > /g, " >= "],
  [/ <= /g, " < "],
  [/ >= /g, " > "],
  [/ \|\| /g, " && "],
  [/ && (?!let )/g, " || "],
  [/(?<=[ (])!(?=[a-z])/g, ""],
  [/\btrue\b/g, "false"],
  [/\bfalse\b/g, "true"],
  [/^( +\..*)\?;$/g, "$1.ok();"],
  [
    /^( +)(?!let |return|use |pub |break|continue)(\*?[a-z][\w.]*(?: \+?= |\().*|let _ = .*);$/g,
    "$1();",
  ],
];

export async function campaign({ short, scratch }) {
  const what = "mutants detected by the tests of the crate";
  if (short) {
    skipped(what, "it takes an hour");
    return;
  }
  const folder = join(scratch, "tree");
  copyTree(folder);
  let unchangedMs;
  for (const { file, first } of [FILES.at(0), FILES.at(-1)]) {
    const unchanged = { file, first, index: 0, ...firstLineOf(file) };
    const started = performance.now();
    const outcome = await outcomeOf(unchanged, folder);
    if (outcome !== "survived") {
      const failed = outcome === "invalid" ? "cannot be built" : "fail";
      figure(what, 0, 100, [`the tests ${failed} without a mutant`]);
      return;
    }
    // Of the second: the first compiles everything.
    unchangedMs = performance.now() - started;
  }
  const survivors = [];
  const counts = { failed: 0, waited: 0, equivalent: 0, invalid: 0 };
  for (const mutant of spread(allMutants(), TRIED)) {
    const outcome = isEquivalent(mutant)
      ? "equivalent"
      : await outcomeOf(mutant, folder, TOO_LONG * unchangedMs);
    if (process.env.MUTANTS) {
      console.log(`${outcome.padEnd(10)} ${describe(mutant)}`);
    }
    if (outcome === "survived") {
      survivors.push(describe(mutant));
    } else {
      counts[outcome]++;
    }
  }
  const { failed, waited, equivalent, invalid } = counts;
  console.log(
    `    (${failed} by a test that fails, ${waited} by a test that waits forever;`,
    `${equivalent} more are equivalent, ${invalid} more do not compile)`,
  );
  figure(what, failed + waited, 100, survivors);
}

function firstLineOf(file) {
  const [line] = readFileSync(join(root, file), "utf8").split("\n");
  return { line, to: line };
}

/** Tries a mutant with tests that cannot detect it. */
export async function bites({ scratch }) {
  const folder = join(scratch, "tree");
  copyTree(folder);
  const [mutant] = allMutants();
  const outcome = await outcomeOf(
    { ...mutant, first: [], last: ["no test has this name"] },
    folder,
  );
  bite("mutants", "tests that assert nothing", outcome === "survived" ? [describe(mutant)] : []);
}

function allMutants() {
  return FILES.flatMap(({ file, first }) => {
    const lines = readFileSync(join(root, file), "utf8").split("\n");
    const tests = lines.findIndex((line) => line.startsWith("#[cfg(test)]"));
    return lines
      .slice(0, tests < 0 ? undefined : tests)
      .flatMap((line, index) => changesOf(line).map((to) => ({ file, first, index, line, to })));
  });
}

function changesOf(line) {
  if (/^\s*(\/\/|#|use |pub use )/.test(line)) {
    return [];
  }
  return OPERATORS.flatMap(([pattern, replacement]) =>
    [...line.matchAll(pattern)].map(({ index, 0: found }) => {
      const changed = found.replace(new RegExp(pattern.source), replacement);
      return (
        line.slice(0, index) +
        (changed === found ? replacement : changed) +
        line.slice(index + found.length)
      );
    }),
  );
}

const describe = ({ file, index, line, to }) =>
  `${file}:${index + 1}: ${line.trim()} → ${to.trim()}`;

const isEquivalent = ({ file, line, to }) =>
  EQUIVALENT.some((it) => it.file === file && it.line === line.trim() && it.to === to.trim());

/** Returns "failed" or "waited" (both detected), "survived", or "invalid" if the mutant does not compile. */
async function outcomeOf(
  { file, index, line, to, first, last = [] },
  folder,
  timeoutMs = GENEROUS_LIMIT_MS,
) {
  const path = join(folder, file);
  const text = readFileSync(path, "utf8");
  const lines = text.split("\n");
  if (lines[index] !== line) {
    throw new Error(`${file} was modified`);
  }
  writeFileSync(path, lines.with(index, to).join("\n"));
  try {
    const program = await build(folder);
    if (!program) {
      return "invalid";
    }
    for (const tests of [...first, last]) {
      const { code, timedOut } = await run(program, tests, { cwd: folder, timeoutMs });
      if (timedOut) {
        return "waited";
      }
      if (code !== 0) {
        return "failed";
      }
    }
    return "survived";
  } finally {
    writeFileSync(path, text);
  }
}

/** Builds the tests of the library. Resolves to their program, or to undefined if it does not compile. */
async function build(folder) {
  const args = ["test", "--locked", "--lib", "--no-run", "--message-format=json"];
  const target = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "mutants");
  const options = { cwd: folder, env: { CARGO_TARGET_DIR: target }, timeoutMs: GENEROUS_LIMIT_MS };
  const { stdout } = await run("cargo", args, options);
  const messages = stdout.split("\n").filter((message) => message.startsWith("{"));
  const parsed = messages.map((message) => JSON.parse(message));
  const succeeded = parsed.some(({ reason, success }) => reason === "build-finished" && success);
  const artifact = parsed.find(({ profile, executable }) => profile?.test && executable);
  return succeeded ? artifact?.executable : undefined;
}
