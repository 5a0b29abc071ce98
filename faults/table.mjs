// Prints the table of figures, one line each.

const violations = [];

/** Prints a figure: the reached value, the required one, and the problems that occurred. */
export function figure(name, reached, required, problems = []) {
  const enough = reached >= required;
  const verdict = problems.length === 0 && enough ? "ok" : "VIOLATED";
  print(name, reached, `≥ ${required}`, verdict);
  reportProblems(name, verdict, problems);
}

/** Prints a figure that must be zero. */
export function none(name, found, problems = []) {
  const verdict = found === 0 && problems.length === 0 ? "ok" : "VIOLATED";
  print(name, found, "0", verdict);
  reportProblems(name, verdict, problems);
}

/** Prints a campaign that this machine does not permit. */
export function skipped(name, why) {
  print(name, "–", "", `SKIPPED: ${why}`);
}

/** Prints whether a planted fault was detected. */
export function bite(name, fault, problems) {
  const caught = problems.length > 0;
  const first = caught ? `: ${problems[0].replaceAll(/\s+/g, " ").slice(0, 90)}` : "";
  console.log(`${name.padEnd(34)} ${fault.padEnd(26)} ${caught ? `caught${first}` : "NOT CAUGHT"}`);
  if (!caught) {
    violations.push(name);
  }
}

export const anyViolation = () => violations.length > 0;

function print(name, reached, required, verdict) {
  const number = typeof reached === "number" ? reached.toLocaleString("en-US") : reached;
  console.log(`${name.padEnd(52)} ${number.padStart(9)} ${required.padStart(10)}   ${verdict}`);
}

function reportProblems(name, verdict, problems) {
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
