// Two users and a group try to make a sweep by another user, mostly root, read, rename or delete files
// that are not theirs: with links and names that are there before the sweep, and with links that appear
// during it. No attack may change the victims' folders, copy what is in them, or leave files of root.

import { spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { root } from "../scripts/prepare.mjs";
import { buildSweeper, has, reportIn, run } from "./programs.mjs";
import { NOW } from "./store.mjs";
import { bite, figure, none, skipped } from "./table.mjs";

export const name = "rights";

/** Two users who exist only as numbers, and a group. */
const A = 12_001;
const B = 12_002;
const GROUP = 12_003;

const OLD_ARCHIVE = "old.jsonl.deleted.2020-01-01T00-00-00.000Z";

/** A store with two expired runs: one transcript is beside it, the other one in a subfolder. */
const storeOf = (more = {}) =>
  JSON.stringify({
    "agent:main:cron:j:run:r": { sessionId: "r", updatedAt: 1, ...more },
    "agent:main:cron:j:run:s": { sessionId: "s", updatedAt: 1, sessionFile: "sub/s.jsonl" },
    "agent:main:main": { sessionId: "main", updatedAt: 1 },
  });

/**
 * What is there before the sweep. `plant` gets the paths of the folders, `as` is who sweeps (root unless
 * given), `store` is the path that is swept.
 */
const TRICKS = [
  {
    name: "the store is a link to another user's store",
    plant: ({ a, b }) => link(`${b}/sessions.json`, `${a}/sessions.json`),
  },
  {
    name: "the store is a link to a link to another user's store",
    plant: ({ a, b }) => {
      link(`${b}/sessions.json`, `${a}/second`);
      link("second", `${a}/sessions.json`);
    },
  },
  {
    name: "the store is a link to root's store",
    plant: ({ a, private: folder }) => link(`${folder}/sessions.json`, `${a}/sessions.json`),
  },
  {
    name: "the folder is a link to another user's folder",
    store: "a/folder/sessions.json",
    plant: ({ a, b }) => link(b, `${a}/folder`),
  },
  {
    name: "the folder is a link to root's folder",
    store: "a/folder/sessions.json",
    plant: ({ a, private: folder }) => link(folder, `${a}/folder`),
  },
  {
    name: "a link of a user in a folder for all, to another user's store",
    store: "tmp/sessions.json",
    plant: ({ tmp, b }) => link(`${b}/sessions.json`, `${tmp}/sessions.json`),
  },
  {
    name: "a link of a user in a folder for all, to another user's folder",
    store: "tmp/folder/sessions.json",
    plant: ({ tmp, b }) => link(b, `${tmp}/folder`),
  },
  {
    name: "a link of a user on the way, with ..",
    store: "tmp/folder/../b/sessions.json",
    plant: ({ tmp, b }) => link(`${b}/sub`, `${tmp}/folder`),
  },
  {
    name: "the store is a hard link to another user's store",
    plant: ({ a, b }) => hardLink(`${b}/sessions.json`, `${a}/sessions.json`),
  },
  {
    name: "the store is a hard link to root's store",
    plant: ({ a, private: folder }) => hardLink(`${folder}/sessions.json`, `${a}/sessions.json`),
  },
  {
    name: "a subfolder is a link to another user's folder",
    plant: ({ a, b }) => link(`${b}/sub`, `${a}/sub`),
  },
  {
    name: "a subfolder is a link to root's folder",
    plant: ({ a, private: folder }) => link(`${folder}/sub`, `${a}/sub`),
  },
  {
    name: "a subfolder of root's own store is a link to root's folder",
    plant: ({ a, private: folder }) => {
      chownSync(`${a}/sessions.json`, 0, 0);
      link(`${folder}/sub`, `${a}/sub`);
    },
  },
  {
    name: "root's own store behind a link, with a subfolder that is a link",
    store: "a/folder/sessions.json",
    plant: ({ a, private: folder }) => {
      chownSync(`${a}/sessions.json`, 0, 0);
      link(".", `${a}/folder`);
      link(`${folder}/sub`, `${a}/sub`);
    },
  },
  {
    name: "a transcript is a link to another user's",
    plant: ({ a, b }) => link(`${b}/r.jsonl`, `${a}/r.jsonl`),
  },
  {
    name: "a transcript is a hard link to another user's",
    plant: ({ a, b }) => hardLink(`${b}/r.jsonl`, `${a}/r.jsonl`),
  },
  {
    name: "an absolute path of another user's transcript",
    plant: ({ a, b }) => writeAs(A, `${a}/sessions.json`, storeOf({ sessionFile: `${b}/r.jsonl` })),
  },
  {
    name: "a relative path of another user's transcript",
    plant: ({ a }) =>
      writeAs(A, `${a}/sessions.json`, storeOf({ sessionFile: "sub/../../b/r.jsonl" })),
  },
  {
    name: "an archive is a link to another user's",
    plant: ({ a, b }) => link(`${b}/${OLD_ARCHIVE}`, `${a}/${OLD_ARCHIVE}`),
  },
  {
    name: "the lock is a link to another user's store",
    plant: ({ a, b }) => link(`${b}/sessions.json`, `${a}/sessions.json.lock`),
  },
  {
    name: "the lock is a link to a file that does not exist",
    plant: ({ a, b }) => link(`${b}/new`, `${a}/sessions.json.lock`),
  },
  {
    name: "the lock is a hard link to another user's transcript",
    plant: ({ a, b }) => hardLink(`${b}/r.jsonl`, `${a}/sessions.json.lock`),
  },
  {
    name: "a temp file is a link to another user's store",
    plant: ({ a, b }) => link(`${b}/sessions.json`, `${a}/sessions.json.77-0.reaper.tmp`),
  },
  {
    name: "another store of the folder is a link to another user's store",
    plant: ({ a, b }) => link(`${b}/sessions.json`, `${a}/sessions.json.bak.1`),
  },
  {
    name: "another store of the folder is a hard link to another user's store",
    plant: ({ a, b }) => hardLink(`${b}/sessions.json`, `${a}/sessions.json.bak.1`),
  },
  {
    name: "a member of the group sweeps the store of another member",
    as: B,
    store: "team/sessions.json",
    victims: ["team"],
    plant: ({ team }) => chmodSync(`${team}/sessions.json`, 0o660),
  },
  {
    name: "a user sweeps a store to which a link leads",
    as: B,
    store: "b/link.json",
    victims: ["a", "private"],
    plant: ({ b, a }) => link(`${a}/sessions.json`, `${b}/link.json`, B),
  },
  {
    name: "a member of the group has made a subfolder a link to root's folder",
    store: "team/sessions.json",
    plant: ({ team, private: folder }) => {
      chownSync(`${team}/sessions.json`, 0, GROUP);
      link(`${folder}/sub`, `${team}/sub`);
    },
  },
  {
    name: "a member of the group has made a subfolder a link to another member's folder",
    as: A,
    store: "team/sessions.json",
    victims: ["a", "b"],
    plant: ({ team, a }) => link(`${a}/sub`, `${team}/sub`, B),
  },
  {
    name: "the owner of the store is not mapped in the user namespace",
    in: ["unshare", "--user", "--map-root-user"],
    victims: ["a", "b"],
    plant: () => {},
  },
  {
    name: "neither the user nor the owner of the store is mapped in the user namespace",
    in: ["unshare", "--user"],
    as: A,
    store: "team/sessions.json",
    plant: ({ team }) => {
      chownSync(`${team}/sessions.json`, B, GROUP);
      chmodSync(`${team}/sessions.json`, 0o666);
    },
  },
];

/** What SECURITY.md permits. Each sweep must succeed, and leave the store to its owner. */
const PERMITTED = [
  { name: "a user sweeps a store of the same user", as: A, owner: A },
  { name: "root sweeps the store of a user in the folder of that user", owner: A },
  {
    name: "root sweeps its own store in the folder of a user",
    owner: 0,
    plant: ({ a }) => chownSync(`${a}/sessions.json`, 0, 0),
  },
  { name: "root sweeps its own store", store: "private/sessions.json", owner: 0 },
  {
    name: "root sweeps the store of a user in a folder that only root can write to",
    store: "private/sessions.json",
    owner: A,
    plant: ({ private: folder }) => chownSync(`${folder}/sessions.json`, A, A),
  },
  {
    name: "root sweeps through its own link",
    store: "link/sessions.json",
    owner: A,
    plant: ({ root: top, a }) => symlinkSync(a, join(top, "link")),
  },
  {
    name: "a user that is not mapped in the user namespace sweeps a store of the same user",
    in: ["unshare", "--user"],
    as: A,
    owner: A,
  },
  {
    name: "root of a user namespace sweeps its own store",
    in: ["unshare", "--user", "--map-root-user"],
    store: "private/sessions.json",
    owner: 0,
  },
];

/** What changes during the sweeps: `attacker` replaces `path` by a link to `target`, and undoes it. */
const RACES = [
  { name: "a subfolder", path: "a/sub", target: "b/sub" },
  { name: "a subfolder, to root's folder", path: "a/sub", target: "private/sub" },
  { name: "the folder", path: "a/folder", target: "b", store: "a/folder/sessions.json" },
  {
    name: "the folder, to root's",
    path: "a/folder",
    target: "private",
    store: "a/folder/sessions.json",
  },
  { name: "the store", path: "a/sessions.json", target: "b/sessions.json" },
  { name: "the store, to root's", path: "a/sessions.json", target: "private/sessions.json" },
  { name: "a transcript", path: "a/r.jsonl", target: "b/r.jsonl" },
  { name: "the lock", path: "a/sessions.json.lock", target: "b/sessions.json" },
  {
    name: "a subfolder of a group, to root's folder",
    path: "team/sub",
    target: "private/sub",
    store: "team/sessions.json",
    owner: 0,
  },
  {
    name: "a subfolder of a group, to a member's folder",
    path: "team/sub",
    target: "a/sub",
    store: "team/sessions.json",
    attacker: B,
    as: A,
    victims: ["a", "b", "private"],
  },
];

export async function campaign({ short, scratch }) {
  const why = notPermitted();
  if (why) {
    skipped("attacks on the rights of another user", why);
    return;
  }
  await permitted(scratch);
  const { attacks, refused, sweeps, problems } = await attack(scratch, { short });
  const harmless = attacks - refused - new Set(problems.map(([attacked]) => attacked)).size;
  const sentences = problems.map(([attacked, problem]) => `${attacked}: ${problem}`);
  figure(`attacks by other users (${refused} refused, ${harmless} harmless)`, attacks, 40);
  figure("sweeps while links appear", sweeps, short ? 10 : 2_000);
  none("attacks that succeeded", new Set(problems.map(([attacked]) => attacked)).size, sentences);
}

export async function bites({ scratch }) {
  const why = notPermitted();
  if (why) {
    skipped("attacks on the rights of another user", why);
    return;
  }
  const { problems } = await attack(scratch, { short: true, env: { FAULT: "roots-rights" } });
  bite(
    "rights",
    "sweeps with root's rights",
    problems.map((it) => it.join(": ")),
  );
}

function notPermitted() {
  const map = readFileSync("/proc/self/uid_map", "utf8").trim().split(/\s+/).join(" ");
  if (process.geteuid() !== 0 || map !== "0 0 4294967295") {
    return "needs root in the initial user namespace";
  }
  return has("setpriv", "--version") ? undefined : "needs setpriv";
}

async function installSweeper(scratch) {
  // The users must be able to reach their folders and to run the sweeper.
  chmodSync(scratch, 0o755);
  const sweeper = join(scratch, "sweeper");
  copyFileSync(await buildSweeper(), sweeper);
  chmodSync(sweeper, 0o755);
  return sweeper;
}

/** A sweep that refused everything would resist every attack. */
async function permitted(scratch) {
  const sweeper = await installSweeper(scratch);
  const problems = [];
  for (const { plant, owner, ...permit } of PERMITTED) {
    const world = createWorld(scratch);
    plant?.(world);
    const { reports, problems: found } = await sweep(sweeper, world, permit);
    const { uid, mode } = statSync(join(world.root, permit.store ?? "a/sessions.json"));
    const outcome = `${reports[0]?.pruned} pruned, uid ${uid}, mode ${(mode & 0o777).toString(8)}`;
    if (outcome !== `2 pruned, uid ${owner}, mode 600`) {
      found.push(`${outcome}: ${JSON.stringify(reports[0])}`);
    }
    problems.push(...found.map((problem) => `${permit.name}: ${problem}`));
    rmSync(world.root, { recursive: true });
  }
  figure("permitted sweeps that leave the store to its owner", PERMITTED.length, 7, problems);
}

/** Tries all attacks. A race is tried whenever the sweep has its lock and, in the long form, at any time. */
async function attack(scratch, { short, env }) {
  const sweeper = await installSweeper(scratch);
  const found = { attacks: 0, refused: 0, sweeps: 0, problems: [] };
  for (const trick of TRICKS) {
    const world = createWorld(scratch);
    trick.plant(world);
    const check = watch(world, trick.victims);
    const { reports, problems } = await sweep(sweeper, world, trick, env);
    record(found, trick.name, reports, [...problems, ...check()]);
    rmSync(world.root, { recursive: true });
  }
  for (const race of RACES) {
    for (const when of short
      ? ["while the lock is held"]
      : ["while the lock is held", "at any time"]) {
      const world = createWorld(scratch);
      const { reports, problems } = await runRace(
        sweeper,
        world,
        { ...race, when },
        { short, env },
      );
      record(found, `${race.name} is replaced by a link ${when}`, reports, problems);
      found.sweeps += reports.length;
      rmSync(world.root, { recursive: true });
    }
  }
  return found;
}

function record(found, attacked, reports, problems) {
  found.attacks++;
  found.refused += problems.length === 0 && !reports.some(({ swept }) => swept) ? 1 : 0;
  found.problems.push(...problems.map((problem) => [attacked, problem]));
}

/** Sweeps as the given user. Resolves to the reports and to what is wrong with the run. */
async function sweep(
  sweeper,
  world,
  { as = 0, store = "a/sessions.json", in: within = [] },
  env,
  more = [],
) {
  const ids = [`--reuid=${as}`, `--regid=${as}`, as === 0 ? "--keep-groups" : `--groups=${GROUP}`];
  const command = ["setpriv", ...ids, ...within, sweeper, join(world.root, store)];
  const now = ["--now", String(NOW)];
  const { code, stdout, stderr, timedOut } = await run(
    command[0],
    [...command.slice(1), ...now, ...more],
    {
      env,
      cwd: "/",
      timeoutMs: 60_000,
    },
  );
  const reports = stdout.trim().split("\n").filter(Boolean).map(reportIn);
  const secrets = stdout.includes("secret") ? ["the log contains the content of a file"] : [];
  const crashed = code === 0 ? [] : [timedOut ? "the sweep hangs" : `the sweep failed: ${stderr}`];
  return { reports, problems: [...secrets, ...crashed] };
}

/** Sweeps without pause while another user replaces a path by a link again and again. */
async function runRace(sweeper, world, race, { short, env }) {
  const { path, target, store = "a/sessions.json", attacker = A, when, owner = attacker } = race;
  const folder = join(world.root, store, "..");
  if (path === "a/folder") {
    symlinkSync(".", join(world.a, "folder"));
    lchownSync(join(world.a, "folder"), A, A);
  }
  if (owner === 0) {
    chownSync(join(world.root, store), 0, GROUP);
  }
  const sweepWhile = join(world.root, "sweep-while");
  writeFileSync(sweepWhile, "");
  const check = watch(world, race.victims);
  const program = readFileSync(join(root, "faults", "rights-racer.mjs"), "utf8");
  const racer = spawn(
    "setpriv",
    [
      ...[`--reuid=${attacker}`, `--regid=${attacker}`, `--groups=${GROUP}`],
      ...[process.execPath, "--input-type=module", "-e", program, "--"],
      ...[join(world.root, path), join(world.root, target), join(folder, "sessions.json"), when],
    ],
    { stdio: ["ignore", "pipe", "inherit"], cwd: "/" },
  );
  await new Promise((resolve) => racer.stdout.once("data", resolve));
  const sweeping = sweep(sweeper, world, { ...race, store }, env, ["--while", sweepWhile]);
  await new Promise((resolve) => setTimeout(resolve, short ? 150 : 4_000));
  rmSync(sweepWhile);
  const { reports, problems } = await sweeping;
  const ended = new Promise((resolve) => racer.once("close", resolve));
  racer.kill("SIGKILL");
  await ended;
  return { reports, problems: [...problems, ...check()] };
}

// ---- The users and their folders ---------------------------------------------------------------

function createWorld(scratch) {
  const top = mkdtempSync(join(scratch, "world-"));
  chmodSync(top, 0o755);
  const world = { root: top };
  const folders = {
    a: [A, A, 0o700],
    b: [B, B, 0o700],
    private: [0, 0, 0o700],
    team: [0, GROUP, 0o2770],
  };
  for (const [who, [uid, gid, mode]] of Object.entries(folders)) {
    const folder = join(top, who);
    world[who] = folder;
    mkdirSync(join(folder, "sub"), { recursive: true });
    const owner = who === "team" ? A : uid;
    const files = ["r.jsonl", "sub/s.jsonl", OLD_ARCHIVE, `sub/${OLD_ARCHIVE}`];
    writeAs(owner, join(folder, "sessions.json"), storeOf({ text: `secret of ${who}` }));
    for (const file of files) {
      writeAs(owner, join(folder, file), `secret of ${who}: ${file}`);
    }
    for (const path of [join(folder, "sub"), folder]) {
      chownSync(path, uid, gid);
      chmodSync(path, mode);
    }
  }
  world.tmp = join(top, "tmp");
  mkdirSync(world.tmp);
  chmodSync(world.tmp, 0o1777);
  return world;
}

function writeAs(uid, path, text) {
  writeFileSync(path, text, { mode: 0o600 });
  chownSync(path, uid, uid);
  // Old: as a lock, a file of another kind would be waited for while it is young.
  utimesSync(path, NOW / 1000, NOW / 1000);
}

/** Puts a symbolic link of user A, or of another one, at a path, in place of what is there. */
function link(target, path, uid = A) {
  rmSync(path, { recursive: true, force: true });
  symlinkSync(target, path);
  lchownSync(path, uid, uid);
}

/** As a user can where hard links to the files of others are not restricted. */
function hardLink(target, path) {
  rmSync(path, { force: true });
  linkSync(target, path);
}

/** Returns a function that returns what has changed in the victims' folders, and what was copied. */
function watch(world, victims = ["b", "private"]) {
  const folders = victims.map((who) => world[who]);
  const before = new Map(folders.flatMap(contentsOf));
  const known = new Set(contentsOf(world.root).map(([path]) => path));
  return () => {
    const after = new Map(folders.flatMap(contentsOf));
    const changed = [...new Set([...before.keys(), ...after.keys()])]
      .filter((path) => before.get(path)?.text !== after.get(path)?.text)
      .map((path) => `${path.slice(world.root.length)} was changed`);
    const inodes = new Set([...before.values()].map(({ ino }) => ino));
    const others = contentsOf(world.root).filter(([, { ino }]) => !inodes.has(ino));
    const secrets = victims.map((who) => `secret of ${who}`);
    const copied = others
      .filter(
        ([path, { text }]) => !before.has(path) && secrets.some((secret) => text.includes(secret)),
      )
      .map(([path]) => `${path.slice(world.root.length)} contains what only a victim may read`);
    const ofRoot = others
      .filter(([path, { uid }]) => uid === 0 && !known.has(path) && path.startsWith(`${world.a}/`))
      .map(([path]) => `${path.slice(world.root.length)} belongs to root`);
    return [...changed, ...copied, ...ofRoot];
  };
}

/** Returns everything in a folder: path, and owner, mode, inode and content as one text. */
function contentsOf(folder) {
  return [
    folder,
    ...readdirSync(folder, { recursive: true }).map((name) => join(folder, name)),
  ].map((path) => {
    const stat = lstatSync(path);
    const content = stat.isFile()
      ? readFileSync(path, "utf8")
      : stat.isSymbolicLink()
        ? readlinkSync(path)
        : "";
    const { uid, gid, mode, ino } = stat;
    return [path, { uid, ino, text: `${uid}:${gid} ${mode.toString(8)} ${ino} ${content}` }];
  });
}
