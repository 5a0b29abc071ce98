// Prints each row when it is measured, and all rows as a Markdown table at the end.

export function printRow(row) {
  console.log(
    `${verdict(row).padEnd(4)}${row.figure}: ${cells(row).slice(1, 4).filter(Boolean).join("  ")}`,
  );
}

export function printTable(rows) {
  const head = ["figure", "measured", "compared with", "ratio", "target", "reached"];
  const body = rows.map((row) => [...cells(row), verdict(row)]);
  const widths = head.map((_, column) =>
    Math.max(...[head, ...body].map((it) => it[column].length)),
  );
  const line = (texts) => `| ${texts.map((text, at) => text.padEnd(widths[at])).join(" | ")} |`;
  console.log(`\n${line(head)}\n${line(widths.map((width) => "-".repeat(width)))}`);
  for (const texts of body) {
    console.log(line(texts));
  }
}

function cells({ figure, measured, comparison = "", ratio, target }) {
  return [figure, measured, comparison, ratio === undefined ? "" : `${ratio.toFixed(2)} ×`, target];
}

function verdict({ reached }) {
  if (reached === undefined) {
    return "";
  }
  return reached ? "yes" : "no";
}
