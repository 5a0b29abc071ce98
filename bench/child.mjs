// One contestant in a process of its own, which measures itself. It is told what to do by one JSON
// argument and answers with one JSON line.

import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { sweepSessionStore } from "cron-session-reaper";
import { CONTESTANTS } from "./contestants.mjs";

const job = JSON.parse(process.argv[2]);
const sweep = await CONTESTANTS[job.contestant].load(job.version);
// Everything once, so that what a process does only the first time is nobody's cost.
await sweep(job.tiny, job.nowMs);

const MEASURES = {
  /** How long a sweep takes, how much memory it adds, and what it reads and writes. */
  async sweep() {
    const before = status("VmRSS");
    const peakIsNow = resetPeak();
    const io = ioCounters();
    const began = performance.now();
    const { pruned } = await sweep(job.store, job.nowMs);
    const ms = performance.now() - began;
    const peak = status("VmHWM");
    const after = ioCounters();
    return {
      ms,
      pruned,
      addedMb: peakIsNow ? (peak - before) / 1e6 : undefined,
      readBytes: after.rchar - io.rchar,
      writtenBytes: after.wchar - io.wchar,
    };
  },

  /** The longest time that the event loop is held up, sweeping and for as long idle. */
  async gaps() {
    // The first timers of a process are late because their code is new to it.
    await longestGap(sleep(50));
    // As long as the sweep will take, about; what comes first is given the worse luck in turns.
    const idleMs = job.idleMs;
    const idleFirst = job.round % 2 === 0 ? await longestGap(sleep(idleMs)) : undefined;
    const began = performance.now();
    const swept = await longestGap(sweep(job.store, job.nowMs));
    const ms = performance.now() - began;
    const idle = idleFirst ?? (await longestGap(sleep(ms)));
    return { swept, idle };
  },

  /** Sweeps of a store that does not change: the median of many. */
  async unchanged() {
    await sweep(job.store, job.nowMs);
    const times = [];
    for (let count = 0; count < 200; count++) {
      const began = performance.now();
      await sweep(job.store, job.nowMs);
      times.push(performance.now() - began);
    }
    return { ms: times.sort((a, b) => a - b)[times.length >> 1] };
  },

  /** One sweep after the other for a while, each of which removes a few runs more. */
  async backToBack() {
    const end = performance.now() + job.forMs;
    const holds = [];
    while (performance.now() < end) {
      const nowMs = job.nowMs + holds.length * job.stepMs;
      const { ms } = await sweepSessionStore({ sessionStorePath: job.store, nowMs, force: true });
      holds.push(ms.holding);
    }
    return { sweeps: holds.length, longestHold: Math.max(...holds) };
  },
};

process.stdout.write(`${JSON.stringify(await MEASURES[job.measure]())}\n`);
// The gateway's modules keep timers of their own.
process.exit(0);

/**
 * By how much a timer of one millisecond is late at worst. Between its timers the loop sleeps, as a
 * gateway's does: one that spins would be a third that wants two processors, and be made to wait by
 * the kernel for that.
 */
async function longestGap(work) {
  let done = false;
  const finished = work.finally(() => {
    done = true;
  });
  let longest = 0;
  while (!done) {
    const began = performance.now();
    await sleep(1);
    longest = Math.max(longest, performance.now() - began - 1);
  }
  await finished;
  return longest;
}

/** A line of /proc/self/status, in bytes. */
function status(name) {
  const line = new RegExp(`^${name}:\\s+(\\d+) kB`, "m");
  return Number(line.exec(readFileSync("/proc/self/status", "latin1"))[1]) * 1024;
}

function resetPeak() {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
    return true;
  } catch {
    return false;
  }
}

function ioCounters() {
  const text = readFileSync("/proc/self/io", "latin1");
  return Object.fromEntries(
    [...text.matchAll(/^(\w+): (\d+)$/gm)].map(([, name, n]) => [name, Number(n)]),
  );
}
