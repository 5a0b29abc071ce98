// Lays out a case in a folder, sweeps it once, and returns what the folder contains afterwards.

import fs from "node:fs";
import path from "node:path";
import { storeBytes } from "./case.mjs";

export function layOut(root, store, step) {
  fs.rmSync(root, { recursive: true, force: true });
  const place = (name) => {
    const file = path.join(root, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    return file;
  };
  fs.mkdirSync(root, { recursive: true });
  for (const [name, text] of Object.entries(step.files)) fs.writeFileSync(place(name), text);
  for (const [name, target] of Object.entries(step.links))
    fs.symlinkSync(target.replace("{ROOT}", root), place(name));
  const bytes = storeBytes(step, root);
  if (bytes !== null) {
    const real = step.storeIsLinkTo;
    if (real !== undefined) fs.symlinkSync(path.join(root, real), place(store));
    fs.writeFileSync(place(real ?? store), bytes);
  }
  if (step.lockedTranscript !== undefined) {
    const lock = {
      pid: process.pid,
      createdAt: new Date().toISOString(),
      starttime: startTimeOf("self"),
    };
    fs.writeFileSync(
      place(path.join(path.dirname(store), `${step.lockedTranscript}.jsonl.lock`)),
      JSON.stringify(lock),
    );
  }
}

/** Returns the start time of a process as it is written to a lock file. */
export function startTimeOf(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
}

/** Returns all paths below root: null for a folder, `-> target` for a link, the bytes (latin1) for a file. */
export function snapshot(root) {
  const tree = {};
  const visit = (folder, prefix) => {
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      const name = prefix + entry.name;
      const full = path.join(folder, entry.name);
      if (entry.isSymbolicLink())
        tree[name] = `-> ${fs.readlinkSync(full).replace(root, "{ROOT}")}`;
      else if (entry.isDirectory()) {
        tree[`${name}/`] = null;
        visit(full, `${name}/`);
      } else if (entry.name.endsWith(".lock"))
        tree[name] = "a lock"; // Its time differs in each run.
      else tree[name] = fs.readFileSync(full, "latin1");
    }
  };
  visit(root, "");
  return tree;
}

const STAMP = /^(.*)\.deleted\.(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d\.\d{3}Z)$/;

/** Replaces the stamp of archives created after `since` by `{STAMP}`, because it differs in each run. */
function withoutStamps(tree, since) {
  return Object.fromEntries(
    Object.entries(tree).map(([name, content]) => {
      // The stamp is in the last part of the path or, for a renamed folder, in an earlier part.
      const parts = name.split("/").map((part) => {
        const m = STAMP.exec(part);
        const time = m && Date.parse(`${m[2]}T${m[3]}:${m[4]}:${m[5]}`);
        return m && time >= since - 1 && time <= Date.now() + 1000
          ? `${m[1]}.deleted.{STAMP}`
          : part;
      });
      return [parts.join("/"), content];
    }),
  );
}

export async function sweepScene(sweep, root, store, step) {
  layOut(root, store, step);
  const before = snapshot(root);
  const since = Date.now();
  const logs = [];
  const log = Object.fromEntries(
    ["debug", "info", "warn", "error"].map((level) => [
      level,
      (...args) => logs.push([level, ...args]),
    ]),
  );
  let result;
  try {
    result = await sweep({ sessionStorePath: path.join(root, store), log, ...step.params });
  } catch (error) {
    result = { rejected: String(error) };
  }
  const text = JSON.stringify({ logs }).replaceAll(root, "{ROOT}");
  return {
    result,
    logs: JSON.parse(text).logs,
    before,
    after: withoutStamps(snapshot(root), since),
  };
}
