// swap-in/store-writer.js: when a gateway's cached store is corrected after a sweep, and when dropped.

import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { storeWriterOf } from "../swap-in/store-writer.js";
import { temporaryFolder } from "./fixtures/index.mjs";

/** Returns the functions of a gateway from 2026.5.28 on, with a cached store. */
function gatewayWith(store) {
  const gateway = {
    cached: { store, mtimeMs: 1, sizeBytes: 2 },
    isSessionStoreCacheEnabled: () => true,
    takeMutableSessionStoreCache({ mtimeMs, sizeBytes }) {
      const { cached } = gateway;
      gateway.cached = null;
      return cached?.mtimeMs === mtimeMs && cached.sizeBytes === sizeBytes ? cached.store : null;
    },
    writeSessionStoreCache({ store, mtimeMs, sizeBytes, takeOwnership }) {
      expect(takeOwnership).toBe(true);
      gateway.cached = { store, mtimeMs, sizeBytes };
    },
    dropSessionStoreSnapshotCache() {},
    invalidateSessionStoreCache() {
      gateway.cached = null;
    },
  };
  return gateway;
}

function changeOf(storePath, change = {}) {
  const { mtimeMs, size: sizeBytes, ino: inode } = statSync(storePath);
  return {
    removed: ["run"],
    sessionIds: ["id"],
    before: { mtimeMs: 1, sizeBytes: 2, inode: 3 },
    after: { mtimeMs, sizeBytes, inode },
    ...change,
  };
}

const storeAt = () => {
  const storePath = join(temporaryFolder(), "sessions.json");
  writeFileSync(storePath, "{}");
  return storePath;
};
const ROWS = () => ({ run: { sessionId: "id" }, kept: { sessionId: "kept" } });

describe("a cached store after a sweep", () => {
  it("loses the removed rows and gets the stamps of the new file", () => {
    const storePath = storeAt();
    const rows = ROWS();
    const gateway = gatewayWith(rows);
    const change = changeOf(storePath);
    storeWriterOf(gateway).changed(storePath, change);
    expect(gateway.cached.store).toBe(rows);
    expect(Object.keys(rows)).toEqual(["kept"]);
    expect(gateway.cached).toMatchObject({ mtimeMs: change.after.mtimeMs, sizeBytes: 2 });
  });

  it("accepts a removed row that the gateway dropped when it read the store", () => {
    const storePath = storeAt();
    const gateway = gatewayWith({ kept: {} });
    storeWriterOf(gateway).changed(storePath, changeOf(storePath));
    expect(gateway.cached.store).toEqual({ kept: {} });
  });

  const withOther = (field) => (change) => ({ after: { ...change.after, [field]: 12345 } });
  it.each([
    ["the new file is unknown", () => ({ after: null })],
    ["the store has another inode", withOther("inode")],
    ["the store has another modification time", withOther("mtimeMs")],
    ["the store has another size", withOther("sizeBytes")],
    ["it was read from another file", () => ({ before: { mtimeMs: 9, sizeBytes: 2, inode: 3 } })],
    ["a removed row has another session", () => ({ sessionIds: ["other"] })],
    ["a removed row had no session", () => ({ sessionIds: [null] })],
  ])("is dropped if %s", (_, different) => {
    const storePath = storeAt();
    const gateway = gatewayWith(ROWS());
    const change = changeOf(storePath);
    storeWriterOf(gateway).changed(storePath, { ...change, ...different(change) });
    expect(gateway.cached).toBe(null);
  });

  it("is dropped if the cache is disabled", () => {
    const storePath = storeAt();
    const gateway = { ...gatewayWith(ROWS()), isSessionStoreCacheEnabled: () => false };
    let isDropped = false;
    gateway.invalidateSessionStoreCache = () => {
      isDropped = true;
    };
    storeWriterOf(gateway).changed(storePath, changeOf(storePath));
    expect(isDropped).toBe(true);
  });

  it("is dropped, and the exception passed on, if a function of the gateway throws", () => {
    const storePath = storeAt();
    const gateway = gatewayWith(ROWS());
    gateway.writeSessionStoreCache = () => {
      throw new Error("from the gateway");
    };
    const change = changeOf(storePath);
    expect(() => storeWriterOf(gateway).changed(storePath, change)).toThrow("from the gateway");
    expect(gateway.cached).toBe(null);
  });

  it("is dropped with its text by gateways until 2026.5.22", () => {
    const storePath = storeAt();
    const calls = [];
    const gateway = {
      dropSessionStoreObjectCache: (path) => calls.push(["object", path]),
      setSerializedSessionStore: (path, text) => calls.push(["text", path, text]),
    };
    storeWriterOf(gateway).changed(storePath, changeOf(storePath));
    expect(calls).toEqual([
      ["object", storePath],
      ["text", storePath, undefined],
    ]);
  });
});
