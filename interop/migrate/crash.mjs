// Loaded into a gateway. Kills its process after it has written a temp file of its session store, before
// it renames it.

import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const { rename } = fs.promises;
fs.promises.rename = (from, ...rest) => {
  if (/sessions\.json\.[^/\\]*\.tmp$/.test(String(from))) process.kill(process.pid, "SIGKILL");
  return rename(from, ...rest);
};
syncBuiltinESMExports();
