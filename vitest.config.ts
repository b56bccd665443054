import { defineConfig } from "vitest/config";

export default defineConfig({
  // The limits are for what hangs: a machine that others load takes many times as long as an idle one. Files follow each other in two processes,
  // which load and warm the compiler once.
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: "forks",
    isolate: false,
    maxWorkers: 2,
    teardownTimeout: 2000,
  },
});
