// What the published gateway did, recorded, and replayed through the package.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { layOut, temporaryFolder, treeOf, withoutStamps } from "./fixtures/folder.mjs";
import {
  HOUR,
  NOW,
  recordingLogger,
  resolveRetentionMs,
  sweep,
  sweepCronRunSessions,
} from "./fixtures/reaper.mjs";

function recordings(name) {
  const file = new URL(`gateway-vectors/${name}.json`, import.meta.url);
  // {"$undefined": true} stands for what JSON cannot say.
  return JSON.parse(readFileSync(file, "utf8"), (_, value) =>
    value?.$undefined ? undefined : value,
  );
}

describe("the recorded retentions", () => {
  const { durations, configs } = recordings("retention");

  it("are 231 durations, and each resolves as the gateway resolved it", () => {
    expect(durations).toHaveLength(231);
    const ours = durations.map(({ input, ms }) => ({
      input,
      ms,
      retentionMs: resolveRetentionMs({ sessionRetention: input }),
    }));
    expect(ours).toEqual(durations);
  });

  it("are 11 configurations, and each resolves as the gateway resolved it", () => {
    expect(configs).toHaveLength(11);
    const ours = configs.map(({ config }) => ({ config, retentionMs: resolveRetentionMs(config) }));
    expect(ours).toEqual(configs.map(({ config, retentionMs }) => ({ config, retentionMs })));
  });
});

describe("the recorded keys", () => {
  const { keys } = recordings("session-keys");
  const asStore = (list) => Object.fromEntries(list.map(({ key }) => [key, { updatedAt: 1 }]));

  it("are 220, and of a store with all of them only the runs go", async () => {
    expect(keys).toHaveLength(220);
    const folder = temporaryFolder();
    layOut(folder, { "sessions.json": JSON.stringify(asStore(keys), null, 2) });

    const { result } = await sweep(join(folder, "sessions.json"));

    const stays = asStore(keys.filter(({ cronRun }) => !cronRun));
    const kept = JSON.parse(readFileSync(join(folder, "sessions.json"), "utf8"));
    expect(Object.keys(kept)).toEqual(Object.keys(stays));
    expect(result).toEqual({
      swept: true,
      pruned: Object.keys(asStore(keys)).length - Object.keys(stays).length,
    });
  });

  it("are judged one by one as they are together", async () => {
    const folder = temporaryFolder();
    const ours = [];
    for (const [index, { key }] of keys.entries()) {
      layOut(folder, {
        [`${index}.json`]: JSON.stringify({ [key]: { updatedAt: NOW - 25 * HOUR } }),
      });
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

  it("are 150", () => {
    expect(cases).toHaveLength(150);
  });

  it.each(cases)("$name does what the gateway did", async (recorded) => {
    const root = temporaryFolder();
    const inRoot = (text) => text.replaceAll("{ROOT}", root);
    const files = { [recorded.home]: { dir: true } };
    for (const { path, text, symlink, dir } of recorded.files) {
      files[path] =
        text !== undefined ? inRoot(text) : { dir, symlink: symlink && inRoot(symlink) };
    }
    layOut(root, files);
    process.env.HOME = join(root, recorded.home);

    const log = recordingLogger();
    const result = await sweepCronRunSessions({
      ...recorded.params,
      sessionStorePath: join(root, recorded.store),
      log,
    });

    const { result: expected, logs, tree, storeBytesExact } = recorded.expect;
    expect(result).toEqual(expected);
    expect(log.calls).toEqual(logs.map(({ level, obj, msg }) => [level, obj, msg]));

    const before = Object.keys(files);
    const { [recorded.store]: store, ...others } = withoutStamps(utf8TreeOf(root), before);
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
