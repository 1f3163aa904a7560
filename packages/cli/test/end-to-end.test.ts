/** The command against the real servers: its own HTTP, real tokens, real signatures, a configuration of one's own. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { type Dev, startDev } from "@stint/local/dev";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "../src/main.ts";
import { world } from "./world.ts";

const CONFIG = `version: 1
audience: https://stint.acme.test
issuers:
  - { login: acme, url: https://login.acme.test }
profiles:
  billing:
    duration: { default: 10m, max: 1h }
    lease: 5m
    targets:
      aws:
        kind: aws
        role: arn:aws:iam::000000000000:role/stint/billing
        allow:
          - actions: [s3:GetObject, s3:PutObject]
            resources: ["arn:aws:s3:::billing/\${namespace}/*"]
          - actions: [sqs:SendMessage, sqs:CreateQueue]
            resources: ["arn:aws:sqs:us-east-1:000000000000:\${namespace}-*"]
rules:
  - { id: main, profile: billing, to: { pipeline: github, repository_id: "42" } }
  - id: people
    profile: billing
    to: { person: { group: devs } }
    approval: { from: { person: { group: leads } } }
  - { id: leads, profile: billing, to: { person: { group: leads } }, may: [read, revoke, readAudit] }
`;

/** A test as a team would write it: an SDK client that takes all that it needs from its environment. */
const CHILD = `
import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
const s3 = new S3Client({ forcePathStyle: true, maxAttempts: 1 });
const Bucket = "billing";
const put = (Key) => s3.send(new PutObjectCommand({ Bucket, Key, Body: "paid" })).then(() => "ok", ({ name }) => name);
const own = process.env.STINT_NAMESPACE + "/invoice";
const inside = await put(own);
const read = await s3.send(new GetObjectCommand({ Bucket, Key: own })).then(({ Body }) => Body.transformToString());
const outside = await put("it-g000000000000000/invoice");
const inherited = Object.keys(process.env).filter((name) => name === "STINT_TOKEN" || name === "STINT_GRANT_TOKEN");
console.log(JSON.stringify({ grant: process.env.STINT_GRANT_ID, inside, read, outside, inherited }));
process.exit(7);
`;

let folder: string;
let dev: Dev;
let admin: { readonly [name: string]: string };
let jobs = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stint-cli-"));
  const config = join(folder, "stint.yaml");
  await writeFile(config, CONFIG);
  dev = await startDev({ config, ports: { api: 0, aws: 0, oidc: 0 } });
  const { accessKeyId, secretAccessKey } = dev.aws.administrator;
  admin = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
  const credentials = { accessKeyId, secretAccessKey };
  const s3 = new S3Client({
    endpoint: dev.awsUrl,
    region: "us-east-1",
    forcePathStyle: true,
    credentials,
  });
  await s3.send(new CreateBucketCommand({ Bucket: "billing" }));
  s3.destroy();
});

afterAll(async () => {
  await dev.close();
  await rm(folder, { recursive: true, force: true });
});

async function token(pipeline: string, claims: object): Promise<string> {
  const answer = await fetch(`${dev.url}/_local/token`, {
    method: "POST",
    body: JSON.stringify({ pipeline, claims }),
  });
  return ((await answer.json()) as { token: string }).token; // the local server's contract
}

/** A token of a job of its own. */
const job = (claims: object = {}) =>
  token("github", { repository_id: "42", check_run_id: String(++jobs), ...claims });
const person = (sub: string, group: string) => token("acme", { sub, groups: [group] });

async function stint(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { io, out, err } = world({
    now: dev.aws.clock.now(),
    env: {
      PATH: process.env.PATH ?? "",
      STINT_URL: dev.url,
      AWS_ENDPOINT_URL: dev.awsUrl,
      AWS_REGION: "us-east-1",
      ...env,
    },
  });
  const code = await run(argv, io);
  return { code, out: out(), err: err() };
}

/** The variables of `--format env`, as a shell would read them. */
const exported = (text: string): Record<string, string> =>
  Object.fromEntries(
    [...text.matchAll(/^export (\w+)='(.*)'$/gm)].map(([, name = "", value = ""]) => [name, value]),
  );

const stateOf = async (grant: string) => {
  const { out } = await stint(["get", grant, "--json"], {
    STINT_TOKEN: await person("lea", "leads"),
  });
  const { state, why } = JSON.parse(out).grant;
  return { state, why };
};

describe("exec", () => {
  test("gives a child what it needs in its namespace and nowhere else, and releases", async () => {
    const child = [process.execPath, "--input-type=module", "-e", CHILD];
    const STINT_TOKEN = await job();
    const { code, out, err } = await stint(["exec", "billing", "--", ...child], { STINT_TOKEN });
    expect(err).toMatch(/^stint: g\w{15}: billing until /);
    const { grant, ...told } = JSON.parse(out);
    expect(told).toEqual({ inside: "ok", read: "paid", outside: "AccessDenied", inherited: [] });
    expect(code).toBe(7);
    await dev.aws.settle();
    expect(await stateOf(grant)).toEqual({ state: "ended", why: "released" });
  });

  test("of another repository's job runs nothing", async () => {
    const STINT_TOKEN = await job({ repository_id: "43" });
    const { code, out, err } = await stint(["exec", "billing", "--", "echo", "ran"], {
      STINT_TOKEN,
    });
    expect([code, out]).toEqual([3, ""]);
    expect(err).toContain("no rule gives you this profile");
    expect(err).not.toContain("main");
  });

  test("says so where the grant failed while AWS was down, whatever its retries met", async () => {
    dev.aws.faults.add({ kind: "refuse", service: "sts", operation: "AssumeRole" });
    try {
      const STINT_TOKEN = await job();
      const { code, err } = await stint(["exec", "billing", "--", "echo", "ran"], { STINT_TOKEN });
      expect(code).toBe(2);
      expect(err).toContain("stint: the grant could not be issued");
      expect(err).not.toContain("Idempotency-Key");
    } finally {
      dev.aws.faults.clear();
    }
  });
});

describe("a grant by hand", () => {
  test("is requested, seen, refreshed, used, released and over", async () => {
    const STINT_TOKEN = await job();
    const asked = await stint(["request", "billing", "--format", "env"], { STINT_TOKEN });
    expect([asked.code, asked.err]).toEqual([0, ""]);
    const env = exported(asked.out);
    const own = env.STINT_GRANT_ID ?? "";
    // From here on the grant's own variables are enough.
    expect((await stint(["get", "--json"], env)).out).toContain('"state": "active"');
    const claimed = await stint(["claim", own, "--lease", "2m", "--format", "env"], env);
    const fresh = { ...env, ...exported(claimed.out) };
    expect(fresh.AWS_ACCESS_KEY_ID).not.toBe(env.AWS_ACCESS_KEY_ID);

    const listed = await stint(["list", "--json", "--state", "active"], {
      STINT_TOKEN: await person("lea", "leads"),
    });
    expect(JSON.parse(listed.out).grants).toMatchObject([
      { id: own, leases: [{ target: "aws" }, { target: "aws" }] },
    ]);

    const released = await stint(["release", "--json"], env);
    expect(JSON.parse(released.out).grant).toMatchObject({ id: own, why: "released" });
    await dev.aws.settle();
    expect((await stint(["release"], env)).code).toBe(0);
    const late = await stint(["claim", own, "--format", "env"], env);
    expect([late.code, late.out]).toEqual([2, ""]);
    expect(late.err).toContain("The grant has ended");
  });

  test("of a person waits for another's approval, and is revoked by whom a rule allows", async () => {
    const dan = { STINT_TOKEN: await person("dan", "devs") };
    const lea = { STINT_TOKEN: await person("lea", "leads") };
    const asked = await stint(["request", "billing", "--reason", "a look"], dan);
    expect(asked.code).toBe(0);
    const id = /^grant +(g\w{15})$/m.exec(asked.out)?.[1] ?? "";
    expect(asked.err).toContain(`stint claim ${id} --format env`);

    expect((await stint(["approve", id, "--reason", "mine"], dan)).code).toBe(3);
    expect((await stint(["claim", id, "--format", "env"], dan)).code).toBe(2);
    expect((await stint(["approve", id, "--reason", "fine"], lea)).out).toMatch(/^state +ready$/m);
    const claimed = await stint(["claim", id, "--format", "env"], dan);
    expect(exported(claimed.out)).toMatchObject({ STINT_GRANT_ID: id });

    expect((await stint(["revoke", id], { STINT_TOKEN: await job() })).code).toBe(2);
    expect((await stint(["revoke", id], lea)).out).toMatch(/^why +revoked$/m);
  });
});

describe("audit query", () => {
  test("tells the story of a grant to who may read the bucket", async () => {
    const STINT_TOKEN = await job();
    const asked = await stint(["request", "billing", "--format", "env"], { STINT_TOKEN });
    const env = exported(asked.out);
    await stint(["release"], env);
    await dev.aws.settle();
    const query = ["audit", "query", "--grant", env.STINT_GRANT_ID ?? "", "--json"];
    const asAdmin = { ...admin, STINT_AUDIT_BUCKET: "stint-audit" };
    const { code, out } = await stint(query, asAdmin);
    expect(code).toBe(0);
    const { columns, rows } = JSON.parse(out);
    const facts = rows.map((row: readonly unknown[]) => row[columns.indexOf("fact")]);
    expect(facts).toEqual([
      "grant.opened",
      "grant.activated",
      "grant.ending",
      "grant.ended",
      "grant.proved",
    ]);

    const denied = await stint(query, { ...env, STINT_AUDIT_BUCKET: "stint-audit" });
    expect(denied.code).toBe(2);
    expect(denied.err).toContain("AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local");
  });

  test.each([
    ["no bucket", {}, /there is no audit bucket[\s\S]*STINT_AUDIT_BUCKET=stint-audit/],
    [
      "a bucket that is not there",
      { STINT_AUDIT_BUCKET: "nope" },
      /there is no bucket nope[\s\S]*STINT_AUDIT_BUCKET=stint-audit/,
    ],
    [
      "a wrong secret",
      { STINT_AUDIT_BUCKET: "stint-audit", AWS_SECRET_ACCESS_KEY: "wrong" },
      /SignatureDoesNotMatch[\s\S]*AWS_SECRET_ACCESS_KEY=local/,
    ],
    [
      "an address where nobody is",
      { STINT_AUDIT_BUCKET: "stint-audit", AWS_ENDPOINT_URL: "http://127.0.0.1:9" },
      /no answer from http:\/\/127\.0\.0\.1:9/,
    ],
  ])("with %s says what to set", async (_, env, told) => {
    const { code, out, err } = await stint(["audit", "query"], { ...admin, ...env });
    expect([code > 0, out]).toEqual([true, ""]);
    expect(err).toMatch(told);
  });
});

describe("policy and whoami", () => {
  test("explain --remote says what the server would decide, and opens nothing", async () => {
    const STINT_TOKEN = await job();
    const explain = ["policy", "explain", "billing", "--remote", "--json"];
    const allowed = await stint(explain, { STINT_TOKEN });
    expect(JSON.parse(allowed.out)).toMatchObject({ allowed: true, rule: "main" });
    const refused = await stint([...explain, "--duration", "2h"], { STINT_TOKEN });
    expect(refused.code).toBe(3);
    expect(JSON.parse(refused.out).explanation.failed).toEqual([
      { claim: "duration", expected: "at most 1h", actual: "2h" },
    ]);
  });

  test("explain here says of a local server's token where it is known", async () => {
    const explain = ["policy", "explain", "billing", "--config", join(folder, "stint.yaml")];
    const { code, err } = await stint(explain, { STINT_TOKEN: await job() });
    expect(code).toBe(1);
    expect(err).toContain("--remote");
  });

  test("whoami reads the token", async () => {
    const { out } = await stint(["whoami", "--json"], { STINT_TOKEN: await job() });
    expect(JSON.parse(out)).toMatchObject({
      verified: false,
      issuer: `${dev.oidcUrl}/github`,
      audience: "https://stint.acme.test",
      expired: false,
    });
  });
});
