// npm run docs: the API reference of the JavaScript side into target/docs/js, that of the Rust side
// into target/doc. A warning is an error.

import { join } from "node:path";
import { root, run } from "./prepare.mjs";

const js = join("target", "docs", "js");
const typedoc = ["--options", "typedoc.json", "--out", js];
const made = [
  ["TypeDoc", js, process.execPath, ["node_modules/typedoc/bin/typedoc", ...typedoc], {}],
  [
    "cargo doc",
    join("target", "doc", "cron_session_reaper"),
    "cargo",
    ["doc", "--locked", "--no-deps", "--lib", "--target-dir", join(root, "target")],
    { RUSTDOCFLAGS: "-D warnings" },
  ],
];
for (const [name, folder, program, args, env] of made) {
  const { ok, output } = await run(program, args, env);
  console.log(ok ? `${name}: ${join(folder, "index.html")}` : `${name}: FAILED\n${output}`);
  if (!ok) process.exitCode = 1;
}
