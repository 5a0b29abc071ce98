// The version of this package, in every file that names it, and the statements about npm that depend
// on whether a version is published. CHANGELOG.md decides that: a section with a date is published.
//
//   node scripts/version.mjs                       checks all files; exit code 1 if one is outdated
//   node scripts/version.mjs set <version> [date]  sets the version; with a date, as published
//   node scripts/version.mjs check-tag <tag>       also checks that the tag is this published version
//   node scripts/version.mjs notes                 prints the version's section of CHANGELOG.md
//
// It uses only Node.js itself, because the release runs it before anything is installed.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { root } from "./prepare.mjs";

const NAME = "cron-session-reaper";
const FIRST_SECTION = /^## (\d+\.\d+\.\d+\S*) \((unreleased|\d{4}-\d\d-\d\d)\)$/m;

/** Returns the lines that show the command. */
function commandLines(command) {
  const lines = [
    ["", "shows all stores of the gateway's state folder"],
    [" --list", "also names every run and file that --apply would remove"],
    [" --apply", "shows the same, asks, then sweeps"],
  ];
  return lines.map(([option, effect]) => `${command}${option.padEnd(12)}# ${effect}`).join("\n");
}

/** The statements about npm in the documents, between `<!-- <key> -->` and `<!-- /<key> -->`. */
const STATEMENTS = {
  install: {
    document: "README.md",
    unreleased:
      "The package is not on npm yet. Clone this repository and build it, with Rust as above: `npm install && npm run build`.",
    released:
      "`npm install cron-session-reaper` installs it with the binary for your platform; no compiler is needed.",
  },
  start: {
    document: "README.md",
    unreleased: 'NODE_OPTIONS="--import $PWD/register.mjs" openclaw gateway',
    released:
      'NODE_OPTIONS="--import $(npm root)/cron-session-reaper/register.mjs" openclaw gateway',
  },
  command: {
    document: "README.md",
    unreleased: commandLines("node cli/main.mjs"),
    released: commandLines(`npx ${NAME}`),
  },
  binaries: {
    document: "docs/platforms.md",
    unreleased: "No binaries are published yet.",
    released: "Each version on npm has a binary for each platform below.",
  },
};

const read = (path) => readFileSync(join(root, path), "utf8");

/** Returns the version of package.json. */
export function currentVersion() {
  return JSON.parse(read("package.json")).version;
}

/** Returns each file that names the version, with a function that writes the version into its text. */
function filesFor(version) {
  const field = (text) => text.replace(/"version": "[^"]*"/, `"version": "${version}"`);
  const inLockFile = (text) =>
    text.replace(/(?<=^name = "cron-session-reaper"\nversion = ")[^"]*/m, version);
  return {
    "package.json": field,
    "package-lock.json": (text) =>
      text.replace(
        /"name": "cron-session-reaper",(\s+)"version": "[^"]*"/g,
        `"name": "${NAME}",$1"version": "${version}"`,
      ),
    ...Object.fromEntries(
      readdirSync(join(root, "npm")).map((platform) => [`npm/${platform}/package.json`, field]),
    ),
    "Cargo.toml": (text) => text.replace(/(?<=^version = ")[^"]*/m, version),
    "Cargo.lock": inLockFile,
    "fuzz/Cargo.lock": inLockFile,
    "binding.js": (text) =>
      text
        .replaceAll(/(?<=bindingPackageVersion !== ')[^']*/g, version)
        .replaceAll(/(?<=version mismatch, expected )\S+/g, version),
    ...Object.fromEntries(
      ["README.md", "docs/platforms.md"].map((path) => [
        path,
        (text) => withStatements(path, text),
      ]),
    ),
  };
}

/** Returns a document with the statements that are true now. */
function withStatements(path, text) {
  const state = isReleased() ? "released" : "unreleased";
  return Object.entries(STATEMENTS)
    .filter(([, statement]) => statement.document === path)
    .reduce((result, [key, statement]) => {
      // A command is in a code block between the comments.
      const place = new RegExp(
        `(?<=<!-- ${key} -->(\\n\`{3}sh\\n)?)(?!\\n|\`{3})[^]+?(?=(\\n\`{3}\\n)?<!-- /${key} -->)`,
      );
      if (!place.test(result)) {
        throw new Error(`${path} does not contain the statement <!-- ${key} -->`);
      }
      return result.replace(place, () => statement[state]);
    }, text);
}

/** Returns whether a version is published. */
function isReleased() {
  return /^## \d.*\(\d{4}-\d\d-\d\d\)$/m.test(read("CHANGELOG.md"));
}

/** Returns the files that do not state the version of package.json or that contradict CHANGELOG.md. */
export function outdatedFiles() {
  const version = currentVersion();
  const outdated = Object.entries(filesFor(version))
    .filter(([path, update]) => update(read(path)) !== read(path))
    .map(([path]) => path);
  const [, newest] = FIRST_SECTION.exec(read("CHANGELOG.md")) ?? [];
  return newest === version ? outdated : ["CHANGELOG.md", ...outdated];
}

/** Writes the version into every file; with a date also into the first section of CHANGELOG.md. */
export function setVersion(version, date = "unreleased") {
  const changelog = read("CHANGELOG.md");
  const [section, newest, newestDate] = FIRST_SECTION.exec(changelog);
  const heading = `## ${version} (${date})`;
  // The section of an unreleased version or of this version's prerelease is renamed. A published one
  // gets a new section above it.
  const isRenamed = newestDate === "unreleased" || newest.startsWith(`${version}-`);
  const replacement = isRenamed ? heading : `${heading}\n\n${section}`;
  writeFileSync(join(root, "CHANGELOG.md"), changelog.replace(section, replacement));
  for (const [path, update] of Object.entries(filesFor(version))) {
    writeFileSync(join(root, path), update(read(path)));
  }
}

/** Returns why the tag cannot be released, or undefined. */
export function tagProblem(tag) {
  const version = currentVersion();
  const [, newest, date] = FIRST_SECTION.exec(read("CHANGELOG.md")) ?? [];
  if (tag !== `v${version}`) {
    return `the tag is ${tag}, but package.json has the version ${version}`;
  }
  if (newest !== version || date === "unreleased") {
    return `the first section of CHANGELOG.md is not ${version} with a date`;
  }
  return undefined;
}

/** Returns the version's section of CHANGELOG.md, without its heading. */
export function releaseNotes(version = currentVersion()) {
  const [, ...sections] = read("CHANGELOG.md").split(/^## /m);
  const section = sections.find((text) => text.startsWith(`${version} (`));
  const notes = section?.slice(section.indexOf("\n")).trim();
  if (!notes) {
    throw new Error(`CHANGELOG.md has no section for ${version}, or an empty one`);
  }
  return notes;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [command, ...args] = process.argv.slice(2);
  if (command === "notes") {
    console.log(releaseNotes());
  } else if (command === "set" && args.length > 0) {
    setVersion(...args);
  } else if (command === undefined || (command === "check-tag" && args.length > 0)) {
    const problems = outdatedFiles().map(
      (path) => `${path} is outdated; run node scripts/version.mjs set ${currentVersion()}`,
    );
    const problem = command === "check-tag" ? tagProblem(args[0]) : undefined;
    for (const text of problem === undefined ? problems : [...problems, problem]) {
      console.error(text);
      process.exitCode = 1;
    }
  } else {
    console.error(
      "usage: node scripts/version.mjs [set <version> [date] | check-tag <tag> | notes]",
    );
    process.exitCode = 2;
  }
}
