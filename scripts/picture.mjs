// npm run docs:picture: draws the pictures in docs/ of the command in a terminal, from what the command
// prints about sample states.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { root } from "./prepare.mjs";
import { createSampleAgents, createSampleDatabase, createSampleState } from "./sample-state.mjs";

const SIZE = 13;
const LINE = 18;
/** The width of a character in the usual monospaced fonts, relative to the font size. */
const ADVANCE = 0.602;
const MARGIN = 20;

/** The CSS class for each of the SGR codes that the command uses. */
const STYLES = { 1: "b", 2: "d", 31: "r", 32: "g", 33: "y", 36: "c" };

/** The pictures in docs/: the sample state that each shows, and the arguments of the calls. */
export const PICTURES = {
  "terminal.svg": [createSampleState, [[], ["--apply", "--yes"]]],
  "overview.svg": [
    createSampleAgents,
    [[], ["--apply", "--yes", "--reset-retention", "30d", "--backup-retention", "30d"]],
  ],
  "database.svg": [createSampleDatabase, [[], ["--apply", "--yes"]]],
};

/**
 * Returns what the command prints about a sample state, with the typed lines. The duration of a sweep is
 * replaced, so that the picture changes only when the text changes.
 */
export function session([createState, calls]) {
  const home = mkdtempSync(join(tmpdir(), "cron-session-reaper-"));
  try {
    createState(join(home, ".openclaw"), Date.now());
    const { OPENCLAW_HOME, OPENCLAW_STATE_DIR, OPENCLAW_CONFIG_PATH, NO_COLOR, ...rest } =
      process.env;
    const env = { ...rest, HOME: home, USERPROFILE: home, FORCE_COLOR: "1" };
    const main = join(root, "cli", "main.mjs");
    return calls
      .map((args) => {
        const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
          env,
          encoding: "utf8",
        });
        if (status !== 0) {
          throw new Error(`the command ended with ${status}: ${stderr}`);
        }
        const typed = ["npx cron-session-reaper", ...args].join(" ");
        // Paths in what is printed on stderr are not shortened.
        const printed = stderr.replaceAll(home, "~") + stdout;
        return `\x1b[32m$\x1b[0m \x1b[1m${typed}\x1b[0m\n${printed}`;
      })
      .join("")
      .replace(/ in \d[\d.]* (ms|s|min)( \d+ s)?(?=\n)/g, " in 59 ms");
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

export function draw(text) {
  const lines = text.trimEnd().split("\n");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: SGR codes begin with one
  const lengths = lines.map((line) => line.replace(/\x1b\[\d+m/g, "").length);
  const width = Math.ceil(Math.max(...lengths) * SIZE * ADVANCE) + 2 * MARGIN;
  const height = lines.length * LINE + 2 * MARGIN;
  const texts = lines.flatMap((line, at) => piecesOf(line, MARGIN + SIZE + at * LINE));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>The command cron-session-reaper in a terminal</title>
<style>
text { font: ${SIZE}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d0d7de; }
.b { font-weight: 700; fill: #ffffff; } .d { fill: #8b949e; } .r { fill: #ff7b72; }
.g { fill: #56d364; } .y { fill: #e3b341; } .c { fill: #39c5cf; }
</style>
<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>
${texts.join("\n")}
</svg>
`;
}

/**
 * Returns one SVG text element for each run of words in one style. Each is placed and stretched
 * separately, so that columns are aligned in every font.
 */
function piecesOf(line, y) {
  const pieces = [];
  let column = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: SGR codes begin with one
  for (const [, code, text] of `\x1b[0m${line}`.matchAll(/\x1b\[(\d+)m([^\x1b]*)/g)) {
    const style = STYLES[code] ? ` class="${STYLES[code]}"` : "";
    for (const { 0: piece, index } of text.matchAll(/\S+( \S+)*/g)) {
      const x = (MARGIN + (column + index) * SIZE * ADVANCE).toFixed(1);
      const length = (piece.length * SIZE * ADVANCE).toFixed(1);
      const escaped = piece.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
      pieces.push(
        `<text x="${x}" y="${y}" textLength="${length}" lengthAdjust="spacingAndGlyphs"${style}>${escaped}</text>`,
      );
    }
    column += text.length;
  }
  return pieces;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, sample] of Object.entries(PICTURES)) {
    writeFileSync(join(root, "docs", name), draw(session(sample)));
  }
}
