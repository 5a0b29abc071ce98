// Recognises files that are certainly not session stores.

import { closeSync, openSync, readSync, statSync } from "node:fs";
import { basename } from "node:path";
import { CONFIGURATIONS } from "./state-folder.mjs";

/** How files begin that are sometimes named instead of a store. */
const BEGINNINGS = [
  [
    "an SQLite database, in which gateways from 2026.8.1 on keep their sessions",
    Buffer.from("SQLite format 3\0"),
  ],
  ["a gzip file", Buffer.from([0x1f, 0x8b])],
  ["a zstd file", Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ["a bzip2 file", Buffer.from("BZh")],
  ["an xz file", Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ["a zip file", Buffer.from("PK\x03\x04")],
  ["a 7-Zip file", Buffer.from([0x37, 0x7a, 0xbc, 0xaf])],
  ["an image", Buffer.from([0x89, 0x50, 0x4e, 0x47])],
  ["an image", Buffer.from([0xff, 0xd8, 0xff])],
  ["an image", Buffer.from("GIF8")],
  ["a PDF document", Buffer.from("%PDF")],
  ["a program", Buffer.from([0x7f, 0x45, 0x4c, 0x46])],
  ["a text in UTF-16", Buffer.from([0xff, 0xfe])],
  ["a text in UTF-16", Buffer.from([0xfe, 0xff])],
  // Without a byte order mark: the brace of the store's object, and a zero byte beside it.
  ["a text in UTF-16", Buffer.from([0x7b, 0x00])],
  ["a text in UTF-16", Buffer.from([0x00, 0x7b])],
];

/** Paths of the gateway's other files. */
const NAMES = [
  [/\.jsonl(\.(deleted|reset|bak)\..*)?$/, "a transcript"],
  [/\.lock$/, "a lock file"],
  [/[\\/]cron[\\/]jobs\.json(\.bak.*)?$/, "the gateway's list of cron jobs"],
  [/(^|[\\/])\.env(\.[^\\/]*)?$/, "a file of environment variables"],
];

/** Returns what a file is that is certainly not a store; `undefined` for stores and folders. */
export function otherKindOf(path) {
  const stat = statSync(path);
  if (stat.isDirectory()) {
    return undefined;
  }
  if (!stat.isFile()) {
    return "a special file";
  }
  return kindByName(path) ?? kindByBeginning(path);
}

/** Returns what a file with this path certainly is, which need not exist; `undefined` if it may be a store. */
export function kindByName(path) {
  // The gateway keeps earlier configurations as `.bak`, `.bak.1`, ….
  if (CONFIGURATIONS.includes(basename(path).replace(/\.bak(\.\d+)?$/, ""))) {
    return "a gateway's configuration";
  }
  const [, name] = NAMES.find(([pattern]) => pattern.test(path)) ?? [];
  return name;
}

function kindByBeginning(path) {
  const beginning = firstBytes(path);
  const isAtBeginning = (magic) => beginning.subarray(0, magic.length).equals(magic);
  return BEGINNINGS.find(([, magic]) => isAtBeginning(magic))?.[0];
}

function firstBytes(path) {
  const bytes = Buffer.alloc(16);
  const file = openSync(path);
  try {
    return bytes.subarray(0, readSync(file, bytes));
  } finally {
    closeSync(file);
  }
}
