// Loads the native addon through the loader that napi-rs generates. If that fails, the error gives
// the cause and what to do, instead of only "Cannot find native binding".

try {
  module.exports = require("./binding.js");
} catch (error) {
  throw loadError(error);
}

function loadError(cause) {
  const { name, optionalDependencies = {} } = require("./package.json");
  const { platform, detail } = thisPlatform();
  const published = Object.keys(optionalDependencies)
    .map((dependency) => dependency.slice(name.length + 1))
    .sort();
  const build =
    "run `npm install && npm run build` in a clone of its repository, with Rust 1.88 or later";
  const buildInstead = `To build one, ${build}, and set NAPI_RS_NATIVE_LIBRARY_PATH to the resulting .node file`;

  // One line, because logs contain it.
  const [reason, remedy] = diagnose();
  const error = new Error(`${name} cannot be loaded on ${detail}: ${reason}. ${remedy}.`, {
    cause,
  });
  error.code = "ERR_CRON_SESSION_REAPER_NO_BINARY";
  return error;

  /** Returns the reason and the remedy. */
  function diagnose() {
    const reasons = messages(cause);
    if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH) {
      return [
        `NAPI_RS_NATIVE_LIBRARY_PATH does not point to a loadable addon (${reasons.at(-1)})`,
        "Correct the variable, or unset it",
      ];
    }
    if (published.length > 0 && !published.includes(platform)) {
      return [`binaries exist only for ${published.join(", ")}`, buildInstead];
    }
    const failure = reasons.find((message) => !message.startsWith("Cannot find module"));
    if (failure !== undefined) {
      return [`its binary is installed, but cannot be loaded (${failure})`, buildInstead];
    }
    if (published.length === 0) {
      return ["it has not been built", `To build it, ${build}`];
    }
    return [
      `the package ${name}-${platform} is not installed`,
      "Install again with optional dependencies: do not use --omit=optional or a node_modules folder from another platform",
    ];
  }
}

/** Returns the first line of each message in the chain of causes: the last attempt comes first. */
function messages(error) {
  const found = [];
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    found.push(cause.message.split("\n", 1)[0]);
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
  process.report.excludeNetwork = true; // Otherwise the report resolves host names.
  const glibc = process.report.getReport().header.glibcVersionRuntime;
  const name = `linux-${arch}-${glibc ? "gnu" : "musl"}`;
  return {
    platform: name,
    detail: `${name} (${glibc ? `glibc ${glibc}, ` : ""}Node.js ${version})`,
  };
}
