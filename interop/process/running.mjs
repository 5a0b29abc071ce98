// Starts a published gateway on loopback, and waits for it.

import { spawn } from "node:child_process";
import http from "node:http";
import net from "node:net";
import { setTimeout as pause } from "node:timers/promises";

const START_WITHIN_MS = 180_000;
// The own reaper of 2026.5.7 blocks the gateway for up to a minute on a busy machine.
const ANSWER_WITHIN_MS = 180_000;
const END_WITHIN_MS = 8000;

export async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Requests the health endpoint once. Resolves to the status. */
export function ask(port) {
  return new Promise((resolve, reject) => {
    const request = http.get(
      { host: "127.0.0.1", port, path: "/health", timeout: ANSWER_WITHIN_MS, agent: false },
      (response) => {
        response.resume();
        response.once("end", () => resolve(response.statusCode));
        response.once("error", reject);
      },
    );
    request.once("timeout", () => request.destroy(new Error("no answer")));
    request.once("error", reject);
  });
}

/** Returns the environment of a gateway whose state folder and home folder is `state`. */
export function environmentOf(state) {
  return {
    PATH: process.env.PATH,
    HOME: state,
    OPENCLAW_STATE_DIR: state,
    OPENCLAW_SKIP_CHANNELS: "1",
    OPENCLAW_DISABLE_BONJOUR: "1",
  };
}

/** Starts a command that runs a gateway. `env` is added to the environment. */
export function startProcess([command, ...args], { cwd, state, env }) {
  const child = spawn(command, args, {
    cwd,
    // The gateway starts another process: only ending the process group ends both.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...environmentOf(state), ...env },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => (output += text));
  const closed = new Promise((resolve) => child.once("close", resolve));

  const gateway = {
    output: () => output,

    /** Polls until `probe` returns a value. Fails if the gateway ends or the time runs out. */
    async waitFor(what, withinMs, probe) {
      const end = Date.now() + withinMs;
      const failed = (problem) => {
        const last = output.split("\n").slice(-15).join("\n    ");
        return new Error(`${problem}; the output ends with\n    ${last}`);
      };
      for (;;) {
        const found = await probe();
        if (found) return found;
        if (child.exitCode !== null || child.signalCode !== null)
          throw failed(`the gateway ended before ${what}`);
        if (Date.now() > end) throw failed(`no ${what} within ${withinMs / 1000} s`);
        await pause(100);
      }
    },

    /** Waits until the health endpoint answers. */
    healthy(port) {
      const isHealthy = () =>
        ask(port).then(
          (status) => status === 200,
          () => false,
        );
      return gateway.waitFor("health", START_WITHIN_MS, isHealthy);
    },

    /** Ends the gateway: by SIGTERM and, if it does not end in time, by SIGKILL. */
    async end() {
      for (const signal of ["SIGTERM", "SIGKILL"]) {
        await gateway.kill(signal);
      }
    },

    /** Sends a signal, and waits a limited time until the gateway has ended. */
    async kill(signal) {
      try {
        process.kill(-child.pid, signal);
      } catch {
        return; // The process group has ended.
      }
      await Promise.race([closed, pause(END_WITHIN_MS, undefined, { ref: false })]);
    },
  };
  return gateway;
}
