import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["__test__/**/*.test.mjs"],
    // Processes instead of threads: the tests set HOME, which native code does not see in a thread.
    pool: "forks",
    // Many tests start processes; more workers would only wait for each other.
    maxWorkers: 2,
    // Only a guard against tests that hang: no test depends on the speed of the machine.
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
});
