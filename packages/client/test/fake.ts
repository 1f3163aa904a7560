/** A small HTTP server that answers as told and remembers what it was asked. */
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import type { GrantView } from "../src/types.ts";

export interface Call {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Cuts the connection instead of answering. */
  readonly cut?: true;
}

export interface Fake extends AsyncDisposable {
  readonly url: string;
  readonly calls: Call[];
}

export async function serve(answer: (call: Call) => Answer | Promise<Answer>): Promise<Fake> {
  const calls: Call[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("utf8");
    const call: Call = {
      method: request.method ?? "",
      url: request.url ?? "",
      headers: request.headers,
      body: text === "" ? undefined : JSON.parse(text),
    };
    calls.push(call);
    const { status, body, headers, cut } = await answer(call);
    if (cut) return void request.socket.destroy();
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export const ID = "g0123456789abcde";
export const TOKEN = `stint_${ID}_c2lnbmF0dXJl`;

export const grant = (changes: Partial<GrantView> = {}): GrantView => ({
  id: ID,
  profile: "orders-integration",
  state: "active",
  principal: {
    kind: "job",
    id: "github:token.actions.githubusercontent.com:186853002:2202229078:1:1291536064",
    claims: { repository_id: "186853002", ref: "refs/heads/main" },
  },
  namespace: `it-${ID}`,
  job: {
    pipeline: "github",
    issuer: "https://token.actions.githubusercontent.com",
    run: "2202229078",
    attempt: "1",
    job: "1291536064",
  },
  rule: "orders-main",
  createdAt: "2026-11-22T10:00:00.000Z",
  startsAt: "2026-11-22T10:00:00.000Z",
  endsAt: "2026-11-22T10:20:00.000Z",
  deadBy: "2026-11-22T10:15:00.000Z",
  revocability: { aws: "next-request" },
  leases: [{ target: "aws", until: "2026-11-22T10:15:00.000Z", accessKeyId: "ASIAEXAMPLE" }],
  ...changes,
});

export const awsCredentials = {
  accessKeyId: "ASIAEXAMPLE",
  secretAccessKey: "example/secret+key=",
  sessionToken: "example//session+token==",
  expiration: "2026-11-22T10:15:00.000Z",
};

export const problem = (
  status: number,
  code: string,
  more: Readonly<Record<string, unknown>> = {},
): Answer => ({
  status,
  headers: { "content-type": "application/problem+json" },
  body: {
    type: `https://stint.dev/problems/${code}`,
    title: code,
    status,
    code,
    detail: `it is ${code}`,
    requestId: "r-1",
    ...more,
  },
});
