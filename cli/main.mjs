#!/usr/bin/env node
// npx cron-session-reaper

import { run } from "./command.mjs";

process.exitCode = await run(process.argv.slice(2));
