import { defineConfig } from "vitest/config";

/** What `sst.config.ts` declares, evaluated without an account. Needs `.sst/platform`, which `npm run infra` unpacks. */
export default defineConfig({
  test: { include: ["test/infra/*.test.ts"], testTimeout: 30_000, fileParallelism: false },
});
