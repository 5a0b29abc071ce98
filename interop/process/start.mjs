// Starts a published gateway on loopback with a large store, a cron job and the swap-in, and requests its
// health endpoint all the time. The longest response time during a sweep is the stall that the gateway's
// users notice. The noise is the longest response time at the same ticks of the cron service without a
// sweep, in the same process.

import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { startTimeOf } from "../differential/scene.mjs";
import { gatewayNode, gatewayPackage, QUEUED_VERSIONS } from "../gateway.mjs";
import { REGISTER } from "../swap-in/check.mjs";
import { ask, freePort, startProcess } from "./running.mjs";

const REPOSITORY = path.dirname(REGISTER);
const PROBE = fileURLToPath(new URL("./probe.mjs", import.meta.url));
const LOCKED_RUN = "run-0";
// With as many escapes as real entries, which contain prompts, file lists and skills.
const TEXT = 'line \\"one\\"\n\tof a prompt, {"with": "JSON"} and C:\\paths\n'.repeat(640);
const SWEEP_WITHIN_MS = 360_000;
// The start-up work of the gateway is over by then.
const DEFERRED_SWEEPS = 4;
// A sweep without a figure for its end: the window in which the next read follows.
const AFTER_MS = 1000;
const MOST_ABOVE_NOISE_MS = 100;
const README_ANSWER_MS = 500;

/** The entries of the store: 84 MB, or 40 MB for gateways whose own reaper is slower. */
const sizeOf = (version) =>
  QUEUED_VERSIONS.includes(version) ? { chats: 720, expired: 180 } : { chats: 1500, expired: 400 };

function layOutState(state, { chats, expired }, { port, holder }) {
  const sessions = path.join(state, "agents", "main", "sessions");
  fs.mkdirSync(sessions, { recursive: true });
  fs.mkdirSync(path.join(state, "cron"), { recursive: true });
  const write = (name, value) =>
    fs.writeFileSync(path.join(state, name), JSON.stringify(value, null, 2));
  write("openclaw.json", {
    gateway: { mode: "local", port, bind: "loopback", auth: { mode: "none" } },
    cron: { enabled: true, sessionRetention: "1h" },
    // Store maintenance would remove other entries.
    session: { maintenance: { mode: "warn" } },
    // Not "debug", with which 2026.3.2 logs only warnings.
    update: { checkOnStart: false },
    logging: { level: "info", file: path.join(state, "gateway.log") },
  });
  const now = Date.now();
  write("cron/jobs.json", {
    version: 1,
    jobs: [
      {
        id: "due",
        agentId: "main",
        name: "due",
        enabled: true,
        createdAtMs: now - 3_600_000,
        updatedAtMs: now - 3_600_000,
        schedule: { kind: "every", everyMs: 10_000, anchorMs: now - 3_600_000 },
        sessionTarget: "main",
        wakeMode: "next-heartbeat",
        payload: { kind: "systemEvent", text: "hello" },
        state: {},
      },
    ],
  });
  const entries = {};
  for (let i = 0; i < chats; i += 1)
    entries[`agent:main:telegram:dm:${i}`] = {
      sessionId: `dm-${i}`,
      updatedAt: now,
      systemPromptReport: { prompt: `${i} ${TEXT}` },
    };
  for (let i = 0; i < expired; i += 1) {
    const id = `run-${i}`;
    entries[`agent:main:cron:due:run:${id}`] = {
      sessionId: id,
      updatedAt: now - 7_200_000,
      systemPromptReport: { prompt: `${i} ${TEXT}` },
    };
    fs.writeFileSync(path.join(sessions, `${id}.jsonl`), '{"type":"session"}\n');
  }
  if (holder !== undefined) {
    // A live process holds this transcript's lock: only the native sweep keeps the run.
    const lock = {
      pid: holder.pid,
      createdAt: new Date().toISOString(),
      starttime: startTimeOf(holder.pid),
    };
    fs.writeFileSync(path.join(sessions, `${LOCKED_RUN}.jsonl.lock`), JSON.stringify(lock));
  }
  const store = path.join(sessions, "sessions.json");
  fs.writeFileSync(store, JSON.stringify(entries, null, 2), { mode: 0o600 });
  return { sessions, store, bytes: fs.statSync(store).size };
}

/**
 * Starts a process that does nothing. From 2026.5.12 on, a gateway that starts removes the locks of
 * transcripts whose holder is not called `openclaw`.
 */
function startHolder() {
  return spawn(process.execPath, ["-e", "setInterval(() => {}, 2 ** 30)"], {
    argv0: "openclaw",
    stdio: "ignore",
  });
}

/** Requests the health endpoint until stopped. Resolves to the times of requests and responses. */
async function pollHealth(port, { stopped }) {
  const answers = [];
  const failures = [];
  while (!stopped.aborted) {
    const asked = Date.now();
    try {
      const status = await ask(port);
      if (status !== 200) failures.push(`the health endpoint answered ${status}`);
    } catch (error) {
      if (!stopped.aborted) failures.push(`the health endpoint: ${error.message}`);
    }
    answers.push({ asked, answered: Date.now() });
    await pause(10);
  }
  return { answers, failures };
}

/** Returns the gateway's log files: 2026.4.15 ignores the configured one. */
function logsOf(state) {
  const standard = "/tmp/openclaw";
  const names = fs.existsSync(standard) ? fs.readdirSync(standard) : [];
  return [
    path.join(state, "gateway.log"),
    ...names.map((name) => path.join(standard, name)).filter((file) => file.endsWith(".log")),
  ].filter((file) => fs.existsSync(file));
}

/** Returns `{ at, pruned }` of the log line at the end of a sweep, or undefined. */
function prunedLine(state) {
  for (const log of logsOf(state)) {
    const lines = fs.readFileSync(log, "utf8").split("\n");
    // Other gateways log there, too. The line contains the state folder.
    const line = lines.find((text) => text.includes("cron-reaper: pruned") && text.includes(state));
    if (line === undefined) continue;
    const { time, _meta } = JSON.parse(line);
    return { at: Date.parse(time ?? _meta.date), pruned: Number(/pruned (\d+)/.exec(line)[1]) };
  }
  return undefined;
}

/**
 * Starts a gateway and requests its health endpoint until it has swept. Resolves to the line of the sweep,
 * the answers, failed requests and the output. `env` is added to the environment.
 */
async function watchSweep(command, { cwd, state, port, env }) {
  const gateway = startProcess(command, { cwd, state, env });
  const stop = new AbortController();
  try {
    await gateway.healthy(port);
    const polling = pollHealth(port, { stopped: stop.signal });
    const swept = await gateway.waitFor("sweep", SWEEP_WITHIN_MS, () => prunedLine(state));
    await pause(AFTER_MS);
    stop.abort();
    return { swept, ...(await polling), output: gateway.output() };
  } finally {
    stop.abort();
    await gateway.end();
  }
}

/** Returns the longest time of an answer in a span of time, in milliseconds. */
const slowest = (answers, from, to) =>
  Math.max(
    0,
    ...answers
      .filter(({ asked, answered }) => answered >= from && asked <= to)
      .map(({ asked, answered }) => answered - asked),
  );

/** Returns what differs from the expected result of a sweep. */
function differencesAfter({ swept, output }, { sessions, store }, { chats, expired }, removed) {
  const problems = [];
  if (!output.includes("cron-session-reaper: replaced the reaper"))
    problems.push("no line reports that the reaper was replaced");
  if (swept.pruned !== removed) problems.push(`${swept.pruned} pruned, not ${removed}`);
  const kept = Object.keys(JSON.parse(fs.readFileSync(store, "utf8")));
  const runs = kept.filter((key) => /:run:run-\d+$/.test(key));
  if (runs.length !== expired - removed) problems.push(`${runs.length} expired runs in the store`);
  const chatsLeft = kept.filter((key) => key.includes(":dm:")).length;
  if (chatsLeft !== chats) problems.push(`${chatsLeft} of ${chats} other entries in the store`);
  const names = fs.readdirSync(sessions);
  const archives = names.filter((name) => /^run-\d+\.jsonl\.deleted\./.test(name)).length;
  if (archives !== removed) problems.push(`${archives} transcripts archived, not ${removed}`);
  return problems;
}

/** Starts the gateway and waits for its first sweep. */
async function sweepOnce(version, reaper) {
  const state = fs.mkdtempSync(path.join(os.tmpdir(), "reaper-process-"));
  const size = sizeOf(version);
  const holder = startHolder();
  try {
    const port = await freePort();
    const scene = layOutState(state, size, { port, holder });
    const program = path.join(gatewayPackage(version), "openclaw.mjs");
    const watched = await watchSweep(
      [gatewayNode(), program, "gateway", "--port", String(port), "--allow-unconfigured"],
      {
        cwd: state,
        state,
        port,
        env: {
          NODE_OPTIONS: `--import ${REGISTER} --import ${PROBE}`,
          REAPER_PROBE: path.join(state, "sweeps"),
          REAPER_PROBED: reaper,
          REAPER_DEFERRED: String(DEFERRED_SWEEPS),
        },
      },
    );
    const { swept, answers, failures } = watched;
    const sweeps = fs
      .readFileSync(path.join(state, "sweeps"), "utf8")
      .split("\n")
      .map(Number)
      .filter((time) => time > 0 && time <= swept.at);
    const began = sweeps.at(-1);
    // The first tick falls into the start of the gateway.
    const noises = sweeps.slice(1, -1).map((time) => slowest(answers, time, time + AFTER_MS));
    const noiseMs = Math.max(...noises);
    const stallMs = slowest(answers, began, swept.at + AFTER_MS);

    const removed = reaper === "native" ? size.expired - 1 : size.expired;
    const problems = [
      ...failures.slice(0, 3),
      ...differencesAfter(watched, scene, size, removed),
    ].map((problem) => `${reaper}: ${problem}`);
    // Earlier gateways do other work on the whole store at each tick.
    const isLimited = reaper === "native" && QUEUED_VERSIONS.includes(version);
    if (isLimited && stallMs > noiseMs + MOST_ABOVE_NOISE_MS)
      problems.push(`an answer took ${stallMs} ms during the sweep, without it ${noiseMs} ms`);
    return {
      problems,
      bytes: scene.bytes,
      stallMs,
      noiseMs,
      sweepMs: Math.round(swept.at - began),
    };
  } catch (error) {
    return { problems: [`${reaper}: ${error.message}`] };
  } finally {
    holder.kill("SIGKILL");
    fs.rmSync(state, { recursive: true, force: true });
  }
}

/**
 * Follows README's section on a gateway from npm: runs its command, with a store of 40 MB and 180 expired
 * runs. Resolves to the slowest answer from the first one to the end of the sweep, and what differs.
 */
export async function followReadme(version) {
  const readme = fs.readFileSync(path.join(REPOSITORY, "README.md"), "utf8");
  const command = /<!-- start -->\s*```sh\n(.*?)```/s.exec(readme)[1].trim();
  const state = fs.mkdtempSync(path.join(os.tmpdir(), "reaper-readme-"));
  const size = sizeOf(version);
  try {
    const port = await freePort();
    const scene = layOutState(state, size, { port });
    // As after `npm install --global openclaw` with that Node.js.
    const folders = [path.dirname(gatewayNode()), path.join(gatewayPackage(version), "..", ".bin")];
    const watched = await watchSweep(["sh", "-c", command], {
      cwd: REPOSITORY,
      state,
      port,
      env: { PATH: [...folders, process.env.PATH].join(path.delimiter) },
    });
    const problems = [
      ...watched.failures.slice(0, 3),
      ...differencesAfter(watched, scene, size, size.expired),
    ];
    const slowestMs = slowest(watched.answers, 0, Number.POSITIVE_INFINITY);
    if (slowestMs > README_ANSWER_MS) problems.push(`an answer took ${slowestMs} ms`);
    return { command, bytes: scene.bytes, slowestMs, problems };
  } catch (error) {
    return { command, problems: [error.message] };
  } finally {
    fs.rmSync(state, { recursive: true, force: true });
  }
}

/**
 * Compares the sweep of a started gateway by the native reaper with one by its own reaper, and from
 * 2026.5.7 on with what its own reaper would need if it emitted no event for each archive.
 */
export async function startGateway(version) {
  const native = await sweepOnce(version, "native");
  const own = await sweepOnce(version, "own");
  const repaired = QUEUED_VERSIONS.includes(version)
    ? await sweepOnce(version, "repaired")
    : undefined;
  const problems = [native, own, repaired].flatMap((result) => result?.problems ?? []);
  return { native, own, ...(repaired && { repaired }), problems };
}
