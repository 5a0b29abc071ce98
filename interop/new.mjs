// npm run interop:new [-- VERSION …]: tries the newest published gateway of each line, or the named versions,
// with the swap-in.
//
// A line is a dist-tag of npm. The exit code is 3 if a gateway with a JSON store is not swept by the native
// reaper, because its text or its version is unknown to swap-in/gateways.json. Gateways with a database are
// not supported by design; they must print the line that says so.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { gatewayPackage } from "./gateway.mjs";
import { checkSwapIn, checkUnsupported } from "./swap-in/check.mjs";

const require = createRequire(import.meta.url);
const { REAPER, STORE_CACHE, STORE_WRITER, fingerprintOf } = require("../swap-in/replace.js");
const gateways = require("../swap-in/gateways.json");

/** The lines that a gateway's owner can choose. Other tags, such as `beta`, change too often. */
const LINES = ["latest", "extended-stable"];

/** The modules that the swap-in must know, with their known fingerprints. */
const MODULES = [
  ["reaper", REAPER, [...gateways.fingerprints, ...gateways.later.reaper]],
  ["store writer", STORE_WRITER, gateways.later.writer],
  ["store cache", STORE_CACHE, gateways.later.cache],
];

/** Returns the versions to try: the named ones, or the newest of each line. */
function versionsToTry(named) {
  if (named.length > 0) return named.map((version) => ({ line: "named", version }));
  const tags = JSON.parse(
    execFileSync("npm", ["view", "openclaw", "dist-tags", "--json"], { encoding: "utf8" }),
  );
  return LINES.map((line) => ({ line, version: tags[line] }));
}

/** Returns whether a version is `first` or a later one. */
function isFrom(first, version) {
  const [given, from] = [version, first].map((text) => text.split(/[.-]/).map(Number));
  const differs = from.findIndex((number, index) => number !== given[index]);
  return differs < 0 || given[differs] > from[differs];
}

/** Returns the modules of a published gateway whose text is unknown, with their fingerprints. */
function unknownModules(version) {
  const dist = path.join(gatewayPackage(version), "dist");
  const texts = fs
    .readdirSync(dist)
    .filter((name) => name.endsWith(".js") && !name.startsWith("interop-"))
    .map((name) => fs.readFileSync(path.join(dist, name), "utf8"));
  // Earlier gateways lock the store. The swap-in does not need their writer.
  const modules = isFrom(gateways.later.oldest, version) ? MODULES : MODULES.slice(0, 1);
  return modules.flatMap(([name, module, known]) => {
    const found = texts.filter((text) => text.includes(module.declaration));
    if (found.length === 0) return [`${name}: not found`];
    return found
      .map((text) => fingerprintOf(text, module))
      .filter((fingerprint) => !known.includes(fingerprint))
      .map(
        (fingerprint) => `${name}: fingerprint ${fingerprint ?? "of a module without a region"}`,
      );
  });
}

/** Returns what is to be said about a version, and whether somebody has to do something about it. */
function tryVersion(version) {
  if (isFrom(gateways.database, version)) {
    const { problems } = checkUnsupported(version);
    return { verdict: "not supported by design: its sessions are in a database", problems };
  }
  const unknown = unknownModules(version);
  if (unknown.length > 0) return { verdict: "unknown text", problems: unknown };
  const { problems } = checkSwapIn(version);
  return problems.length === 0
    ? { verdict: "swept by the native reaper", problems }
    : { verdict: "known text, but not swept; is its version in swap-in/gateways.json?", problems };
}

const summary = versionsToTry(process.argv.slice(2)).map(({ line, version }) => {
  if (version === undefined) return `${line}: npm has no version with this tag`;
  const { verdict, problems } = tryVersion(version);
  for (const problem of problems) console.log(`DIFFERS ${version}: ${problem}`);
  if (problems.length > 0) process.exitCode = 3;
  return `${line} ${version}: ${verdict}`;
});
console.log(summary.join("\n"));
