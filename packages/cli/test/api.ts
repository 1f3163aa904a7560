/** A small fake of the HTTP API: it answers by the contract's shapes and remembers what it was asked. */
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import type { AwsCredentials, GrantView } from "@stint/client/types";

interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  /** Cuts the connection instead of answering. */
  readonly cut?: true;
}

export interface Api extends AsyncDisposable {
  readonly url: string;
  readonly calls: Call[];
  /** `POST /v1/grants` and so on, in order. */
  readonly asked: () => string[];
}

/** By `METHOD path`, without the query; what is missing is answered as the usual life of one grant would be. */
export type Answers = Readonly<Record<string, Answer | ((call: Call) => Answer)>>;

export const ID = "g0123456789abcde";
export const TOKEN = `stint_${ID}_c2lnbmF0dXJl`;
export const GRANT = `/v1/grants/${ID}`;

export const aws: AwsCredentials = {
  accessKeyId: "ASIAEXAMPLE",
  secretAccessKey: "secret/it's+one=",
  sessionToken: "session//token+two==",
  expiration: "2026-11-22T10:20:00.000Z",
};

export const grant = (changes: Partial<GrantView> = {}): GrantView => ({
  id: ID,
  profile: "orders-integration",
  state: "active",
  principal: { kind: "job", id: "github:issuer:186853002:2202229078:1:1291536064", claims: {} },
  namespace: `it-${ID}`,
  rule: "orders-main",
  createdAt: "2026-11-22T10:00:00.000Z",
  startsAt: "2026-11-22T10:00:00.000Z",
  endsAt: "2026-11-22T10:20:00.000Z",
  deadBy: "2026-11-22T10:20:00.000Z",
  revocability: { aws: "next-request" },
  leases: [{ target: "aws", until: "2026-11-22T10:20:00.000Z", accessKeyId: "ASIAEXAMPLE" }],
  ...changes,
});

export const issued: Answer = {
  status: 201,
  body: { grant: grant(), credentials: { aws }, token: TOKEN },
};

export const pending: Answer = {
  status: 202,
  body: { grant: grant({ state: "pending", leases: [] }), token: TOKEN },
};

export const problem = (
  status: number,
  code: string,
  more: Readonly<Record<string, unknown>> = {},
): Answer => ({
  status,
  body: { type: "about:blank", title: "Refused", status, code, detail: `it is ${code}`, ...more },
});

const usual: Answers = {
  "GET /healthz": { status: 200, body: { status: "ok", audience: "https://stint.acme.dev" } },
  "POST /v1/grants": issued,
  [`GET ${GRANT}`]: { status: 200, body: { grant: grant() } },
  [`POST ${GRANT}/credentials`]: { status: 200, body: { grant: grant(), credentials: { aws } } },
  [`POST ${GRANT}/approval`]: { status: 200, body: { grant: grant({ state: "ready" }) } },
  [`DELETE ${GRANT}`]: {
    status: 202,
    body: { grant: grant({ state: "ending", why: "released" }) },
  },
};

export async function serve(answers: Answers = {}): Promise<Api> {
  const calls: Call[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("utf8");
    const call: Call = {
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers,
      body: text === "" ? undefined : JSON.parse(text),
    };
    calls.push(call);
    const key = `${call.method} ${call.path.split("?")[0]}`;
    const found = answers[key] ?? usual[key] ?? problem(404, "route_not_found");
    const { status, body, cut } = typeof found === "function" ? found(call) : found;
    if (cut) return void request.socket.destroy();
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    asked: () => calls.map(({ method, path }) => `${method} ${path}`),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
