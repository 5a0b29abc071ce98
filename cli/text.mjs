// Formats sizes, times, lists and tables for people.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `999 B`, `1.5 KB`, `31.2 MB`: decimal units, as disks and file managers use. */
export function size(bytes) {
  if (bytes < 1000) {
    return `${bytes} B`;
  }
  const units = ["KB", "MB", "GB", "TB"];
  let value = bytes / 1000;
  // From 999.95 on, one decimal would be printed as 1000.0.
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

/** `3 days ago`, `3 days in the future`: an age in its largest unit. */
export function ago(ms) {
  const distance = Math.abs(ms);
  const unit = [DAY, HOUR, MINUTE].find((unit) => distance >= unit);
  const rounded = duration(Math.floor(distance / unit) * unit);
  return unit ? `${rounded} ${ms < 0 ? "in the future" : "ago"}` : "just now";
}

/** `1 run`, `1,234 runs`. */
export function counted(count, noun, plural = `${noun}s`) {
  return `${grouped(count)} ${count === 1 ? noun : plural}`;
}

export function grouped(count) {
  return count.toLocaleString("en-US");
}

/**
 * Escapes control and format characters. A name from a store or a folder may contain them; they
 * could move the cursor or reverse the text.
 */
export function printable(text) {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029]/gu,
    (character) => `\\u{${character.codePointAt(0).toString(16)}}`,
  );
}

/** Shortens a text to at most `length` characters. */
export function shortened(text, length) {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join("")}…`;
}

/**
 * Returns lines with aligned columns. `sides` has one letter per column: `l` or `r`. A cell is a
 * text or `[text, paint]`.
 */
export function table(rows, sides) {
  const cellsOf = (row) => row.map((cell) => (Array.isArray(cell) ? cell : [cell, (text) => text]));
  const lines = rows.map(cellsOf);
  const widths = [...sides].map((_, at) => Math.max(...lines.map((cells) => cells[at][0].length)));
  return lines.map((cells) =>
    cells
      .map(([text, paint], at) => {
        const isLast = at === cells.length - 1;
        const padding = isLast && sides[at] === "l" ? "" : " ".repeat(widths[at] - text.length);
        return sides[at] === "r" ? padding + paint(text) : paint(text) + padding;
      })
      .join("  ")
      .trimEnd(),
  );
}

/** Returns a bar of up to `width` characters, in steps of an eighth of a character. */
export function bar(share, width) {
  const eighths = Math.round(share * width * 8);
  return "█".repeat(eighths >> 3) + ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths & 7];
}

/** Returns whether to colour a stream: see no-color.org and force-color.org. */
export function wantsColours(stream, env = process.env) {
  if (env.FORCE_COLOR) {
    return !["0", "false"].includes(env.FORCE_COLOR);
  }
  return stream.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";
}

/** Returns functions that colour a text, or return it unchanged if the stream is not coloured. */
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

/** Returns a JSON document whose texts contain no character that {@link printable} escapes. */
export function jsonText(document) {
  return JSON.stringify(document, null, 2).replace(
    /(?!\n)[\p{Cc}\p{Cf}\p{Co}\u2028\u2029]/gu,
    (character) => {
      const units = [...Array(character.length).keys()].map((at) => character.charCodeAt(at));
      return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
    },
  );
}
