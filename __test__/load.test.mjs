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
  const { stdout } = await runNode(["use.js"], { cwd: folder, env: { ...process.env, ...env } });
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
    expect(message).toContain("there is a binary only for aix-ppc64, sunos-x64.");
    expect(message).toContain("npm install && npm run build");
  });

  it("gives the reason if the binary exists but does not load", async () => {
    const { name, binary } = here;
    const { message } = await failure({
      files: {
        [`node_modules/${manifest.name}-${name}/package.json`]: JSON.stringify({ main: binary }),
        [`node_modules/${manifest.name}-${name}/${binary}`]: "not an addon",
      },
    });
    expect(message).toMatch(/its binary is there, but does not load \(.+\)\. To build one/);
    expect(message).toContain(binary);
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
      /what NAPI_RS_NATIVE_LIBRARY_PATH names is no addon that can be loaded \(.*\/no\/such\/addon\.node.*\)/,
    );
  });

  it("names the version of Rust that Cargo.toml requires", async () => {
    const [, version] = /^rust-version = "([\d.]+)"/m.exec(
      readFileSync(join(root, "Cargo.toml"), "utf8"),
    );
    expect((await failure({ published: [] })).message).toContain(`Rust ${version} or later`);
  });
});
