// Loading the package where no binary fits: the error and its advice.

import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { platforms } from "../scripts/packages.mjs";
import { layOut, manifest, root, runNode, temporaryFolder } from "./fixtures/index.mjs";

const { header } = process.report.getReport();
const here = platforms.find(
  ({ platform, arch, libc }) =>
    platform === process.platform &&
    arch === process.arch &&
    (libc === undefined || libc === (header.glibcVersionRuntime ? "glibc" : "musl")),
);

/** Returns the error of `require` for a package without its binary. */
async function failure({
  published = platforms.map(({ name }) => name),
  files = {},
  env = {},
  options = [],
} = {}) {
  const folder = temporaryFolder();
  for (const name of ["index.js", "load.js", "binding.js"]) {
    copyFileSync(join(root, name), join(folder, name));
  }
  const optionalDependencies = Object.fromEntries(
    published.map((name) => [`${manifest.name}-${name}`, manifest.version]),
  );
  layOut(folder, {
    "package.json": JSON.stringify({
      name: manifest.name,
      version: manifest.version,
      ...(published.length > 0 && { optionalDependencies }),
    }),
    "use.js": `
      try {
        require("./index.js");
      } catch ({ name, code, message, cause }) {
        console.log(JSON.stringify({ name, code, message, cause: cause.message }));
      }`,
    ...files,
  });
  const { stdout } = await runNode([...options, "use.js"], {
    cwd: folder,
    env: { ...process.env, ...env },
  });
  return JSON.parse(stdout);
}

describe("the error for a missing binary", () => {
  it("throws an error with a code, a message of one line, and napi's error as the cause", async () => {
    const { name, code, message, cause } = await failure();
    expect(name).toBe("Error");
    expect(code).toBe("ERR_CRON_SESSION_REAPER_NO_BINARY");
    expect(message).not.toMatch(/\n|http/);
    expect(message).toContain(
      `cron-session-reaper cannot be loaded on ${here.name} (${process.platform === "linux" && header.glibcVersionRuntime ? `glibc ${header.glibcVersionRuntime}, ` : ""}Node.js ${process.version})`,
    );
    expect(cause).toMatch(/Cannot find native binding/);
  });

  it("names the missing package on a platform with a published binary", async () => {
    expect((await failure()).message).toContain(
      `the package ${manifest.name}-${here.name} is not installed. Install again with optional dependencies`,
    );
  });

  it("lists the platforms and how to build on a platform without a published binary", async () => {
    const { message } = await failure({ published: ["sunos-x64", "aix-ppc64"] });
    expect(message).toContain("binaries exist only for aix-ppc64, sunos-x64.");
    expect(message).toContain("npm install && npm run build");
  });

  /** Returns the files of a package with a binary for this platform. */
  function binaryPackage(contents, version = manifest.version) {
    const { name, binary } = here;
    const folder = `node_modules/${manifest.name}-${name}`;
    const main = { version, main: binary };
    return {
      [`${folder}/package.json`]: JSON.stringify(main),
      [`${folder}/${binary}`]: contents,
    };
  }
  const addon = readFileSync(join(root, here.binary));

  it("advises to install again if the binary is damaged", async () => {
    const { message } = await failure({ files: binaryPackage("not an addon".repeat(9000)) });
    expect(message).toMatch(
      /its binary is damaged, or of another platform \(.+\)\. Delete node_modules, and install again/,
    );
    expect(message).not.toContain("To build one");
    expect(message).toContain(here.binary);
  });

  it("advises to install again if the binary is of another version", async () => {
    const { message } = await failure({ files: binaryPackage(addon, "0.0.1") });
    expect(message).toMatch(
      /its binary belongs to another version of the package \(.*0\.0\.1.*\)\. Delete node_modules/,
    );
  });

  it("reports an addon of another version that NAPI_RS_NATIVE_LIBRARY_PATH names", async () => {
    const { message } = await failure({
      files: { "old.js": 'exports.version = () => "0.0.1";' },
      env: { NAPI_RS_NATIVE_LIBRARY_PATH: "./old.js" },
    });
    expect(message).toContain(
      `does not point to a loadable addon (version mismatch: expected ${manifest.version}, got 0.0.1)`,
    );
  });

  it("does not change the environment", async () => {
    const { message } = await failure({
      files: {
        ...binaryPackage(addon),
        "use.js": `require("./index.js");
          console.log(JSON.stringify({ message: process.env.NAPI_RS_ENFORCE_VERSION_CHECK ?? "unset" }));`,
      },
    });
    expect(message).toBe("unset");
  });

  it("advises to allow addons if Node.js was started without them", async () => {
    const { message } = await failure({
      files: binaryPackage(addon),
      options: ["--no-addons"],
    });
    expect(message).toMatch(
      /Node\.js was started without native addons \(.+\)\. Start it without --no-addons; with --permission, add --allow-addons\.$/,
    );
  });

  it.each([
    ["x.node: failed to map segment from shared object", /noexec, or a sandbox .*without noexec/],
    [
      "x.node: cannot open shared object file: Operation not permitted",
      /must not be read .*sandbox/,
    ],
    [
      "Error loading shared library x.node: Exec format error",
      /damaged, or of another platform \(.*\)\. Delete node_modules, and install again/,
    ],
    ...[
      "x.node: cannot open shared object file: No such file or directory",
      "libc.musl-x86_64.so.1: cannot open shared object file: No such file or directory",
      "Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by x.node)",
      "Error relocating x.node: unsupported relocation type 1026",
      "dlopen(x.node, 0x0001): tried: 'x.node' (mach-o file, but is an incompatible architecture (have 'arm64', need 'x86_64'))",
    ].map((failed) => [
      failed,
      /for another processor or another libc \(.*\)\. Delete node_modules, and install again/,
    ]),
    ["libc.so.6: version `GLIBC_2.17' not found", /cannot be loaded \(.*GLIBC_2\.17.*To build one/],
  ])("has advice for the failure: %s", async (failed, advice) => {
    const name = `node_modules/${manifest.name}-${here.name}`;
    const { message } = await failure({
      files: { [`${name}/index.js`]: `throw new Error(${JSON.stringify(failed)});` },
    });
    expect(message).toContain(failed);
    expect(message).toMatch(advice);
  });

  it("reports the cause without package.json and without a diagnostic report", async () => {
    const { code, message } = await failure({
      files: {
        "none.cjs": `require("node:fs").rmSync("package.json");
          Object.defineProperty(process, "report", { value: undefined });`,
      },
      options: ["--require", "./none.cjs"],
    });
    expect(code).toBe("ERR_CRON_SESSION_REAPER_NO_BINARY");
    expect(message).toContain("it has not been built");
  });

  it("advises to build in a clone, where no package is published", async () => {
    const { message } = await failure({ published: [] });
    expect(message).toContain(
      "it has not been built. To build it, run `npm install && npm run build`",
    );
  });

  it("names NAPI_RS_NATIVE_LIBRARY_PATH if it does not point to a loadable addon", async () => {
    const { message } = await failure({
      env: { NAPI_RS_NATIVE_LIBRARY_PATH: "/no/such/addon.node" },
    });
    expect(message).toMatch(
      /NAPI_RS_NATIVE_LIBRARY_PATH does not point to a loadable addon \(.*\/no\/such\/addon\.node.*\)/,
    );
  });

  it("names the version of Rust that Cargo.toml requires", async () => {
    const [, version] = /^rust-version = "([\d.]+)"/m.exec(
      readFileSync(join(root, "Cargo.toml"), "utf8"),
    );
    expect((await failure({ published: [] })).message).toContain(`Rust ${version} or later`);
  });
});

describe("an internal error", () => {
  it("rejects the promise with a code", async () => {
    const { code, message } = await failure({
      files: {
        "addon.js": `exports.version = () => ${JSON.stringify(manifest.version)};
          exports.resolveRetentionMs = () => 1;
          exports.newWatch = () => ({});
          exports.sweep = async () => { throw Object.assign(new Error("a panic"), { code: "GenericFailure" }); };`,
        "use.js": `require("./index.js").sweepSessionStore({ sessionStorePath: "a" })
          .catch(({ code, message }) => console.log(JSON.stringify({ code, message })));`,
      },
      env: { NAPI_RS_NATIVE_LIBRARY_PATH: "./addon.js" },
    });
    expect({ code, message }).toEqual({
      code: "ERR_CRON_SESSION_REAPER_INTERNAL",
      message: "a panic",
    });
  });
});
