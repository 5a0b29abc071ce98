// Mutants that behave as the original does on Linux, so that no test there can detect them.

/** Which line of which file becomes which line, and why that changes nothing. */
export const EQUIVALENT = [
  {
    file: "src/lock/found.rs",
    line: "while length < buffer.len() {",
    to: "while length <= buffer.len() {",
    why: "a read into an empty rest of the buffer returns 0, which ends the loop",
  },
  {
    file: "src/sweep/plan.rs",
    line: "self.positions = HashMap::new();",
    to: "();",
    why: "it frees memory that is needed no more",
  },
  {
    file: "src/store/replace.rs",
    line: "self.store.file = new;",
    to: "();",
    why: "only on Windows a file is closed before it is replaced",
  },
];
