// Copies of the tree with one deliberate mistake each, which the corpora must find out: a mistake in
// a rule cannot be made by a wrong system (see sweeper/wrong.rs) under the right code.

import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../scripts/prepare.mjs";

/** What is replaced by what, in which file, and which test must notice. */
export const MUTANTS = [
  {
    corpus: "broken stores",
    mistake: "takes a cut store",
    file: "src/store/scan/scanner.rs",
    right: "Expect::End => return Ok(()),",
    wrong: "Expect::End | Expect::Next => return Ok(()),",
    tests: ["--test", "survey", "a_broken_store_is_refused"],
  },
  {
    corpus: "odd stores",
    mistake: "knows no \\udXXX",
    file: "src/store/scan/scanner.rs",
    right: "if !byte.is_ascii_hexdigit() {",
    wrong: "if !byte.is_ascii_digit() {",
    tests: ["--test", "survey", "what_is_valid_but_odd"],
  },
  {
    corpus: "path tricks",
    mistake: "compares as text",
    file: "src/transcripts/locate.rs",
    right:
      "path.strip_prefix(folder)\n        .is_ok_and(|below| !below.as_os_str().is_empty() && !begins_with_dots(below))",
    wrong: "path.to_string_lossy().starts_with(&*folder.to_string_lossy())",
    tests: ["--lib", "transcripts::tests::locate::"],
  },
  {
    corpus: "live locks",
    mistake: "robs after 30 s",
    file: "src/lock/staleness.rs",
    right: "LET_GO_AFTER: Duration = Duration::from_secs(5 * 60)",
    wrong: "LET_GO_AFTER: Duration = Duration::from_secs(30)",
    tests: ["--test", "lock", "a_live_javascript_holder_is_never_robbed"],
  },
  {
    corpus: "odd things in the lock's place",
    mistake: "takes all for files",
    file: "src/lock/mod.rs",
    right: "if kind == Kind::File {\n        return Ok(());",
    wrong: "if kind != Kind::Folder {\n        return Ok(());",
    tests: ["--test", "lock", "odd_things_at_the_path"],
  },
];

/** What cargo needs of the tree. */
const COPIED = ["Cargo.toml", "Cargo.lock", "build.rs", "README.md"];
const COPIED_FOLDERS = ["src", "tests", "benches", "faults", "__test__/gateway-vectors"];

/** Copies the tree into `folder`, makes the mistake there, and says where that is. */
export function plant({ file, right, wrong }, folder) {
  for (const name of [...COPIED, ...COPIED_FOLDERS]) {
    cpSync(join(root, name), join(folder, name), { recursive: true });
  }
  const path = join(folder, file);
  const parts = readFileSync(path, "utf8").split(right);
  if (parts.length !== 2) {
    throw new Error(`${file} holds ${JSON.stringify(right)} ${parts.length - 1} times, not once`);
  }
  writeFileSync(path, parts.join(wrong));
}
