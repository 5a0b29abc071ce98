// Returns the top-level members of a JSON object as they are written, to check that kept members are
// copied byte for byte. The text must be valid JSON.

const BLANK = /[ \t\r\n]/;

export function membersOf(text) {
  let at = 0;
  const blank = () => {
    while (BLANK.test(text[at] ?? "")) at += 1;
  };
  const string = () => {
    const start = at;
    for (at += 1; text[at] !== '"'; at += 1) if (text[at] === "\\") at += 1;
    at += 1;
    return text.slice(start, at);
  };
  const value = () => {
    if (text[at] === '"') return string();
    const start = at;
    let depth = 0;
    for (; at < text.length; at += 1) {
      const c = text[at];
      if (c === '"') {
        string();
        at -= 1;
      } else if (c === "{" || c === "[") depth += 1;
      else if (c === "}" || c === "]") {
        if (depth === 0) break;
        depth -= 1;
        if (depth === 0) {
          at += 1;
          break;
        }
      } else if (depth === 0 && (c === "," || BLANK.test(c))) break;
    }
    return text.slice(start, at);
  };

  const members = [];
  blank();
  at += 1;
  for (blank(); text[at] !== "}"; blank()) {
    if (text[at] === ",") {
      at += 1;
      continue;
    }
    const key = string();
    blank();
    at += 1;
    blank();
    members.push([key, value()]);
  }
  return members;
}
