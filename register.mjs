// cron-session-reaper/register: replaces the reaper of an installed gateway with the native sweep.
//
//   NODE_OPTIONS="--import cron-session-reaper/register" openclaw gateway
//   NODE_OPTIONS="--import /srv/app/node_modules/cron-session-reaper/register.mjs" openclaw gateway
//
// The reaper of a published gateway is a private function of a bundle. While Node.js loads the bundle,
// this module adds a call of the native sweep to the start of the function, in memory. The files are
// not modified. The rest of the function remains and runs if the native sweep is not available.
//
// Gateways from 2026.5.2 to 2026.7.35 do not lock their store, but queue their writes. There the file
// that declares the store's writer gets one more line, which gives the native sweep access to the queue
// and the cache. The sweep then commits inside the queue (swap-in/store-writer.js).
//
// The reaper is replaced only if all of this holds. Otherwise one line on stderr gives the reason.
// - The file belongs to a package named `openclaw`. In node_modules, its folder has that name too.
// - Its version is in one of the ranges of swap-in/gateways.json (2026.2.23 to 2026.4.29, 2026.5.2 to
//   2026.7.35).
// - The file declares `async function sweepCronRunSessions(params)` exactly once.
// - The module around it (the region that the bundler marks, with its constants and the retention) has
//   one of the fingerprints in swap-in/gateways.json: the SHA-256 of its text without the differences
//   in white space and the bundler's numbered suffixes.
// - From 2026.5.2 on, the same holds for the modules of the store's writer and of its cache.
// - The native addon can be loaded.
//
// A gateway that is not supported, or a renamed one, is reported once for a process and its children,
// and only if a file with the reaper is loaded.
//
// CRON_SESSION_REAPER=off disables the replacement. Then no line is printed.
//
// Limits:
// - No line on stderr means that the process has loaded no reaper. Most commands of `openclaw` load none.
// - Without module.registerHooks (Node.js before 22.15), hooks run in a separate thread. They are
//   installed only if the package of the started program has `openclaw` in its name, not if another
//   program imports the gateway, and they do not see a CommonJS bundle. There, each process reports an
//   unsupported gateway.
// - NODE_OPTIONS applies to every Node.js process that the gateway starts. A process that loads no
//   gateway only searches the text of loaded files.
// - Node.js resolves the bare name from the current folder, and does not start if it cannot find it. Use
//   the absolute path in a service.

import module, { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const SWEEP = Symbol.for("cron-session-reaper.sweep");
const WRITER = Symbol.for("cron-session-reaper.store-writer");
let native;
let queued;

// If the module is loaded twice, by two options or from two folders, only the first one is active.
if (process.env.CRON_SESSION_REAPER !== "off" && !(SWEEP in globalThis)) {
  // CommonJS loads faster. It is loaded before the hooks exist, which would otherwise process it.
  const { isGatewayProgram, replaceReaper, report } = require("./swap-in/replace.js");
  try {
    // The replaced function reads this property when it is called. The addon is loaded only then.
    Object.defineProperty(globalThis, SWEEP, { get: nativeSweep, configurable: true });
    if (typeof module.registerHooks === "function") {
      module.registerHooks({
        load: (url, context, nextLoad) => replaceReaper(url, nextLoad(url, context)),
      });
    } else if (isGatewayProgram(process.argv[1])) {
      module.register("./swap-in/loader.mjs", import.meta.url);
    }
  } catch (error) {
    report(`could not install the module hooks (${error}); using the gateway's own reaper`);
  }
}

function nativeSweep() {
  try {
    native ??= require("./index.js");
  } catch {
    return undefined; // Reported when the bundle was loaded. The gateway's own reaper sweeps.
  }
  const gateway = globalThis[WRITER];
  if (gateway === undefined) return native.sweepCronRunSessions;
  queued ??= native.createCronSessionReaper(
    require("./swap-in/store-writer.js").storeWriterOf(gateway),
    {
      runKeys: gateway.runKeys,
    },
  );
  return queued.sweepCronRunSessions;
}
