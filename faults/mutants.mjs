// Copies of the tree, each with one planted fault that the tests must detect: a wrong rule cannot be
// simulated by a faulty system below the right code (see sweeper/faulty_system.rs).

import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../scripts/prepare.mjs";

/** Which code is replaced by which, in which file, and which tests must detect it. */
export const MUTANTS = [
  {
    corpus: "broken stores",
    fault: "accepts a truncated store",
    file: "src/store/scan/scanner.rs",
    right: "Expect::End => return Ok(()),",
    wrong: "Expect::End | Expect::Next => return Ok(()),",
    tests: ["--lib", "store::tests::refuses_a_broken_store"],
  },
  {
    corpus: "unusual stores",
    fault: "rejects \\udXXX",
    file: "src/store/scan/scanner.rs",
    right: "if !byte.is_ascii_hexdigit() {",
    wrong: "if !byte.is_ascii_digit() {",
    tests: ["--lib", "store::tests::sweeps_a_store_with_valid_but_unusual_values"],
  },
  {
    corpus: "path tricks",
    fault: "compares as text",
    file: "src/transcripts/locate.rs",
    right:
      "path.strip_prefix(folder)\n        .is_ok_and(|below| !below.as_os_str().is_empty() && !begins_with_dots(below))",
    wrong: "path.to_string_lossy().starts_with(&*folder.to_string_lossy())",
    tests: ["--lib", "transcripts::tests::locate::"],
  },
  {
    corpus: "live locks",
    fault: "steals after 30 s",
    file: "src/lock/staleness.rs",
    right: "WATCHDOG_TIMEOUT: Duration = Duration::from_secs(5 * 60)",
    wrong: "WATCHDOG_TIMEOUT: Duration = Duration::from_secs(30)",
    tests: ["--lib", "never_steals_the_lock_of_a_live_javascript_holder"],
  },
  {
    corpus: "other kinds of files at the lock's path",
    fault: "accepts all but folders",
    file: "src/lock/found.rs",
    right: "if kind == Kind::File {\n        return Ok(());",
    wrong: "if kind != Kind::Folder {\n        return Ok(());",
    tests: ["--lib", "reports_anything_but_a_regular_file_at_the_path"],
  },
  {
    corpus: "heartbeat",
    fault: "ten times too slow",
    file: "src/lock/heartbeat.rs",
    right: "const PERIOD: Duration = Duration::from_secs(5);",
    wrong: "const PERIOD: Duration = Duration::from_secs(50);",
    tests: ["--lib", "heartbeat"],
  },
  {
    corpus: "heartbeat",
    fault: "one byte too far",
    file: "src/lock/payload.rs",
    right: "date_offset: date_offset as u64,",
    wrong: "date_offset: date_offset as u64 + 1,",
    tests: ["--lib", "the_heartbeat_writes"],
  },
];

/** What cargo needs from the tree. */
const COPIED = ["Cargo.toml", "Cargo.lock", "build.rs", "README.md"];
const COPIED_FOLDERS = ["src", "tests", "benches", "faults", "__test__/gateway-vectors"];

/** Copies what cargo needs from the tree into `folder`. */
export function copyTree(folder) {
  for (const name of [...COPIED, ...COPIED_FOLDERS]) {
    cpSync(join(root, name), join(folder, name), { recursive: true });
  }
}

/** Copies the tree into `folder` and plants the fault there. */
export function plant({ file, right, wrong }, folder) {
  copyTree(folder);
  const path = join(folder, file);
  const parts = readFileSync(path, "utf8").split(right);
  if (parts.length !== 2) {
    throw new Error(
      `expected ${JSON.stringify(right)} in ${file} once, found it ${parts.length - 1} times`,
    );
  }
  writeFileSync(path, parts.join(wrong));
}
