import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "functions/test/**/*.test.ts", "test/**/*.test.ts"],
    // These have commands of their own, and need more than npm ci: see docs/architecture.md.
    exclude: ["**/node_modules/**", "test/infra/**", "test/bundles/**"],
    testTimeout: 20_000,
    pool: "threads",
  },
});
