// The table of figures: one line each.

const violations = [];

/** One figure: what was reached, what is required, and what went wrong on the way. */
export function figure(name, reached, required, problems = []) {
  const enough = reached >= required;
  const verdict = problems.length === 0 && enough ? "ok" : "VIOLATED";
  print(name, reached, `≥ ${required}`, verdict);
  tell(name, verdict, problems);
}

/** A figure that must be nothing at all. */
export function none(name, found, problems = []) {
  const verdict = found === 0 && problems.length === 0 ? "ok" : "VIOLATED";
  print(name, found, "0", verdict);
  tell(name, verdict, problems);
}

/** What this machine does not allow. */
export function skipped(name, why) {
  print(name, "–", "", `SKIPPED: ${why}`);
}

/** Whether a deliberate mistake was noticed. */
export function bite(name, mistake, problems) {
  const caught = problems.length > 0;
  const first = caught ? `: ${problems[0].replaceAll(/\s+/g, " ").slice(0, 90)}` : "";
  console.log(
    `${name.padEnd(34)} ${mistake.padEnd(22)} ${caught ? `caught${first}` : "NOT CAUGHT"}`,
  );
  if (!caught) {
    violations.push(name);
  }
}

export const anyViolation = () => violations.length > 0;

function print(name, reached, required, verdict) {
  const number = typeof reached === "number" ? reached.toLocaleString("en-US") : reached;
  console.log(`${name.padEnd(52)} ${number.padStart(9)} ${required.padStart(10)}   ${verdict}`);
}

function tell(name, verdict, problems) {
  if (verdict === "ok") {
    return;
  }
  violations.push(name);
  for (const problem of problems.slice(0, 10)) {
    console.log(`    ${problem}`);
  }
  if (problems.length > 10) {
    console.log(`    … and ${problems.length - 10} more`);
  }
}
