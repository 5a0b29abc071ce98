// node scripts/publish.mjs <folder>: publishes the nine tarballs in the folder with the `npm` of the
// path, the platforms' packages first, because the main package depends on them.
//
// A version that is already published is skipped, so that a second run after a partial failure
// publishes the rest. A prerelease gets the tag `next`, any other version the tag `latest`.
//
// It uses only Node.js itself, because the release installs nothing in the job that may publish.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";

const NAME = "cron-session-reaper";

const folder = process.argv[2];
if (folder === undefined) {
  console.error("usage: node scripts/publish.mjs <folder>");
  process.exit(2);
}
const { version, optionalDependencies } = mainManifest();
const names = [...Object.keys(optionalDependencies), NAME];
const tarballs = names.map((name) => [name, resolve(folder, `${name}-${version}.tgz`)]);
// All are checked before the first is published: without its binaries the main package is useless.
const missing = tarballs.filter(([, tarball]) => !existsSync(tarball));
if (missing.length > 0) {
  throw new Error(`no tarball for ${missing.map(([name]) => name).join(", ")} ${version}`);
}
const tag = version.includes("-") ? "next" : "latest";
for (const [name, tarball] of tarballs) {
  if (isPublished(name)) {
    console.log(`${name} ${version} is already published`);
  } else {
    execFileSync("npm", ["publish", tarball, "--access", "public", "--tag", tag], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    console.log(`published ${name} ${version} as ${tag}`);
  }
}

/** Returns package.json of the main package in the folder. */
function mainManifest() {
  const [main, ...others] = readdirSync(folder).filter((file) =>
    new RegExp(`^${NAME}-\\d.*\\.tgz$`).test(file),
  );
  if (main === undefined || others.length > 0) {
    throw new Error(`expected one tarball of ${NAME} in ${folder}`);
  }
  const text = execFileSync("tar", ["-xzOf", join(folder, main), "package/package.json"], {
    encoding: "utf8",
  });
  return JSON.parse(text);
}

/** Returns whether the registry has this version. npm fails for an unknown package or version. */
function isPublished(name) {
  try {
    const options = { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] };
    return (
      execFileSync("npm", ["view", `${name}@${version}`, "version"], options).trim() === version
    );
  } catch {
    return false;
  }
}
