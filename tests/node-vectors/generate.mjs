// Writes the two tables beside this file anew: what Node.js makes of dates and of values that are
// compared with a number. Run: node tests/node-vectors/generate.mjs
import { writeFileSync } from "node:fs";

const table = (name, about, rows) => {
  const lines = rows.map((row) => `    ${JSON.stringify(row)}`).join(",\n");
  const url = new URL(name, import.meta.url);
  writeFileSync(url, `{\n  "about": ${JSON.stringify(about)},\n  "rows": [\n${lines}\n  ]\n}\n`);
};

const two = (n) => String(n).padStart(2, "0");

const dates = [];
const date = (text) => {
  const ms = Date.parse(text);
  dates.push([text, Number.isNaN(ms) ? null : ms]);
};
for (const year of [
  "0000",
  "0004",
  "0099",
  "1582",
  "1900",
  "1969",
  "1970",
  "2000",
  "2025",
  "2028",
  "2100",
  "9999",
]) {
  for (const day of ["01-01", "02-28", "02-29", "02-30", "02-31", "03-01", "04-31", "12-31"]) {
    date(`${year}-${day}T10:00:00.000Z`);
  }
}
for (let month = 0; month <= 13; month++) {
  for (const day of [0, 1, 29, 30, 31, 32]) date(`2026-${two(month)}-${two(day)}T23:59:59.999Z`);
}
for (const time of [
  "00:00:00",
  "23:59:59",
  "24:00:00",
  "24:00:00.000",
  "24:00:00.001",
  "24:00:01",
  "24:01:00",
  "25:00:00",
  "10:60:00",
  "10:99:00",
  "10:00:60",
  "10:00:61",
  "10:00:99",
  "23:59:60",
  "00:00:00.001",
  "12:34:56.789",
]) {
  date(`2026-03-01T${time}Z`);
  date(`2026-02-31T${time}Z`);
}
for (const zone of [
  "+00:00",
  "-00:00",
  "+01:00",
  "-05:30",
  "+14:00",
  "+23:59",
  "-23:59",
  "+24:00",
  "+23:60",
]) {
  for (const time of ["10:00:00", "00:00:00.5", "24:00:00", "24:00:00.000"])
    date(`2026-03-01T${time}${zone}`);
}
for (const decimals of [
  "",
  "0",
  "1",
  "12",
  "123",
  "1234",
  "1239",
  "123999999",
  "000999",
  "999999999999",
]) {
  date(`2026-03-01T10:00:00.${decimals}Z`);
}
table("dates.json", `Date.parse(text) of Node.js ${process.versions.node}; null = NaN.`, dates);

const texts = [
  "",
  " ",
  "0",
  "-0",
  "5",
  "+5",
  "-5",
  "--5",
  "+-5",
  " 5 ",
  "\ufeff5\u00a0",
  "\u00855",
  "\u180e5",
  "5\u2028",
  "007",
  "1.5",
  ".5",
  "5.",
  ".",
  "+.5",
  "-.5e1",
  "5.e3",
  ".e3",
  "1e3",
  "1E3",
  "1e+3",
  "1e-3",
  "1e",
  "e5",
  "1e1.5",
  "1e400",
  "-1e400",
  "1e-400",
  "1e99999999999999999999",
  "1_0",
  "1,0",
  "1 0",
  "1n",
  "Infinity",
  "+Infinity",
  "-Infinity",
  "infinity",
  "INFINITY",
  "inf",
  "NaN",
  "nan",
  "Infinity ",
  "Infinity1",
  "0x10",
  "0X1f",
  "0xFF",
  "0x",
  "0xg",
  "-0x10",
  "+0x10",
  "0x1.8",
  "0x 1",
  "0b101",
  "0B11",
  "0b2",
  "0b",
  "0o17",
  "0O7",
  "0o8",
  "0o",
  "08",
  "0x1fffffffffffff",
  "0x20000000000001",
  "0x20000000000003",
  "0x200000000000010000000000000000",
  "0x200000000000010000000000000001",
  "0x" + "f".repeat(300),
  "0x1" + "0".repeat(255),
  "0x1" + "0".repeat(256),
  "0b1" + "0".repeat(1023),
  "0b1" + "0".repeat(1024),
  "0x" + "0".repeat(400) + "7",
  "0o" + "7".repeat(30),
  "9007199254740993",
  "179769313486231570000e289",
  "179769313486231580793728971405301e276",
  "0.1",
  "123456789012345678901234567890",
  "2020",
  "2026-03-01T12:00:00.000Z",
  "x",
  "true",
  "null",
  "٣",
  "١",
  "\u0000",
  "5\u0000",
  "[5]",
  "{}",
  "5]",
];
const values = [
  "0",
  "-0",
  "5",
  "-5",
  "1.5",
  "1e400",
  "-1e400",
  "1e-400",
  "1E5",
  "0.1",
  "9007199254740993",
  "1772366400000",
  "true",
  "false",
  "null",
  "{}",
  '{"a":1}',
  "[]",
  "[ ]",
  "[null]",
  "[5]",
  "[ 5 ]",
  "[-5]",
  "[1e400]",
  "[[7]]",
  "[[[]]]",
  "[ [ [ null ] ] ]",
  "[true]",
  "[false]",
  "[{}]",
  "[[{}]]",
  "[1,2]",
  "[1,[]]",
  "[[],1]",
  "[[],[]]",
  "[null,null]",
  "[[1],[2]]",
  "[[1],2]",
  '["1","2"]',
  '["",""]',
  '["]"]',
  '["["]',
  '["[5]"]',
  '[",",1]',
  '["\\"5\\""]',
  '"\\u0035"',
  '["\\u0035"]',
  '"\\ud800"',
  '"5\\ud800"',
  '"\\t5\\n"',
  '["0x10",{}]',
  '[{"a":[1]}]',
];
for (const text of texts) values.push(JSON.stringify(text), JSON.stringify([text]));
table(
  "numbers.json",
  `The number that < makes of a JSON value in Node.js ${process.versions.node}, as JavaScript writes it.`,
  values.map((json) => [json, String(+JSON.parse(json))]),
);
