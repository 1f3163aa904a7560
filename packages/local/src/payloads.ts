import { createRequire } from "node:module";
import * as z from "zod";

const schema = z.array(
  z.object({ name: z.string(), examples: z.array(z.record(z.string(), z.unknown())) }),
);

/** Check run of the demo's job: the same in GitHub's payloads and in the local issuer's tokens. */
export const DEMO_CHECK_RUN = "1291536064";

/** GitHub's own webhook payload of the demo's job (`Codertocat/Hello-World`, run 2202229078). */
export function demoJobPayload(
  action: "queued" | "in_progress" | "completed",
): Record<string, unknown> {
  const all = schema.parse(createRequire(import.meta.url)("@octokit/webhooks-examples"));
  const found = all
    .find(({ name }) => name === "workflow_job")
    ?.examples.find((one) => one.action === action && JSON.stringify(one).includes(DEMO_CHECK_RUN));
  if (found === undefined) throw new Error(`there is no workflow_job payload for ${action}`);
  return found;
}
