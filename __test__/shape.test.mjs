// Compares index.d.ts with real results, in both directions: every field that is returned is
// declared, with its type, and everything that is declared is returned by some call.

import { utimesSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import {
  createCronSessionReaper,
  HOUR,
  inspectSessionStore,
  layOut,
  lockPayload,
  NOW,
  recordingLogger,
  resetReaperThrottle,
  sweepCronRunSessions,
  sweepSessionStore,
  temporaryFolder,
} from "./fixtures/index.mjs";

const declarations = fileURLToPath(new URL("../index.d.ts", import.meta.url));
const program = ts.createProgram([declarations], { strict: true });
const checker = program.getTypeChecker();
const source = program.getSourceFile(declarations);
const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(source));

/** A type of index.d.ts. Remembers which parts of it have occurred in the compared values. */
class Shape {
  #type;
  #seen = new Set();

  constructor(name) {
    const symbol = exported.find((symbol) => symbol.name === name);
    this.#type = checker.getDeclaredTypeOfSymbol(symbol);
  }

  /** Returns the differences between the type and a value, as `path: difference`. */
  differences(value) {
    return this.#compare(this.#type, value, "value");
  }

  /** Returns the parts of the type that no compared value has had. */
  unseen() {
    return [...partsOf(this.#type, "value")].filter((part) => !this.#seen.has(part));
  }

  #compare(type, value, path) {
    this.#seen.add(path);
    if (type.isUnion()) {
      const match = type.types.find((alternative) => isOf(alternative, value));
      if (match === undefined) {
        return [`${path}: ${JSON.stringify(value)} is not ${checker.typeToString(type)}`];
      }
      return this.#compare(match, value, alternativeOf(path, match));
    }
    if (!isOf(type, value)) {
      return [`${path}: ${JSON.stringify(value)} is not ${checker.typeToString(type)}`];
    }
    if (checker.isArrayType(type)) {
      const [element] = checker.getTypeArguments(type);
      return value.flatMap((item) => this.#compare(element, item, `${path}[]`));
    }
    if (typeof value !== "object" || value === null) {
      return [];
    }
    const declared = new Map(propertiesOf(type).map((property) => [property.name, property]));
    const undeclared = Object.keys(value).filter((key) => !declared.has(key));
    return [
      ...undeclared.map((key) => `${path}.${key}: not declared`),
      ...[...declared].flatMap(([key, property]) => {
        if (Object.hasOwn(value, key)) {
          return this.#compare(typeOf(property), value[key], `${path}.${key}`);
        }
        return isOptional(property) ? [] : [`${path}.${key}: missing`];
      }),
    ];
  }
}

/** Every property, every alternative of a union, and the elements of every array. */
function* partsOf(type, path) {
  yield path;
  if (type.isUnion()) {
    for (const alternative of type.types) {
      yield* partsOf(alternative, alternativeOf(path, alternative));
    }
  } else if (checker.isArrayType(type)) {
    yield* partsOf(checker.getTypeArguments(type)[0], `${path}[]`);
  } else if (!isPrimitive(type)) {
    for (const property of propertiesOf(type)) {
      yield* partsOf(typeOf(property), `${path}.${property.name}`);
    }
  }
}

const alternativeOf = (path, type) => `${path} as ${checker.typeToString(type)}`;
const isPrimitive = (type) => (type.flags & (ts.TypeFlags.Primitive | ts.TypeFlags.Literal)) !== 0;
const isOptional = (property) => (property.flags & ts.SymbolFlags.Optional) !== 0;

/** Returns whether a value is of a type, without regard to properties and elements. */
function isOf(type, value) {
  if (type.isStringLiteral()) {
    return value === type.value;
  }
  if (isPrimitive(type)) {
    const name = checker.typeToString(type);
    const isLiteral = typeof value !== "string" && String(value) === name;
    return typeof value === name || isLiteral;
  }
  const isObject = typeof value === "object" && value !== null;
  return isObject && Array.isArray(value) === checker.isArrayType(type);
}

/** Returns the properties that index.d.ts declares: not those of Error. */
function propertiesOf(type) {
  const properties = checker.getPropertiesOfType(type);
  return properties.filter(({ declarations }) =>
    declarations.every((declaration) => declaration.getSourceFile() === source),
  );
}

function typeOf(property) {
  const type = checker.getTypeOfSymbol(property);
  return isOptional(property) ? checker.getNonNullableType(type) : type;
}

function expectExactly(name, values) {
  const shape = new Shape(name);
  expect(values.flatMap((value) => shape.differences(value))).toEqual([]);
  expect(shape.unseen()).toEqual([]);
}

const UUID = "3ab3ddeb-5fc7-4d35-adf6-d83c0627287f";
const run = (name) => `agent:main:cron:job:run:${name}`;

function storeOf(text) {
  const folder = temporaryFolder();
  layOut(folder, { "sessions.json": text });
  return join(folder, "sessions.json");
}

/** A store with everything that a report or an inspection counts. */
function fullStore() {
  const storePath = storeOf(
    JSON.stringify({
      "agent:main:main": { sessionId: "main", updatedAt: 1 },
      [run("expired")]: { sessionId: "expired", updatedAt: NOW - 25 * HOUR },
      [run("locked")]: { sessionId: "locked", updatedAt: NOW - 25 * HOUR },
    }),
  );
  const folder = join(storePath, "..");
  const temp = `sessions.json.${UUID}.tmp`;
  layOut(folder, {
    "expired.jsonl": "transcript",
    "locked.jsonl": "transcript",
    "locked.jsonl.lock": lockPayload(),
    "old.jsonl.deleted.2026-01-01T00-00-00.000Z": "archive",
    "notes.txt": "other",
    [temp]: "newer than the store",
  });
  const hoursAgo = (hours) => Date.now() / 1000 - hours * 3600;
  utimesSync(storePath, hoursAgo(2), hoursAgo(2));
  utimesSync(join(folder, temp), hoursAgo(1), hoursAgo(1));
  return storePath;
}

const sweep = (sessionStorePath, options) =>
  sweepSessionStore({ sessionStorePath, nowMs: NOW, force: true, ...options });
const inspect = (sessionStorePath, options) =>
  inspectSessionStore({ sessionStorePath, nowMs: NOW, ...options });

const rejectionOf = (promise) =>
  promise.then(
    () => expect.unreachable("the promise should reject"),
    (error) => error,
  );

beforeEach(() => resetReaperThrottle());

describe("index.d.ts", () => {
  it("declares ReaperResult exactly as sweepCronRunSessions returns it", async () => {
    const log = recordingLogger();
    const params = { nowMs: NOW, log };
    expectExactly("ReaperResult", [
      await sweepCronRunSessions({ ...params, sessionStorePath: fullStore() }),
      await sweepCronRunSessions({ ...params, sessionStorePath: storeOf("not JSON") }),
    ]);
  });

  it("declares StoreChange exactly as a store writer receives it", async () => {
    const changes = [];
    const storeWriter = {
      exclusively: (_, work) => work(),
      changed: (_, change) => changes.push(change),
    };
    const reaper = createCronSessionReaper(storeWriter);
    const stores = [
      { [run(1)]: { sessionId: "s" }, [run(2)]: { sessionId: null } },
      { [run(1)]: {} },
    ].map((store) => storeOf(JSON.stringify(store)));
    for (const sessionStorePath of stores) {
      await reaper.sweepCronRunSessions({ sessionStorePath, nowMs: NOW, log: recordingLogger() });
    }
    // A commit that another process crosses cannot be produced here.
    changes.push({ ...changes[1], after: null });
    expectExactly("StoreChange", changes);
  });

  it("declares SweepReport exactly as sweepSessionStore returns it", async () => {
    const storePath = fullStore();
    const unexpired = storeOf(JSON.stringify({ [run(1)]: { updatedAt: NOW } }));
    expectExactly("SweepReport", [
      await sweep(storePath, { dryRun: true }),
      await sweep(storePath),
      await sweep(storePath, { force: false }),
      await sweep(storePath, { cronConfig: { sessionRetention: false } }),
      await sweep(join(temporaryFolder(), "sessions.json")),
      await sweep(unexpired),
      // A store is read again until its last change lies clearly in the past.
      await vi.waitUntil(
        async () => {
          const report = await sweep(unexpired);
          return report.reason === "unchanged" && report;
        },
        { timeout: 30_000 },
      ),
    ]);
  });

  it("declares SweepError exactly as sweepSessionStore rejects with it", async () => {
    const errors = [
      await rejectionOf(sweep(storeOf("not JSON"))),
      await rejectionOf(sweep(storeOf("not JSON"), { dryRun: true })),
      await rejectionOf(sweep("")),
    ];
    expect(errors.map(({ name }) => name)).toEqual(Array(3).fill("SweepError"));
    expectExactly("SweepError", errors);
  });

  it("declares StoreInspection exactly as inspectSessionStore returns it", async () => {
    expectExactly("StoreInspection", [await inspect(fullStore()), await inspect(storeOf("{}"))]);
  });

  it("declares InspectError exactly as inspectSessionStore rejects with it", async () => {
    const errors = [
      await rejectionOf(inspect(storeOf("not JSON"))),
      await rejectionOf(inspect(join(temporaryFolder(), "sessions.json"))),
      await rejectionOf(inspect("")),
    ];
    expect(errors.map(({ name }) => name)).toEqual(Array(3).fill("InspectError"));
    expectExactly("InspectError", errors);
  });

  it("declares InspectProgress exactly as onProgress receives it", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    onTestFinished(() => vi.useRealTimers());
    const received = [];
    const inspecting = inspect(fullStore(), { onProgress: (progress) => received.push(progress) });
    vi.advanceTimersByTime(100);
    await inspecting;
    expect(received).toHaveLength(1);
    expectExactly("InspectProgress", received);
  });
});

describe("the comparison", () => {
  const result = { swept: true, pruned: 0 };

  it.each([
    ["an undeclared field", { ...result, extra: 1 }, ["value.extra: not declared"]],
    ["a missing field", { swept: true }, ["value.pruned: missing"]],
    ["another type", { ...result, pruned: "0" }, ['value.pruned: "0" is not number']],
    ["null", { ...result, pruned: null }, ["value.pruned: null is not number"]],
    ["an array", [result], ['value: [{"swept":true,"pruned":0}] is not ReaperResult']],
  ])("detects %s", (_, value, differences) => {
    expect(new Shape("ReaperResult").differences(value)).toEqual(differences);
  });

  it("detects an undeclared alternative of a union, and the alternatives that do not occur", () => {
    const shape = new Shape("SweepReport");
    expect(shape.differences({ reason: "unknown" })).toContainEqual(
      expect.stringMatching(/^value.reason: "unknown" is not /),
    );
    shape.differences({ reason: "throttled" });
    expect(shape.unseen()).toContain('value.reason as "disabled"');
    expect(shape.unseen()).not.toContain('value.reason as "throttled"');
    expect(shape.unseen()).toContain("value.warnings[].message");
  });
});
