// Figures for a dashboard: what a sweep of each store would do now, in the text format that
// Prometheus and most of its kind read. Nothing is changed and no lock is taken, so it can be run as
// often as you like; write its output where your collector looks for text files.
//
//   node examples/dashboard.mjs path/to/sessions.json [...] > cron_sessions.prom

import { sweepSessionStore } from "cron-session-reaper";

const metrics = [
  ["store_bytes", "Size of the store", (report) => report.bytes.before],
  ["entries", "Entries in the store", (report) => report.entries.seen],
  ["entries_expired", "Cron runs that a sweep would remove", (report) => report.pruned],
  ["entries_locked", "Expired, but in use", (report) => report.entries.locked],
  ["reclaimable_bytes", "What a sweep would free", (report) => report.bytes.reclaimed],
  ["survey_seconds", "How long reading it took", (report) => report.ms.surveying / 1000],
  ["failed", "1 if the store is not there or cannot be read", () => 0],
];

const stores = await Promise.all(
  process.argv.slice(2).map(async (path) => {
    try {
      const report = await sweepSessionStore({ sessionStorePath: path, dryRun: true });
      if (report.reason === "no-store") {
        throw new Error(`${path}: there is no such store`);
      }
      return { path, values: metrics.map(([, , value]) => value(report)) };
    } catch (error) {
      // Damaged, unreadable, mistyped, …: the dashboard should show it, and the others all the same.
      console.error(error.message.includes(path) ? error.message : `${path}: ${error.message}`);
      return { path, values: metrics.map(([name]) => (name === "failed" ? 1 : undefined)) };
    }
  }),
);

metrics.forEach(([name, help], index) => {
  const samples = stores.filter(({ values }) => values[index] !== undefined);
  console.log(`# HELP cron_sessions_${name} ${help}.`);
  console.log(`# TYPE cron_sessions_${name} gauge`);
  for (const { path, values } of samples) {
    const label = path.replace(/["\\\n]/g, (char) => (char === "\n" ? "\\n" : `\\${char}`));
    console.log(`cron_sessions_${name}{store="${label}"} ${values[index]}`);
  }
});
