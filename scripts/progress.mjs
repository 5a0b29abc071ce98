// Shows how far a long step is.

/** How often a line is printed where lines cannot be overwritten, in milliseconds. */
const PLAIN_LINE_MS = 5_000;
const REDRAW_MS = 200;

/**
 * Shows `what`, the latest text about it and the time since the start. A terminal gets one line that
 * changes; any other stream gets a plain line from time to time.
 *
 * @returns `{ update, end }`: `update` takes the latest text, `end` takes the result.
 */
export function showProgress(what, stream) {
  const isTerminal = Boolean(stream.isTTY);
  const began = performance.now();
  let latest = "";
  const line = (text) => {
    const seconds = Math.round((performance.now() - began) / 1_000);
    return `${what}: ${text ? `${text}, ` : ""}${seconds} s`;
  };
  const draw = () => {
    if (isTerminal) {
      // One column less than the terminal has, so that no line is wrapped.
      stream.write(`\r\x1b[2K${line(latest).slice(0, (stream.columns || 80) - 1)}`);
    } else {
      stream.write(`${line(latest)}\n`);
    }
  };
  stream.write(isTerminal ? `${what} …` : `${what} …\n`);
  const timer = setInterval(draw, isTerminal ? REDRAW_MS : PLAIN_LINE_MS);
  return {
    update(text) {
      latest = text;
    },
    end(result) {
      clearInterval(timer);
      stream.write(`${isTerminal ? "\r\x1b[2K" : ""}${line(result)}\n`);
    },
  };
}
