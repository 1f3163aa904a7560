/** Everything on loopback: the API, local AWS and the OIDC issuer, each on its port. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { fileURLToPath } from "node:url";
import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { type Config, rolesOf } from "@stint/core/profile";
import type { Log } from "@stint/functions/app";
import { readConfig } from "@stint/functions/live";
import { pipelines } from "@stint/pipelines/registry";
import { createLocalIssuer, type LocalIssuer } from "./issuer.ts";
import { localApi } from "./local-api.ts";
import { localAws, type StandardAws } from "./local-aws.ts";
import { standIns } from "./stand-ins.ts";
import { deployStint, type LocalStint } from "./stint.ts";
import { uuid } from "./uuid.ts";

export interface DevOptions {
  /** 0 takes a free one. */
  readonly ports: { readonly api: number; readonly aws: number; readonly oidc: number };
  /** Path of a stint.yaml; the demo's by default. */
  readonly config?: string;
  readonly log?: Log;
  /** Told what is odd about the configuration, though it loads. */
  readonly warn?: (line: string) => void;
}

export interface Dev {
  readonly url: string;
  readonly awsUrl: string;
  readonly oidcUrl: string;
  readonly config: Config;
  readonly aws: StandardAws;
  readonly issuer: LocalIssuer;
  readonly stint: LocalStint;
  close(): Promise<void>;
}

const HOST = "127.0.0.1";
export const DEMO_CONFIG = fileURLToPath(new URL("../demo/stint.yaml", import.meta.url));

const SILENT: Log = { info: () => {}, error: () => {} };

/** Resolves once requests are served on all three ports. */
export async function startDev(options: DevOptions): Promise<Dev> {
  const open: Array<() => Promise<void>> = [];
  const close = async () => {
    await Promise.all(open.splice(0).map((one) => one()));
  };
  try {
    return { ...(await start(options, (one) => open.push(one))), close };
  } catch (error) {
    // A server that is left listening would keep a process alive that has nothing more to do.
    await close();
    throw error;
  }
}

async function start(
  options: DevOptions,
  opened: (close: () => Promise<void>) => void,
): Promise<Omit<Dev, "close">> {
  const config = configAt(options.config ?? DEMO_CONFIG, options.warn);
  const aws = localAws();
  for (const role of rolesElsewhere(config, aws.world.account))
    options.warn?.(
      `${role} is of another account: only ${aws.world.account} is here, so nobody gets its credentials`,
    );
  const { now } = aws.clock;
  let oidcUrl = "";
  const issuer = await createLocalIssuer({
    now,
    audience: config.audience,
    baseUrl: () => oidcUrl,
    pipelines,
    logins: config.issuers.flatMap(({ login }) => login ?? []),
  });
  const oidc = await serve(options.ports.oidc, async (request) =>
    issuer.handle({ method: request.method, path: request.url }),
  );
  opened(oidc.close);
  oidcUrl = oidc.url;
  const stint = await deployStint({ aws, config, issuer, fetch, log: options.log ?? SILENT });
  await createDemoResources(aws);
  const served = await aws.listen(options.ports.aws, HOST).catch((error) => {
    throw portTaken(error, options.ports.aws);
  });
  opened(served.close);
  const local = localApi({ aws, issuer, standIns: standIns(config) });
  const api = await serve(options.ports.api, async (request) => {
    const own = await local(request);
    if (own !== undefined) return own;
    const door = request.url.startsWith("/v1/webhooks/") ? "webhook" : "api";
    const answer = await stint.invoke(door, toEvent(request, uuid(aws.world), now()));
    // The doors answer in API Gateway's form and in no other.
    const { statusCode, headers, body } = answer as {
      statusCode: number;
      headers: Record<string, string>;
      body: string;
    };
    return { status: statusCode, headers, body };
  });
  opened(api.close);
  return { url: api.url, awsUrl: served.url, oidcUrl, config, aws, issuer, stint };
}

function configAt(file: string, warn: DevOptions["warn"]): Config {
  try {
    return readConfig(file, warn);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (typeof code !== "string") throw error;
    throw new Error(`the configuration ${file} cannot be read (${code}): STINT_CONFIG names it`, {
      cause: error,
    });
  }
}

const rolesElsewhere = (config: Config, account: string): ReadonlySet<string> =>
  new Set(
    Object.values(config.profiles)
      .flatMap(rolesOf)
      .filter((role) => role.split(":")[4] !== account),
  );

/** The demo's bucket and table. Queues are made by whoever needs one, in their namespace. */
async function createDemoResources(aws: StandardAws): Promise<void> {
  const client = {
    region: aws.world.region,
    credentials: aws.administrator,
    requestHandler: aws.requestHandler,
    endpoint: "http://127.0.0.1:4011",
  };
  await new S3Client({ ...client, forcePathStyle: true }).send(
    new CreateBucketCommand({ Bucket: "orders-it" }),
  );
  await new DynamoDBClient(client).send(
    new CreateTableCommand({
      TableName: "orders-it",
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: [
        { AttributeName: "pk", AttributeType: "S" },
        { AttributeName: "sk", AttributeType: "S" },
      ],
      KeySchema: [
        { AttributeName: "pk", KeyType: "HASH" },
        { AttributeName: "sk", KeyType: "RANGE" },
      ],
    }),
  );
}

export interface DevRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface DevReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The event that API Gateway's HTTP API makes of a request (payload format 2.0). */
function toEvent({ method, url, headers, body }: DevRequest, requestId: string, timeEpoch: number) {
  const [path = "/", query = ""] = url.split(/\?(.*)/s);
  const at = (text: string) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };
  return {
    version: "2.0",
    routeKey: "$default",
    rawPath: at(path),
    rawQueryString: query,
    headers,
    requestContext: {
      requestId,
      timeEpoch,
      http: {
        method,
        path: at(path),
        protocol: "HTTP/1.1",
        sourceIp: HOST,
        userAgent: headers["user-agent"] ?? "",
      },
    },
    body: body.toString("base64"),
    isBase64Encoded: true,
  };
}

/** Enough for what a door must refuse by itself; what is longer is read to its end and not kept. */
const KEPT_BYTES = 8_000_000;
const LONGEST_HEADERS = 512 * 1024;

async function serve(
  port: number,
  answer: (request: DevRequest) => Promise<DevReply>,
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer({ maxHeaderSize: LONGEST_HEADERS }, (incoming, outgoing) => {
    answerOne(incoming, outgoing, answer).catch(() => {
      if (!outgoing.headersSent) outgoing.writeHead(500);
      outgoing.end();
    });
  });
  await listen(server, port);
  const address = server.address();
  const bound = typeof address === "object" && address !== null ? address.port : port;
  return {
    url: `http://${HOST}:${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const listen = (server: Server, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", (error) => reject(portTaken(error, port)));
    server.listen(port, HOST, () => resolve());
  });

/** The error in words that help, where it is the common one. */
function portTaken(error: unknown, port: number): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE")
    return new Error(
      `port ${port} is taken: stop what listens there, or choose others by STINT_PORT, STINT_AWS_PORT and STINT_OIDC_PORT`,
    );
  return code === "EACCES" ? new Error(`port ${port} is not for everyone: choose another`) : error;
}

async function answerOne(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  answer: (request: DevRequest) => Promise<DevReply>,
): Promise<void> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming) {
    length += chunk.length;
    if (length <= KEPT_BYTES) chunks.push(chunk);
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(incoming.headers))
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(",") : value;
  const {
    status,
    headers: told,
    body,
  } = await answer({
    method: incoming.method ?? "GET",
    url: incoming.url ?? "/",
    headers,
    body: Buffer.concat(chunks),
  });
  outgoing.writeHead(status, { ...told, "content-length": Buffer.byteLength(body) }).end(body);
}
