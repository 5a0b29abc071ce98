// Recognises typing mistakes in names.

/** Returns whether two names differ by one letter that is missing, added, replaced or swapped. */
export function isSimilar(a, b) {
  const [short, long] = a.length < b.length ? [a, b] : [b, a];
  let start = 0;
  while (start < short.length && short[start] === long[start]) start++;
  const rest = (text, from) => text.slice(start + from);
  const isSwapped =
    short[start] === long[start + 1] &&
    short[start + 1] === long[start] &&
    rest(short, 2) === rest(long, 2);
  return (
    rest(short, 0) === rest(long, 1) ||
    (short.length === long.length && (rest(short, 1) === rest(long, 1) || isSwapped))
  );
}
