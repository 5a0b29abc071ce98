import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["__test__/**/*.test.mjs"],
    // Processes, not threads: the tests set HOME, which a thread cannot do for native code.
    pool: "forks",
    // Several tests start processes of their own; more at once would only wait for each other.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
