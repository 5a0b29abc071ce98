// The store writer of a gateway from 2026.5.2 to 2026.7.35: its queue, and its cached store after a sweep.
// `gateway` contains the gateway's own functions, as far as its version has them.

const fs = require("node:fs");
const path = require("node:path");

/** Returns the `StoreWriter` for `createCronSessionReaper`. */
function storeWriterOf(gateway) {
  return {
    // The gateway identifies a store by the text of its absolute path.
    exclusively: (storePath, work) =>
      gateway.runExclusiveSessionStoreWrite(path.resolve(storePath), work),
    changed(storePath, change) {
      const resolved = path.resolve(storePath);
      let isCorrected = false;
      try {
        isCorrected = correct(gateway, resolved, change);
      } finally {
        if (!isCorrected) forget(gateway, resolved);
      }
    },
  };
}

/**
 * Removes the keys from the cached store, and marks it as read from the new file. Returns false if that
 * is not certain to be right. Synchronous, so that no reader runs in between.
 */
function correct(gateway, storePath, { removed, sessionIds, before, after }) {
  // Until 2026.5.22 a copy of the store is made from its text, so the object alone is of no use.
  if (gateway.invalidateSessionStoreCache === undefined) return false;
  if (after === null || !isFile(storePath, after) || !gateway.isSessionStoreCacheEnabled()) {
    return false;
  }
  const stampsOf = ({ mtimeMs, sizeBytes }) => ({ storePath, mtimeMs, sizeBytes });
  const store = gateway.takeMutableSessionStoreCache(stampsOf(before));
  if (!store) return false;
  for (const [index, key] of removed.entries()) {
    if (!Object.hasOwn(store, key)) continue;
    const sessionId = store[key]?.sessionId;
    if ((typeof sessionId === "string" ? sessionId : null) !== sessionIds[index]) return false;
    delete store[key];
  }
  gateway.writeSessionStoreCache({
    ...stampsOf(after),
    store,
    serialized: undefined,
    cloneSerialized: undefined,
    takeOwnership: true,
  });
  gateway.dropSessionStoreSnapshotCache(storePath);
  return true;
}

function forget(gateway, storePath) {
  if (gateway.invalidateSessionStoreCache !== undefined) {
    gateway.invalidateSessionStoreCache(storePath);
    return;
  }
  gateway.dropSessionStoreObjectCache(storePath);
  gateway.setSerializedSessionStore(storePath, undefined);
  gateway.dropSessionStoreSnapshotCache?.(storePath);
}

function isFile(storePath, { mtimeMs, sizeBytes, inode }) {
  const stat = fs.statSync(storePath, { throwIfNoEntry: false });
  return stat?.mtimeMs === mtimeMs && stat.size === sizeBytes && stat.ino === inode;
}

module.exports = { storeWriterOf };
