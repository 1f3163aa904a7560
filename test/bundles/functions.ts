/** The functions of a world as they are deployed: bundles under AWS's runtime client, calling local AWS over HTTP. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { writePrepared } from "@stint/core/config/prepared";
import type { Config } from "@stint/core/profile";
import { type Door, SETTINGS, SIZES } from "@stint/functions/deployment";
import type { LocalIssuer } from "@stint/local/issuer";
import type { StandardAws } from "@stint/local/local-aws";
import type { Elsewhere, LocalStintOptions } from "@stint/local/stint";
import { type Environment, startEnvironment } from "./lambda.ts";

/** Whom the demo's configuration trusts, by the name of the local issuer that stands for each. */
const ISSUERS: Readonly<Record<string, string>> = {
  github: "https://token.actions.githubusercontent.com",
  local: "https://login.local.test",
};

/** Everything that runs for worlds of this file: a test file's setup stops it. */
const running = new Set<() => Promise<void>>();
export const logs: string[] = [];
/** The functions that have answered an event. */
export const answered = new Set<Door>();

export async function stopAll(): Promise<void> {
  const stops = [...running];
  running.clear();
  await Promise.all(stops.map((stop) => stop()));
}

/** Serves each issuer's documents under its own name, as the preload asks for them. */
async function serveIssuers(issuer: LocalIssuer): Promise<string> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost").searchParams.get("url") ?? "";
    const known = Object.values(ISSUERS).find((one) => url.startsWith(`${one}/`));
    const discovery = "/.well-known/openid-configuration";
    response.setHeader("content-type", "application/json");
    if (known !== undefined && url === `${known}${discovery}`)
      response.end(JSON.stringify({ issuer: known, jwks_uri: `${known}/keys` }));
    else if (known !== undefined && url === `${known}/keys`)
      response.end(issuer.handle({ method: "GET", path: "/.well-known/jwks.json" }).body);
    else {
      response.writeHead(404);
      response.end("{}");
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  running.add(async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `http://127.0.0.1:${address.port}`;
}

/** The file that a deployment would have beside each bundle. */
function written(config: Config): string {
  const directory = mkdtempSync(join(tmpdir(), "stint-config-"));
  running.add(async () => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, "stint.json");
  writeFileSync(file, writePrepared(config));
  return file;
}

export interface OnBundles {
  readonly elsewhere: NonNullable<LocalStintOptions["elsewhere"]>;
  /** A token's claims for the issuer that stands for a real one: in a bundle nothing stands for anything. */
  claims(name: string): { readonly iss?: string };
}

export async function onBundles(
  directory: string,
  aws: StandardAws,
  issuer: LocalIssuer,
  /** Instead of the one that was built with them. */
  config?: Config,
): Promise<OnBundles> {
  const configured = config === undefined ? {} : { STINT_CONFIG: written(config) };
  const served = await aws.listen(0);
  running.add(() => served.close());
  const issuers = await serveIssuers(issuer);

  /** A queue's URL is where its client goes, and this world's queues are on a port of their own. */
  const reachable = (value: string) =>
    /^https?:/.test(value) ? new URL(new URL(value).pathname, served.url).href : value;

  const handlerOf = (door: Door, { settings, credentials }: Elsewhere) => {
    let environment: Promise<Environment> | undefined;
    let current = credentials(door);
    const env = () => ({
      AWS_REGION: aws.world.region,
      AWS_ACCESS_KEY_ID: current.accessKeyId,
      AWS_SECRET_ACCESS_KEY: current.secretAccessKey,
      AWS_SESSION_TOKEN: current.sessionToken,
      AWS_ENDPOINT_URL: served.url,
      STINT_TEST_ISSUERS: issuers,
      ...configured,
      ...Object.fromEntries(SETTINGS[door].map((name) => [name, reachable(settings[name])])),
    });
    const start = async () => {
      const made = await startEnvironment({
        name: `stint-${door}`,
        directory: resolve(directory, door),
        env: env(),
        timeoutMs: SIZES[door].seconds * 1000,
        now: aws.clock.now,
      });
      running.add(async () => {
        logs.push(made.log());
        await made.stop();
      });
      return made;
    };
    return async (event: unknown) => {
      environment ??= start();
      const made = await environment;
      // Lambda gives an environment new credentials by giving the function a new environment.
      if (current.expiration.getTime() - 60_000 <= aws.clock.now()) {
        current = credentials(door);
        made.restart(env());
      }
      // It asks until what was written holds, by a clock that is not ours: local time would wait for it, and it for that.
      if (door === "prove") aws.iam.spread();
      const answer = await aws.clock.outside(made.invoke(event));
      answered.add(door);
      return answer;
    };
  };

  return {
    elsewhere: (run) => (door) => handlerOf(door, run),
    claims: (name) => (ISSUERS[name] === undefined ? {} : { iss: ISSUERS[name] }),
  };
}
