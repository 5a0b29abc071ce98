// Makes the fuzzers' first inputs of the recordings of the gateway: `node fuzz/seeds.mjs`.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

const here = new URL("./", import.meta.url);
const sweeps = new URL("../__test__/gateway-vectors/sweeps.json", here);
const { cases } = JSON.parse(readFileSync(sweeps, "utf8"));

for (const target of ["survey", "rewrite"]) {
  const corpus = new URL(`corpus/${target}/`, here);
  mkdirSync(corpus, { recursive: true });
  for (const { name, files, store } of cases) {
    const text = files.find(({ path }) => path === store)?.text;
    // The last byte is the size of the buffer: a prime for some, the whole store for others.
    if (text !== undefined)
      writeFileSync(new URL(name, corpus), `${text}${name.length % 2 ? "%" : "\0"}`);
  }
}
