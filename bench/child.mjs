// Runs one contestant in a separate process, which measures itself. The JSON argument describes the job;
// the result is one line of JSON on stdout.

import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { sweepSessionStore } from "cron-session-reaper";
import { CONTESTANTS } from "./contestants.mjs";

const job = JSON.parse(process.argv[2]);
const sweep = await CONTESTANTS[job.contestant].load(job.version);
// A first sweep, so that what a process does only once is not measured.
await sweep(job.tiny, job.nowMs);

const MEASURES = {
  /** Measures the duration of a sweep, the memory that it adds, and the bytes read and written. */
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

  /** Measures the longest gap of the event loop during a sweep, and during the same time idle. */
  async gaps() {
    // The first timers of a process are late because their code is new to it.
    await longestGap(sleep(50));
    // `idleMs` is about as long as the sweep. The order alternates, because the first one is slower.
    const idleMs = job.idleMs;
    const idleFirst = job.round % 2 === 0 ? await longestGap(sleep(idleMs)) : undefined;
    const began = performance.now();
    const swept = await longestGap(sweep(job.store, job.nowMs));
    const ms = performance.now() - began;
    const idle = idleFirst ?? (await longestGap(sleep(ms)));
    return { swept, idle };
  },

  /** Measures sweeps of an unchanged store: the median of 200. */
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

  /** Sweeps without pause for `forMs`. Each sweep removes a few runs. */
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
// Timers of the gateway's modules would keep the process alive.
process.exit(0);

/**
 * Returns the longest delay of a timer of one millisecond while `work` runs. The loop sleeps between
 * its timers, as a gateway's does. A busy loop would need a processor, and the kernel would delay it.
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

/** Returns a value of /proc/self/status, in bytes. */
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
