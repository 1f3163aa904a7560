/**
 * Where a conformance test's calls go: local AWS on a free port, or wherever `AWS_ENDPOINT_URL` says. `aws` there means
 * the real services, with the environment's own credentials.
 */
import { randomBytes } from "node:crypto";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import type { ClientSettings } from "@stint/functions/live";
import { localAws } from "../src/local-aws.ts";

export interface Endpoint {
  /** For every SDK client. One attempt: a refusal is what many of these tests are about. */
  readonly client: ClientSettings;
  readonly place: { readonly account: string; readonly region: string };
  /** A name that nobody else has, and that tells who left it. */
  unique(label: string): string;
  close(): Promise<void>;
}

export async function endpoint(): Promise<Endpoint> {
  const { AWS_ENDPOINT_URL: url, AWS_REGION: region = "us-east-1" } = process.env;
  const unique = (label: string) =>
    `stint-conformance-${label}-${randomBytes(5).toString("hex")}`.toLowerCase();
  if (url === undefined || url === "") {
    const aws = localAws({ region, iamDelayMs: 0 });
    const served = await aws.listen(0);
    return {
      client: { region, credentials: aws.administrator, endpoint: served.url, maxAttempts: 1 },
      place: { account: aws.world.account, region },
      unique,
      close: () => served.close(),
    };
  }
  // The SDK reads this name too, and would take the word for an address.
  if (url === "aws") delete process.env.AWS_ENDPOINT_URL;
  const client = { region, maxAttempts: 1, ...(url === "aws" ? {} : { endpoint: url }) };
  const { Account = "" } = await new STSClient(client).send(new GetCallerIdentityCommand({}));
  return { client, place: { account: Account, region }, unique, close: async () => {} };
}

/** How a call ends, as its caller is told: `none`, or the error's name and HTTP status. */
export async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "none";
  } catch (error) {
    if (!(error instanceof Error) || !("$metadata" in error)) throw error;
    const { httpStatusCode } = error.$metadata as { httpStatusCode?: number }; // the SDK's own
    return `${error.name} ${httpStatusCode}`;
  }
}

/** Asks until the answer is as expected, for what spreads in its own time elsewhere; local AWS answers at once. */
export async function eventually(ask: () => Promise<string>, expected: string): Promise<void> {
  for (let tries = 60; ; tries -= 1) {
    const answer = await ask();
    if (answer === expected) return;
    if (tries === 0) throw new Error(`after a minute still ${answer}, and not ${expected}`);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}
