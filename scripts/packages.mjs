// The packages that npm gets: the main one, and one with the binary of each platform.
//
//   node scripts/packages.mjs folders                        writes npm/<platform>/ anew
//   node scripts/packages.mjs pack <out> <folder> [--some]   packs all of them, the binaries from <folder>
//
// `pack` makes the very files that are tested and then published. napi's own `pre-publish` is not
// used, since it makes them only at the moment when it publishes them.
//
// In the tree package.json names no platform's package, or `npm install` would ask for packages that
// are not published yet; here they become its optionalDependencies.

import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
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

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** The platforms with a binary, named as napi's loader names them: `linux-x64-gnu`. */
export const platforms = manifest.napi.targets.map((triple) => {
  const { platformArchABI: name, platform, arch, abi } = parseTriple(triple);
  const libc = { gnu: "glibc", musl: "musl" }[abi];
  return { name, triple, platform, arch, libc, binary: `${manifest.napi.binaryName}.${name}.node` };
});

/** What stands in the folder npm/<platform>, by file name. */
export function folderOf({ name, triple, platform, arch, libc, binary }) {
  const { version, license, engines } = manifest;
  const contents = {
    name: `${manifest.name}-${name}`,
    version,
    description: `The binary of ${manifest.name} for ${name}`,
    license,
    os: [platform],
    cpu: [arch],
    ...(libc && { libc: [libc] }),
    main: binary,
    files: [binary],
    engines,
  };
  return {
    "package.json": `${JSON.stringify(contents, null, 2)}\n`,
    "README.md": `# ${contents.name}

The binary of \`${manifest.name}\` for \`${triple}\`. Do not install it by itself: npm does that together with \`${manifest.name}\`, where it fits.
`,
  };
}

/**
 * Packs the packages into the folder `out`, and returns the paths of the tarballs, the main one
 * last: it must not be published before those that it asks for.
 *
 * @param options.binaries where the `.node` files are
 * @param options.some leaves out platforms without a binary there, which otherwise is an error
 * @param options.repository address of the repository: npm compares it with where a release was built
 */
export function pack(out, { binaries, some = false, repository }) {
  const present = platforms.filter(({ binary }) => existsSync(join(binaries, binary)));
  if (!some && present.length < platforms.length) {
    const missing = platforms.filter((platform) => !present.includes(platform));
    throw new Error(
      `no binary in ${binaries} for ${missing.map(({ name }) => name).join(", ")}; ` +
        "build them, or pack only those that are there: --some",
    );
  }
  const published = { ...(repository && { repository: { type: "git", url: repository } }) };
  mkdirSync(out, { recursive: true });

  const tarballs = present.map(({ name, binary }) =>
    packFolder(out, (folder) => {
      const source = join(root, "npm", name);
      copyFileSync(join(root, "LICENSE"), join(folder, "LICENSE"));
      copyFileSync(join(source, "README.md"), join(folder, "README.md"));
      copyFileSync(join(binaries, binary), join(folder, binary));
      const own = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
      return { ...own, ...published };
    }),
  );
  const main = packFolder(out, (folder) => {
    const [{ files }] = JSON.parse(npm(root, "pack", "--dry-run", "--json"));
    for (const { path } of files) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      copyFileSync(join(root, path), join(folder, path));
    }
    // What only this tree can do says nothing to those who install.
    const { scripts: _, devDependencies: __, ...own } = manifest;
    const optionalDependencies = Object.fromEntries(
      platforms.map(({ name }) => [`${manifest.name}-${name}`, manifest.version]).sort(),
    );
    return { ...own, optionalDependencies, ...published };
  });
  return [...tarballs, main];
}

/** Packs a folder that `fill` fills; its answer becomes package.json. */
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
    shell: process.platform === "win32", // There npm is a batch file.
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
