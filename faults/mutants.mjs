// Copies of the tree, each with one planted fault that the corpora must detect: a wrong rule cannot be
// simulated by a faulty system below the right code (see sweeper/faulty_system.rs).

import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../scripts/prepare.mjs";

/** For each fault: the file, the right text and the wrong one, and the tests that must fail. */
export const MUTANTS = [
  {
    corpus: "broken stores",
    fault: "accepts a truncated store",
    file: "src/store/scan/scanner.rs",
    right: "Expect::End => return Ok(()),",
    wrong: "Expect::End | Expect::Next => return Ok(()),",
    tests: ["--test", "survey", "a_broken_store_is_refused"],
  },
  {
    corpus: "unusual stores",
    fault: "refuses \\udXXX",
    file: "src/store/scan/scanner.rs",
    right: "if !byte.is_ascii_hexdigit() {",
    wrong: "if !byte.is_ascii_digit() {",
    tests: ["--test", "survey", "what_is_valid_but_odd"],
  },
  {
    corpus: "path tricks",
    fault: "compares paths as text",
    file: "src/transcripts/locate.rs",
    right:
      "path.strip_prefix(folder)\n        .is_ok_and(|below| !below.as_os_str().is_empty() && !begins_with_dots(below))",
    wrong: "path.to_string_lossy().starts_with(&*folder.to_string_lossy())",
    tests: ["--lib", "transcripts::tests::locate::"],
  },
  {
    corpus: "live locks",
    fault: "takes it after 30 s",
    file: "src/lock/staleness.rs",
    right: "LET_GO_AFTER: Duration = Duration::from_secs(5 * 60)",
    wrong: "LET_GO_AFTER: Duration = Duration::from_secs(30)",
    tests: ["--test", "lock", "a_live_javascript_holder_is_never_robbed"],
  },
  {
    corpus: "other objects as lock",
    fault: "accepts any object",
    file: "src/lock/mod.rs",
    right: "if kind == Kind::File {\n        return Ok(());",
    wrong: "if kind != Kind::Folder {\n        return Ok(());",
    tests: ["--test", "lock", "odd_things_at_the_path"],
  },
];

/** The files and folders that cargo needs. */
const COPIED = ["Cargo.toml", "Cargo.lock", "build.rs", "README.md"];
const COPIED_FOLDERS = ["src", "tests", "benches", "faults", "__test__/gateway-vectors"];

/** Copies the tree into `folder` and plants the fault there. */
export function plant({ file, right, wrong }, folder) {
  for (const name of [...COPIED, ...COPIED_FOLDERS]) {
    cpSync(join(root, name), join(folder, name), { recursive: true });
  }
  const path = join(folder, file);
  const parts = readFileSync(path, "utf8").split(right);
  if (parts.length !== 2) {
    throw new Error(
      `${file} contains ${JSON.stringify(right)} ${parts.length - 1} times, expected once`,
    );
  }
  writeFileSync(path, parts.join(wrong));
}
