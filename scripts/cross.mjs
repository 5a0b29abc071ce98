// Builds the addon for other platforms on Linux, with zig as the C compiler and linker. The compilers
// (zig, cargo-zigbuild) are installed from PyPI into target/cross/tools, with the hashes in
// build-cross.txt.
//
// The standard library of Rust for a target is the installed one. If there is none, it is built from
// the component rust-src, if that is installed. Otherwise rustup installs it, as for a release.

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { root, run } from "./prepare.mjs";

// Older than the version that Node.js 20 requires (2.28), so the addon loads wherever Node.js runs.
export const GLIBC = "2.17";

export const crossFolder = join(root, "target", "cross");
const tools = join(crossFolder, "tools");
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const cargoHome = process.env.CARGO_HOME || join(homedir(), ".cargo");
const path = `${join(tools, "bin")}${delimiter}${process.env.PATH}`;

/** Runs a program with the compilers on its path, and returns what it printed. */
export async function must(program, args, env = {}) {
  const { ok, output } = await run(program, args, { PATH: path, ...env });
  if (!ok) throw new Error(`${program} ${args.join(" ")}:\n${output}`);
  return output;
}

/** Returns the path of a program in the Python environment of the compilers. */
export function pythonProgram(name) {
  return join(tools, "bin", name);
}

export async function installCompilers() {
  mkdirSync(crossFolder, { recursive: true });
  await must("python3", ["-m", "venv", tools]);
  const options = ["--quiet", "--only-binary", ":all:", "--require-hashes", "--requirement"];
  const list = join(root, "scripts", "build-cross.txt");
  await must(pythonProgram("pip"), ["install", ...options, list]);
}

/**
 * Builds the addon for a target.
 *
 * @param platform.triple The target; it may be another one than that of the platform's package.
 * @param platform.libc "glibc", "musl" or undefined.
 * @returns The path of the library in cargo's folder.
 */
export async function buildLibrary({ triple, libc }) {
  const floor = libc === "glibc" ? `.${GLIBC}` : "";
  const { options, env, remap = [] } = await standardLibrary(triple);
  const { flags = [], library, variables = {} } = linking(triple);
  const remapped = [
    // Panic messages contain source paths, which would reveal the builder's home folder.
    `--remap-path-prefix=${cargoHome}=/cargo`,
    `--remap-path-prefix=${root}=/cron-session-reaper`,
    ...remap,
    // The Node.js that loads the addon already has its own musl.
    ...(libc === "musl" ? ["-Ctarget-feature=-crt-static"] : []),
    ...flags,
  ];
  const args = ["--locked", "--release", "--lib", "--target", `${triple}${floor}`, ...options];
  await must("cargo", ["zigbuild", ...args], {
    ...env,
    ...variables,
    CARGO_TARGET_DIR: target,
    CARGO_ENCODED_RUSTFLAGS: remapped.join("\x1f"),
  });
  const built = join(target, triple, "release", library);
  const named = [cargoHome, root].find((folder) => readFileSync(built).includes(folder));
  if (named) throw new Error(`${built} contains the path ${named} of this machine`);
  return built;
}

/** Builds the addon of a platform into a folder, and returns its path there. */
export async function buildAddon(platform, folder) {
  const built = await buildLibrary(platform);
  mkdirSync(folder, { recursive: true });
  const addon = join(folder, platform.binary);
  copyFileSync(built, addon);
  return addon;
}

/** Returns what cargo needs to find or to build the standard library for a target. */
export async function standardLibrary(triple) {
  const installed = (await must("rustc", ["--print", "target-libdir", "--target", triple])).trim();
  if (existsSync(installed)) return { options: [], env: {} };
  const sysroot = (await must("rustc", ["--print", "sysroot"])).trim();
  if (existsSync(join(sysroot, "lib/rustlib/src/rust/library/std/Cargo.toml"))) {
    return {
      options: ["-Zbuild-std=std,panic_unwind"],
      // The option is unstable, so a stable cargo refuses it without the variable.
      env: { RUSTC_BOOTSTRAP: "1" },
      remap: [`--remap-path-prefix=${sysroot}=/rust`],
    };
  }
  const { ok, output } = await run("rustup", ["target", "add", triple]);
  if (!ok) {
    throw new Error(
      `cannot install the standard library of Rust for ${triple}: run rustup target add ${triple}, ` +
        `or rustup component add rust-src, from which it is built:\n${output}`,
    );
  }
  return { options: [], env: {} };
}

/** Returns how a target is linked: flags, variables, and the name of the library. */
function linking(triple) {
  const name = "cron_session_reaper";
  if (triple.includes("-apple-")) {
    return {
      library: `lib${name}.dylib`,
      // A library contains its install name, which would otherwise be the build path.
      flags: ["-Clink-arg=-Wl,-install_name,@rpath/cron-session-reaper.node"],
      variables: { MACOSX_DEPLOYMENT_TARGET: "11.0" },
    };
  }
  if (triple.includes("-windows-")) {
    return { library: `${name}.dll`, variables: { LIBNODE_PATH: emptyLibraries() } };
  }
  return { library: `lib${name}.so` };
}

/**
 * Returns a folder with empty libraries for windows-gnu: napi links libnode, but the addon finds the
 * functions of Node.js when it is loaded, so it needs none of it. Debian's Rust links the two libraries
 * of GCC's stack protector, which zig does not have; its Rust code calls none of their functions.
 */
function emptyLibraries() {
  const folder = join(crossFolder, "empty-libraries");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "libnode.dll"), "");
  for (const name of ["node", "ssp_nonshared", "ssp"])
    writeFileSync(join(folder, `lib${name}.a`), "!<arch>\n");
  return folder;
}
