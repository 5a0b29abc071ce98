// Sizes, times, lists and tables as a person reads them.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `999 B`, `1.5 KB`, `31.2 MB`: thousands, as disks are sold and as file managers count. */
export function size(bytes) {
  if (bytes < 1000) {
    return `${bytes} B`;
  }
  const units = ["KB", "MB", "GB", "TB"];
  let value = bytes / 1000;
  // From here on one decimal would read as 1000.0.
  while (value >= 999.95 && units.length > 1) {
    value /= 1000;
    units.shift();
  }
  return `${value.toFixed(1)} ${units[0]}`;
}

/** `12 ms`, `1.5 s`, `5 min`, `1 h 30 min`, `2 days`, `2 days 5 h`. */
export function duration(ms) {
  if (ms < 1000) {
    return `${Math.round(ms)} ms`;
  }
  if (ms < MINUTE) {
    return `${Number((ms / 1000).toFixed(1))} s`;
  }
  const [unit, smaller] = ms < HOUR ? [MINUTE, 1000] : ms < DAY ? [HOUR, MINUTE] : [DAY, HOUR];
  const names = { 1000: "s", [MINUTE]: "min", [HOUR]: "h" };
  const whole = Math.floor(ms / unit);
  const rest = Math.floor((ms % unit) / smaller);
  const first = unit === DAY ? counted(whole, "day") : `${whole} ${names[unit]}`;
  return rest > 0 ? `${first} ${rest} ${names[smaller]}` : first;
}

/** `3 days ago`: for the age of something, the larger unit is enough. */
export function ago(ms) {
  const unit = [DAY, HOUR, MINUTE].find((unit) => ms >= unit);
  return unit ? `${duration(Math.floor(ms / unit) * unit)} ago` : "just now";
}

/** `1 run`, `1,234 runs`. */
export function counted(count, noun, plural = `${noun}s`) {
  return `${grouped(count)} ${count === 1 ? noun : plural}`;
}

export function grouped(count) {
  return count.toLocaleString("en-US");
}

/**
 * A name from a store or a folder, made harmless: what is in it was written by others, and could
 * move the cursor or turn the text around.
 */
export function printable(text) {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029]/gu,
    (character) => `\\u{${character.codePointAt(0).toString(16)}}`,
  );
}

/** Cut to so many characters. */
export function shortened(text, length) {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join("")}…`;
}

/**
 * Lines of columns. `sides` has a letter for each: `l` or `r`; the last column is never filled up.
 * A cell is a text, or `[text, paint]`.
 */
export function table(rows, sides) {
  const cellsOf = (row) => row.map((cell) => (Array.isArray(cell) ? cell : [cell, (text) => text]));
  const lines = rows.map(cellsOf);
  const widths = [...sides].map((_, at) => Math.max(...lines.map((cells) => cells[at][0].length)));
  return lines.map((cells) =>
    cells
      .map(([text, paint], at) => {
        const isLast = at === cells.length - 1;
        const filler = isLast && sides[at] === "l" ? "" : " ".repeat(widths[at] - text.length);
        return sides[at] === "r" ? filler + paint(text) : paint(text) + filler;
      })
      .join("  ")
      .trimEnd(),
  );
}

/** A bar of up to `width` characters, in eighths of them. */
export function bar(share, width) {
  const eighths = Math.round(share * width * 8);
  return "█".repeat(eighths >> 3) + ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths & 7];
}

/** Whether a stream wants colours: see no-color.org and force-color.org. */
export function wantsColours(stream, env = process.env) {
  if (env.FORCE_COLOR) {
    return !["0", "false"].includes(env.FORCE_COLOR);
  }
  return stream.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";
}

/** Paints for a stream: each takes text and gives it coloured, or as it is. */
export function paintsFor(stream) {
  const on = wantsColours(stream);
  const paint = (code) => (text) => (on && text !== "" ? `\x1b[${code}m${text}\x1b[0m` : text);
  return {
    bold: paint(1),
    dim: paint(2),
    red: paint(31),
    green: paint(32),
    yellow: paint(33),
    cyan: paint(36),
  };
}
