// Generates a random case: the contents of a folder and the sweeps of it, as plain data that can be saved
// as JSON and reduced step by step.
//
//   { seed, store: path, steps: [{ members, style, broken?, files, links, params }] }
//
// A member is [key, value] in JSON text, or [key, fields], where fields are [name, value] pairs. This
// preserves duplicate keys and unusual spellings. `{ROOT}` is replaced by the scene's folder.

import { randomFrom } from "../random.mjs";

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 2, 1, 12);

const RETENTIONS = [
  "24h",
  "1h",
  "30m",
  "1h30m",
  "2d",
  "90s",
  "0h",
  "0",
  "1.5",
  " 2H ",
  "1d12h",
  "500ms",
  "0.5ms",
];
const INVALID_DURATIONS = [
  "",
  " ",
  "abc",
  "-1h",
  "1 h",
  "1w",
  "1e3",
  "h",
  null,
  true,
  5,
  {},
  ["1h"],
];
const DURATION = { ms: 1, s: 1000, m: 60_000, h: HOUR, d: 24 * HOUR };

const FOLDER = "agents/main/sessions";
const STORES = [
  `${FOLDER}/sessions.json`,
  `${FOLDER}/sessions.json`,
  `${FOLDER}/other.json`,
  "plain/sessions.json",
];

// There are few names, so that entries share ids and files.
const IDS = [
  '"a"',
  '"b"',
  '"c"',
  '"A"',
  '" a "',
  '"b\\u00a0"',
  '"51b6848d-f25b-4ef3-aca8-769fdd899d9b"',
  '"a.b_c-d"',
  '".hidden"',
  '"x y"',
  '""',
  '"  "',
  '"sub/a"',
  '".."',
  '"é"',
  `"${"n".repeat(128)}"`,
  `"${"n".repeat(129)}"`,
  "5",
  '"5"',
  "true",
  "null",
  "{}",
  "[]",
  '["a"]',
  '"link-0"',
  '"link-1"',
  '"\\ud800"',
];
const SESSION_FILES = [
  '"a.jsonl"',
  '"b.jsonl"',
  '"c.jsonl"',
  '"./b.jsonl"',
  '" c.jsonl "',
  '"sub/a.jsonl"',
  '"sub/b.jsonl"',
  '"sub/../c.jsonl"',
  '"gone/../../{NAME}/a.jsonl"',
  '"../{NAME}/a.jsonl"',
  '"./../{NAME}/b.jsonl"',
  '"../outside/o.jsonl"',
  '"{ROOT}/outside/o.jsonl"',
  '"{DIR}/a.jsonl"',
  '"{DIR}/sub/b.jsonl"',
  '"{DIR}/../outside/o.jsonl"',
  '"{DIR}/..x.jsonl"',
  '"..x.jsonl"',
  '"{ROOT}/agents/other/sessions/a.jsonl"',
  '"link-0.jsonl"',
  '"link-1.jsonl"',
  '"{DIR}/link-0.jsonl"',
  '"{ROOT}/outside/in.jsonl"',
  '"linked/a.jsonl"',
  '"a.txt"',
  '"A.JSONL"',
  '"sub"',
  '"folder.jsonl"',
  '"."',
  '""',
  '"  "',
  '"~/a.jsonl"',
  '"{BASE}"',
  '"a.jsonl.deleted.2026-02-28T12-00-00.000Z"',
  '"/nowhere/a.jsonl"',
  '"gone.jsonl"',
  '"a\\u0000.jsonl"',
  '"{ROOT}/agents/main/sessions/a.jsonl"',
  '"deep/er/a.jsonl"',
];
const NON_STRING_SESSION_FILES = ["5", "0", "{}", "[]", '["a.jsonl"]', "true", "false", "null"];
const UNUSUAL_TIMES = [
  "null",
  "true",
  "false",
  '"2020"',
  '""',
  '" 12 "',
  '"0x10"',
  '"1e3"',
  '"x"',
  '"1_0"',
  '"Infinity"',
  '"-Infinity"',
  "{}",
  "[]",
  "[5]",
  "[[7]]",
  '["x"]',
  "[1,2]",
  "[null]",
  "-5",
  "-0",
  "1e400",
  "-1e400",
  "0.5",
  '"\\u00a05"',
  '"\\ufeff7"',
  '"1n"',
  "1E3",
  "12e-1",
  '"\\u180e5"',
  '"+5"',
  '"--5"',
  '"0b11"',
  '"0o7"',
  '".5"',
  '"5."',
  '"1e1000"',
  "9007199254740993",
];
const OTHER_FIELDS = [
  ['"channel"', '"telegram"'],
  ['"lastTo"', '" 12 "'],
  ['"model"', '"m"'],
  ['"label"', '"\\u00e9 \\ud83d\\ude00 \\"q\\" \\\\ \\/"'],
  ['"n"', "1.0"],
  ['"big"', "12345678901234567890"],
  ['"deliveryContext"', '{"channel":"slack","to":"x","threadId":7}'],
  ['"nested"', '{"sessionId":"a","updatedAt":0,"__proto__":1}'],
  ['"list"', '[1,[2,{"a":"]}"}]]'],
  ['"__proto__"', '{"updatedAt":0}'],
  ['"lone"', '"\\udc00"'],
  ['"room"', '"old"'],
  ['"provider"', '"x"'],
  ['"raw"', '"\u2028é\u{1f600}"'],
  ['"e"', "1e400"],
];
const OTHER_KEYS = [
  '"agent:main:cron:j1"',
  '"agent:main:main"',
  '"agent:main:telegram:dm:1"',
  '"agent:main:slack:cron:j:run:x"',
  '"cron:j:run:x"',
  '"agent:main:cron:j:run:x:sub"',
  '"agent: :cron:j:run:x"',
  '"__proto__"',
  '"constructor"',
  '"7"',
  '""',
  '"global"',
  '"agent:main:cron:j:run"',
  '"agent:main:cron:j:running:x"',
];
const NON_ENTRY_VALUES = [
  "null",
  "0",
  '""',
  "false",
  '"x"',
  "7",
  "true",
  "[]",
  '[{"updatedAt":0}]',
  "{}",
];

function runKey(random) {
  const agent = random.pick(["main", "main", "ops"]);
  const job = random.pick(["j1", "j2", "job é"]);
  const run = random.below(8);
  const plain = `agent:${agent}:cron:${job}:run:${run}`;
  if (random.chance(0.85)) return JSON.stringify(plain);
  return JSON.stringify(
    random.pick([
      ` ${plain} `,
      `${plain}:`,
      `:${plain}`,
      plain.replace("cron", ":cron"),
      `${plain}\n`,
      `\ufeff${plain}`,
      plain.replace("agent", "Agent"),
      plain.replace("run", "RUN"),
      plain.replace("main", "MAIN"),
      `${plain}\u0130`,
      `${plain}:subagent:1`,
      `${plain}:Sub::1:`,
    ]),
  );
}

function retentionOf(random) {
  if (random.chance(0.3)) return { cronConfig: undefined, ms: 24 * HOUR };
  if (random.chance(0.05)) return { cronConfig: { sessionRetention: false }, ms: null };
  if (random.chance(0.1))
    return { cronConfig: { sessionRetention: random.pick(INVALID_DURATIONS) }, ms: 24 * HOUR };
  if (random.chance(0.1)) {
    const unit = random.pick(Object.keys(DURATION));
    const n = random.below(400);
    return { cronConfig: { sessionRetention: `${n}${unit}` }, ms: n * DURATION[unit] };
  }
  return { cronConfig: { sessionRetention: random.pick(RETENTIONS) }, ms: HOUR };
}

function timeAround(random, cutoff) {
  if (random.chance(0.2)) return random.pick(UNUSUAL_TIMES);
  if (random.chance(0.45)) return String(cutoff - 1 - random.below(30 * HOUR));
  if (random.chance(0.5)) return String(cutoff + random.below(30 * HOUR));
  return String(cutoff + random.pick([0, -1, 1, -0.5, 0.5, -0.25]));
}

function member(random, cutoff) {
  const key = random.chance(0.7) ? runKey(random) : random.pick(OTHER_KEYS);
  if (random.chance(0.05)) return [key, random.pick(NON_ENTRY_VALUES)];
  const fields = [];
  if (!random.chance(0.04))
    fields.push([
      '"sessionId"',
      random.chance(0.75) ? random.pick(IDS.slice(0, 7)) : random.pick(IDS),
    ]);
  if (!random.chance(0.04)) fields.push(['"updatedAt"', timeAround(random, cutoff)]);
  if (random.chance(0.5))
    fields.push([
      '"sessionFile"',
      random.chance(0.06) ? random.pick(NON_STRING_SESSION_FILES) : random.pick(SESSION_FILES),
    ]);
  fields.push(...random.times(2, () => random.pick(OTHER_FIELDS)));
  if (random.chance(0.03)) fields.push(['"sessionId"', random.pick(IDS)]);
  if (random.chance(0.03)) fields.push(['"updatedAt"', timeAround(random, cutoff)]);
  if (random.chance(0.02)) fields.push(['"session\\u0049d"', random.pick(IDS)]);
  if (random.chance(0.1)) fields.reverse();
  return [key, fields];
}

const stamp = (ms) => new Date(ms).toISOString().replaceAll(":", "-");

function archiveName(random, limit) {
  const base = random.pick([
    "a.jsonl",
    "old.jsonl",
    "x",
    "",
    "y.deleted.2026-01-01T00-00-00.000Z",
    "sessions.json",
  ]);
  const time = random.chance(0.6)
    ? stamp(limit + random.pick([0, 1, -1, -HOUR, HOUR, -30 * 24 * HOUR]))
    : random.pick([
        "2026-01-01T00-00-00Z",
        "2026-01-01T24-00-00.000Z",
        "2026-01-01T24-00-01.000Z",
        "2026-02-30T00-00-00.000Z",
        "2026-02-32T00-00-00.000Z",
        "2026-13-01T00-00-00.000Z",
        "2026-00-10T00-00-00.000Z",
        "2026-01-01T00-60-00.000Z",
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00-00-00.00Z",
        "2026-01-01T00-00-00.000",
        "2026-01-01",
        "",
        "x",
        "0000-01-01T00-00-00.000Z",
        "2026-01-01T00-00-00.000Z.bak",
        "1969-12-31T23-59-59.999Z",
      ]);
  return `${base}.${random.pick(["deleted", "deleted", "deleted", "reset", "bak"])}.${time}`;
}

function step(random, folder, name, base, firstNow) {
  const retention = retentionOf(random);
  const now = random.chance(0.9)
    ? firstNow
    : random.pick([firstNow + 0.5, 0, -1, 8.64e15, NaN, 1e300]);
  const cutoff =
    (Number.isFinite(now) && Math.abs(now) < 1e15 ? now : NOW) - (retention.ms ?? HOUR);
  const fill = (text) =>
    text
      .replaceAll("{DIR}", `{ROOT}/${folder}`)
      .replaceAll("{NAME}", name)
      .replaceAll("{BASE}", base);

  const files = {};
  const put = (path) => (files[path] = `${path} ${random.below(1e6)}\n`);
  for (const id of [
    "a",
    "b",
    "c",
    "A",
    "a.b_c-d",
    "51b6848d-f25b-4ef3-aca8-769fdd899d9b",
    "5",
    ".hidden",
    "x y",
    "..x",
    "n".repeat(128),
  ]) {
    if (random.chance(0.5)) put(`${folder}/${id}.jsonl`);
  }
  for (const path of [
    "sub/a.jsonl",
    "sub/b.jsonl",
    "a.txt",
    "A.JSONL",
    "~/a.jsonl",
    "folder.jsonl/f",
    "a.jsonl.deleted.2026-02-28T12-00-00.000Z",
    "deep/er/a.jsonl",
    "notes.md",
  ]) {
    if (random.chance(0.25)) put(`${folder}/${path}`);
  }
  for (const path of ["outside/o.jsonl", "outside/a.jsonl", "agents/other/sessions/a.jsonl"])
    if (random.chance(0.4)) put(path);
  for (const _ of random.times(5, () => 0))
    put(`${folder}/${random.pick(["", "", "sub/"])}${archiveName(random, cutoff)}`);

  const links = {};
  for (const link of [
    "link-0.jsonl",
    "link-1.jsonl",
    "a.jsonl",
    "sub/b.jsonl",
    "linked",
    "z.deleted.2026-01-01T00-00-00.000Z",
  ]) {
    if (!random.chance(0.12) || files[`${folder}/${link}`] !== undefined) continue;
    const targets =
      link === "linked"
        ? ["sub", "{ROOT}/outside", "."]
        : [
            `{DIR}/b.jsonl`,
            "c.jsonl",
            "sub/a.jsonl",
            "{ROOT}/outside/o.jsonl",
            "gone.jsonl",
            `{DIR}/link-1.jsonl`,
            "link-0.jsonl",
            "a.txt",
          ];
    links[`${folder}/${link}`] = fill(random.pick(targets));
  }
  if (random.chance(0.1)) links["outside/in.jsonl"] = fill("{DIR}/c.jsonl");

  const members = random
    .times(8, () => member(random, cutoff))
    .map(([key, value]) => [
      key,
      typeof value === "string" ? value : value.map(([n, v]) => [n, fill(v)]),
    ]);
  const made = {
    members,
    style: random.pick(["pretty", "pretty", "pretty", "compact", "wide"]),
    files,
    links,
    params: { cronConfig: retention.cronConfig, nowMs: now, force: random.chance(0.9) },
  };
  if (random.chance(0.04))
    made.broken = random.pick([
      "cut",
      "empty",
      "bom",
      "tail",
      "array",
      "string",
      "null",
      "missing",
      "nul",
      "comma",
      "quote",
      "blank",
      "twice",
      "control",
    ]);
  if (random.chance(0.03))
    made.storeIsLinkTo = random.pick([`real/sessions.json`, `${folder}/real.json`]);
  if (random.chance(0.04)) made.lockedTranscript = random.pick(["a", "b", "c"]);
  return made;
}

export function randomCase(seed) {
  const random = randomFrom(seed);
  const store = random.pick(STORES);
  const [folder, base] = [
    store.slice(0, store.lastIndexOf("/")),
    store.slice(store.lastIndexOf("/") + 1),
  ];
  const name = folder.slice(folder.lastIndexOf("/") + 1);
  let now = NOW + random.below(1e6);
  const steps = [];
  for (let n = random.chance(0.15) ? 3 : 1; n > 0; n -= 1) {
    steps.push(step(random, folder, name, base, now));
    now += random.pick([0, 1000, 299_999, 300_000, 300_001, -1000]);
  }
  return { seed, store, steps };
}

const STYLES = {
  pretty: {
    open: "{\n",
    in: "  ",
    between: ",\n",
    colon: ": ",
    close: "\n}",
    deep: "    ",
    shut: "  ",
  },
  compact: { open: "{", in: "", between: ",", colon: ":", close: "}", deep: "", shut: "" },
  wide: {
    open: " {\r\n\t",
    in: "\t",
    between: " ,\r\n",
    colon: " : ",
    close: "\n\n} \n",
    deep: "\t\t",
    shut: "\t",
  },
};

/** Returns the bytes of the store, or null if the store is missing. */
export function storeBytes({ members, style, broken }, root) {
  const s = STYLES[style];
  const object = (fields) =>
    fields.length === 0
      ? "{}"
      : `${s.open.trimStart()}${fields.map(([n, v]) => `${s.deep}${n}${s.colon}${v}`).join(s.between)}${s.close.trimEnd().replace("}", `${s.shut}}`)}`;
  const rows = members.map(
    ([key, value]) => `${s.in}${key}${s.colon}${typeof value === "string" ? value : object(value)}`,
  );
  const text = (rows.length === 0 ? "{}" : `${s.open}${rows.join(s.between)}${s.close}`).replaceAll(
    "{ROOT}",
    root,
  );
  switch (broken) {
    case undefined:
      return Buffer.from(text);
    case "cut":
      return Buffer.from(text).subarray(0, Math.floor(text.length / 2));
    case "empty":
      return Buffer.alloc(0);
    case "blank":
      return Buffer.from(" \n");
    case "bom":
      return Buffer.from(`\ufeff${text}`);
    case "tail":
      return Buffer.from(`${text}x`);
    case "twice":
      return Buffer.from(text + text);
    case "nul":
      return Buffer.from(`${text}\0`);
    case "array":
      return Buffer.from(`[${text}]`);
    case "string":
      return Buffer.from('"x"');
    case "null":
      return Buffer.from("null");
    case "comma":
      return Buffer.from(`${text.trimEnd().slice(0, -1)},}`);
    case "quote":
      return Buffer.from(text.replace('"', "'"));
    case "control":
      return Buffer.from(text.replace('"', '"\u0001'));
    case "missing":
      return null;
    default:
      throw new Error(`unknown damage: ${broken}`);
  }
}
