// Reads files and folders, and explains failures.

import { lstatSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";

/** Returns an absolute path; `undefined` for a relative one if the working directory was removed. */
export function absolute(path) {
  try {
    // Without a slash at the end, which no file may have.
    return isAbsolute(path) ? join(path, ".") : resolve(path);
  } catch {
    return undefined;
  }
}

/** Returns the home folder of the user; the root folder if the system knows none, as in a container. */
export function userHome() {
  try {
    return homedir();
  } catch {
    return resolve("/");
  }
}

/** Returns whether an error says that a path does not exist. */
export function isMissing(error) {
  return error.code === "ENOENT" || error.code === "ENOTDIR";
}

/** Returns `EACCES: permission denied` of Node.js's `EACCES: permission denied, stat '/a'`. */
export function reasonOf({ message }) {
  return message.match(/^([A-Z]+: .*?), /)?.[1] ?? message;
}

/** Returns `{ path, error }` for a path that cannot be accessed. */
export function inaccessible(path, error) {
  return problemAt(path, error.code, `cannot access ${path}: ${reasonOf(error)}`);
}

/** Returns `{ path, error }` for a problem of a path. */
export function problemAt(path, code, message) {
  return { path, error: Object.assign(new Error(message), { code, path }) };
}

/** Returns whether a path may exist: true also for a dangling link and an inaccessible path. */
export function mayExist(path) {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    return !isMissing(error);
  }
}

/** Resolves the links in a path. Returns a path that cannot be resolved unchanged. */
export function realPath(path) {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Reads a text file. Anything but a regular file is refused: reading a FIFO would wait for its writer. */
export function textOf(file) {
  try {
    if (!statSync(file).isFile()) {
      throw Object.assign(new Error(), { code: "ERR_NOT_A_FILE", message: "not a regular file" });
    }
    // Without the byte order mark that some editors write.
    return { text: readFileSync(file, "utf8").replace(/^\uFEFF/, "") };
  } catch (error) {
    return { error };
  }
}

/**
 * Lists a folder, sorted by name; a missing folder is empty. Problems are added to `failed`: a folder
 * that cannot be listed, and names that are not UTF-8, which a JavaScript string cannot hold.
 */
export function namesIn(folder, failed) {
  try {
    const names = readdirSync(folder, { encoding: "buffer" });
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return names
      .flatMap((name) => {
        try {
          return [decoder.decode(name)];
        } catch {
          failed.push(notUtf8(folder, name));
          return [];
        }
      })
      .sort();
  } catch (error) {
    if (!isMissing(error)) {
      failed.push(inaccessible(folder, error));
    }
    return [];
  }
}

function notUtf8(folder, name) {
  const shown = name.toString("latin1").replace(/[^ -~]/g, (byte) => {
    return `\\x${byte.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return problemAt(
    folder,
    "ERR_NAME_NOT_UTF8",
    `cannot access ${shown} in ${folder}: its name is not UTF-8; rename it to see and sweep its store`,
  );
}
