// The load hook of register.mjs for Node.js versions that run hooks in a separate thread.

import replacement from "./replace.js";

export async function load(url, context, nextLoad) {
  return replacement.replaceReaper(url, await nextLoad(url, context));
}
