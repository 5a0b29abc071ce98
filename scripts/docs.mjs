// npm run docs: writes the JavaScript API reference to target/docs and the Rust one to target/doc. A
// warning is an error.

import { join } from "node:path";
import { run } from "./prepare.mjs";

const target = process.env.CARGO_TARGET_DIR ?? "target";
const js = join("target", "docs");

await make("TypeDoc", js, process.execPath, [
  "node_modules/typedoc/bin/typedoc",
  "--options",
  "typedoc.json",
  "--out",
  js,
]);
await make("cargo doc", join(target, "doc", "cron_session_reaper"), "cargo", [
  "doc",
  "--locked",
  "--no-deps",
  "--lib",
]);

async function make(name, folder, program, args) {
  const { ok, output } = await run(program, args, { RUSTDOCFLAGS: "-D warnings" });
  console.log(ok ? `${name}: ${join(folder, "index.html")}` : `${name}: FAILED\n${output}`);
  if (!ok) process.exitCode = 1;
}
