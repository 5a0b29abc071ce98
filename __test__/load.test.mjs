// Where there is no binary that fits: what is said, and that it helps.

import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { platforms } from "../scripts/packages.mjs";
import { layOut, temporaryFolder } from "./fixtures/folder.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const { header } = process.report.getReport();
const here = platforms.find(
  ({ platform, arch, libc }) =>
    platform === process.platform &&
    arch === process.arch &&
    (libc === undefined || libc === (header.glibcVersionRuntime ? "glibc" : "musl")),
);

/** What `require` of a package without a binary of its own throws. */
function failure({ published = platforms.map(({ name }) => name), files = {}, env = {} } = {}) {
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
  const printed = execFileSync(process.execPath, ["use.js"], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  return JSON.parse(printed);
}

describe("a platform without a binary", () => {
  it("is told with a code, on one line, with napi's own error as the cause", () => {
    const { name, code, message, cause } = failure();
    expect(name).toBe("Error");
    expect(code).toBe("ERR_CRON_SESSION_REAPER_NO_BINARY");
    expect(message).not.toMatch(/\n|http/);
    expect(message).toContain(
      `cron-session-reaper cannot be loaded on ${here.name} (${process.platform === "linux" && header.glibcVersionRuntime ? `glibc ${header.glibcVersionRuntime}, ` : ""}Node.js ${process.version})`,
    );
    expect(cause).toMatch(/Cannot find native binding/);
  });

  it("is told which package is missing where one is published", () => {
    expect(failure().message).toContain(
      `the package ${manifest.name}-${here.name} is not installed. Install again with optional dependencies`,
    );
  });

  it("is told which there are, and how to build one, where none is published", () => {
    const { message } = failure({ published: ["sunos-x64", "aix-ppc64"] });
    expect(message).toContain("binaries exist only for aix-ppc64, sunos-x64.");
    expect(message).toContain("npm install && npm run build");
  });

  it("is told why where the binary is there but does not load", () => {
    const { name, binary } = here;
    const { message } = failure({
      files: {
        [`node_modules/${manifest.name}-${name}/package.json`]: JSON.stringify({ main: binary }),
        [`node_modules/${manifest.name}-${name}/${binary}`]: "no addon",
      },
    });
    expect(message).toMatch(/its binary is installed, but cannot be loaded \(.+\)\. To build one/);
    expect(message).toContain(binary);
  });

  it("is told to build where nothing is published at all, as in a clone", () => {
    const { message } = failure({ published: [] });
    expect(message).toContain(
      "it has not been built. To build it, run `npm install && npm run build`",
    );
  });

  it("is told so where the variable leads nowhere", () => {
    const { message } = failure({ env: { NAPI_RS_NATIVE_LIBRARY_PATH: "/no/such/addon.node" } });
    expect(message).toMatch(
      /NAPI_RS_NATIVE_LIBRARY_PATH does not point to a loadable addon \(.*\/no\/such\/addon\.node.*\)/,
    );
  });

  it("is told the version of Rust that the crate asks for", () => {
    const [, version] = /^rust-version = "([\d.]+)"/m.exec(
      readFileSync(join(root, "Cargo.toml"), "utf8"),
    );
    expect(failure({ published: [] }).message).toContain(`Rust ${version} or later`);
  });
});
