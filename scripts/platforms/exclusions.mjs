// The Vitest tests that cannot run on a platform in `npm run test:platforms`, with the reasons.
// docs/platforms.md lists the reasons.

const WINDOWS = ["win32-x64-msvc"];
const EMULATED = ["linux-arm64-gnu", "linux-x64-musl", "linux-arm64-musl"];

const FLOCK = "Windows has no `flock`: what a crashed sweep left is removed by a later sweep";
const IN_USE = "Wine cannot replace a file that is open elsewhere, as Windows can";
const LINKS = "Wine has no symbolic links";
const MODES = "Windows has no file modes";
const NAMES = "Windows forbids the names of the files";
const SIGNALS = "Windows has no signals";
const SLASHES = "expects paths with slashes";
const SHELL = "needs a shell or npm, which Wine lacks";

/**
 * The exclusions. `tests` are parts of full names: those of all describes and the test, joined by
 * " > ". Without it, all tests of the file are excluded.
 */
export const EXCLUSIONS = [
  {
    platforms: [...EMULATED, ...WINDOWS],
    file: "package.test.mjs",
    tests: ["contains the license of each crate in a binary"],
    reason:
      "the standard library may be built from its source; its crates are then in the binary, too",
  },
  {
    platforms: EMULATED,
    file: "command.test.mjs",
    tests: ["reports a relative path in a removed working directory"],
    reason: "the shell that starts Node.js warns about a removed folder",
  },
  {
    platforms: EMULATED,
    file: "threads.test.mjs",
    reason: "limits the memory of the process, in which the emulator or the loader of musl aborts",
  },
  ...[
    ["command-free.test.mjs", ["--watch > deletes by age after each sweep"], SIGNALS],
    ["command-running-gateway.test.mjs", ["pauses --watch while the gateway runs"], SIGNALS],
    ["command.test.mjs", ["a sweep that waits for a lock > ends by", "--watch > "], SIGNALS],
    ["scripts.test.mjs", ["reports the signal or the reason why a program failed"], SIGNALS],
    ["service.test.mjs", ["run the command with arguments that it accepts"], SIGNALS],
    ["architecture.test.mjs", ["names every file of the crate that is not a test"], SLASHES],
    [
      "command-config.test.mjs",
      [
        "a configuration in JSON5",
        "a configuration that only the gateway can evaluate",
        "a doubt about the retention",
        "is reported by its full name, and --apply requires --retention",
      ],
      SLASHES,
    ],
    [
      "command-discovery.test.mjs",
      [
        "names stores that are found and swept with the retention of its configuration",
        "may contain ~, the agent in a file name or several times, or no agent",
        "is added to the stores at the usual place",
        "is not followed from a copy of the state folder",
        "is reported if only the gateway can evaluate it",
        "is reported if no store is found without it",
        "is reported with the gateway's version instead of a missing store",
        "is reported if a gateway left files in it",
        "selects the state folder with its configuration and session.store",
        "is not reported of folders that only match session.store",
      ],
      SLASHES,
    ],
    ["command-list.test.mjs", undefined, SLASHES],
    ["command-free.test.mjs", ["names with --list what would be removed"], SLASHES],
    ["command-overview.test.mjs", ["the overview of two or more stores > "], SLASHES],
    ["command-overview.test.mjs", ["reads size and free pages of a database"], SLASHES],
    ["command-overview.test.mjs", ["name with --details the store with which"], SLASHES],
    ["command-discovery.test.mjs", ["is reported, and nothing is deleted beside it"], LINKS],
    [
      "command-running-gateway.test.mjs",
      ["finds it in the state folder, by its environment"],
      SHELL,
    ],
    [
      "command-running-gateway.test.mjs",
      [
        "refuses --apply, names the gateway and the solution, and modifies nothing",
        "does not prevent a sweep, which says that no gateway was found",
        "requires --offline while a lock file is being written",
        "requires --offline if a lock file cannot be read",
        "requires --offline if its version is unknown and it is running",
      ],
      SLASHES,
    ],
    [
      "command.test.mjs",
      [
        "shows what is in a store and what a sweep would remove",
        "names the paths without a store",
        "refuses to sweep if the configuration cannot be read",
        "says what it is, modifies nothing and gives no advice",
        "uses the state folder of OPENCLAW_PROFILE",
        "names the place in a damaged store, shows the others",
        "prints one JSON document, also if a store fails",
        "takes the retention from --retention, else from the gateway's configuration",
        "prints what docs/",
      ],
      SLASHES,
    ],
    ["command.test.mjs", ["ends without an error when its reader closes the pipe"], SHELL],
    ["command.test.mjs", ["reports a relative path in a removed working directory"], SHELL],
    ["package.test.mjs", ["the packed package > packs exactly"], SHELL],
    ["package.test.mjs", ["bundles its dependencies"], SHELL],
    ["package.test.mjs", ["the package installed from tarballs"], SHELL],
    ["command.test.mjs", ["writes through a store that is a symbolic link"], LINKS],
    ["command.test.mjs", ["applies the retention of the folder to which a link leads"], LINKS],
    ["command.test.mjs", ["refuses a store that two state folders share by a link"], LINKS],
    ["inspect.test.mjs", ["follows a symbolic link to the store"], LINKS],
    [
      "paths.test.mjs",
      [
        "a link to a file inside the folder",
        "a file in a linked folder inside",
        "names it through a link",
        "writes through a store that is a symbolic link",
        "sweeps a store in a linked folder where the folder is",
        "treats a dangling link as a missing store",
      ],
      LINKS,
    ],
    [
      "recordings.test.mjs",
      [2, 8, 15, 22, 44, 52, 59, 60, 61, 66, 75, 77, 118, 125, 135].map(
        (number) => `'sweep-11-${number}'`,
      ),
      LINKS,
    ],
    ["command-input.test.mjs", ["/dev/null"], NAMES],
    ["command-input.test.mjs", ["of a path, a key, a job and a file name are escaped"], NAMES],
    ["examples.test.mjs", ["prints figures for each store in dashboard.mjs"], NAMES],
    ["paths.test.mjs", [`"a'b`, `"new\\nline`], NAMES],
    ["command.test.mjs", ["advises to run as the gateway's user"], MODES],
    ["damage.test.mjs", ["logs the path of a store without read permission"], MODES],
    ["interruption.test.mjs", ["an interrupted sweep"], FLOCK],
    ["locking.test.mjs", ["with four writers and three sweepers on one store"], IN_USE],
    [
      "store-writer.test.mjs",
      ["while four writers update the store", "waits for an update that has read the store"],
      IN_USE,
    ],
    ["surface.test.mjs", ["counts every run once in eight concurrent sweeps"], IN_USE],
    [
      "paths.test.mjs",
      ["replaces no archive: the new one gets the next free millisecond"],
      "makes 900 links in less than a second, which takes longer in Wine",
    ],
    [
      "report.test.mjs",
      ["rejects with the code of the cause and the path"],
      "Wine reports a name that is too long as a missing file",
    ],
    [
      "load.test.mjs",
      ["advises to install again if the binary is damaged"],
      "the text of the error is Wine's, not that of Windows",
    ],
    [
      "register.test.mjs",
      ["by its path and by its URL", "if register is loaded from two places"],
      "on Windows, `--import` accepts a URL instead of a path",
    ],
  ].map(([file, tests, reason]) => ({ platforms: WINDOWS, file, tests, reason })),
];

/** Returns the reason for which a test is excluded on a platform, or undefined. */
export function exclusionOf(platform, file, name) {
  return EXCLUSIONS.find((exclusion) => matches(exclusion, platform, file, name))?.reason;
}

export function matches({ platforms, file, tests }, platform, testFile, name) {
  return (
    platforms.includes(platform) &&
    file === testFile &&
    (tests === undefined || tests.some((part) => name.includes(part)))
  );
}
