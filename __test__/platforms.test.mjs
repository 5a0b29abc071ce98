// npm run test:platforms: the list of its exclusions, what docs/platforms.md says about them, where the
// standard library of Rust comes from, and how binaries for macOS are read.

import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { readMachO } from "../scripts/mach-o.mjs";
import { EXCLUSIONS, exclusionOf } from "../scripts/platforms/exclusions.mjs";
import { layOut, root, runNode, temporaryFolder } from "./fixtures/index.mjs";

describe("the exclusions of npm run test:platforms", () => {
  const page = readFileSync(join(root, "docs/platforms.md"), "utf8");

  it.each(EXCLUSIONS)(
    "names existing tests of $file, and its reason is in docs/platforms.md",
    ({ platforms, file, tests = [], reason }) => {
      const path = join(root, "__test__", file);
      expect(existsSync(path), file).toBe(true);
      const recordings = readFileSync(join(root, "__test__/gateway-vectors/sweeps.json"), "utf8");
      const source = readFileSync(path, "utf8") + recordings.replaceAll('"', "'");
      for (const title of tests.flatMap((name) => name.split(" > "))) {
        expect(source).toContain(title);
      }
      expect(page).toContain(`${reason} |`);
      for (const platform of platforms) expect(page).toContain(`| ${platform} |`);
    },
  );

  it("apply to the tests of one file on one platform", () => {
    const [{ platforms, file, tests = [""], reason }] = EXCLUSIONS;
    const name = `a describe > ${tests[0]}`;
    expect(exclusionOf(platforms[0], file, name)).toBe(reason);
    expect(exclusionOf("linux-x64-gnu", file, name)).toBe(undefined);
    expect(exclusionOf(platforms[0], "no.test.mjs", name)).toBe(undefined);
  });
});

describe.skipIf(process.platform === "win32")("the standard library for a target", () => {
  const TARGET = "x86_64-unknown-linux-musl";
  const NO_RUSTUP = "echo no network >&2; exit 1";

  /** Asks for it with programs in place of rustc and rustup; `files` are in the sysroot. */
  async function standardLibrary(files, rustup = NO_RUSTUP) {
    const folder = temporaryFolder();
    const rustc = `case $2 in target-libdir) echo ${folder}/lib/$4 ;; *) echo ${folder} ;; esac`;
    layOut(folder, {
      ...files,
      "bin/rustc": `#!/bin/sh\n${rustc}\n`,
      "bin/rustup": `#!/bin/sh\n${rustup}\n`,
    });
    for (const name of ["rustc", "rustup"]) chmodSync(join(folder, "bin", name), 0o755);
    const cross = pathToFileURL(join(root, "scripts/cross.mjs"));
    const use = `import { standardLibrary } from "${cross}";
      console.log(JSON.stringify(await standardLibrary("${TARGET}").catch(({ message }) => message)));`;
    const PATH = `${join(folder, "bin")}${delimiter}${process.env.PATH}`;
    const { stdout } = await runNode(["--input-type=module", "-e", use], {
      env: { ...process.env, PATH },
    });
    return JSON.parse(stdout);
  }

  const installed = { [`lib/${TARGET}/libstd.rlib`]: "" };
  const source = { "lib/rustlib/src/rust/library/std/Cargo.toml": "" };

  it("is the installed one", async () => {
    expect(await standardLibrary({ ...installed, ...source })).toEqual({ options: [], env: {} });
  });

  it("is built if only its source is installed", async () => {
    const { options, env } = await standardLibrary(source);
    expect(options).toEqual(["-Zbuild-std=std,panic_unwind"]);
    expect(env).toEqual({ RUSTC_BOOTSTRAP: "1" });
  });

  it("is installed by rustup if neither is there", async () => {
    const rustup = `[ "$*" = "target add ${TARGET}" ]`;
    expect(await standardLibrary({}, rustup)).toEqual({ options: [], env: {} });
  });

  it("is reported with the command that installs it if rustup fails", async () => {
    expect(await standardLibrary({})).toMatch(
      new RegExp(`run rustup target add ${TARGET}, or .* rust-src.*no network`, "s"),
    );
  });
});

describe("readMachO", () => {
  /** Returns a load command: its number, its size, and its contents. */
  function command(number, ...contents) {
    const body = Buffer.concat(contents.map((part) => (Buffer.isBuffer(part) ? part : u32(part))));
    return Buffer.concat([u32(number), u32(8 + body.length), body]);
  }

  function u32(value) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  }

  /** Writes a library that exports `_ab` and `_abc`; returns its path. */
  function library() {
    // The root has no symbol and one child; `_ab` has one, and a child for `c`.
    const trie = Buffer.from("\0\x01_ab\0\x07\x02\0\x10\x01c\0\x0e\x02\0\x20\0", "latin1");
    const commands = (trieAt) => [
      command(0xd, 24, 0, 0, 0, Buffer.from("@rpath/a.node\0\0\0")),
      command(0x32, 1, 0x000c0301, 0x000e0000, 0),
      command(0x80000033, trieAt, trie.length),
    ];
    const size = commands(0).reduce((sum, { length }) => sum + length, 0);
    const header = [0xfeedfacf, 0x0100000c, 0, 6, 3, size, 0, 0].map(u32);
    const path = join(temporaryFolder(), "a.node");
    writeFileSync(path, Buffer.concat([...header, ...commands(32 + size), trie]));
    return path;
  }

  it("returns the processor, the exports, the minimum version and the install name", () => {
    expect(readMachO(library())).toEqual({
      arch: "arm64",
      exports: ["_ab", "_abc"],
      minimumVersion: "12.3.1",
      installName: "@rpath/a.node",
      isSigned: false,
    });
  });

  it("refuses a file of another format", () => {
    expect(() => readMachO(join(root, "package.json"))).toThrow("is not a 64-bit Mach-O file");
  });
});
