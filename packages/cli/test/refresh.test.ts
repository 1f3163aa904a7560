/** What `exec --refresh` asks for, and what its child is given instead of credentials. */
import { devNull } from "node:os";
import { describe, expect, test } from "vitest";
import { run } from "../src/main.ts";
import { type Answers, aws, GRANT, grant, ID, problem, serve, TOKEN } from "./api.ts";
import { type WorldOptions, world } from "./world.ts";

const SECRET = "the-secret-of-loopback";

async function refreshing(
  script: string,
  given: {
    readonly flags?: readonly string[];
    readonly answers?: Answers;
    readonly env?: Readonly<Record<string, string>>;
    readonly options?: WorldOptions;
    /** Random where there is none. */
    readonly secret?: string | undefined;
  } = {},
) {
  const { secret } = { secret: SECRET, ...given };
  await using api = await serve(given.answers);
  const made = world({
    ...(secret === undefined ? {} : { secret }),
    ...given.options,
    env: {
      STINT_URL: api.url,
      STINT_TOKEN: "oidc-token",
      PATH: process.env.PATH ?? "",
      ...given.env,
    },
  });
  const command = [process.execPath, "--input-type=module", "-e", script];
  const argv = ["exec", "orders-integration", "--refresh", ...(given.flags ?? []), "--"];
  const code = await run([...argv, ...command], made.io);
  return { code, api, out: made.out(), err: made.err() };
}

const ENVIRONMENT = "console.log(JSON.stringify(process.env))";
/** As an SDK asks. */
const ASK = `const { env } = process;
  const headers = { authorization: env.AWS_CONTAINER_AUTHORIZATION_TOKEN };
  const answer = await fetch(env.AWS_CONTAINER_CREDENTIALS_FULL_URI, { headers });
  console.log(JSON.stringify({ status: answer.status, ...await answer.json() }));`;

/** A clock that has passed the end of the lease when the command runs. */
function afterwards(): WorldOptions {
  let now = Date.parse("2026-11-22T10:00:00Z");
  return {
    now: () => now,
    onSpawn: () => {
      now = Date.parse(aws.expiration);
    },
  };
}

describe("the request", () => {
  test("leaves the length of leases to the profile", async () => {
    const { api } = await refreshing("", { flags: ["--duration", "2h"] });
    expect(api.calls[0]?.body).toEqual({ profile: "orders-integration", duration: "2h" });
  });

  test("asks for a lease that is named, at first and later", async () => {
    const { api } = await refreshing(ASK, { flags: ["--lease", "90s"], options: afterwards() });
    const bodies = api.calls.map(({ body }) => body).filter((body) => body !== undefined);
    expect(bodies).toEqual([{ profile: "orders-integration", lease: "90s" }, { lease: "90s" }]);
  });
});

describe("the child", () => {
  test("is told where its credentials are, and has none", async () => {
    const { code, out } = await refreshing(ENVIRONMENT, {
      env: {
        AWS_REGION: "eu-west-1",
        AWS_PROFILE: "admin",
        AWS_ACCESS_KEY_ID: "AKIARUNNER",
        AWS_SECRET_ACCESS_KEY: "runner",
        AWS_SESSION_TOKEN: "runner",
        AWS_WEB_IDENTITY_TOKEN_FILE: "/token",
        AWS_ROLE_ARN: "arn:aws:iam::111122223333:role/runner",
        AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: "/runner",
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: "/token",
        AWS_SHARED_CREDENTIALS_FILE: "/home/runner/credentials",
      },
    });
    expect(code).toBe(0);
    const env: Record<string, string> = JSON.parse(out);
    const set = Object.entries(env).filter(([name]) => /^(AWS|STINT)_/.test(name));
    expect(Object.fromEntries(set)).toEqual({
      STINT_URL: expect.stringMatching(/^http:/),
      STINT_GRANT_ID: ID,
      STINT_NAMESPACE: `it-${ID}`,
      AWS_REGION: "eu-west-1",
      AWS_CONTAINER_CREDENTIALS_FULL_URI: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/aws$/),
      AWS_CONTAINER_AUTHORIZATION_TOKEN: SECRET,
      AWS_SHARED_CREDENTIALS_FILE: devNull,
      AWS_CONFIG_FILE: devNull,
    });
    expect(Object.values(env)).not.toContain(TOKEN);
  });

  test("finds a second target under its own names", async () => {
    const credentials = { main: aws, "data-lake": { ...aws, accessKeyId: "ASIAOTHER" } };
    const { out } = await refreshing(ENVIRONMENT, {
      answers: {
        "POST /v1/grants": { status: 201, body: { grant: grant(), credentials, token: TOKEN } },
      },
    });
    expect(JSON.parse(out)).toMatchObject({
      AWS_CONTAINER_CREDENTIALS_FULL_URI: expect.stringMatching(/\/main$/),
      STINT_DATA_LAKE_AWS_CONTAINER_CREDENTIALS_FULL_URI: expect.stringMatching(/\/data-lake$/),
      STINT_DATA_LAKE_AWS_CONTAINER_AUTHORIZATION_TOKEN: SECRET,
    });
  });

  test("is not run when two targets would share a name, and the grant is released", async () => {
    const credentials = { main: aws, "a-b": aws, a_b: aws };
    const { code, err, api } = await refreshing(ENVIRONMENT, {
      answers: {
        "POST /v1/grants": { status: 201, body: { grant: grant(), credentials, token: TOKEN } },
      },
    });
    expect(code).toBe(1);
    expect(err).toContain("STINT_A_B_AWS_CONTAINER_CREDENTIALS_FULL_URI");
    expect(api.asked().at(-1)).toBe(`DELETE ${GRANT}`);
  });

  test("opens the place with a secret that no two runs share", async () => {
    const script = "console.log(process.env.AWS_CONTAINER_AUTHORIZATION_TOKEN)";
    const one = await refreshing(script, { secret: undefined });
    const other = await refreshing(script, { secret: undefined });
    expect(one.out).toMatch(/^[\w-]{43}\n$/);
    expect(one.out).not.toBe(other.out);
  });

  test("is not warned of leases that end before the grant: they are renewed", async () => {
    const long = grant({ endsAt: "2026-11-22T12:00:00.000Z" });
    const { err } = await refreshing("", {
      answers: {
        "POST /v1/grants": {
          status: 201,
          body: { grant: long, credentials: { aws }, token: TOKEN },
        },
      },
    });
    expect(err).toBe(`stint: ${ID}: orders-integration until 2026-11-22T12:00:00.000Z\n`);
  });
});

describe("what is served", () => {
  test("is what the request brought, while it lasts", async () => {
    const { api, out } = await refreshing(ASK);
    expect(JSON.parse(out)).toMatchObject({ status: 200, AccessKeyId: aws.accessKeyId });
    expect(api.asked()).toEqual(["POST /v1/grants", `DELETE ${GRANT}`]);
  });

  test("is then asked for with the grant's token, and is nowhere on stderr", async () => {
    const fresh = { ...aws, accessKeyId: "ASIAFRESH", expiration: "2026-11-22T10:40:00.000Z" };
    const { api, out, err } = await refreshing(ASK, {
      options: afterwards(),
      answers: {
        [`POST ${GRANT}/credentials`]: {
          status: 200,
          body: { grant: grant(), credentials: { aws: fresh } },
        },
      },
    });
    expect(JSON.parse(out)).toMatchObject({ status: 200, AccessKeyId: "ASIAFRESH" });
    expect(api.calls[1]?.headers.authorization).toBe(`Bearer ${TOKEN}`);
    expect(api.asked().at(-1)).toBe(`DELETE ${GRANT}`);
    for (const secret of [aws.secretAccessKey, aws.sessionToken, TOKEN, SECRET, "oidc-token"])
      expect(err).not.toContain(secret);
  });

  test("is nothing once the grant has ended, which is told once, as JSON where that is asked for", async () => {
    const { code, out, err } = await refreshing(`{${ASK}} {${ASK}}`, {
      options: afterwards(),
      env: { STINT_FORMAT: "json" },
      answers: { [`POST ${GRANT}/credentials`]: problem(409, "grant_ended") },
    });
    expect(code).toBe(0);
    const told = out.trim().split("\n");
    for (const line of told)
      expect(JSON.parse(line)).toMatchObject({ status: 409, code: "grant_ended" });
    expect(told).toHaveLength(2);
    expect(JSON.parse(err)).toEqual({
      code: "warning",
      message: `there are no new credentials of ${ID} (grant_ended: it is grant_ended)`,
    });
  });

  test("ends with the command", async () => {
    const { out } = await refreshing("console.log(process.env.AWS_CONTAINER_CREDENTIALS_FULL_URI)");
    await expect(fetch(out.trim())).rejects.toThrow("fetch failed");
  });
});

test("a signal that comes while the port is opened runs nothing, and the grant is released", async () => {
  await using api = await serve();
  const made = world({
    env: { STINT_URL: api.url, STINT_TOKEN: "oidc-token", PATH: process.env.PATH ?? "" },
  });
  // The secret is drawn just before.
  const newSecret = () => {
    queueMicrotask(() => made.signal("SIGTERM"));
    return SECRET;
  };
  const argv = ["exec", "orders-integration", "--refresh", "--", process.execPath, "-e", "0"];
  expect(await run(argv, { ...made.io, newSecret })).toBe(143);
  expect(api.asked()).toEqual(["POST /v1/grants", `DELETE ${GRANT}`]);
  expect(made.listeners()).toBe(0);
});
