// npm run build:cross [-- <platform> …]: builds the addon for the Linux platforms, on Linux, into
// target/cross, checks which version of glibc it requires, and runs it if this machine can: with an
// emulator for another processor, with a Node.js for musl (see other-node.mjs).
//
// A release uses it to build for Linux, each platform on a machine with its processor.

import { join } from "node:path";
import { buildAddon, crossFolder, GLIBC, installCompilers, must } from "./cross.mjs";
import { findNode } from "./other-node.mjs";
import { platforms } from "./packages.mjs";
import { root, run } from "./prepare.mjs";

const asked = process.argv.slice(2);

const building = platforms.filter(
  ({ name, platform }) => platform === "linux" && (asked.length === 0 || asked.includes(name)),
);
await installCompilers();
for (const platform of building) {
  const addon = await buildAddon(platform, crossFolder);
  const requires = platform.libc === "glibc" ? `, requires glibc ${await newestGlibc(addon)}` : "";
  console.log(`${platform.name}: built${requires}, ${await tryAddon(platform, addon)}`);
}

/** Returns the newest version of glibc that the addon requires. */
async function newestGlibc(addon) {
  const symbols = await must("objdump", ["-T", addon]);
  const versions = [...symbols.matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(([, major, minor]) => [
    Number(major),
    Number(minor),
  ]);
  const [newest] = versions.sort((a, b) => b[0] - a[0] || b[1] - a[1]);
  const [major, minor] = GLIBC.split(".").map(Number);
  if (newest[0] > major || (newest[0] === major && newest[1] > minor)) {
    throw new Error(`${addon} requires glibc ${newest.join(".")}, newer than ${GLIBC}`);
  }
  return newest.join(".");
}

/** Runs the addon if this machine can, and returns the result in words. */
async function tryAddon(platform, addon) {
  const { program, missing } = await findNode(platform);
  if (missing) return `not run: ${missing}`;
  const smoke = join(root, "scripts", "smoke.mjs");
  const result = await run(program, [smoke], { NAPI_RS_NATIVE_LIBRARY_PATH: addon });
  if (!result.ok) throw new Error(`${addon} does not work:\n${result.output}`);
  return result.output.trim();
}
