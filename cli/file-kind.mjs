// Recognises files that are certainly not session stores.

import { closeSync, openSync, readSync, statSync } from "node:fs";
import { basename } from "node:path";
import { CONFIGURATIONS } from "./state-folder.mjs";

/** How files begin that are sometimes named instead of a store. */
const BEGINNINGS = [
  [
    "an SQLite database, in which gateways from 2026.8.1 on keep their sessions,",
    Buffer.from("SQLite format 3\0"),
  ],
  ["a gzip file", Buffer.from([0x1f, 0x8b])],
  ["a zstd file", Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ["a text in UTF-16", Buffer.from([0xff, 0xfe])],
  ["a text in UTF-16", Buffer.from([0xfe, 0xff])],
  // Without a byte order mark: the brace of the store's object, and a zero byte beside it.
  ["a text in UTF-16", Buffer.from([0x7b, 0x00])],
  ["a text in UTF-16", Buffer.from([0x00, 0x7b])],
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
  // The gateway keeps earlier configurations as `.bak`, `.bak.1`, ….
  if (CONFIGURATIONS.includes(basename(path).replace(/\.bak(\.\d+)?$/, ""))) {
    return "a gateway's configuration";
  }
  if (/\.jsonl(\.(deleted|reset)\..*)?$/.test(path)) {
    return "a transcript";
  }
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
