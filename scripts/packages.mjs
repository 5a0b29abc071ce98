// The published packages: the main one, and one with the binary for each platform.
//
//   node scripts/packages.mjs folders                        rewrites npm/<platform>/
//   node scripts/packages.mjs pack <out> <folder> [--some]   packs all, with the binaries in <folder>
//
// `pack` makes the files that are tested and then published. napi's `pre-publish` is not used, because
// it makes them only when it publishes them.
//
// Each platform's package contains the licenses of the crates in its binary. They are read from
// cargo's copy of the sources, without the network: `cargo fetch --locked` fetches missing ones.
//
// The committed package.json does not name the platforms' packages, because npm would then look for
// packages that are not published yet. Packing adds them as optionalDependencies. It also removes
// `private`, which prevents `npm publish` in a clone from publishing packages without binaries.

import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parseTriple } from "@napi-rs/cli";
import { root } from "./prepare.mjs";

const THIRD_PARTY = "THIRD-PARTY.md";
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** The platforms with a binary, by the names that napi's loader uses: `linux-x64-gnu`. */
export const platforms = manifest.napi.targets.map((triple) => {
  const { platformArchABI: name, platform, arch, abi } = parseTriple(triple);
  const libc = { gnu: "glibc", musl: "musl" }[abi];
  return { name, triple, platform, arch, libc, binary: `${manifest.napi.binaryName}.${name}.node` };
});

/** Returns the contents of the folder npm/<platform>, by file name. */
export function folderOf({ name, triple, platform, arch, libc, binary }) {
  const { version, license, engines } = manifest;
  const contents = {
    name: `${manifest.name}-${name}`,
    version,
    private: true,
    description: `The binary of ${manifest.name} for ${name}`,
    license,
    os: [platform],
    cpu: [arch],
    ...(libc && { libc: [libc] }),
    main: binary,
    files: [binary, THIRD_PARTY],
    engines,
  };
  return {
    "package.json": `${JSON.stringify(contents, null, 2)}\n`,
    "README.md": `# ${contents.name}

The binary of \`${manifest.name}\` for \`${triple}\`. Do not install it directly: npm installs it together with \`${manifest.name}\` on that platform. \`${THIRD_PARTY}\` lists the third-party code in it, with the licenses.
`,
  };
}

/** Returns THIRD-PARTY.md for a platform: the crates linked into its binary, with their licenses. */
export function thirdParty({ triple, binary }) {
  const crates = linkedCrates(triple).map((crate) => {
    const texts = licenseTexts(crate).map((text) => `~~~~text\n${text}\n~~~~\n`);
    return `## ${crate.name} ${crate.version}\n\n${crate.license}\n\n${texts.join("\n")}`;
  });
  return `# Third-party code

\`${binary}\` contains code of the crates below and of the standard library of Rust. Where a crate offers several licenses, MIT is chosen if its text comes with the crate.

## The standard library of Rust, and the crates in it

MIT OR Apache-2.0

~~~~text
${mit("the Rust Project contributors, and the authors of those crates")}
~~~~

${crates.join("\n")}`;
}

/** Returns the crates that are linked: not macros, build dependencies or development dependencies. */
function linkedCrates(triple) {
  const options = ["--format-version", "1", "--locked", "--offline", "--filter-platform", triple];
  let text;
  try {
    text = execFileSync("cargo", ["metadata", ...options], {
      cwd: root,
      encoding: "utf8",
      maxBuffer: 2 ** 27,
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    const reason = error.stderr || error.message;
    throw new Error(
      `cannot list the crates linked for ${triple}; run cargo fetch --locked: ${reason}`,
    );
  }
  const { packages, resolve } = JSON.parse(text);
  const crates = new Map(packages.map((crate) => [crate.id, crate]));
  const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
  const isMacro = ({ targets }) => targets.some(({ kind }) => kind.includes("proc-macro"));
  const linked = new Set([resolve.root]);
  // The loop also visits the crates that it adds.
  for (const id of linked) {
    for (const { pkg, dep_kinds } of nodes.get(id).deps) {
      const isNormal = dep_kinds.some(({ kind }) => kind === null);
      if (isNormal && !isMacro(crates.get(pkg))) linked.add(pkg);
    }
  }
  linked.delete(resolve.root);
  const inOrder = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  return [...linked]
    .map((id) => crates.get(id))
    .sort((a, b) => inOrder(a.name, b.name) || inOrder(a.version, b.version));
}

/** Returns the license texts in a crate's folder: only MIT's if the crate offers a choice with it. */
function licenseTexts({ name, version, license, authors, manifest_path }) {
  const folder = dirname(manifest_path);
  const files = readdirSync(folder).sort();
  const notices = files.filter((file) => /^(copyright|notice)/i.test(file));
  const licenses = files.filter((file) => /^(licen[cs]e|unlicense)/i.test(file));
  const mits = licenses.filter((file) => /\bmit\b/i.test(file));
  const chosen = mits.length > 0 && !license.includes(" AND ") ? mits : licenses;
  if (chosen.length > 0) {
    return [...notices, ...chosen].map((file) =>
      readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n").trim(),
    );
  }
  if (license !== "MIT") {
    throw new Error(`cannot find the license text of ${name} ${version} (${license})`);
  }
  return [mit(authors.join(", ") || `the authors of ${name}`)];
}

/** Returns the text of the MIT license, which is also this package's license. */
function mit(holder) {
  const text = readFileSync(join(root, "LICENSE"), "utf8").replaceAll("\r\n", "\n").trim();
  return text.replace(/^Copyright .*$/m, () => `Copyright (c) ${holder}`);
}

/**
 * Packs the packages into the folder `out`, and returns the paths of the tarballs. The main one is
 * last, because it must be published after its dependencies.
 *
 * @param options.binaries The folder with the `.node` files.
 * @param options.some Leaves out platforms without a binary there, which is an error otherwise.
 * @param options.repository The address of the repository, which npm compares with the provenance.
 */
export function pack(out, { binaries, some = false, repository }) {
  const present = platforms.filter(({ binary }) => existsSync(join(binaries, binary)));
  if (!some && present.length < platforms.length) {
    const missing = platforms.filter((platform) => !present.includes(platform));
    throw new Error(
      `no binary in ${binaries} for ${missing.map(({ name }) => name).join(", ")}; ` +
        "build them, or pack only the existing ones with --some",
    );
  }
  const published = { ...(repository && { repository: { type: "git", url: repository } }) };
  mkdirSync(out, { recursive: true });

  const tarballs = present.map((platform) =>
    packFolder(out, (folder) => {
      const { name, binary } = platform;
      const source = join(root, "npm", name);
      writeFileSync(join(folder, THIRD_PARTY), thirdParty(platform));
      copyFileSync(join(root, "LICENSE"), join(folder, "LICENSE"));
      copyFileSync(join(source, "README.md"), join(folder, "README.md"));
      copyFileSync(join(binaries, binary), join(folder, binary));
      const { private: _, ...own } = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
      return { ...own, ...published };
    }),
  );
  const main = packFolder(out, (folder) => {
    const [{ files }] = JSON.parse(npm(root, "pack", "--dry-run", "--json"));
    for (const { path } of files) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      copyFileSync(join(root, path), join(folder, path));
    }
    // Scripts and development dependencies work only in the repository.
    const { private: _, scripts: __, devDependencies: ___, ...own } = manifest;
    const optionalDependencies = Object.fromEntries(
      platforms.map(({ name }) => [`${manifest.name}-${name}`, manifest.version]).sort(),
    );
    return { ...own, optionalDependencies, ...published };
  });
  return [...tarballs, main];
}

/** Packs a folder that `fill` fills; `fill` returns the contents of package.json. */
function packFolder(out, fill) {
  const folder = mkdtempSync(join(tmpdir(), "cron-session-reaper-package-"));
  try {
    const contents = fill(folder);
    writeFileSync(join(folder, "package.json"), `${JSON.stringify(contents, null, 2)}\n`);
    const [{ filename }] = JSON.parse(npm(folder, "pack", "--json", "--pack-destination", out));
    return join(out, filename);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function npm(cwd, ...args) {
  return execFileSync("npm", args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    shell: process.platform === "win32", // On Windows npm is a batch file.
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { some: { type: "boolean" }, repository: { type: "string" } },
  });
  const [command, out, binaries] = positionals;
  if (command === "folders") {
    for (const platform of platforms) {
      const folder = join(root, "npm", platform.name);
      mkdirSync(folder, { recursive: true });
      for (const [name, text] of Object.entries(folderOf(platform))) {
        writeFileSync(join(folder, name), text);
      }
    }
  } else if (command === "pack" && binaries !== undefined) {
    for (const tarball of pack(resolve(out), { binaries: resolve(binaries), ...values })) {
      console.log(tarball);
    }
  } else {
    console.error("usage: node scripts/packages.mjs folders | pack <out> <folder> [--some]");
    process.exitCode = 2;
  }
}
