// Loads the native addon through the loader that napi-rs generates, and says what to do where there
// is none that fits: "Cannot find native binding" alone helps nobody.

try {
  module.exports = require("./binding.js");
} catch (error) {
  throw noBinary(error);
}

function noBinary(cause) {
  const { name, optionalDependencies = {} } = require("./package.json");
  const { platform, detail } = here();
  const published = Object.keys(optionalDependencies)
    .map((dependency) => dependency.slice(name.length + 1))
    .sort();
  const build =
    "run `npm install && npm run build` in a clone of its repository, with Rust 1.88 or later";
  const buildInstead = `To build one, ${build}, and set NAPI_RS_NATIVE_LIBRARY_PATH to the .node file that this makes`;

  // One sentence of what is wrong and one of what to do, on one line: it ends up in logs.
  const [wrong, remedy] = whatIsWrong();
  const error = new Error(`${name} cannot be loaded on ${detail}: ${wrong}. ${remedy}.`, { cause });
  error.code = "ERR_CRON_SESSION_REAPER_NO_BINARY";
  return error;

  function whatIsWrong() {
    const reasons = messages(cause);
    if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH) {
      const given = "what NAPI_RS_NATIVE_LIBRARY_PATH names is no addon that can be loaded";
      return [`${given} (${reasons.at(-1)})`, "Correct the variable, or unset it"];
    }
    if (published.length > 0 && !published.includes(platform)) {
      return [`there is a binary only for ${published.join(", ")}`, buildInstead];
    }
    const reason = reasons.find((message) => !message.startsWith("Cannot find module"));
    if (reason !== undefined) {
      return [`its binary is there, but does not load (${reason})`, buildInstead];
    }
    if (published.length === 0) {
      return ["it has not been built", `To build it, ${build}`];
    }
    return [
      `the package ${name}-${platform} is not installed`,
      "Install again with optional dependencies: without --omit=optional, and without a node_modules folder that was made on another platform",
    ];
  }
}

/** What went wrong, one line each, from the last attempt to the first. */
function messages(error) {
  const found = [];
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    found.push(cause.message.split("\n", 1)[0]);
  }
  return found;
}

/** This platform, as the packages with binaries are named, and in words. */
function here() {
  const { platform, arch, version } = process;
  if (platform !== "linux") {
    const name = platform === "win32" ? `win32-${arch}-msvc` : `${platform}-${arch}`;
    return { platform: name, detail: `${name} (Node.js ${version})` };
  }
  process.report.excludeNetwork = true; // It would look up names of hosts.
  const glibc = process.report.getReport().header.glibcVersionRuntime;
  const name = `linux-${arch}-${glibc ? "gnu" : "musl"}`;
  return {
    platform: name,
    detail: `${name} (${glibc ? `glibc ${glibc}, ` : ""}Node.js ${version})`,
  };
}
