// npm run build:cross [-- <platform> …]: builds the addon for the Linux platforms, on Linux, into
// target/cross, checks which version of glibc it requires, and runs it if this machine can: with an
// emulator for another processor, with a Node.js for musl.
//
// A release uses it to build for Linux, each platform on a machine with its processor.
//
// The compilers (zig, cargo-zigbuild) are installed from PyPI into target/cross/tools, with the hashes
// in build-cross.txt, and the Rust targets with rustup. Running requires qemu-user-static and, on
// Debian, libstdc++6-arm64-cross; for musl, the command line of a Node.js in MUSL_NODE.

import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { platforms } from "./packages.mjs";
import { root, run } from "./prepare.mjs";

// Older than the version that Node.js 20 requires (2.28), so the addon loads wherever Node.js runs.
const GLIBC = "2.17";
const TOOLS = join(root, "scripts", "build-cross.txt");
// The Node.js to run on another processor. npm has no Node.js for musl.
const NODE = "22.23.3";
const EMULATED = { arm64: ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"] };

const out = join(root, "target", "cross");
const tools = join(out, "tools");
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const cargoHome = process.env.CARGO_HOME || join(homedir(), ".cargo");
const path = `${join(tools, "bin")}${delimiter}${process.env.PATH}`;
const asked = process.argv.slice(2);

const building = platforms.filter(
  ({ name, platform }) => platform === "linux" && (asked.length === 0 || asked.includes(name)),
);
mkdirSync(out, { recursive: true });
await installTools();
for (const platform of building) {
  const addon = await build(platform);
  const requires = platform.libc === "glibc" ? `, requires glibc ${await newestGlibc(addon)}` : "";
  console.log(`${platform.name}: built${requires}, ${await tryAddon(platform, addon)}`);
}

async function installTools() {
  await must("python3", "-m", "venv", tools);
  const options = ["--quiet", "--only-binary", ":all:", "--require-hashes", "--requirement"];
  await must(join(tools, "bin", "pip"), "install", ...options, TOOLS);
  await must("rustup", "target", "add", ...building.map(({ triple }) => triple));
}

async function build({ triple, libc, binary }) {
  const floor = libc === "glibc" ? `.${GLIBC}` : "";
  const flags = [
    // Panic messages contain source paths, which would reveal the builder's home folder.
    `--remap-path-prefix=${cargoHome}=/cargo`,
    `--remap-path-prefix=${root}=/cron-session-reaper`,
    // The Node.js that loads the addon already has its own musl.
    ...(libc === "musl" ? ["-Ctarget-feature=-crt-static"] : []),
  ];
  const result = await run(
    "cargo",
    ["zigbuild", "--locked", "--release", "--lib", "--target", `${triple}${floor}`],
    {
      PATH: path,
      CARGO_TARGET_DIR: target,
      CARGO_ENCODED_RUSTFLAGS: flags.join("\x1f"),
    },
  );
  if (!result.ok) throw new Error(`cannot build for ${triple}:\n${result.output}`);
  const addon = join(out, binary);
  copyFileSync(join(target, triple, "release", "libcron_session_reaper.so"), addon);
  const named = [cargoHome, root].find((folder) => readFileSync(addon).includes(folder));
  if (named) throw new Error(`${addon} contains the path ${named} of this machine`);
  return addon;
}

/** Returns the newest version of glibc that the addon requires. */
async function newestGlibc(addon) {
  const symbols = await must("objdump", "-T", addon);
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
async function tryAddon({ arch, libc }, addon) {
  const node = libc === "musl" ? muslNode(arch) : await glibcNode(arch);
  if (node === undefined) return "not run: this machine has no Node.js for it";
  const [program, ...args] = [...node, join(root, "scripts", "smoke.mjs")];
  const result = await run(program, args, { NAPI_RS_NATIVE_LIBRARY_PATH: addon });
  if (!result.ok) throw new Error(`${addon} does not work:\n${result.output}`);
  return result.output.trim();
}

function muslNode(arch) {
  return arch === process.arch ? process.env.MUSL_NODE?.split(" ") : undefined;
}

async function glibcNode(arch) {
  if (arch === process.arch) return [process.execPath];
  const [emulator, ...args] = EMULATED[arch];
  if (!(await run(emulator, ["--version"])).ok) return undefined;
  const prefix = join(out, "node");
  const node = join(prefix, "node_modules", `node-linux-${arch}`, "bin", "node");
  if (!existsSync(node)) {
    // --force, because npm does not install packages for another processor without it.
    const options = ["--force", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];
    await must("npm", "install", "--prefix", prefix, ...options, `node-linux-${arch}@${NODE}`);
  }
  return [emulator, ...args, node];
}

async function must(program, ...args) {
  const { ok, output } = await run(program, args, { PATH: path });
  if (!ok) throw new Error(`${program} ${args.join(" ")}:\n${output}`);
  return output;
}
