// The scripts that prepare a clone.

import { describe, expect, it, onTestFinished, vi } from "vitest";
import { isInstalled, run } from "../scripts/prepare.mjs";
import { showProgress } from "../scripts/progress.mjs";
import { start, temporaryFolder, treeOf } from "./fixtures/index.mjs";

describe("showProgress", () => {
  /** Shows 11 seconds of progress, and returns what was written to the stream. */
  function written(stream) {
    vi.useFakeTimers();
    onTestFinished(() => {
      vi.useRealTimers();
    });
    let text = "";
    const write = (chunk) => {
      text += chunk;
    };
    const progress = showProgress("Building", { ...stream, write });
    vi.advanceTimersByTime(5_500);
    progress.update("compiling 3/9: serde");
    vi.advanceTimersByTime(5_500);
    progress.end("done");
    vi.advanceTimersByTime(60_000);
    return text;
  }

  it("prints a plain line every five seconds into a pipe", () => {
    expect(written({})).toBe(
      "Building …\nBuilding: 5 s\nBuilding: compiling 3/9: serde, 10 s\nBuilding: done, 11 s\n",
    );
  });

  it("rewrites one line on a terminal, and cuts it at the terminal's width", () => {
    const text = written({ isTTY: true, columns: 30 });
    expect(text).toContain("\r\x1b[2KBuilding: compiling 3/9: serd\r");
    expect(text.split("\n")).toHaveLength(2);
    expect(text.endsWith("\r\x1b[2KBuilding: done, 11 s\n")).toBe(true);
  });
});

describe("start.mjs", () => {
  it("shows a sample store, sweeps it and shows it again", async () => {
    const { ok, output } = await run(process.execPath, ["scripts/start.mjs"]);
    expect(ok, output).toBe(true);
    expect(output).toMatch(/A sweep would remove 179 runs.*^A sweep: removed 179 runs, .* freed/ms);
    expect(output).toMatch(/^The longest delay of the event loop was .*^ {4}expired +0 /ms);
  });
});

describe.skipIf(process.platform === "win32")("start.mjs that is stopped", () => {
  it.each(["SIGINT", "SIGTERM"])("removes the sample store on %s", async (signal) => {
    const folder = temporaryFolder();
    const env = { ...process.env, TMPDIR: folder };
    const { child, ended, shows } = start(process.execPath, ["scripts/start.mjs"], { env });
    await shows("A sample store");
    child.kill(signal);
    await ended;
    expect(treeOf(folder)).toEqual({});
  });
});

describe("prepare.mjs", () => {
  it("recognises that the development dependencies are installed", () => {
    expect(isInstalled()).toBe(true);
  });

  it("leaves lines that only show progress out of the output of a program", async () => {
    const program = `process.stdout.write("kept\\n 1/2\\r 2/2\\rend")`;
    const lines = [];
    const result = await run(process.execPath, ["-e", program], {}, (line) => {
      lines.push(line);
      return line.includes("/");
    });
    expect(result).toEqual({ ok: true, output: "kept\nend" });
    expect(lines).toEqual(["kept", " 1/2", " 2/2", "end"]);
  });

  it("reports the signal or the reason why a program failed", async () => {
    const kill = "process.kill(process.pid, 'SIGKILL')";
    const killed = await run(process.execPath, ["-e", kill]);
    expect(killed).toEqual({ ok: false, output: "ended by SIGKILL\n" });
    const missing = await run("no-such-program", []);
    expect(missing.ok).toBe(false);
    expect(missing.output).toMatch(/^cannot run no-such-program: .*; is it installed\?\n$/);
  });
});
