// The release: release.yml agrees with the scripts that it runs, and every file states the version.

import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { BUNDLERS } from "../scripts/bundlers.mjs";
import { MANAGERS } from "../scripts/managers.mjs";
import { platforms } from "../scripts/packages.mjs";
import { outdatedFiles, releaseNotes } from "../scripts/version.mjs";
import { layOut, manifest, root, run, runNode, temporaryFolder } from "./fixtures/index.mjs";

const read = (path) => readFileSync(join(root, path), "utf8");
const release = parse(read(".github/workflows/release.yml"));
const { jobs } = release;
const names = platforms.map(({ name }) => name).sort();

/** Returns the commands of a job, as one text. */
function commands(job) {
  return jobs[job].steps.map(({ run = "" }) => run).join("\n");
}

/** Returns the options of the steps of a job that use an action. */
function uses(job, action) {
  return jobs[job].steps
    .filter(({ uses = "" }) => uses.startsWith(`${action}@`))
    .map((step) => step.with);
}

describe("release.yml", () => {
  it("builds and tests every platform, each for its own target", () => {
    const { include } = jobs.build.strategy.matrix;
    expect(include.map(({ platform }) => platform).sort()).toEqual(names);
    for (const { platform, target } of include.filter(({ target }) => target !== undefined)) {
      expect(platforms.find(({ name }) => name === platform).triple).toBe(target);
    }
    const { matrix } = jobs.test.strategy;
    expect([...matrix.platform].sort()).toEqual(names);
    expect(matrix.include.map(({ platform }) => platform).sort()).toEqual(names);
  });

  it("uploads the binaries under the names that packing expects", () => {
    const [{ name, path }] = uses("build", "actions/upload-artifact");
    const fill = (text, platform) => text.replace(/\$\{\{ matrix\.platform \}\}/, platform);
    for (const { name: platform, binary } of platforms) {
      expect(fill(path, platform)).toBe(binary);
      expect(fill(name, platform)).toMatch(/^binary-/);
    }
    expect(uses("pack", "actions/download-artifact")).toEqual([
      { pattern: "binary-*", path: "binaries", "merge-multiple": true },
    ]);
    expect(commands("pack")).toContain("packages.mjs pack dist binaries");
    expect(commands("build")).toContain(`${manifest.napi.binaryName}.$PLATFORM.node`);
  });

  it("passes the packed packages on to the jobs that test and publish them", () => {
    const [{ name, path }] = uses("pack", "actions/upload-artifact");
    expect(path).toBe("dist/*.tgz");
    for (const job of ["test", "publish"]) {
      expect(uses(job, "actions/download-artifact")).toEqual([{ name, path: "dist" }]);
    }
    expect(commands("test")).toContain('try-packages.sh dist "$PLATFORM"');
    expect(commands("publish")).toBe("\n\n\nnode scripts/publish.mjs dist");
    expect(jobs.test.needs).toBe("pack");
    expect(jobs.publish.needs).toBe("test");
    expect(jobs.announce.needs).toBe("publish");
  });

  it("publishes only for a pushed tag, not for a manual start on a tag", () => {
    expect(jobs.publish.if).toBe("github.event_name == 'push' && github.ref_type == 'tag'");
    expect(release.on.push).toEqual({ tags: ["v[0-9]+.[0-9]+.[0-9]+*"] });
    const mayPublish = Object.entries(jobs).filter(([, job]) => job.permissions["id-token"]);
    expect(mayPublish.map(([name]) => name)).toEqual(["publish"]);
  });

  it.each(readdirSync(join(root, ".github/workflows")))(
    "runs only existing files and npm scripts in %s",
    (workflow) => {
      const text = read(`.github/workflows/${workflow}`);
      const files = [...text.matchAll(/\b(scripts\/[\w.-]+\.(?:mjs|sh))\b/g)].map(
        ([, file]) => file,
      );
      expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
      const scripts = [...text.matchAll(/\bnpm run ([\w:]+)/g)].map(([, script]) => script);
      expect(scripts.length).toBeGreaterThan(0);
      expect(scripts.filter((script) => !(script in manifest.scripts))).toEqual([]);
    },
  );

  it.skipIf(process.platform === "win32").each([
    ["v1.2.3", "--latest"],
    ["v1.2.3-rc.0", "--prerelease"],
  ])("creates the GitHub release of %s with the notes and %s", async (tag, kind) => {
    const folder = fakeProgram("gh", '[ "$2" = create ] && echo "$@"');
    layOut(folder, { "scripts/version.mjs": 'console.log("the notes")' });
    const { run: script } = jobs.announce.steps.at(-1);
    const { stdout } = await run("bash", ["-e", "-c", script], {
      cwd: folder,
      env: { PATH: `${folder}/bin${delimiter}${process.env.PATH}`, GITHUB_REF_NAME: tag },
    });
    expect(stdout.trim()).toBe(
      `release create ${tag} --verify-tag --title ${tag} --notes-file notes.md ${kind}`,
    );
    expect(readFileSync(join(folder, "notes.md"), "utf8")).toBe("the notes\n");
  });
});

describe("new-gateways.yml", () => {
  const { jobs } = parse(read(".github/workflows/new-gateways.yml"));
  const RESULT = "latest 2026.9.9: unknown text";

  it("lets only the job that runs no gateway write issues", () => {
    const permissions = Object.entries(jobs).map(([name, job]) => [name, job.permissions]);
    expect(Object.fromEntries(permissions)).toEqual({
      try: { contents: "read" },
      report: { issues: "write" },
    });
  });

  it.skipIf(process.platform === "win32").each([
    { code: 0, differs: "", fails: 0 },
    { code: 1, differs: "", fails: 1 },
    { code: 3, differs: "differs=true\n", fails: 0 },
  ])("reports a gateway if the command ends with 3: $code", async ({ code, differs, fails }) => {
    const folder = fakeProgram("npm", `echo "$@"; exit ${code}`);
    layOut(folder, { output: "" });
    const { run: script } = jobs.try.steps.find(({ id }) => id === "try");
    const ended = await run("bash", ["-e", "-c", script], {
      cwd: folder,
      env: { PATH: `${folder}/bin${delimiter}${process.env.PATH}`, GITHUB_OUTPUT: "output" },
    });
    expect(ended).toMatchObject({ code: fails, stdout: "run --silent interop:new\n" });
    expect(readFileSync(join(folder, "output"), "utf8")).toBe(differs);
  });

  it.skipIf(process.platform === "win32").each([
    ["creates an issue if none is open", "", "", `issue create --title "$title"`],
    ["comments on the open issue if the result is new", "7", "another result", "issue comment 7"],
    ["does nothing if the open issue contains the result", "7", `reported\n${RESULT}\nbefore`, ""],
  ])("%s", async (_, number, reported, expected) => {
    const folder = fakeProgram(
      "gh",
      `case "$2" in list) echo '${number}';; view) echo '${reported}';; *) echo "$@";; esac`,
    );
    layOut(folder, { "result.txt": `${RESULT}\n` });
    const { run: script } = jobs.report.steps.at(-1);
    const { stdout } = await run("bash", ["-e", "-c", script], {
      cwd: folder,
      env: { PATH: `${folder}/bin${delimiter}${process.env.PATH}` },
    });
    const title = "A new gateway is not swept by the native reaper";
    const command = expected.replace('"$title"', title);
    expect(stdout.trim()).toBe(command && `${command} --body-file body.md`);
    expect(readFileSync(join(folder, "body.md"), "utf8")).toContain(RESULT);
  });
});

/** Returns a folder whose `bin` contains a program with this shell script. */
function fakeProgram(name, script) {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "bin"));
  layOut(folder, { [`bin/${name}`]: `#!/bin/sh\n${script}\n` });
  chmodSync(join(folder, "bin", name), 0o755);
  return folder;
}

describe.skipIf(process.platform === "win32")("scripts/publish.mjs", () => {
  /** Publishes tarballs of three packages with a npm that only records what it is asked. */
  async function publish(version, { published = [], missing = [] } = {}) {
    const view = published.map((name) => `"${name}@${version}") echo ${version}; exit;;`).join(" ");
    const folder = fakeProgram(
      "npm",
      `if [ "$1" = view ]; then case $2 in ${view} esac; exit 1; fi
       echo "asked: $(basename "$2") $6"`,
    );
    const optionalDependencies = {
      "cron-session-reaper-b": version,
      "cron-session-reaper-a": version,
    };
    layOut(folder, {
      "package/package.json": JSON.stringify({ version, optionalDependencies }),
    });
    for (const name of ["cron-session-reaper", ...Object.keys(optionalDependencies)]) {
      if (missing.includes(name)) continue;
      const packed = await run("tar", ["-czf", `${name}-${version}.tgz`, "package"], {
        cwd: folder,
      });
      expect(packed.code).toBe(0);
    }
    const { stdout, stderr, code } = await runNode([join(root, "scripts/publish.mjs"), folder], {
      env: { PATH: `${folder}/bin${delimiter}${process.env.PATH}` },
    });
    const asked = [...stdout.matchAll(/^asked: (.*)$/gm)].map(([, text]) => text);
    return { asked, code, stderr };
  }

  it("publishes the main package last, with the tag latest", async () => {
    expect((await publish("1.2.3")).asked).toEqual([
      "cron-session-reaper-b-1.2.3.tgz latest",
      "cron-session-reaper-a-1.2.3.tgz latest",
      "cron-session-reaper-1.2.3.tgz latest",
    ]);
  });

  it("publishes a prerelease with the tag next", async () => {
    const { asked } = await publish("1.2.3-rc.0");
    expect(asked).toHaveLength(3);
    for (const text of asked) expect(text).toMatch(/ next$/);
  });

  it("publishes only the rest if a package is already published", async () => {
    const { asked } = await publish("1.2.3", { published: ["cron-session-reaper-b"] });
    expect(asked).toEqual([
      "cron-session-reaper-a-1.2.3.tgz latest",
      "cron-session-reaper-1.2.3.tgz latest",
    ]);
  });

  it("publishes nothing if a tarball is missing", async () => {
    const { asked, code, stderr } = await publish("1.2.3", { missing: ["cron-session-reaper-a"] });
    expect(asked).toEqual([]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("no tarball for cron-session-reaper-a 1.2.3");
  });
});

describe("the version", () => {
  it("is the same in every file, with statements about npm that are true for it", () => {
    expect(outdatedFiles(), "run node scripts/version.mjs set <version>").toEqual([]);
    expect(releaseNotes()).toContain("### ");
  });

  it.skipIf(process.platform === "win32")(
    "is written into every file, and refuses a tag of another version",
    async () => {
      const folder = temporaryFolder();
      const files = succeeded(await run("git", ["ls-files"], { cwd: root }));
      const copied = files
        .split("\n")
        .filter(
          (file) => /^(npm|scripts|docs|fuzz)\/|^[^/]+$/.test(file) && existsSync(join(root, file)),
        );
      for (const file of copied) {
        mkdirSync(join(folder, dirname(file)), { recursive: true });
        copyFileSync(join(root, file), join(folder, file));
      }
      const version = (...args) => runNode(["scripts/version.mjs", ...args], { cwd: folder });

      succeeded(await version("set", "7.8.9-rc.0", "2031-02-03"));
      succeeded(await version("set", "7.8.9", "2031-02-04"));
      succeeded(await version());
      succeeded(await version("check-tag", "v7.8.9"));
      const text = (file) => readFileSync(join(folder, file), "utf8");
      for (const file of [
        "package.json",
        "Cargo.toml",
        "fuzz/Cargo.lock",
        "npm/darwin-x64/package.json",
      ]) {
        expect(text(file), file).toMatch(/"7\.8\.9"/);
        expect(text(file), file).not.toContain("rc.0");
      }
      expect(text("README.md")).toContain("npm install cron-session-reaper");
      expect(text("README.md")).not.toContain("not on npm");
      expect(text("README.md")).toContain("\nnpx cron-session-reaper --list ");
      expect(text("README.md")).not.toContain("node cli/main.mjs");
      expect(text("CHANGELOG.md")).toMatch(/^## 7\.8\.9 \(2031-02-04\)$/m);
      expect(text("CHANGELOG.md")).not.toContain("rc.0");

      const other = await version("check-tag", "v7.8.8");
      expect(other.code).toBe(1);
      expect(other.stderr).toContain("the tag is v7.8.8, but package.json has the version 7.8.9");

      succeeded(await version("set", "7.9.0"));
      const unreleased = await version("check-tag", "v7.9.0");
      expect(unreleased.code).toBe(1);
      expect(unreleased.stderr).toContain("is not 7.9.0 with a date");
    },
  );

  /** Returns the documents, except the one about past versions. */
  function documents() {
    const pages = readdirSync(join(root, "docs")).filter((file) => file.endsWith(".md"));
    const atRoot = readdirSync(root).filter((file) => /^[A-Z]+\.md$/.test(file));
    return [...atRoot, ...pages.map((page) => `docs/${page}`)].filter(
      (file) => file !== "CHANGELOG.md",
    );
  }

  it("is stated by documents for Rust, Node.js and the tools as by the files that decide it", () => {
    const [, rust] = /^rust-version = "([\d.]+)"/m.exec(read("Cargo.toml"));
    const [, builtWith] = /RUSTUP_TOOLCHAIN: "([\d.]+)\.\d+"/.exec(
      read(".github/workflows/release.yml"),
    );
    const ci = read(".github/workflows/ci.yml");
    const [, node] = /^>=(\d+)$/.exec(manifest.engines.node);
    const stated = documents().flatMap((file) => {
      const text = read(file);
      const find = (pattern, expected) =>
        [...text.matchAll(pattern)].map(([, found]) => ({ file, found, expected }));
      return [
        ...find(/Rust(?: ≥)? (\d+\.\d+)/g, rust),
        ...find(/built with (1\.\d+)/g, builtWith),
        ...find(/Node\.js ≥ (\d+)/g, node),
        ...find(/(typos-cli --version [\d.]+)/g, /typos-cli --version [\d.]+/.exec(ci)[0]),
        ...find(/(cargo-machete --version [\d.]+)/g, /cargo-machete --version [\d.]+/.exec(ci)[0]),
      ];
    });
    expect(stated.length).toBeGreaterThan(8);
    expect(stated.filter(({ found, expected }) => found !== expected)).toEqual([]);
  });
});

describe("docs/bundlers.md", () => {
  it("describes exactly the tools that the rehearsal checks, and Electron", () => {
    const tools = [...read("docs/bundlers.md").matchAll(/^\| (?!tool|---)(.*?) \|/gm)];
    const checked = [...Object.keys(MANAGERS), ...Object.keys(BUNDLERS), "Electron"];
    expect(tools.map(([, tool]) => tool).sort()).toEqual(checked.sort());
  });
});

function succeeded({ code, stdout, stderr }) {
  expect(code, stderr).toBe(0);
  return stdout;
}
