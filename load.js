// Loads the native addon through the loader that napi-rs generates. If that fails, the error gives
// the cause and what to do, instead of only "Cannot find native binding".
//
// The error path must not fail itself: a bundle may lack package.json, and other runtimes lack
// process.report.

const NAME = "cron-session-reaper";
const REINSTALL = "Delete node_modules, and install again on this machine";

/** The known causes: what the message of the failure contains, the cause, and the remedy. */
const CAUSES = [
  [
    /loading addons is disabled/,
    "Node.js was started without native addons",
    "Start it without --no-addons; with --permission, add --allow-addons",
  ],
  [/Requires ffi access/, "Deno was started without native addons", "Start it with --allow-ffi"],
  [
    /version mismatch/,
    "its binary belongs to another version of the package",
    `${REINSTALL}, so that both have the same version`,
  ],
  [
    /failed to map segment/,
    "its folder must not contain executable code: it is mounted with noexec, or a sandbox forbids it",
    "Install the package on a file system without noexec",
  ],
  [
    /file too short|invalid ELF header|not a mach-o|not a valid Win32|wrong ELF class|past end of file|exec format error/i,
    "its binary is damaged, or of another platform",
    REINSTALL,
  ],
  // A binary for another libc needs a loader that this system lacks. glibc reports a binary for
  // another processor as a missing file.
  [
    /incompatible architecture|shared (?:object file|library).*: no such file|error relocating/i,
    "its binary is for another processor or another libc",
    REINSTALL,
  ],
  [
    /operation not permitted|permission denied|EPERM|EACCES|ERR_ACCESS_DENIED/i,
    "its binary must not be read",
    "Check its permissions, and the sandbox of this process",
  ],
];

const manifest = readManifest();

try {
  module.exports = load();
} catch (error) {
  throw loadError(error);
}

function load() {
  const binding = withVersionCheck(() => require("./binding.js"));
  // Also of a binary that does not come from a package: NAPI_RS_NATIVE_LIBRARY_PATH, or an old build.
  const version = binding.version?.();
  if (manifest.version !== undefined && version !== manifest.version) {
    const cause = new Error(`version mismatch: expected ${manifest.version}, got ${version}`);
    throw new Error("wrong binary", { cause });
  }
  return binding;
}

/** Makes the generated loader compare the version of the binary's package with this package's. */
function withVersionCheck(work) {
  const { NAPI_RS_ENFORCE_VERSION_CHECK: before } = process.env;
  process.env.NAPI_RS_ENFORCE_VERSION_CHECK = "1";
  try {
    return work();
  } finally {
    if (before === undefined) {
      delete process.env.NAPI_RS_ENFORCE_VERSION_CHECK;
    } else {
      process.env.NAPI_RS_ENFORCE_VERSION_CHECK = before;
    }
  }
}

function readManifest() {
  try {
    return require("./package.json");
  } catch {
    return {};
  }
}

function loadError(cause) {
  const { platform, detail } = thisPlatform();
  const [reason, remedy] = diagnose(messages(cause), platform);
  // One line, because logs contain it.
  const error = new Error(`${NAME} cannot be loaded on ${detail}: ${reason}. ${remedy}.`, {
    cause,
  });
  error.code = "ERR_CRON_SESSION_REAPER_NO_BINARY";
  return error;
}

/** Returns the reason and the remedy. */
function diagnose(failures, platform) {
  const build =
    "run `npm install && npm run build` in a clone of its repository, with Rust 1.88 or later";
  const buildInstead = `To build one, ${build}, and set NAPI_RS_NATIVE_LIBRARY_PATH to the resulting .node file`;
  const published = Object.keys(manifest.optionalDependencies ?? {})
    .map((dependency) => dependency.slice(NAME.length + 1))
    .sort();

  const failure = failures.find((message) => !message.startsWith("Cannot find module"));
  const [, known, remedy] = CAUSES.find(([pattern]) => failure && pattern.test(failure)) ?? [];
  if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH) {
    return [
      `NAPI_RS_NATIVE_LIBRARY_PATH does not point to a loadable addon (${failure ?? failures.at(-1)})`,
      "Correct the variable, or unset it",
    ];
  }
  if (known !== undefined) {
    return [`${known} (${failure})`, remedy];
  }
  if (published.length > 0 && !published.includes(platform)) {
    return [`binaries exist only for ${published.join(", ")}`, buildInstead];
  }
  if (failure !== undefined) {
    return [`its binary is installed, but cannot be loaded (${failure})`, buildInstead];
  }
  if (published.length === 0) {
    return ["it has not been built", `To build it, ${build}`];
  }
  return [
    `the package ${NAME}-${platform} is not installed`,
    "Install again with optional dependencies: do not use --omit=optional or a node_modules folder from another platform",
  ];
}

/** Returns the first line of each message in the chain of causes: the last attempt comes first. */
function messages(error) {
  const found = [];
  for (let cause = error?.cause; cause instanceof Error; cause = cause.cause) {
    found.push(String(cause.message).split("\n", 1)[0]);
  }
  return found;
}

/** Returns this platform as the binary packages name it, and a description. */
function thisPlatform() {
  const { platform, arch, version } = process;
  if (platform !== "linux") {
    const name = platform === "win32" ? `win32-${arch}-msvc` : `${platform}-${arch}`;
    return { platform: name, detail: `${name} (Node.js ${version})` };
  }
  const header = reportHeader();
  const glibc = header?.glibcVersionRuntime;
  // A runtime without a report is assumed to use glibc.
  const name = `linux-${arch}-${glibc || header === undefined ? "gnu" : "musl"}`;
  return {
    platform: name,
    detail: `${name} (${glibc ? `glibc ${glibc}, ` : ""}Node.js ${version})`,
  };
}

/** Returns the header of Node.js's diagnostic report, or undefined. */
function reportHeader() {
  try {
    process.report.excludeNetwork = true; // Otherwise the report resolves host names.
    return process.report.getReport().header;
  } catch {
    return undefined;
  }
}
