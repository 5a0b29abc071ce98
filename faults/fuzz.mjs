// The fuzzers of fuzz/, where a nightly toolchain and cargo-fuzz are there.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "../scripts/prepare.mjs";
import { has, run } from "./programs.mjs";
import { bite, figure, none, skipped } from "./table.mjs";

export const name = "fuzz";

const TARGETS = ["survey", "rewrite"];

export async function campaign({ short }) {
  if (short) {
    return; // Building the fuzzers alone takes longer than all short forms together.
  }
  const what = "fuzzed stores, survey and rewrite";
  const why = whyNot();
  if (why) {
    skipped(what, why);
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

/** The cutoff a millisecond too late: the plain reading must disagree. */
export async function bites() {
  const why = whyNot();
  if (why) {
    skipped("fuzzers", why);
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

function whyNot() {
  if (!existsSync(join(root, "fuzz", "Cargo.toml"))) {
    return "there is no fuzz/";
  }
  if (!has("cargo", "+nightly", "--version")) {
    return "there is no nightly toolchain";
  }
  return has("cargo", "+nightly", "fuzz", "--version") ? undefined : "there is no cargo-fuzz";
}
