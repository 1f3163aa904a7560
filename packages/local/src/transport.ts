/** Two ways in to one handler: an SDK's `requestHandler` in the same process, and HTTP on loopback. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import type { AwsRequest, AwsResponse } from "./service.ts";

type Handle = (request: AwsRequest) => Promise<AwsResponse>;

/** An HTTP request as SDK v3 clients hand it to a request handler. */
export interface SdkRequest {
  readonly protocol?: string;
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: the SDK's own type, which handlers must accept
  readonly body?: any;
}

export interface SdkResponse {
  statusCode: number;
  headers: Record<string, string>;
  // biome-ignore lint/suspicious/noExplicitAny: the SDK's own type, which clients expect
  body?: any;
}

/** Structurally SDK v3's `HttpHandler`. */
export interface SdkRequestHandler {
  readonly metadata: { readonly handlerProtocol: string };
  handle(
    request: SdkRequest,
    options?: { readonly abortSignal?: unknown; readonly requestTimeout?: number },
  ): Promise<{ response: SdkResponse }>;
  updateHttpClientConfig(key: never, value: never): void;
  httpHandlerConfigs(): Record<string, never>;
  destroy(): void;
}

/** No answer came within the client's patience. */
export class NoAnswer extends Error {
  constructor() {
    super("no answer within the client's patience");
    // The name by which SDK clients know that they may retry.
    this.name = "TimeoutError";
  }
}

const MAX_BODY_BYTES = 256 * 1024 * 1024;

const collect = async (stream: AsyncIterable<Uint8Array | string>): Promise<Uint8Array> => {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    size += bytes.length;
    if (size > MAX_BODY_BYTES) throw new RangeError("request body too large");
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
};

const bytesOf = async (body: unknown): Promise<Uint8Array> => {
  if (body === undefined || body === null) return new Uint8Array();
  if (typeof body === "string") return Buffer.from(body);
  if (ArrayBuffer.isView(body))
    return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  if (body instanceof Blob) return new Uint8Array(await body.arrayBuffer());
  if (typeof body === "object" && Symbol.asyncIterator in body)
    return collect(body as AsyncIterable<Uint8Array>); // streams of either kind yield chunks
  throw new TypeError("unsupported request body");
};

const aborted = (signal: unknown): boolean =>
  typeof signal === "object" && signal !== null && "aborted" in signal && signal.aborted === true;

const abortError = () => Object.assign(new Error("Request aborted"), { name: "AbortError" });

/** Resolves as `work` does, unless the caller gives up first. */
const unlessAborted = async <T>(work: Promise<T>, signal: unknown): Promise<T> => {
  if (!(signal instanceof AbortSignal)) return work;
  let stop = () => {};
  const gaveUp = new Promise<never>((_, reject) => {
    stop = () => reject(abortError());
    signal.addEventListener("abort", stop, { once: true });
  });
  return Promise.race([work, gaveUp]).finally(() => signal.removeEventListener("abort", stop));
};

/** The handler as SDK v3's `requestHandler`. */
export const sdkRequestHandler = (handle: Handle): SdkRequestHandler => ({
  metadata: { handlerProtocol: "http/1.1" },
  async handle(request, options = {}) {
    if (aborted(options.abortSignal)) throw abortError();
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(request.headers))
      if (value !== undefined) headers[name.toLowerCase()] = value;
    const query: Array<[string, string]> = [];
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== null && typeof value === "object")
        for (const one of value) query.push([name, one]);
      else query.push([name, value ?? ""]);
    }
    const answer = await unlessAborted(
      handle({
        method: request.method,
        path: request.path,
        query,
        headers,
        body: await bytesOf(request.body),
        secure: request.protocol !== "http:",
      }),
      options.abortSignal,
    );
    // As over HTTP: an answer to HEAD tells how long its body would be and has none.
    const head = request.method === "HEAD";
    const body = head
      ? new Uint8Array()
      : typeof answer.body === "string"
        ? Buffer.from(answer.body)
        : answer.body;
    return {
      response: {
        statusCode: answer.status,
        headers: { ...(head ? {} : { "content-length": String(body.length) }), ...answer.headers },
        // A stream, as over a socket: S3's GetObject gives its caller the body as it came.
        body: Readable.from(body.length === 0 ? [] : [body], { objectMode: false }),
      },
    };
  },
  updateHttpClientConfig() {},
  httpHandlerConfigs: () => ({}),
  destroy() {},
});

const parseQuery = (search: string): Array<[string, string]> =>
  search === ""
    ? []
    : search.split("&").map((pair) => {
        const equals = pair.indexOf("=");
        const [name, value] =
          equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
        return [decodeURIComponent(name), decodeURIComponent(value)];
      });

const toRequest = async (incoming: IncomingMessage): Promise<AwsRequest> => {
  const url = incoming.url ?? "/";
  const mark = url.indexOf("?");
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(incoming.headers))
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(",") : value;
  return {
    method: incoming.method ?? "GET",
    path: mark < 0 ? url : url.slice(0, mark),
    query: mark < 0 ? [] : parseQuery(url.slice(mark + 1)),
    headers,
    body: await collect(incoming),
    secure: false,
    sourceIp: incoming.socket.remoteAddress?.replace(/^::ffff:/, "") ?? "127.0.0.1",
  };
};

/** Serves the handler over HTTP. Port 0 takes a free one. */
export const listen = async (
  handle: Handle,
  port: number,
  host = "127.0.0.1",
): Promise<{ readonly url: string; close(): Promise<void> }> => {
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    let request: AwsRequest;
    try {
      request = await toRequest(incoming);
    } catch {
      // Not decodable, or too large: no service would have seen it.
      outgoing.writeHead(400, { connection: "close" }).end();
      return;
    }
    try {
      const { status, headers, body } = await handle(request);
      const bytes = typeof body === "string" ? Buffer.from(body) : body;
      outgoing.writeHead(status, { "content-length": bytes.length, ...headers }).end(bytes);
    } catch {
      // An injected time-out: the client sees its connection end without an answer.
      incoming.socket.destroy();
    }
  };
  const server = createServer((incoming, outgoing) => void serve(incoming, outgoing));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve());
  });
  const address = server.address();
  const bound = typeof address === "object" && address !== null ? address.port : port;
  return {
    url: `http://${host}:${bound}`,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections();
      }),
  };
};
