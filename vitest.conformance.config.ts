import { defineConfig } from "vitest/config";

/** What any faithful AWS must do: run against local AWS, or against whatever `AWS_ENDPOINT_URL` names. */
export default defineConfig({
  test: { include: ["packages/local/conformance/*.test.ts"], testTimeout: 60_000, pool: "threads" },
});
