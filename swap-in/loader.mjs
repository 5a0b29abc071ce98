// The hook of register.mjs in the thread that older Node.js versions run hooks in.

import replacement from "./replace.js";

export async function load(url, context, nextLoad) {
  return replacement.replaced(url, await nextLoad(url, context));
}
