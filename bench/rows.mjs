// The rows of the table, in order. Each generator measures and yields one or more rows:
// { figure, measured, comparison, ratio, target, reached }. The texts contain the units.

import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { measure, runDuring, timeCommand, timeRequire } from "./processes.mjs";
import { addArchives, buildStore, buildTinyStore, MB, NOW, SMALL_ENTRIES } from "./stores.mjs";

/** The longest string of V8: what parses a store as one text cannot read a larger one. */
const LONGEST_STRING = 512 * MB;
const HOUR = 3_600_000;
/** A gap is a single late wake-up, so one measurement per round is not enough. */
const GAPS_PER_ROUND = 3;

export const ROWS = [
  { name: "sweep", measure: sweeps },
  { name: "memory", measure: memoryOfSmallEntries },
  { name: "lock", measure: locks },
  { name: "writers", measure: writers },
  { name: "small", measure: smallStore },
  { name: "transcripts", measure: transcripts },
  { name: "archives", measure: archives },
  { name: "package", measure: packaging },
];

/** Measures sweeps of each size. */
async function* sweeps(bench) {
  for (const size of bench.sizes) {
    const store = buildStore(join(bench.folder, `${size.mb}`), size);
    yield* sweepsOf(bench, size, store);
    store.remove();
  }
}

async function* sweepsOf(bench, size, store) {
  const at = `${size.mb.toLocaleString("en")} MB`;
  const job = jobOf(bench, store);
  const others = store.bytes < LONGEST_STRING ? othersOf(bench) : [];
  const runs = { ours: [], copy: [], read: [], unchanged: [], nothing: [], gaps: [], other: {} };
  for (let round = 0; round < bench.rounds; round++) {
    store.renew();
    runs.ours.push(await measure({ ...job, contestant: "ours", measure: "sweep" }));
    expectPruned(runs.ours.at(-1), store);

    runs.copy.push(await timeCopy(store));
    for (const other of others) {
      store.renew();
      const result = await measure({ ...job, ...other, measure: "sweep" });
      expectPruned(result, store);
      runs.other[other.contestant] ??= [];
      runs.other[other.contestant].push(result);
    }

    const gaps = { ...job, contestant: "ours", measure: "gaps", idleMs: runs.ours[0].ms };
    for (let turn = 0; turn < GAPS_PER_ROUND; turn++) {
      store.renew();
      runs.gaps.push(await measure({ ...gaps, round: round + turn }));
    }
    for (const other of round === 0 ? others : []) {
      store.renew();
      const gap = await measure({ ...job, ...other, measure: "gaps", idleMs: 0, round: 1 });
      runs.other[other.contestant].gap = gap.swept;
    }

    // At a time two days earlier, nothing in the same store has expired.
    store.renew();
    const early = { ...job, nowMs: NOW - 48 * HOUR, contestant: "ours" };
    const before = stateOf(store);
    runs.nothing.push(await measure({ ...early, measure: "sweep" }));
    runs.nothing.at(-1).isUntouched = stateOf(store) === before;
    runs.read.push(await timeCommand('cat "$0" > /dev/null', store.path));
    runs.unchanged.push(await measure({ ...early, measure: "unchanged" }));
  }

  const ms = medianOf(runs.ours, "ms");
  const copy = median(runs.copy);
  const unchanged = medianOf(runs.unchanged, "ms");
  const cost = { mb: store.bytes / MB, sweep: ms, copy, unchanged };
  for (const { contestant, name } of others) {
    const results = runs.other[contestant];
    cost[contestant] = medianOf(results, "ms");
    yield {
      figure: `${at}: ${name}, 20 % removed`,
      measured: inMs(cost[contestant]),
      comparison: `cp + sync ${inMs(copy)}`,
      ratio: cost[contestant] / copy,
      target: `(${megabytes(medianOf(results, "addedMb"))} MB of memory, event-loop gap ${inMs(results.gap)})`,
    };
  }
  bench.costs.push(cost);
  const toCopy = medianRatio(times(runs.ours), runs.copy);
  yield {
    figure: `${at}: sweep, 20 % removed, all synced`,
    measured: inMs(ms),
    comparison: `cp + sync ${inMs(copy)}`,
    ratio: toCopy,
    target: "≤ 1.5 ×",
    reached: toCopy <= 1.5,
  };
  yield memoryRow(`${at}: peak memory added by the sweep`, runs.ours);
  const gap = medianOf(runs.gaps, "swept");
  const idle = medianOf(runs.gaps, "idle");
  yield {
    figure: `${at}: longest event-loop gap`,
    measured: inMs(gap),
    comparison: `idle ${inMs(idle)}`,
    ratio: gap / idle,
    target: "≤ 3 ms, no more than idle",
    // Two samples of one distribution differ: up to half a millisecond counts as equal.
    reached: gap <= 3 && gap <= Math.max(2 * idle, idle + 0.5),
  };
  yield {
    figure: `${at}: sweep of an unchanged store`,
    measured: inMs(unchanged),
    target: "≤ 0.3 ms",
    reached: unchanged <= 0.3,
  };
  const untouched = runs.nothing.every((run) => run.isUntouched && run.writtenBytes < 10_000);
  const toRead = medianRatio(times(runs.nothing), runs.read);
  yield {
    figure: `${at}: changed store, nothing expired`,
    measured: inMs(medianOf(runs.nothing, "ms")),
    comparison: `cat ${inMs(median(runs.read))}`,
    ratio: toRead,
    target: `≤ 2 ×, nothing written (${untouched ? "verified" : "NOT MET"})`,
    reached: untouched && toRead <= 2,
  };
}

async function* memoryOfSmallEntries(bench) {
  for (const expired of [5, SMALL_ENTRIES.expired]) {
    const folder = join(bench.folder, `small-${expired}`);
    const store = buildStore(folder, { ...SMALL_ENTRIES, expired, transcripts: false });
    const runs = [];
    for (let round = 0; round < Math.min(bench.rounds, 3); round++) {
      store.renew();
      runs.push(await measure({ ...jobOf(bench, store), contestant: "ours", measure: "sweep" }));
      expectPruned(runs.at(-1), store);
    }
    store.remove();
    const count = expired.toLocaleString("en");
    yield memoryRow(`1,000,000 small entries, ${count} removed: added memory`, runs);
  }
}

function memoryRow(figure, runs) {
  const mb = medianOf(runs, "addedMb");
  return { figure, measured: `${megabytes(mb)} MB`, target: "≤ 16 MB", reached: mb <= 16 };
}

async function* locks(bench) {
  const size = bench.sizes.findLast(({ mb }) => mb < 1_000);
  const store = buildStore(join(bench.folder, "locks"), size);
  const bare = { ...store, renew: buildRenewWithoutTranscripts(store) };
  for (const [what, subject, files] of [
    ["no transcripts", bare, 0],
    [`${store.expired} transcripts`, store, store.expired],
  ]) {
    const { held } = await holds(bench, subject, []);
    const allowed = 10 + files * 0.04;
    yield {
      figure: `${size.mb} MB: lock held, no writer, ${what}`,
      measured: inMs(held),
      target: `≤ ${inMs(allowed)}`,
      reached: held <= allowed,
    };
  }
  const { held, copy, ratio } = await holds(bench, store, [store.path]);
  yield {
    figure: `${size.mb} MB: lock held, store keeps changing`,
    measured: inMs(held),
    comparison: `cp + sync ${inMs(copy)}`,
    ratio,
    target: "≤ 1.2 ×",
    reached: ratio <= 1.2,
  };
  store.remove();
}

async function holds(bench, store, changing) {
  const held = [];
  const copies = [];
  for (let round = 0; round < bench.rounds; ) {
    store.renew();
    const { observed, result } = await runDuring(
      "watch-lock.mjs",
      [`${store.path}.lock`, ...changing],
      async () => {
        const job = { ...jobOf(bench, store), contestant: "ours", measure: "sweep" };
        // The copy is watched, too, so that both have one core less.
        return { swept: await measure(job), copy: await timeCopy(store) };
      },
    );
    expectPruned(result.swept, store);
    // The watcher missed the hold: measure again.
    if (observed.holds.length === 0) {
      continue;
    }
    round++;
    // If the lock was held more than once, others had to wait for the sum.
    held.push(observed.holds.reduce((sum, hold) => sum + hold, 0));
    copies.push(result.copy);
  }
  return { held: median(held), copy: median(copies), ratio: medianRatio(held, copies) };
}

function buildRenewWithoutTranscripts(store) {
  return () => {
    store.renew();
    for (const name of readdirSync(store.folder).filter((name) => name.includes(".jsonl"))) {
      rmSync(join(store.folder, name));
    }
  };
}

async function* writers(bench) {
  const size = bench.sizes.find(({ mb }) => mb === 56);
  const store = buildStore(join(bench.folder, "writers"), { ...size, transcripts: false });
  const figure = `${size.mb} MB, sweeps back to back: longest wait of a JavaScript writer`;
  const retrying = await waits(bench, store, []);
  yield {
    figure: `${figure} that retries immediately`,
    measured: inMs(retrying.longest),
    comparison: `longest hold ${inMs(retrying.hold)}`,
    ratio: retrying.ratio,
    target: `≤ 3 × (${retrying.counts})`,
    reached: retrying.ratio <= 3,
  };
  const sleeping = await waits(bench, store, [50]);
  yield {
    figure: `${figure} that first sleeps for 50 ms, as the gateway's writers do`,
    measured: inMs(sleeping.longest),
    comparison: `longest hold ${inMs(sleeping.hold)}`,
    ratio: sleeping.ratio,
    target: `(${sleeping.counts})`,
  };
  store.remove();
}

async function waits(bench, store, backOffMs) {
  const runs = [];
  for (let round = 0; round < bench.rounds; round++) {
    store.renew();
    // Starts when the first of the younger runs expires. Each sweep is five minutes later than the last,
    // so that it removes a few runs.
    const pace = { nowMs: NOW + 12 * HOUR, stepMs: HOUR / 12, forMs: 4_000 };
    const job = { ...jobOf(bench, store), ...pace, contestant: "ours", measure: "backToBack" };
    const { observed, result } = await runDuring(
      "writer.mjs",
      [`${store.path}.lock`, ...backOffMs],
      () => measure(job),
    );
    runs.push({ ...observed, ...result });
  }
  const sum = (name) => runs.reduce((sum, run) => sum + run[name], 0);
  const longest = Math.max(...runs.map((run) => run.longest));
  const hold = Math.max(...runs.map((run) => run.longestHold));
  return {
    longest,
    hold,
    ratio: longest / hold,
    counts: `lock taken ${sum("missed")} of ${sum("turns")} times, ${sum("sweeps")} sweeps`,
  };
}

async function* smallStore(bench) {
  const size = { mb: 10, entries: 190, expired: 5 };
  const store = buildStore(join(bench.folder, "small"), size);
  // The gateway, if it is installed.
  const other = othersOf(bench).at(-1);
  const runs = { ours: [], copy: [], other: [] };
  for (let round = 0; round < bench.rounds; round++) {
    store.renew();
    const job = { ...jobOf(bench, store), measure: "sweep" };
    runs.ours.push(await measure({ ...job, contestant: "ours" }));
    runs.copy.push(await timeCopy(store));
    store.renew();
    runs.other.push(await measure({ ...job, ...other }));
  }
  store.remove();
  const faster = medianRatio(times(runs.other), times(runs.ours));
  const copy = medianRatio(times(runs.other), runs.copy);
  yield {
    figure: "10 MB, 190 entries, 5 removed: sweep",
    measured: inMs(medianOf(runs.ours, "ms")),
    comparison: `${other.name} ${inMs(medianOf(runs.other, "ms"))}`,
    ratio: faster,
    target: `≥ 25 × faster (cp + sync: ${copy.toFixed(1)} ×)`,
    reached: faster >= 25,
  };
}

async function* transcripts(bench) {
  const per = {};
  for (const count of [1_000, 10_000]) {
    const folder = join(bench.folder, `transcripts-${count}`);
    const store = buildStore(folder, { entries: 2 * count, expired: count });
    const runs = [];
    for (let round = 0; round < bench.rounds; round++) {
      store.renew();
      const job = { ...jobOf(bench, store), contestant: "ours", measure: "sweep" };
      const { ms } = await measure(job);
      clearArchives(folder);
      // The same sweep without transcripts.
      buildRenewWithoutTranscripts(store)();
      runs.push(ms - (await measure(job)).ms);
    }
    per[count] = (median(runs) * 1000) / count;
    store.remove();
  }
  yield perFileRow("10,000 transcripts archived", per, 1_000, 10_000);
}

async function* archives(bench) {
  const per = {};
  for (const count of [10_000, 100_000]) {
    const folder = join(bench.folder, `archives-${count}`);
    const store = buildStore(folder, { entries: 10, expired: 1 });
    const runs = [];
    for (let round = 0; round < bench.rounds; round++) {
      const job = { ...jobOf(bench, store), contestant: "ours", measure: "sweep" };
      store.renew();
      const without = (await measure(job)).ms;
      addArchives(folder, count);
      store.renew();
      runs.push((await measure(job)).ms - without);
      const left = readdirSync(folder).filter((name) => name.startsWith("a0"));
      if (left.length > 0) {
        throw new Error(`${left.length} archives were not deleted`);
      }
    }
    per[count] = (median(runs) * 1000) / count;
    store.remove();
  }
  yield perFileRow("100,000 archives aged", per, 10_000, 100_000);
}

function perFileRow(figure, per, few, many) {
  const micros = (count) => `${per[count].toFixed(1)} µs a file`;
  return {
    figure,
    measured: micros(many),
    comparison: `${few.toLocaleString("en")}: ${micros(few)}`,
    ratio: per[many] / per[few],
    target: "≤ 40 µs a file, linear",
    reached: per[many] <= 40 && per[many] <= 1.5 * per[few],
  };
}

async function* packaging(bench) {
  const loads = [];
  for (let round = 0; round < 2 * bench.rounds; round++) {
    loads.push(await timeRequire());
  }
  const ms = median(loads);
  yield { figure: "require()", measured: inMs(ms), target: "≤ 10 ms", reached: ms <= 10 };
  const root = fileURLToPath(new URL("..", import.meta.url));
  const addon = readdirSync(root).find((name) => name.endsWith(".node"));
  const mb = statSync(join(root, addon)).size / MB;
  yield {
    figure: "the addon, stripped",
    measured: `${mb.toFixed(2)} MB`,
    target: "≤ 1.5 MB",
    reached: mb <= 1.5,
  };
}

/** Returns the contestants that parse the whole store; the gateway only if it is installed. */
function othersOf({ gateway }) {
  const shape = { contestant: "shape", name: "parse–delete–stringify" };
  return gateway
    ? [shape, { contestant: "gateway", name: `gateway ${gateway.version}`, ...gateway }]
    : [shape];
}

function jobOf(bench, store) {
  return { store: store.path, nowMs: NOW, tiny: buildTinyStore(join(bench.folder, "tiny")) };
}

async function timeCopy(store) {
  const copy = join(store.folder, "copy");
  const ms = await timeCommand('cp "$0" "$1" && sync "$1"', store.master, copy);
  rmSync(copy);
  return ms;
}

/** Returns the times of the folder and the store, which change if a sweep writes or takes the lock. */
function stateOf({ folder, path }) {
  return [folder, path].map((it) => statSync(it, { bigint: true }).mtimeNs).join();
}

function clearArchives(folder) {
  for (const name of readdirSync(folder).filter((name) => name.includes(".deleted."))) {
    rmSync(join(folder, name));
  }
}

function expectPruned({ pruned }, { expired }) {
  if (pruned !== expired) {
    throw new Error(`${pruned} runs were removed, not ${expired}`);
  }
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

function medianOf(objects, name) {
  return median(objects.map((object) => object[name]));
}

function times(runs) {
  return runs.map(({ ms }) => ms);
}

/** Returns the median of the ratios of consecutive measurements, which other disk load affects alike. */
function medianRatio(numerators, denominators) {
  return median(numerators.map((value, round) => value / denominators[round]));
}

function inMs(ms) {
  return `${ms < 10 ? ms.toPrecision(2) : Math.round(ms).toLocaleString("en")} ms`;
}

function megabytes(mb) {
  return mb < 100 ? mb.toFixed(1) : Math.round(mb).toLocaleString("en");
}
