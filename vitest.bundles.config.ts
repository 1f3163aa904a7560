import { defineConfig } from "vitest/config";

/** Journeys through the functions as they are deployed. Needs what `npm run bundles` builds and installs. */
export default defineConfig({
  test: {
    include: [
      "test/bundles/*.test.ts",
      "test/journeys/{main-job,bad-input,refusals,people,doctor,endings,webhooks,postgres,strays}.test.ts",
    ],
    setupFiles: ["test/bundles/setup.ts"],
    env: { STINT_TEST_BUNDLES: ".sst/stint/bundles" },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "threads",
  },
});
