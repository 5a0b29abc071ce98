// Formats sizes, times, lists and tables for people.

import stringWidth from "string-width";

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

/** Returns how many columns of a terminal a text takes: wide characters take two, combining ones none. */
export function widthOf(text) {
  return stringWidth(text);
}

/** Shortens a text to at most `width` columns. */
export function shortened(text, width) {
  return widthOf(text) <= width ? text : `${beginning(text, width - 1)}…`;
}

/** Shortens a text to at most `width` columns: leaves out its middle, since keys differ at both ends. */
export function shortenedInMiddle(text, width) {
  if (widthOf(text) <= width) {
    return text;
  }
  const first = beginning(text, Math.ceil((width - 1) / 2));
  const reversed = [...text].reverse().join("");
  const last = [...beginning(reversed, width - 1 - widthOf(first))].reverse().join("");
  return `${first}…${last}`;
}

/** Returns as much of the beginning of a text as fits in `width` columns. */
function beginning(text, width) {
  let result = "";
  for (const character of text) {
    if (widthOf(result + character) > width) {
      break;
    }
    result += character;
  }
  return result;
}

/** Splits a text between words into lines of at most `width` columns. A longer word is not split. */
export function wrapped(text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== "" && widthOf(`${line} ${word}`) > width) {
      lines.push(word);
    } else {
      lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
    }
  }
  return lines;
}

/** The least width of a last column. If there is less space, the cell is put below its row. */
const LEAST_WIDTH = 24;

/**
 * Returns lines of at most `width` columns with aligned cells. `sides` has one letter per column: `l`
 * or `r`. A cell is a text or `[text, paint]`. A last cell on the left that does not fit beside the
 * others is wrapped, or put below them if there is little space. A word that is too long is shortened.
 */
export function table(rows, sides, width = Number.POSITIVE_INFINITY) {
  const cellsOf = (row) => row.map((cell) => (Array.isArray(cell) ? cell : [cell, (text) => text]));
  const lines = rows.map(cellsOf);
  const widths = [...sides].map((_, at) =>
    Math.max(0, ...lines.map((cells) => widthOf(cells[at][0]))),
  );
  const hasNote = sides.endsWith("l");
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  const isBeside = width - before >= Math.min(LEAST_WIDTH, widths.at(-1));
  const left = isBeside ? before : 2;
  return lines.flatMap((cells) => {
    const aligned = cells.map(([text, paint], at) => {
      const padding = " ".repeat(widths[at] - widthOf(text));
      return sides[at] === "r" ? padding + paint(text) : paint(text) + padding;
    });
    if (!hasNote) {
      return [aligned.join("  ").trimEnd()];
    }
    const [note, paint] = cells.at(-1);
    const space = Math.max(width - left, LEAST_WIDTH);
    const fitting = wrapped(note, space).map((line) => shortenedInMiddle(line, space));
    const notes = note === "" ? [] : fitting.map(paint);
    const first = aligned.slice(0, -1).join("  ");
    const below = (lines) => lines.map((line) => " ".repeat(left) + line);
    return isBeside && notes.length > 0
      ? [[first, notes[0]].filter(Boolean).join("  "), ...below(notes.slice(1))]
      : [first.trimEnd(), ...below(notes)];
  });
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
