// Creates a state folder with a published gateway 2026.3.2: with its chats, cron runs, sweep, resets,
// rotated stores and crashes. What that gateway does not write is written here, and marked as such.

import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { gatewayNode, gatewayPackage } from "../gateway.mjs";
import { environmentOf, freePort, startProcess } from "../process/running.mjs";
import { startModel, UNANSWERED } from "./model.mjs";

const CRASH = new URL("./crash.mjs", import.meta.url).href;
/** A session that the later gateway deletes. */
export const DELETED = "agent:main:deleted-later";

const RUN_WITHIN_MS = 300_000;
const SWEEP_WITHIN_MS = 60_000;
const AGED_MS = 60 * 24 * 3_600_000;

/**
 * Returns functions that run the commands of a gateway on the state folder in `root`. The gateway's lock
 * files, which remain if it is killed, are in `root` as well.
 */
export function commandsOf(version, root) {
  const state = stateIn(root);
  const temporary = path.join(root, "tmp");
  fs.mkdirSync(temporary, { recursive: true });
  const program = [gatewayNode(version), path.join(gatewayPackage(version), "openclaw.mjs")];
  const run = async (args, env) => {
    const [node, ...first] = program;
    const options = {
      cwd: state,
      env: { ...environmentOf(state), TMPDIR: temporary, ...env },
      maxBuffer: 64 << 20,
      timeout: RUN_WITHIN_MS,
    };
    return (await promisify(execFile)(node, [...first, ...args], options)).stdout;
  };
  const json = async (...args) => JSON.parse(await run([...args, "--json"]));
  return {
    run,
    json,
    call: (method, params, ...options) =>
      json("gateway", "call", method, "--params", JSON.stringify(params), ...options),
    /** Starts the gateway, and waits until its health endpoint answers. */
    start: async (port) => {
      const args = ["gateway", "--port", String(port), "--allow-unconfigured"];
      const gateway = startProcess([...program, ...args], {
        cwd: state,
        state,
        env: { TMPDIR: temporary },
      });
      await gateway.healthy(port);
      return gateway;
    },
  };
}

/** Creates the state folder in `root`. Resolves to the port in its configuration. */
export async function createState(version, root) {
  const state = stateIn(root);
  fs.mkdirSync(state);
  const model = await startModel();
  try {
    const port = await freePort();
    const configuration = configurationOf(state, port, model.address().port);
    writeConfiguration(state, configuration);
    const gateway = commandsOf(version, root);
    await rotateStore(gateway, state, configuration);
    await crash(gateway, state);
    await useSessions(gateway, { state, port, model });
    // The last one: its temp file is younger than the store.
    await crash(gateway, state);
    writeOthers(sessionsOf(state, "main"));
    age(sessionsOf(state, "main"));
    // With a retention, the later gateway would remove expired runs between the two lists.
    configuration.cron.sessionRetention = false;
    writeConfiguration(state, configuration);
    return port;
  } finally {
    model.close();
    model.closeAllConnections();
  }
}

export const stateIn = (root) => path.join(root, "state");

export const sessionsOf = (state, agent) => path.join(state, "agents", agent, "sessions");

function configurationOf(state, port, modelPort) {
  return {
    gateway: { mode: "local", port, bind: "loopback", auth: { mode: "none" } },
    agents: {
      defaults: {
        model: { primary: "local/m" },
        workspace: path.join(state, "workspace"),
        skipBootstrap: true,
        heartbeat: { every: "0m" },
      },
      list: [{ id: "main", default: true }, { id: "work" }],
    },
    models: {
      providers: {
        local: {
          baseUrl: `http://127.0.0.1:${modelPort}/v1`,
          apiKey: "none",
          api: "openai-completions",
          models: [{ id: "m", name: "m", contextWindow: 200_000, maxTokens: 1000 }],
        },
      },
    },
    cron: { enabled: true, sessionRetention: "1s" },
    session: { maintenance: { mode: "enforce" } },
    update: { checkOnStart: false },
    logging: { level: "info", file: path.join(state, "gateway.log") },
  };
}

function writeConfiguration(state, configuration, name = "openclaw.json") {
  const file = path.join(state, name);
  fs.writeFileSync(file, JSON.stringify(configuration, null, 2));
  return file;
}

const LOCAL_CHAT = ["agent", "--local", "--agent", "main", "--message", "Hello.", "--json"];

/** Makes the gateway rotate its store, which is then larger than a kilobyte, into backups. */
async function rotateStore(gateway, state, configuration) {
  const maintenance = { mode: "enforce", rotateBytes: "1kb" };
  const rotating = { ...configuration, session: { maintenance } };
  const file = writeConfiguration(state, rotating, "rotating.json");
  for (let chats = 0; chats < 2; chats += 1)
    await gateway.run(LOCAL_CHAT, { OPENCLAW_CONFIG_PATH: file });
  fs.rmSync(file);
  expectFiles(sessionsOf(state, "main"), /^sessions\.json\.bak\.\d+$/, 2);
}

/** Kills the gateway while it writes its store: a temp file and the lock of the store remain. */
async function crash(gateway, state) {
  const folder = sessionsOf(state, "main");
  const temps = () => matching(folder, TEMP).length;
  const before = temps();
  const ended = gateway.run(LOCAL_CHAT, { NODE_OPTIONS: `--import ${CRASH}` });
  const failure = await ended.catch((error) => error);
  if (temps() !== before + 1) throw new Error(`no temp file was left in ${folder}: ${failure}`);
}

const TEMP = /^sessions\.json\..*\.tmp$/;

/** Chats, runs cron jobs, sweeps, and is killed during a chat. */
async function useSessions({ run, json, call, start }, { state, port, model }) {
  const gateway = await start(port);
  const folder = sessionsOf(state, "main");
  const chat = (sessionKey, message, ...options) =>
    call("agent", { message, sessionKey, idempotencyKey: randomUUID() }, ...options);
  const answered = (agent) => json("agent", "--agent", agent, "--message", "Hello.");
  try {
    for (const agent of ["main", "work"]) await answered(agent);
    // Of each session, the transcript before the last reset is archived.
    for (let resets = 0; resets < 2; resets += 1) {
      await call("sessions.reset", { key: "agent:main:main" });
      await answered("main");
    }
    await call("sessions.compact", { key: "agent:main:main", maxLines: 2 });

    const job = await json("cron", "add", "--name", "report", "--every", "1d", ...ISOLATED);
    const runJob = () => run(["cron", "run", job.id]);
    // The last transcript is not archived: the session of the job uses it, too.
    for (let runs = 0; runs < 3; runs += 1) await runJob();
    // Only a tick with a due job sweeps. The runs are older than a second by then.
    const tick = await json("cron", "add", "--name", "tick", "--every", "2s", ...SYSTEM_EVENT);
    const isSwept = () => matching(folder, /\.jsonl\.deleted\./).length >= 2;
    await gateway.waitFor("sweep", SWEEP_WITHIN_MS, isSwept);
    await run(["cron", "rm", tick.id]);
    // These stay in the store, expired: the gateway sweeps at most every five minutes.
    for (let runs = 0; runs < 2; runs += 1) await runJob();

    await chat(DELETED, "Hello.", "--expect-final");
    const asked = once(model, "unanswered");
    await chat("agent:main:unanswered", UNANSWERED);
    await asked;
    // The lock of the transcript remains.
    await gateway.kill("SIGKILL");
    expectFiles(folder, /\.jsonl\.lock$/, 1);
  } finally {
    await gateway.end();
  }
}

const ISOLATED = ["--session", "isolated", "--message", "Report.", "--no-deliver"];
const SYSTEM_EVENT = ["--session", "main", "--system-event", "Tick.", "--wake", "next-heartbeat"];

/**
 * Writes what 2026.3.2 does not write, in the formats of later gateways and of this package: a checkpoint
 * (2026.4.15), a trajectory (2026.4.29), caches (2026.5.7 and 2026.5.28), a temp file that a sweep kept,
 * and files of a user.
 */
function writeOthers(folder) {
  const id = randomUUID();
  const trajectory = `${id}.trajectory.jsonl`;
  const trace = { traceSchema: "openclaw-trajectory", schemaVersion: 1, traceId: id };
  const pointer = { traceSchema: "openclaw-trajectory-pointer", schemaVersion: 1, sessionId: id };
  const prompt = "Prompt. ".repeat(64);
  const hash = createHash("sha256").update(prompt).digest("hex");
  for (const [name, text] of [
    [`${id}.checkpoint.${randomUUID()}.jsonl`, transcriptOf(id)],
    [trajectory, `${JSON.stringify({ ...trace, source: "runtime", type: "trace", seq: 1 })}\n`],
    [
      `${id}.trajectory-path.json`,
      `${JSON.stringify({ ...pointer, runtimeFile: path.join(folder, trajectory) }, null, 2)}\n`,
    ],
    [".usage-cost-cache.json", JSON.stringify({ version: 2, updatedAt: 0, files: {} })],
    [path.join("skills-prompts", "sha256", hash.slice(0, 2), `${hash}.txt`), prompt],
    ["sessions.json.kept.2026-01-05T12-00-00.000Z", "{}"],
    ["notes.txt", "Notes of a user."],
    [path.join("notes", "more.txt"), "More notes of a user."],
  ]) {
    const file = path.join(folder, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  }
}

/** Returns a transcript without messages. */
export const transcriptOf = (id) =>
  `${JSON.stringify({ type: "session", version: 3, id, timestamp: new Date().toISOString(), cwd: "/" })}\n`;

/** Dates one archive, one reset, one backup and the older temp file two months back. */
function age(folder) {
  for (const [pattern, older] of [
    [/\.jsonl\.deleted\.(.*)$/, stampOf],
    [/\.jsonl\.reset\.(.*)$/, stampOf],
    [/^sessions\.json\.bak\.(\d+)$/, String],
  ]) {
    const [name] = matching(folder, pattern);
    const stamp = pattern.exec(name)[1];
    const aged = `${name.slice(0, -stamp.length)}${older(Date.now() - AGED_MS)}`;
    fs.renameSync(path.join(folder, name), path.join(folder, aged));
  }
  const temps = matching(folder, TEMP).map((name) => path.join(folder, name));
  const [older] = temps.sort((a, b) => fs.statSync(a).mtimeMs - fs.statSync(b).mtimeMs);
  const seconds = (Date.now() - AGED_MS) / 1000;
  fs.utimesSync(older, seconds, seconds);
}

const stampOf = (ms) => new Date(ms).toISOString().replaceAll(":", "-");

function matching(folder, pattern) {
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder).filter((name) => pattern.test(name));
}

function expectFiles(folder, pattern, least) {
  const { length } = matching(folder, pattern);
  if (length < least) throw new Error(`${length} files ${pattern} in ${folder}, expected ${least}`);
}
