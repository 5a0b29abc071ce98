// Metrics for a dashboard, in the Prometheus text format: what a sweep of each store would do now.
// It changes nothing and takes no lock, so it may run at any interval. Write the output to the folder
// from which your collector reads text files.
//
//   node examples/dashboard.mjs path/to/sessions.json [...] > cron_sessions.prom

import { sweepSessionStore } from "cron-session-reaper";

const metrics = [
  ["store_bytes", "Size of the store", (report) => report.bytes.before],
  ["entries", "Entries in the store", (report) => report.entries.seen],
  ["entries_expired", "Cron runs that a sweep would remove", (report) => report.pruned],
  ["entries_locked", "Expired runs that are still in use", (report) => report.entries.locked],
  ["reclaimable_bytes", "Bytes that a sweep would free", (report) => report.bytes.reclaimed],
  ["survey_seconds", "Seconds that reading the store took", (report) => report.ms.surveying / 1000],
  ["failed", "1 if the store does not exist or cannot be read", () => 0],
];

const stores = await Promise.all(
  process.argv.slice(2).map(async (path) => {
    try {
      const report = await sweepSessionStore({ sessionStorePath: path, dryRun: true });
      if (report.reason === "no-store") {
        throw new Error(`${path}: store not found`);
      }
      return { path, values: metrics.map(([, , value]) => value(report)) };
    } catch (error) {
      // One store that fails (damaged, unreadable, mistyped) must not hide the others.
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
