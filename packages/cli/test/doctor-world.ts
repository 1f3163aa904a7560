/** Stint deployed into local AWS behind HTTP, an operator in front of it, and a configuration that both have. */

import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IAMClient } from "@aws-sdk/client-iam";
import { readConfig } from "@stint/functions/live";
import { createVirtualClock } from "@stint/local/clock";
import { createLocalIssuer } from "@stint/local/issuer";
import { localAws, type StandardAws } from "@stint/local/local-aws";
import { deployStint } from "@stint/local/stint";
import { pipelines } from "@stint/pipelines/registry";
import { onTestFinished } from "vitest";
import { run } from "../src/main.ts";
import { world } from "./world.ts";

export const ACCOUNT = "000000000000";
export const BROKER = `arn:aws:iam::${ACCOUNT}:role/stint-functions/stint-api`;
export const REVOKER = `arn:aws:iam::${ACCOUNT}:role/stint-functions/stint-revoke`;
export const ROLE = `arn:aws:iam::${ACCOUNT}:role/stint/orders`;
export const BOUNDARY = `arn:aws:iam::${ACCOUNT}:policy/stint-target`;

/** With as many statements as asked for, and roles by profile. */
export const configuration = (
  profiles: Readonly<Record<string, string>> = { orders: ROLE },
  statements = 1,
): string =>
  JSON.stringify({
    version: 1,
    audience: "https://stint.test",
    profiles: Object.fromEntries(
      Object.entries(profiles).map(([name, role]) => [
        name,
        {
          duration: { default: "20m", max: "1h" },
          targets: {
            aws: {
              kind: "aws",
              role,
              allow: Array.from({ length: statements }, (_, at) => ({
                actions: ["s3:GetObject"],
                resources: [`arn:aws:s3:::orders-${at}/\${namespace}/*`],
              })),
            },
          },
        },
      ]),
    ),
    rules: [],
  });

interface Seen {
  readonly code: string;
  readonly subject: string;
  readonly message: string;
  readonly fix: string;
}

export interface DoctorWorld {
  readonly aws: StandardAws;
  readonly iam: IAMClient;
  readonly file: string;
  /** The command, with whatever it is to be told besides. */
  doctor(...more: string[]): Promise<{ code: number; out: string; err: string }>;
  /** All that it finds, given everything that a deployment prints. */
  findings(
    ...more: string[]
  ): Promise<{ code: number; findings: readonly Seen[]; skipped: readonly string[] }>;
  readonly all: readonly string[];
}

export async function doctorWorld(text = configuration()): Promise<DoctorWorld> {
  const file = join(mkdtempSync(join(tmpdir(), "stint-doctor-")), "stint.yaml");
  writeFileSync(file, text);
  const config = readConfig(file);
  const clock = createVirtualClock(Date.parse("2026-11-22T12:00:00Z"));
  const aws = localAws({ clock, iamDelayMs: 0 });
  const issuer = await createLocalIssuer({
    now: clock.now,
    audience: config.audience,
    baseUrl: () => "http://127.0.0.1:4012",
    pipelines,
    logins: [],
  });
  await deployStint({
    aws,
    config,
    issuer,
    maxAttempts: 1,
    fetch: async () => new Response("", { status: 404 }),
    log: { info: () => {}, error: () => {} },
  });
  const served = await aws.listen(0);
  const lambda = await serveFunctions(aws);
  onTestFinished(() => served.close());
  const env = {
    AWS_ENDPOINT_URL: served.url,
    AWS_ENDPOINT_URL_LAMBDA: lambda,
    AWS_ACCESS_KEY_ID: aws.administrator.accessKeyId,
    AWS_SECRET_ACCESS_KEY: aws.administrator.secretAccessKey,
    STINT_CONFIG: file,
  };
  const all = ["--broker", BROKER, "--revoker", REVOKER, "--function", "stint-doctor"];
  const doctor = async (...more: string[]) => {
    const { io, out, err } = world({ env });
    const code = await run(["doctor", ...more], io);
    return { code, out: out(), err: err() };
  };
  return {
    aws,
    file,
    all,
    doctor,
    iam: new IAMClient({
      region: "us-east-1",
      credentials: aws.administrator,
      requestHandler: aws.requestHandler,
      maxAttempts: 1,
    }),
    async findings(...more) {
      const { code, out, err } = await doctor(...all, "--json", ...more);
      if (out === "") throw new Error(`nothing was found out: ${err}`);
      return { code, ...JSON.parse(out) };
    },
  };
}

/** Lambda's one call, as its API has it. */
async function serveFunctions(aws: StandardAws): Promise<string> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const [, name = ""] =
      /^\/2015-03-31\/functions\/([^/]+)\/invocations$/.exec(request.url ?? "") ?? [];
    try {
      const answer = await aws.functions.invoke(name, JSON.parse(String(Buffer.concat(chunks))));
      response.end(JSON.stringify(answer));
    } catch (error) {
      const { name: code, message } = error instanceof Error ? error : new Error(String(error));
      if (code === "ResourceNotFoundException")
        response.writeHead(404, { "x-amzn-errortype": code }).end(JSON.stringify({ message }));
      else
        response
          .writeHead(200, { "x-amz-function-error": "Unhandled" })
          .end(JSON.stringify({ errorType: code, errorMessage: message }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `http://127.0.0.1:${address.port}`;
}
