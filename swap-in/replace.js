// Finds the reaper in a gateway's bundle and puts a call of the native sweep at its start. See
// register.mjs for what has to hold.

const fs = require("node:fs");
const path = require("node:path");
const { fileURLToPath } = require("node:url");

/** Under this symbol globalThis has the native sweep, or undefined. */
const SWEEP = Symbol.for("cron-session-reaper.sweep");

const NAME = "openclaw";
const DECLARATION = "async function sweepCronRunSessions(";
const HEAD = `${DECLARATION}params) {`;
const REGION = "//#region src/cron/session-reaper.ts";
const REGION_END = "//#endregion";
// On the function's first line, so that no line gets another number.
const CALL = `{ const sweep = globalThis[Symbol.for("${SWEEP.description}")]; if (sweep !== undefined) return sweep(params); }`;

const packages = new Map(); // folder → { name, version, folder } or null
const told = new Set();

function tell(line) {
  if (told.has(line)) return;
  told.add(line);
  try {
    fs.writeSync(2, `cron-session-reaper: ${line}\n`);
  } catch {
    // No stderr, or a full one: no reason to stop a gateway.
  }
}

/** What a load hook answers with: `result`, its source changed if it is that of the reaper. */
function replaced(url, result) {
  try {
    return replacedOrThrow(url, result);
  } catch (error) {
    tell(`stumbled over ${url} (${error}); nothing is replaced`);
    return result;
  }
}

function replacedOrThrow(url, result) {
  const file = scriptOf(url);
  const gateway = file === null ? null : packageOf(path.dirname(file));
  if (gateway?.name !== NAME) return result;

  const gateways = require("./gateways.json");
  if (!isBetween(gateway.version, gateways.oldest, gateways.newest)) {
    tell(
      `openclaw ${gateway.version} is not one of the versions it is meant for (${gateways.oldest} to ${gateways.newest}); nothing is replaced`,
    );
    return result;
  }

  const { source } = result;
  // Nothing to look at: hooks in a thread of their own do not get the source of CommonJS.
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
    tell(`${where} has ${count} reapers instead of one; nothing is replaced`);
    return result;
  }
  if (!gateways.fingerprints.includes(fingerprintOf(text))) {
    tell(`the reaper in ${where} is not one that it knows; nothing is replaced`);
    return result;
  }
  try {
    require("../index.js");
  } catch (error) {
    tell(`the native addon cannot be loaded (${error}); nothing is replaced in ${where}`);
    return result;
  }
  tell(`sweeps in place of the reaper in ${where}`);
  return { ...result, source: text.replace(HEAD, () => `${HEAD} ${CALL}`) };
}

/** A file's path, if it can be a bundle of the gateway; cheap, as every loaded file comes by. */
function scriptOf(url) {
  if (!url.startsWith("file:")) return null;
  const file = fileURLToPath(url);
  if (!/\.[cm]?js$/.test(file)) return null;
  const inModules = file.split(`${path.sep}node_modules${path.sep}`);
  return inModules.length === 1 || inModules.at(-1).split(path.sep)[0] === NAME ? file : null;
}

/** The named package that a folder is in, or null. */
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
  // One without a name only says what kind of modules a folder has.
  return typeof name === "string" ? { name, version: String(version), folder } : null;
}

/** Whether the program that Node.js was started with is a gateway's own. */
function isGatewayProgram(program) {
  try {
    return packageOf(path.dirname(fs.realpathSync(program)))?.name === NAME;
  } catch {
    return false; // No program: node -e, or standard input.
  }
}

/** Releases only, and corrections of them ("2026.3.23-2"): a beta is another text under the same number. */
function isBetween(version, oldest, newest) {
  const numbers = (text) => /^(\d+)\.(\d+)\.(\d+)(?:-\d+)?$/.exec(text)?.slice(1).map(Number);
  const order = (a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
  const asked = numbers(version);
  return (
    asked !== undefined && order(asked, numbers(oldest)) >= 0 && order(asked, numbers(newest)) <= 0
  );
}

/** Of the reaper's whole module, as the bundler marks it; undefined where it does not stand as expected. */
function fingerprintOf(text) {
  const declared = text.indexOf(HEAD);
  const start = text.lastIndexOf("//#region", declared);
  const end = text.indexOf(REGION_END, declared);
  if (declared < 0 || start < 0 || end < 0 || !text.startsWith(REGION, start)) return undefined;
  const plain = text.slice(start, end).replace(/\$\d+/g, "").replace(/\s+/g, " ");
  // Not at the top: most processes get no further than scriptOf.
  return require("node:crypto").createHash("sha256").update(plain).digest("hex");
}

module.exports = { SWEEP, fingerprintOf, isGatewayProgram, replaced, tell };
