/** Leases that are renewed, against the real servers: AWS's own SDK in a child and in this process, and the clock moved. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { createClient } from "@stint/client/client";
import { grantCredentials } from "@stint/client/leases";
import { type Dev, startDev } from "@stint/local/dev";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "../src/main.ts";
import { world } from "./world.ts";

const CONFIG = `version: 1
audience: https://stint.acme.test
profiles:
  billing:
    duration: { default: 10m, max: 2h }
    lease: 4m
    targets:
      aws:
        kind: aws
        role: arn:aws:iam::000000000000:role/stint/billing
        allow:
          - actions: [s3:PutObject]
            resources: ["arn:aws:s3:::billing/\${namespace}/*"]
rules:
  - { id: main, profile: billing, to: { pipeline: github, repository_id: "42" } }
`;

/** Whoever works on this machine has keys of their own. */
const OWN_KEYS = "[default]\naws_access_key_id = AKIAOWN\naws_secret_access_key = own\n";

const BIN = fileURLToPath(new URL("../bin/stint.ts", import.meta.url));
const RENEWING = fileURLToPath(new URL("./renewing.ts", import.meta.url));
const MINUTE = 60_000;

let folder: string;
let jobs = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stint-refresh-"));
  await writeFile(join(folder, "stint.yaml"), CONFIG);
  await mkdir(join(folder, ".aws"));
  await writeFile(join(folder, ".aws", "credentials"), OWN_KEYS);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Servers of one test's own, since each moves the clock. */
async function servers() {
  const dev = await startDev({
    config: join(folder, "stint.yaml"),
    ports: { api: 0, aws: 0, oidc: 0 },
  });
  const place = { endpoint: dev.awsUrl, region: "us-east-1", forcePathStyle: true };
  const admin = new S3Client({ ...place, credentials: dev.aws.administrator });
  await admin.send(new CreateBucketCommand({ Bucket: "billing" }));
  admin.destroy();
  const calls: string[] = [];
  return {
    dev,
    place,
    /** What the API was asked, in order. */
    calls,
    fetch: (url: string, init: RequestInit) => {
      calls.push(`${init.method} ${new URL(url).pathname.replace(/g\w{15}/, "ID")}`);
      return fetch(url, init);
    },
    [Symbol.asyncDispose]: () => dev.close(),
  };
}

/** A token of a job of its own. */
async function job(dev: Dev): Promise<string> {
  const claims = { repository_id: "42", check_run_id: String(++jobs) };
  const body = JSON.stringify({ pipeline: "github", claims });
  const answer = await fetch(`${dev.url}/_local/token`, { method: "POST", body });
  return ((await answer.json()) as { token: string }).token; // the local server's contract
}

describe("exec --refresh", () => {
  async function exec(flags: readonly string[], steps: readonly string[]) {
    await using made = await servers();
    const { dev, calls } = made;
    const { io, out, err } = world({
      now: dev.aws.clock.now,
      secret: "the-secret-of-loopback",
      env: {
        PATH: process.env.PATH ?? "",
        HOME: folder,
        STINT_URL: dev.url,
        STINT_TOKEN: await job(dev),
        AWS_ENDPOINT_URL: dev.awsUrl,
        AWS_REGION: "us-east-1",
      },
    });
    const command = [process.execPath, RENEWING, ...steps];
    const argv = ["exec", "billing", "--refresh", ...flags, "--", ...command];
    const code = await run(argv, { ...io, fetch: made.fetch });
    const lines = out().trim().split("\n");
    const came = lines.map((line): Record<string, string> => JSON.parse(line));
    await dev.aws.settle();
    return { code, came, err: err(), calls };
  }

  const ASKED = "POST /v1/grants";
  const RENEWED = "POST /v1/grants/ID/credentials";
  const RELEASED = "DELETE /v1/grants/ID";

  test("gives AWS's SDK the grant's credentials and nobody else's, and releases", async () => {
    const { code, came, err, calls } = await exec([], ["put", "stray", "restart", "put"]);
    const [first, stray, again] = came;
    expect(first?.came).toBe("ok");
    expect(stray).toEqual({ key: first?.key, came: "AccessDenied" });
    // The request's own credentials go to everyone who asks while they are good.
    expect(again).toEqual(first);
    expect(calls).toEqual([ASKED, RELEASED]);
    expect(code).toBe(0);
    expect(err).toMatch(/^stint: g\w{15}: billing until \S+\n$/);
  });

  test("renews a lease that is over, for a client that holds it and for a new one", async () => {
    const steps = ["put", "advance=4m", "put", "age=4", "put", "restart", "put"];
    const { came, calls } = await exec([], steps);
    const [first, , aged, restarted] = came;
    expect(first?.came).toBe("ok");
    expect(aged?.came).toBe("ok");
    expect(aged?.key).not.toBe(first?.key);
    expect(restarted).toEqual(aged);
    expect(calls).toEqual([ASKED, RENEWED, RELEASED]);
  });

  test("goes on for longer than an hour, in leases of minutes", async () => {
    const later = ["advance=50m", "restart", "put"];
    const { came, calls } = await exec(["--duration", "2h"], ["put", ...later, ...later]);
    expect(came.map((one) => one.came)).toEqual(["ok", "ok", "ok"]);
    expect(new Set(came.map(({ key }) => key)).size).toBe(3);
    expect(calls).toEqual([ASKED, RENEWED, RENEWED, RELEASED]);
  });

  test("stops at once when the grant has ended, says why, and asks the API no more", async () => {
    const { code, came, err, calls } = await exec([], ["put", "advance=10m", "ask", "ask"]);
    const [, refused, again] = came;
    expect(refused).toMatchObject({ name: "CredentialsProviderError", Code: "grant_ended" });
    expect(refused?.Message).toMatch(/^grant g\w{15} /);
    expect(again).toEqual(refused);
    expect(calls).toEqual([ASKED, RENEWED, RELEASED]);
    expect(code).toBe(0);
    expect(err.match(/warning/g)).toHaveLength(1);
    expect(err).toMatch(/warning: there are no new credentials of g\w{15} \(grant_ended: /);
  });

  test("says nothing secret on stderr", async () => {
    const { came, err } = await exec([], ["put", "advance=10m", "ask"]);
    for (const secret of ["the-secret-of-loopback", came[0]?.key ?? "", "stint_g", "eyJ"])
      expect(err).not.toContain(secret);
  });
});

describe("claim as a credential_process", () => {
  test("renews one grant with its token alone, until that has ended", async () => {
    await using made = await servers();
    const { dev } = made;
    const { grant, token } = await createClient({ url: dev.url, token: await job(dev) }).request(
      "billing",
    );
    const file = join(folder, "config");
    const claim = `"${process.execPath}" "${BIN}" claim --format credential-process`;
    await writeFile(file, `[profile orders]\ncredential_process = ${claim}\n`);
    const env = {
      PATH: process.env.PATH,
      STINT_URL: dev.url,
      STINT_GRANT_TOKEN: token,
      STINT_NAMESPACE: grant.namespace,
      AWS_ENDPOINT_URL: dev.awsUrl,
      AWS_REGION: "us-east-1",
      AWS_CONFIG_FILE: file,
      AWS_PROFILE: "orders",
    };
    const steps = ["put", "advance=5m", "restart", "put", "advance=5m", "restart", "put"];
    const { stdout } = await promisify(execFile)(process.execPath, [RENEWING, ...steps], { env });
    const [first, second, over] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect([first.came, second.came]).toEqual(["ok", "ok"]);
    expect(second.key).not.toBe(first.key);
    expect(over.came).toBe("CredentialsProviderError");
    // One grant all along, in leases of the profile's length.
    const { leases } = await createClient({ url: dev.url, token }).get(grant.id);
    const until = leases.map((lease) => Date.parse(lease.until) - Date.parse(grant.createdAt));
    expect(Math.max(...until)).toBeLessThan(10 * MINUTE);
  });
});

describe("grantCredentials", () => {
  async function granted(lease: string) {
    const made = await servers();
    const { dev, place } = made;
    const { now } = dev.aws.clock;
    const client = createClient({ url: dev.url, token: await job(dev), fetch: made.fetch });
    const { grant, token } = await client.request("billing", { lease: "60s" });
    const credentials = grantCredentials({ client, grant: grant.id, token, lease, now });
    const s3 = () => new S3Client({ ...place, credentials, maxAttempts: 1 });
    const put = (by: S3Client) =>
      by.send(
        new PutObjectCommand({ Bucket: "billing", Key: `${grant.namespace}/a`, Body: "paid" }),
      );
    const release = () => client.release(grant.id, { token });
    return { ...made, credentials, s3, put, release };
  }

  test("keep one S3 client working over the ends of its leases", async () => {
    await using one = await granted("60s");
    const s3 = one.s3();
    const keys = new Set<string>();
    for (let lease = 0; lease < 3; lease += 1) {
      await one.put(s3);
      keys.add((await one.credentials()).accessKeyId);
      await one.dev.aws.clock.advance(MINUTE);
    }
    expect(keys.size).toBe(3);
    expect(one.calls).toHaveLength(4);
  });

  test("are renewed once for many clients that ask together", async () => {
    await using one = await granted("2m");
    await Promise.all(Array.from({ length: 8 }, () => one.put(one.s3())));
    expect(one.calls).toHaveLength(2);
  });

  test("end with their grant: clients are told so, and the API is asked once", async () => {
    await using one = await granted("60s");
    const s3 = one.s3();
    await one.put(s3);
    await one.release();
    await one.dev.aws.clock.advance(MINUTE);
    one.calls.length = 0;
    for (let tries = 0; tries < 3; tries += 1)
      await expect(one.put(s3)).rejects.toMatchObject({ name: "StintError", code: "grant_ended" });
    expect(one.calls).toEqual(["POST /v1/grants/ID/credentials"]);
  });
});
