// cron-session-reaper/register: the native sweep in an installed gateway.
//
//   NODE_OPTIONS="--import cron-session-reaper/register" openclaw gateway
//   NODE_OPTIONS="--import /where/it/is/cron-session-reaper/register.mjs" openclaw gateway
//
// A gateway from npm holds its reaper as a private function of a bundle. While Node.js loads that
// bundle, a call of the native sweep is put at the start of that one function, in memory; the files
// stay as they are, and so does the rest of the function, which runs if the native sweep is not there.
//
// What has to hold, or nothing is changed and one line on stderr says why:
// - the file belongs to a package named `openclaw`, in a folder of that name if it is in node_modules;
// - its version is one of those in swap-in/gateways.json (2026.2.23 to 2026.4.29);
// - the file declares `async function sweepCronRunSessions(params)` exactly once;
// - all of the module around it (the region that the bundler marks, constants and retention included)
//   has one of the fingerprints in swap-in/gateways.json: SHA-256, white space and the bundler's
//   numbered suffixes put aside;
// - the native addon can be loaded.
//
// CRON_SESSION_REAPER=off leaves everything as it is, without a word.
//
// Limits:
// - A silent stderr means that the process has loaded no reaper, as most commands of `openclaw` do not.
// - Without module.registerHooks (Node.js before 22.15) the hooks need a thread of their own. They are
//   installed only where the program itself is the gateway's, not where another one imports it, and
//   they do not see a bundle in CommonJS.
// - NODE_OPTIONS reaches every Node.js process that the gateway starts. Where there is no gateway to
//   load, looking at the paths of loaded files is all that is done.
// - Node.js looks the bare name up from the current folder, and does not start if it is not there. A
//   service should be given the absolute path.

import module, { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const SWEEP = Symbol.for("cron-session-reaper.sweep");
let native;

// Loaded twice, by two options or from two places, the first one does it.
if (process.env.CRON_SESSION_REAPER !== "off" && !(SWEEP in globalThis)) {
  // CommonJS, which is faster to load, and before there are hooks that it would come by itself.
  const { isGatewayProgram, replaced, tell } = require("./swap-in/replace.js");
  try {
    // The changed function looks here when it is called: nothing native is loaded before.
    Object.defineProperty(globalThis, SWEEP, { get: nativeSweep, configurable: true });
    if (typeof module.registerHooks === "function") {
      module.registerHooks({
        load: (url, context, nextLoad) => replaced(url, nextLoad(url, context)),
      });
    } else if (isGatewayProgram(process.argv[1])) {
      module.register("./swap-in/loader.mjs", import.meta.url);
    }
  } catch (error) {
    tell(`cannot be installed (${error}); nothing is replaced`);
  }
}

function nativeSweep() {
  try {
    native ??= require("./index.js");
  } catch {
    return undefined; // Said when it was found out; the gateway's own sweep goes on.
  }
  return native.sweepCronRunSessions;
}
