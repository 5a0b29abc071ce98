// Measures from another process how long a lock file exists, by checking for it some hundred thousand
// times a second. The delays at the beginning and at the end compensate each other.
//
// With the path of a store, it also updates the store's time stamp every few milliseconds while no lock
// exists, as a constantly active writer that respects the lock does.

import { statSync, utimesSync } from "node:fs";

const [lock, changing] = process.argv.slice(2);
const CHANGE_EVERY_MS = 4;
/** How long it checks without receiving messages. */
const SLICE_MS = 5;

const holds = [];
let since;
let inode;
let lastChange = 0;
let ends = false;

process.on("message", () => {
  ends = true;
});
process.send("ready");

while (!ends) {
  const sliceEnd = performance.now() + SLICE_MS;
  let now = performance.now();
  for (; now < sliceEnd; now = performance.now()) {
    const stat = statSync(lock, { throwIfNoEntry: false });
    if (stat?.ino !== inode) {
      if (inode !== undefined) {
        holds.push(now - since);
      }
      since = now;
      inode = stat?.ino;
    }
    if (changing !== undefined && stat === undefined && now - lastChange > CHANGE_EVERY_MS) {
      lastChange = now;
      utimesSync(changing, new Date(), new Date());
    }
  }
  await new Promise(setImmediate);
}
process.send({ holds });
process.disconnect();
