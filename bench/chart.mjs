// Draws docs/cost.svg: the cost of a sweep against the size of the store, on logarithmic axes.

const WIDTH = 760;
const HEIGHT = 440;
const PLOT = { left: 70, right: 545, top: 50, bottom: 385 };

/**
 * The lines and their colours. They differ on white, on black and for colour-blind readers. They are too
 * pale for text on white, so labels have a coloured dot.
 */
const LINES = [
  { of: "gateway", name: "the gateway's reaper", colour: "#cc5a2b" },
  { of: "shape", name: "parse–delete–stringify", colour: "#c9891a" },
  { of: "sweep", name: "a sweep", colour: "#2f7fd1", width: 3 },
  { of: "copy", name: "cp + sync", colour: "#7d8590", dashes: "6 4" },
  { of: "unchanged", name: "nothing changed", colour: "#2f9e6e", width: 3 },
];

/** Draws `costs`: { mb, sweep, copy, unchanged, shape?, gateway? } for each size, in milliseconds. */
export function drawCosts(costs) {
  const all = costs.flatMap((cost) => LINES.map(({ of }) => cost[of])).filter(Boolean);
  const x = axis(
    costs.map(({ mb }) => mb),
    PLOT.left,
    PLOT.right,
  );
  const y = axis(all, PLOT.bottom, PLOT.top);
  const parts = [];
  for (const { value, at } of x.ticks) {
    parts.push(`<path class="grid" d="M${at} ${PLOT.top}V${PLOT.bottom}"/>`);
    parts.push(label(at, PLOT.bottom + 20, size(value), "middle"));
  }
  for (const { value, at } of y.ticks) {
    parts.push(`<path class="grid" d="M${PLOT.left} ${at}H${PLOT.right}"/>`);
    parts.push(label(PLOT.left - 8, at + 4, duration(value), "end"));
  }
  parts.push(
    `<text x="${PLOT.left}" y="24" class="title">What a sweep costs, by the size of the store</text>`,
  );

  const ends = [];
  for (const line of LINES) {
    const points = costs
      .filter((cost) => cost[line.of])
      .map((cost) => [x.at(cost.mb), y.at(cost[line.of])]);
    if (points.length === 0) {
      continue;
    }
    const style = `stroke="${line.colour}" stroke-width="${line.width ?? 2}"${line.dashes ? ` stroke-dasharray="${line.dashes}"` : ""}`;
    parts.push(
      `<path fill="none" ${style} d="M${points.map((point) => point.join(" ")).join("L")}"/>`,
    );
    for (const [cx, cy] of points) {
      parts.push(`<circle cx="${cx}" cy="${cy}" r="3.5" fill="${line.colour}"/>`);
    }
    ends.push({ line, at: points.at(-1), cost: costs.findLast((cost) => cost[line.of]) });
  }
  parts.push(...endLabels(ends));
  const descriptions = ends.map(
    ({ line, cost }) =>
      `${line.name} ${duration(cost[line.of])} at ${size(Number(cost.mb.toPrecision(3)))}`,
  );
  return document(`At the end of each line: ${descriptions.join("; ")}.`, parts);
}

/** Labels the end of each line, without overlaps. */
function endLabels(ends) {
  let lowest = Number.NEGATIVE_INFINITY;
  return ends
    .sort((a, b) => a.at[1] - b.at[1])
    .map(({ line, at: [cx, cy], cost }) => {
      const isAtEdge = cx > PLOT.right - 1;
      const top = isAtEdge ? Math.max(cy + 4, lowest + 17) : cy + 4;
      lowest = isAtEdge ? top : lowest;
      const dot = `<circle cx="${round(cx + 14)}" cy="${round(top - 4)}" r="4" fill="${line.colour}"/>`;
      return dot + label(cx + 22, top, `${line.name}, ${duration(cost[line.of])}`, "start");
    });
}

/** Returns a logarithmic axis for `values`, from `start` to `end` on the page, with ticks at powers of ten. */
function axis(values, start, end) {
  const low = Math.log10(Math.min(...values)) - 0.05;
  const high = Math.log10(Math.max(...values));
  const at = (value) => round(start + ((Math.log10(value) - low) / (high - low)) * (end - start));
  const ticks = [];
  for (let power = Math.ceil(low); power <= high; power++) {
    ticks.push({ value: 10 ** power, at: at(10 ** power) });
  }
  return { at, ticks };
}

function label(x, y, text, anchor) {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${text}</text>`;
}

function size(mb) {
  return mb < 1_000 ? `${mb} MB` : `${mb / 1_000} GB`;
}

function duration(ms) {
  if (ms >= 1_000) {
    return `${Number((ms / 1_000).toPrecision(2))} s`;
  }
  return `${Number(ms.toPrecision(2))} ms`;
}

function round(number) {
  return Math.round(number * 10) / 10;
}

function document(description, parts) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">
<title>Milliseconds that a sweep takes, against megabytes of store</title>
<desc>${description}</desc>
<style>
text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #57606a; }
.title { font-size: 16px; font-weight: 600; }
.grid { stroke: #8b949e; stroke-opacity: 0.3; }
@media (prefers-color-scheme: dark) { text { fill: #adb5bd; } }
</style>
${parts.join("\n")}
</svg>
`;
}
