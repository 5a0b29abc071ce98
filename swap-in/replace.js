// Finds the reaper in a gateway's bundle and adds a call of the native sweep to its start. register.mjs
// lists the conditions.

const fs = require("node:fs");
const path = require("node:path");
const { fileURLToPath } = require("node:url");

/** The property of globalThis that contains the native sweep, or undefined. */
const SWEEP = Symbol.for("cron-session-reaper.sweep");

/** The property of globalThis that contains the functions of the gateway's store writer. */
const WRITER = Symbol.for("cron-session-reaper.store-writer");

const NAME = "openclaw";
/** Set for child processes, so that a tree of processes prints one line about a gateway. */
const REPORTED = "CRON_SESSION_REAPER_REPORTED";

/** A module of the gateway: how the bundler marks it, and a function that only this module declares. */
const REAPER = {
  region: "//#region src/cron/session-reaper.ts",
  declaration: "async function sweepCronRunSessions(",
};
const STORE_WRITER = {
  region: "//#region src/config/sessions/store-writer.ts",
  declaration: "async function runExclusiveSessionStoreWrite(",
};
const STORE_CACHE = {
  region: "//#region src/config/sessions/store-cache.ts",
  declaration: "function takeMutableSessionStoreCache(",
};
const REGION_END = "//#endregion";

const HEAD = `${REAPER.declaration}params) {`;
// Added to the function's first line, so that line numbers do not change. From 2026.5.2 on the native
// sweep needs the store's writer.
const callOf = (condition) =>
  `{ const sweep = ${condition}globalThis[Symbol.for("${SWEEP.description}")]; if (sweep !== undefined) return sweep(params); }`;
const CALL = callOf("");
const QUEUED_CALL = callOf(
  `globalThis[Symbol.for("${WRITER.description}")] === undefined ? undefined : `,
);

/** The functions that the line at the end of the writer's file exposes, as far as a version has them. */
const EXPOSED = [
  "runExclusiveSessionStoreWrite",
  "isSessionStoreCacheEnabled",
  "takeMutableSessionStoreCache",
  "writeSessionStoreCache",
  "dropSessionStoreSnapshotCache",
  "invalidateSessionStoreCache",
  "dropSessionStoreObjectCache",
  "setSerializedSessionStore",
];

const packages = new Map(); // folder → { name, version, folder } or null
const storeModules = new Map(); // folder of a bundle → problem or null
const reported = new Set();

/** Prints a line on stderr, once. */
function report(line) {
  if (reported.has(line)) return;
  reported.add(line);
  try {
    fs.writeSync(2, `cron-session-reaper: ${line}\n`);
  } catch {
    // A closed or full stderr must not stop the gateway.
  }
}

/** Prints a line about a gateway that is not supported, once for this process and its children. */
function reportUnsupported(gateway, reason, advice) {
  const which = `${gateway.name} ${gateway.version}`;
  if (process.env[REPORTED] === which) return;
  process.env[REPORTED] = which;
  report(`${which} is not supported (${reason}); using the gateway's own reaper; ${advice}`);
}

/** Returns the result of a load hook, with the reaper in its source replaced. Never throws. */
function replaceReaper(url, result) {
  try {
    return replaceReaperOrThrow(url, result);
  } catch (error) {
    report(`could not inspect ${url} (${error}); using the gateway's own reaper`);
    return result;
  }
}

function replaceReaperOrThrow(url, result) {
  const { source } = result;
  // Hooks in a separate thread do not get the source of a CommonJS module.
  if (source === null || source === undefined || !/^file:.*\.[cm]?js$/.test(url)) return result;
  const bytes =
    typeof source === "string"
      ? source
      : Buffer.from(source.buffer ?? source, source.byteOffset, source.byteLength);
  const hasReaper = bytes.includes(REAPER.declaration);
  if (!hasReaper && !bytes.includes(STORE_WRITER.declaration)) return result;

  const file = fileURLToPath(url);
  const gateway = packageOf(path.dirname(file));
  if (gateway === null) return result;
  const text = bytes.toString();
  const changed = hasReaper
    ? withNativeSweep(text, file, gateway)
    : withExposedWriter(text, file, gateway);
  return changed === undefined ? result : { ...result, source: changed };
}

/** Returns the text of a file that declares the reaper, with the native sweep; undefined if none. */
function withNativeSweep(text, file, gateway) {
  const gateways = require("./gateways.json");
  if (gateway.name !== NAME || isAlias(file)) {
    if (text.includes(REAPER.region)) {
      const advice = "remove register from NODE_OPTIONS, or set CRON_SESSION_REAPER=off";
      reportUnsupported(gateway, "only the package openclaw under this name is", advice);
    }
    return undefined;
  }
  const isLater = isBetween(gateway.version, gateways.later.oldest, gateways.later.newest);
  if (!isLater && !isBetween(gateway.version, gateways.oldest, gateways.newest)) {
    reportUnsupported(
      gateway,
      `only ${gateways.oldest} to ${gateways.newest} and ${gateways.later.oldest} to ${gateways.later.newest}`,
      "remove register from NODE_OPTIONS, or update cron-session-reaper",
    );
    return undefined;
  }
  const where = `${path.relative(gateway.folder, file)} of openclaw ${gateway.version}`;
  const count = text.split(REAPER.declaration).length - 1;
  if (count !== 1) {
    report(`found ${count} reapers in ${where}, expected one; using the gateway's own reaper`);
    return undefined;
  }
  const known = isLater ? gateways.later.reaper : gateways.fingerprints;
  if (!known.includes(fingerprintOf(text))) {
    report(`the reaper in ${where} has an unknown fingerprint; using the gateway's own reaper`);
    return undefined;
  }
  const problem = isLater ? storeProblemOf(path.dirname(file)) : null;
  if (problem !== null) {
    report(`${problem} beside ${where}; using the gateway's own reaper`);
    return undefined;
  }
  try {
    require("../index.js");
  } catch (error) {
    report(
      `the native addon cannot be loaded (${error}); using the gateway's own reaper in ${where}`,
    );
    return undefined;
  }
  report(`replaced the reaper in ${where} with the native sweep`);
  return text.replace(HEAD, () => `${HEAD} ${isLater ? QUEUED_CALL : CALL}`);
}

/** Returns the text of a file that declares the store's writer, with a line that exposes it. */
function withExposedWriter(text, file, gateway) {
  const { later } = require("./gateways.json");
  if (
    gateway.name !== NAME ||
    isAlias(file) ||
    !isBetween(gateway.version, later.oldest, later.newest) ||
    storeProblemOf(path.dirname(file)) !== null
  ) {
    return undefined;
  }
  const descendants = isBetween(gateway.version, later.descendantsFrom, later.newest);
  const runKeys = descendants ? "runs-and-descendants" : "runs";
  // In modules, typeof accepts a name that is not declared.
  const functions = EXPOSED.map(
    (name) => `${name}: typeof ${name} === "function" ? ${name} : void 0`,
  );
  const value = `{ runKeys: "${runKeys}", ${functions.join(", ")} }`;
  return `${text}\nglobalThis[Symbol.for("${WRITER.description}")] = ${value};\n`;
}

/** Returns what is unknown about the store's writer and cache in a bundle's folder, or null. */
function storeProblemOf(folder) {
  if (!storeModules.has(folder)) storeModules.set(folder, findStoreProblem(folder));
  return storeModules.get(folder);
}

function findStoreProblem(folder) {
  const { later } = require("./gateways.json");
  const names = fs.readdirSync(folder).filter((name) => /^store-.*\.js$/.test(name));
  const texts = names.map((name) => fs.readFileSync(path.join(folder, name), "utf8"));
  for (const [what, module] of [
    ["writer", STORE_WRITER],
    ["cache", STORE_CACHE],
  ]) {
    const found = texts.filter((text) => text.includes(module.declaration));
    if (found.length !== 1) {
      return `found ${found.length} modules of the session store's ${what}, expected one,`;
    }
    if (!later[what].includes(fingerprintOf(found[0], module))) {
      return `the session store's ${what} has an unknown fingerprint`;
    }
  }
  return null;
}

/** Returns whether a file in node_modules belongs to a package under another name than its own. */
function isAlias(file) {
  const inModules = file.split(`${path.sep}node_modules${path.sep}`);
  return inModules.length > 1 && inModules.at(-1).split(path.sep)[0] !== NAME;
}

/** Returns the package with a name that contains a folder, or null. */
function packageOf(folder) {
  if (packages.has(folder)) return packages.get(folder);
  const parent = path.dirname(folder);
  const found =
    manifestOf(folder) ??
    (parent === folder || path.basename(folder) === "node_modules" ? null : packageOf(parent));
  packages.set(folder, found);
  return found;
}

function manifestOf(folder) {
  let text;
  try {
    text = fs.readFileSync(path.join(folder, "package.json"), "utf8");
  } catch {
    return null;
  }
  let manifest;
  try {
    manifest = JSON.parse(text);
  } catch {
    return null;
  }
  const { name, version } = manifest ?? {};
  // A manifest without a name only sets the module type of its folder.
  return typeof name === "string" ? { name, version: String(version), folder } : null;
}

/** Returns whether the program that Node.js was started with may belong to a gateway. */
function isGatewayProgram(program) {
  try {
    // Forks have names such as openclaw-cn and @team/openclaw.
    return packageOf(path.dirname(fs.realpathSync(program)))?.name.includes(NAME) === true;
  } catch {
    return false; // There is no program file: node -e, or standard input.
  }
}

/** Accepts releases and their corrections ("2026.3.23-2"), but no betas: their code may differ. */
function isBetween(version, oldest, newest) {
  const numbers = (text) => /^(\d+)\.(\d+)\.(\d+)(?:-\d+)?$/.exec(text)?.slice(1).map(Number);
  const order = (a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
  const given = numbers(version);
  return (
    given !== undefined && order(given, numbers(oldest)) >= 0 && order(given, numbers(newest)) <= 0
  );
}

/** Returns the fingerprint of a whole module, as the bundler marks it, or undefined. */
function fingerprintOf(text, { region, declaration } = { ...REAPER, declaration: HEAD }) {
  const declared = text.indexOf(declaration);
  const start = text.lastIndexOf("//#region", declared);
  const end = text.indexOf(REGION_END, declared);
  if (declared < 0 || start < 0 || end < 0 || !text.startsWith(region, start)) return undefined;
  const plain = text.slice(start, end).replace(/\$\d+/g, "").replace(/\s+/g, " ");
  // Loaded late: most processes never reach this line.
  return require("node:crypto").createHash("sha256").update(plain).digest("hex");
}

module.exports = {
  REAPER,
  STORE_CACHE,
  STORE_WRITER,
  SWEEP,
  WRITER,
  fingerprintOf,
  isGatewayProgram,
  replaceReaper,
  report,
};
