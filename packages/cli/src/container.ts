/**
 * AWS's container-credentials protocol on loopback: an SDK asks it again whenever its credentials come near their end,
 * so that each lease can be short however long the command runs.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import { StintError } from "@stint/client/error";
import { awsOnly } from "@stint/client/kinds";
import type { Leases } from "@stint/client/leases";
import type { AwsCredentials } from "@stint/client/types";
import { EXIT, Failure } from "./failure.ts";

interface ContainerOptions {
  readonly leases: Leases;
  /** The names of those that are served. */
  readonly targets: readonly string[];
  /** What a request has to bring in `Authorization`, verbatim. */
  readonly secret: string;
  /** Told of a renewal that failed, since not every SDK shows what it was answered. */
  readonly failed: (error: unknown) => void;
}

export interface Container extends AsyncDisposable {
  /** By target. */
  readonly urls: Readonly<Record<string, string>>;
}

interface Reply {
  readonly status: number;
  readonly body: Readonly<Record<string, string>>;
  readonly allow?: string;
}

const HOST = "127.0.0.1";

/** Serves on a free port of loopback until it is disposed of. */
export async function serveContainer(options: ContainerOptions): Promise<Container> {
  const { secret, targets } = options;
  const expected = digest(secret);
  const paths = new Map(targets.map((target) => [`/${encodeURIComponent(target)}`, target]));
  let host = "";

  const reply = async (request: IncomingMessage): Promise<Reply> => {
    // A page in a browser can be led here by a name that it owns (DNS rebinding); it cannot choose this header.
    if (request.headers.host !== host) return refusal(403, "wrong_host", "this is not the address");
    // Before anything else is told apart, so that nobody without the secret learns what is here.
    if (!timingSafeEqual(digest(request.headers.authorization ?? ""), expected))
      return refusal(401, "unauthenticated", "the authorization token is not this command's");
    if (request.method !== "GET")
      return { ...refusal(405, "wrong_method", "credentials are read by GET"), allow: "GET" };
    const target = paths.get(request.url ?? "");
    if (target === undefined) return refusal(404, "not_found", "there is no target of that name");
    return credentialsOf(options, target);
  };

  const server = createServer((request, response) => {
    request.resume(); // a body that nobody wants
    void reply(request).then(({ status, body, allow }) =>
      response
        .writeHead(status, {
          "content-type": "application/json",
          "cache-control": "no-store",
          connection: "close",
          ...(allow === undefined ? {} : { allow }),
        })
        .end(JSON.stringify(body)),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, HOST, resolve);
  });
  const address = server.address();
  if (typeof address !== "object" || address === null)
    throw new Failure({
      code: "not_served",
      message: "there is no port on loopback to serve credentials on",
      exit: EXIT.local,
    });
  host = `${HOST}:${address.port}`;
  return {
    urls: Object.fromEntries([...paths].map(([path, target]) => [target, `http://${host}${path}`])),
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Of one length whatever it is of, so that comparing tells nothing, not even that. */
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

async function credentialsOf({ leases, failed }: ContainerOptions, target: string): Promise<Reply> {
  try {
    const credentials = awsOnly((await leases()).credentials);
    const found = Object.hasOwn(credentials, target) ? credentials[target] : undefined;
    return found === undefined
      ? refusal(404, "not_found", `the grant has no target ${target} any more`)
      : { status: 200, body: asContainer(found) };
  } catch (error) {
    failed(error);
    if (!(error instanceof StintError)) return refusal(503, "internal", "no credentials now");
    // Its own statuses are final to an SDK, as they are to us; all else is worth another try.
    const final = error.status >= 400 && error.status < 500;
    return refusal(final ? error.status : 503, error.code, error.detail);
  }
}

const asContainer = (credentials: AwsCredentials): Reply["body"] => ({
  AccessKeyId: credentials.accessKeyId,
  SecretAccessKey: credentials.secretAccessKey,
  Token: credentials.sessionToken,
  Expiration: credentials.expiration,
});

/** AWS's documentation has lower case, its SDK for JavaScript reads upper. */
const refusal = (status: number, code: string, message: string): Reply => ({
  status,
  body: { code, message, Code: code, Message: message },
});
