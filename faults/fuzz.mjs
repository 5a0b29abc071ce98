// Runs the fuzzers of fuzz/. They need a nightly toolchain and cargo-fuzz.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "../scripts/prepare.mjs";
import { has, run } from "./programs.mjs";
import { bite, figure, none, skipped } from "./table.mjs";

export const name = "fuzz";

const TARGETS = ["survey", "rewrite"];

export async function campaign({ short }) {
  const what = "fuzzed stores, survey and rewrite";
  if (short) {
    skipped(what, "building the fuzzers takes longer than all other short campaigns");
    return;
  }
  const missing = missingTool();
  if (missing) {
    skipped(what, missing);
    return;
  }
  await run(process.execPath, [join("fuzz", "seeds.mjs")]);
  const runs = 260_000;
  const problems = [];
  let done = 0;
  for (const target of TARGETS) {
    const options = ["--", `-runs=${runs}`, "-max_total_time=200", "-len_control=0"];
    const { code, stderr } = await run("cargo", ["+nightly", "fuzz", "run", target, ...options], {
      timeoutMs: 900_000,
    });
    done += Number(/^Done (\d+) runs/m.exec(stderr)?.[1] ?? 0);
    if (code !== 0) {
      problems.push(`${target}: ${stderr.trimEnd().split("\n").slice(-8).join("\n    ")}`);
    }
  }
  figure(what, done, 500_000);
  none("crashes and disagreements", problems.length, problems);
}

/** Plants a cutoff that is one millisecond late, which the fuzzer's own reading must detect. */
export async function bites() {
  const missing = missingTool();
  if (missing) {
    skipped("fuzzers", missing);
    return;
  }
  await run(process.execPath, [join("fuzz", "seeds.mjs")]);
  const { code, stderr } = await run(
    "cargo",
    ["+nightly", "fuzz", "run", "rewrite", "--", "-max_total_time=90"],
    { timeoutMs: 900_000, env: { FUZZ_MISTAKE: "1" } },
  );
  const panic = /panicked at [^\n]*/.exec(stderr)?.[0];
  bite("fuzz", "late-cutoff", code !== 0 && panic ? [panic] : []);
}

/** Returns the reason why the fuzzers cannot run, or undefined. */
function missingTool() {
  if (!existsSync(join(root, "fuzz", "Cargo.toml"))) {
    return "fuzz/ is not available";
  }
  if (!has("cargo", "+nightly", "--version")) {
    return "no nightly toolchain is available";
  }
  return has("cargo", "+nightly", "fuzz", "--version") ? undefined : "cargo-fuzz is not available";
}
