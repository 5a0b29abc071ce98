// Sees from outside how long a lock file stands: a process that looks for it without a pause, some
// hundred thousand times a second. What it sees late at the beginning and at the end evens out.
//
// With a store to change, it also gives that a new date every few milliseconds, as long as no lock
// stands: a writer that is always there and respects the lock.

import { statSync, utimesSync } from "node:fs";

const [lock, changing] = process.argv.slice(2);
const CHANGE_EVERY_MS = 4;
/** How long it looks without hearing whether it should end. */
const SLICE_MS = 5;

const holds = [];
let since;
let seen;
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
    if (stat?.ino !== seen) {
      if (seen !== undefined) {
        holds.push(now - since);
      }
      since = now;
      seen = stat?.ino;
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
