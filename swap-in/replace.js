// Finds the reaper in a gateway's bundle and adds a call of the native sweep to its start. register.mjs
// lists the conditions.

const fs = require("node:fs");
const path = require("node:path");
const { fileURLToPath } = require("node:url");

/** The property of globalThis that contains the native sweep, or undefined. */
const SWEEP = Symbol.for("cron-session-reaper.sweep");

const NAME = "openclaw";
const DECLARATION = "async function sweepCronRunSessions(";
const HEAD = `${DECLARATION}params) {`;
const REGION = "//#region src/cron/session-reaper.ts";
const REGION_END = "//#endregion";
// Added to the function's first line, so that line numbers do not change.
const CALL = `{ const sweep = globalThis[Symbol.for("${SWEEP.description}")]; if (sweep !== undefined) return sweep(params); }`;

const packages = new Map(); // folder → { name, version, folder } or null
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
  const file = candidateFile(url);
  const gateway = file === null ? null : packageOf(path.dirname(file));
  if (gateway?.name !== NAME) return result;

  const gateways = require("./gateways.json");
  if (!isBetween(gateway.version, gateways.oldest, gateways.newest)) {
    report(
      `openclaw ${gateway.version} is not supported (only ${gateways.oldest} to ${gateways.newest}); using the gateway's own reaper`,
    );
    return result;
  }

  const { source } = result;
  // Hooks in a separate thread do not get the source of a CommonJS module.
  if (source === null || source === undefined) return result;
  const bytes =
    typeof source === "string"
      ? source
      : Buffer.from(source.buffer ?? source, source.byteOffset, source.byteLength);
  if (!bytes.includes(DECLARATION)) return result;

  const text = bytes.toString();
  const where = `${path.relative(gateway.folder, file)} of openclaw ${gateway.version}`;
  const count = text.split(DECLARATION).length - 1;
  if (count !== 1) {
    report(`found ${count} reapers in ${where}, expected one; using the gateway's own reaper`);
    return result;
  }
  if (!gateways.fingerprints.includes(fingerprintOf(text))) {
    report(`the reaper in ${where} has an unknown fingerprint; using the gateway's own reaper`);
    return result;
  }
  try {
    require("../index.js");
  } catch (error) {
    report(
      `the native addon cannot be loaded (${error}); using the gateway's own reaper in ${where}`,
    );
    return result;
  }
  report(`replaced the reaper in ${where} with the native sweep`);
  return { ...result, source: text.replace(HEAD, () => `${HEAD} ${CALL}`) };
}

/** Returns the path of a file that may be a gateway's bundle, else null. Runs for every loaded file. */
function candidateFile(url) {
  if (!url.startsWith("file:")) return null;
  const file = fileURLToPath(url);
  if (!/\.[cm]?js$/.test(file)) return null;
  const inModules = file.split(`${path.sep}node_modules${path.sep}`);
  return inModules.length === 1 || inModules.at(-1).split(path.sep)[0] === NAME ? file : null;
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

/** Returns whether the program that Node.js was started with belongs to a gateway. */
function isGatewayProgram(program) {
  try {
    return packageOf(path.dirname(fs.realpathSync(program)))?.name === NAME;
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

/** Returns the fingerprint of the reaper's whole module, as the bundler marks it, or undefined. */
function fingerprintOf(text) {
  const declared = text.indexOf(HEAD);
  const start = text.lastIndexOf("//#region", declared);
  const end = text.indexOf(REGION_END, declared);
  if (declared < 0 || start < 0 || end < 0 || !text.startsWith(REGION, start)) return undefined;
  const plain = text.slice(start, end).replace(/\$\d+/g, "").replace(/\s+/g, " ");
  // Loaded late: most processes never reach this line.
  return require("node:crypto").createHash("sha256").update(plain).digest("hex");
}

module.exports = { SWEEP, fingerprintOf, isGatewayProgram, replaceReaper, report };
