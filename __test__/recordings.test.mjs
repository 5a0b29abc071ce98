// What the published gateway did, recorded, and replayed with the package.

import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import {
  expired,
  layOut,
  layOutRecorded,
  readStore,
  recordingLogger,
  recordings,
  resolveRetentionMs,
  storeWith,
  sweep,
  sweepCronRunSessions,
  temporaryFolder,
  treeOf,
  withoutStamps,
} from "./fixtures/index.mjs";

describe("the recorded retentions", () => {
  const { durations, configs } = recordings("retention");

  it("resolves 231 recorded durations as the gateway did", () => {
    expect(durations).toHaveLength(231);
    const ours = durations.map(({ input, ms }) => ({
      input,
      ms,
      retentionMs: resolveRetentionMs({ sessionRetention: input }),
    }));
    expect(ours).toEqual(durations);
  });

  it("resolves 11 recorded configurations as the gateway did", () => {
    expect(configs).toHaveLength(11);
    const ours = configs.map(({ config }) => ({ config, retentionMs: resolveRetentionMs(config) }));
    expect(ours).toEqual(configs.map(({ config, retentionMs }) => ({ config, retentionMs })));
  });
});

describe("the recorded keys", () => {
  const { keys } = recordings("session-keys");
  const asStore = (list) => Object.fromEntries(list.map(({ key }) => [key, { updatedAt: 1 }]));

  it("removes exactly the recorded runs from a store with all 220 recorded keys", async () => {
    expect(keys).toHaveLength(220);
    const { storePath } = storeWith(asStore(keys));

    const { result } = await sweep(storePath);

    const kept = Object.keys(asStore(keys.filter(({ cronRun }) => !cronRun)));
    expect(Object.keys(readStore(storePath))).toEqual(kept);
    const pruned = Object.keys(asStore(keys)).length - kept.length;
    expect(result).toEqual({ swept: true, pruned });
  });

  it("recognises each of the 220 recorded keys in a separate store as the gateway did", async () => {
    const folder = temporaryFolder();
    const ours = [];
    for (const [index, { key }] of keys.entries()) {
      layOut(folder, { [`${index}.json`]: JSON.stringify({ [key]: expired() }) });
      const { result } = await sweep(join(folder, `${index}.json`));
      ours.push({ key, cronRun: result.pruned === 1 });
    }
    expect(ours).toEqual(keys);
  });
});

describe("the recorded sweeps", () => {
  const { cases } = recordings("sweeps");
  const home = process.env.HOME;
  afterEach(() => {
    process.env.HOME = home;
  });

  it("contains 150 recorded sweeps", () => {
    expect(cases).toHaveLength(150);
  });

  it.each(cases)("sweeps as the gateway did in the recording $name", async (recorded) => {
    const { root, inRoot, storePath, paths } = layOutRecorded(recorded);
    process.env.HOME = join(root, recorded.home);

    const log = recordingLogger();
    const params = { ...recorded.params, sessionStorePath: storePath, log };
    const result = await sweepCronRunSessions(params);

    const { result: expected, logs, tree, storeBytesExact } = recorded.expect;
    expect(result).toEqual(expected);
    expect(log.calls).toEqual(logs.map(({ level, obj, msg }) => [level, obj, msg]));

    const { [recorded.store]: store, ...others } = withoutStamps(utf8TreeOf(root), paths);
    const { [recorded.store]: expectedStore, ...expectedOthers } = Object.fromEntries(
      Object.entries(tree).map(([path, text]) => [path, inRoot(text)]),
    );
    expect(others).toEqual(expectedOthers);
    if (storeBytesExact) {
      expect(store).toBe(expectedStore);
    } else {
      expect(JSON.parse(store)).toEqual(JSON.parse(expectedStore));
    }
  });

  function utf8TreeOf(root) {
    const utf8 = (text) => Buffer.from(text, "latin1").toString("utf8");
    return Object.fromEntries(
      Object.entries(treeOf(root)).map(([path, text]) => [
        path,
        text.startsWith("-> ") ? text : utf8(text),
      ]),
    );
  }
});
