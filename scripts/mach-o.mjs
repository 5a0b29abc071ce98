// Reads what a library for macOS exports and requires, from its Mach-O headers.

import { readFileSync } from "node:fs";

const MAGIC_64 = 0xfeedfacf;
const LC_CODE_SIGNATURE = 0x1d;
const LC_ID_DYLIB = 0xd;
const LC_BUILD_VERSION = 0x32;
const LC_DYLD_INFO_ONLY = 0x80000022;
const LC_DYLD_EXPORTS_TRIE = 0x80000033;
const PROCESSORS = { 16777223: "x64", 16777228: "arm64" };

/** Returns `{ arch, exports, minimumVersion, installName, isSigned }`. */
export function readMachO(path) {
  const file = readFileSync(path);
  if (file.readUInt32LE(0) !== MAGIC_64) throw new Error(`${path} is not a 64-bit Mach-O file`);
  const found = { arch: PROCESSORS[file.readUInt32LE(4)], exports: [], isSigned: false };
  let at = 32;
  for (let left = file.readUInt32LE(16); left > 0; left--) {
    const command = file.readUInt32LE(at);
    if (command === LC_BUILD_VERSION) found.minimumVersion = version(file.readUInt32LE(at + 12));
    if (command === LC_CODE_SIGNATURE) found.isSigned = true;
    if (command === LC_ID_DYLIB) found.installName = text(file, at + file.readUInt32LE(at + 8));
    const trie = { [LC_DYLD_INFO_ONLY]: 40, [LC_DYLD_EXPORTS_TRIE]: 8 }[command];
    if (trie !== undefined) {
      const [offset, size] = [file.readUInt32LE(at + trie), file.readUInt32LE(at + trie + 4)];
      found.exports.push(...namesIn(file.subarray(offset, offset + size)));
    }
    at += file.readUInt32LE(at + 4);
  }
  return found;
}

/** Returns `11.0` for the number in which each version has 16, 8 and 8 bits. */
function version(packed) {
  const [major, minor, patch] = [packed >>> 16, (packed >>> 8) & 0xff, packed & 0xff];
  return [major, minor, ...(patch > 0 ? [patch] : [])].join(".");
}

/** Returns the text up to the next zero. */
function text(file, from) {
  return file.toString("latin1", from, file.indexOf(0, from));
}

/**
 * Returns the names in a trie of exports. A node is the size of its symbol, the symbol, the number of
 * its children, and for each child a part of a name and the offset of its node.
 */
function namesIn(trie, offset = 0, prefix = "") {
  if (trie.length === 0) return [];
  const [size, symbol] = number(trie, offset);
  const names = size > 0 ? [prefix] : [];
  let at = symbol + size;
  const children = trie[at++];
  for (let child = 0; child < children; child++) {
    const part = text(trie, at);
    const [node, next] = number(trie, at + part.length + 1);
    names.push(...namesIn(trie, node, prefix + part));
    at = next;
  }
  return names;
}

/** Reads a number of 7 bits per byte (ULEB128); returns it and the offset after it. */
function number(bytes, offset) {
  let [value, shift, at] = [0, 0, offset];
  for (; bytes[at] >= 0x80; at++, shift += 7) value |= (bytes[at] & 0x7f) << shift;
  return [value | (bytes[at] << shift), at + 1];
}
