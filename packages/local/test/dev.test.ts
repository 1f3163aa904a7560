/** The servers as they listen: real sockets, real HTTP, ports of the system's choice. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeJwt } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dev, startDev } from "../src/dev.ts";
import { tryNext } from "../src/try-next.ts";

const START = fileURLToPath(new URL("../bin/start.ts", import.meta.url));
const PUBLIC = "https://token.actions.githubusercontent.com";
const SERVER = "https://ghe.acme.test/_services/token";
const CONFIG = `version: 1
audience: https://stint.acme.test
issuers:
  - { login: acme, url: https://login.acme.test }
  - { pipeline: github, url: ${SERVER}, webhookSecret: /stint/webhooks/server }
profiles:
  billing:
    duration: { default: 10m, max: 1h }
    targets:
      aws:
        kind: aws
        role: arn:aws:iam::000000000000:role/stint/billing
        allow: [{ actions: [s3:GetObject], resources: ["arn:aws:s3:::billing/\${namespace}/*"] }]
rules:
  - id: people
    profile: billing
    to: { person: { group: "it's us" } }
    approval: { from: { person: { group: leads } } }
  - id: tags
    profile: billing
    to: { pipeline: github, issuer: "${PUBLIC}", repository_id: "42", ref: refs/tags/* }
`;

const ports = { api: 0, aws: 0, oidc: 0 };
let folder: string;
let config: string;
let dev: Dev;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stint-dev-"));
  config = join(folder, "stint.yaml");
  await writeFile(config, CONFIG);
  dev = await startDev({ ports, config });
});

afterAll(async () => {
  await dev.close();
  await rm(folder, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly type: string | null;
  // Whatever was answered: each test looks at the fields that it is about.
  // biome-ignore lint/suspicious/noExplicitAny: tests read fields of many shapes
  readonly body: any;
}

async function call(method: string, path: string, body?: unknown, token?: string): Promise<Answer> {
  const answer = await fetch(`${dev.url}${path}`, {
    method,
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  const text = await answer.text();
  return {
    status: answer.status,
    type: answer.headers.get("content-type"),
    body: text === "" ? undefined : JSON.parse(text),
  };
}

const post = (path: string, body: unknown) => call("POST", path, body);

/** Over a connection that is kept, so that it shows whether one was cut. */
function raw(agent: Agent, method: string, path: string, body: string) {
  return new Promise<{ status: number | undefined; reused: boolean; text: string }>(
    (resolve, reject) => {
      const sent = httpRequest(
        `${dev.url}${path}`,
        { agent, method },
        (answer: IncomingMessage) => {
          let text = "";
          answer.setEncoding("utf8");
          answer.on("data", (chunk) => {
            text += chunk;
          });
          answer.on("end", () =>
            resolve({ status: answer.statusCode, reused: sent.reusedSocket, text }),
          );
        },
      );
      sent.on("error", reject);
      sent.end(body);
    },
  );
}

describe("the API's port", () => {
  test("serves as soon as it has started", async () => {
    expect(await call("GET", "/healthz")).toMatchObject({
      status: 200,
      body: { status: "ok", audience: "https://stint.acme.test" },
    });
    expect(await call("GET", "/openapi.json")).toMatchObject({ status: 200 });
  });

  test.each([
    ["/v1/grants", 2_000_000],
    ["/v1/webhooks/github", 6_000_000],
    ["/v1/webhooks/github", 20_000_000],
  ])("POST %s with %i bytes is answered 413, and the connection goes on", async (path, bytes) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      const large = await raw(agent, "POST", path, "x".repeat(bytes));
      expect(large.status).toBe(413);
      expect(JSON.parse(large.text)).toMatchObject({ code: "too_large" });
      expect(await raw(agent, "GET", "/healthz", "")).toMatchObject({ status: 200, reused: true });
    } finally {
      agent.destroy();
    }
  });

  test("a token of 100 KB is a wrong token", async () => {
    const answer = await call("POST", "/v1/grants", { profile: "billing" }, "x".repeat(100_000));
    expect(answer).toMatchObject({ status: 401, body: { code: "unauthenticated" } });
  });

  test.each([
    ["GET", "/"],
    ["GET", "/nope"],
    ["GET", "/v1/grants/../../etc/passwd"],
    ["GET", "/v1/%ff"],
    ["PUT", "/v1/grants"],
    ["POST", "/healthz"],
    ["GET", "/_local"],
    ["GET", "/_localx/calls"],
  ])("%s %s is no path, told as a problem", async (method, path) => {
    const answer = await call(method, path);
    expect(answer).toMatchObject({
      status: 404,
      type: "application/problem+json",
      body: { code: "route_not_found" },
    });
  });

  test.each(["/healthz", "/nope"])("HEAD %s has no body", async (path) => {
    const answer = await fetch(`${dev.url}${path}`, { method: "HEAD" });
    expect(await answer.text()).toBe("");
  });
});

describe("POST /_local/token", () => {
  test("makes a job's token, which opens what its rule says", async () => {
    const claims = { repository_id: "42", ref: "refs/tags/v1" };
    const made = await post("/_local/token", { pipeline: "github", issuer: PUBLIC, claims });
    expect(made.status).toBe(200);
    expect(decodeJwt(made.body.token)).toMatchObject({ aud: "https://stint.acme.test", ...claims });
    const answer = await call("POST", "/v1/grants", { profile: "billing" }, made.body.token);
    expect(answer).toMatchObject({
      status: 201,
      body: { grant: { rule: "tags", job: { issuer: PUBLIC } } },
    });
  });

  test("makes it of the issuer that is asked for: by default the first of the configuration", async () => {
    const claims = { repository_id: "42", ref: "refs/tags/v1" };
    for (const issuer of [{}, { issuer: SERVER }]) {
      const { body } = await post("/_local/token", { pipeline: "github", ...issuer, claims });
      const refused = await call("POST", "/v1/grants", { profile: "billing" }, body.token);
      expect(refused).toMatchObject({ status: 403, body: { code: "refused" } });
    }
  });

  test("makes a person's", async () => {
    const claims = { sub: "ann", groups: ["it's us"] };
    const { body } = await post("/_local/token", { pipeline: "acme", claims });
    const answer = await call("POST", "/v1/grants", { profile: "billing" }, body.token);
    expect(answer).toMatchObject({
      status: 202,
      body: { grant: { state: "pending", principal: { id: "person:acme:ann" } } },
    });
  });

  test.each([
    ["nothing", ""],
    ["no JSON", "{"],
    ["a list", []],
    ["no pipeline", {}],
    ["an unknown pipeline", { pipeline: "jenkins" }],
    ["a pipeline named like an object's own thing", { pipeline: "constructor" }],
    ["claims that are none", { pipeline: "github", claims: "x" }],
    ["an unknown field", { pipeline: "github", claim: {} }],
    ["an issuer that is not trusted", { pipeline: "github", issuer: "https://evil.test" }],
    ["a login's issuer", { pipeline: "github", issuer: "https://login.acme.test" }],
  ])("with %s is 400", async (_, body) => {
    expect(await post("/_local/token", body)).toMatchObject({
      status: 400,
      type: "application/problem+json",
      body: { code: "invalid_request", detail: expect.any(String) },
    });
  });
});

describe("POST /_local/clock", () => {
  test("advances, and what became due has run when it answers", async () => {
    const claims = { repository_id: "42", ref: "refs/tags/v2", check_run_id: "77" };
    const { body } = await post("/_local/token", { pipeline: "github", issuer: PUBLIC, claims });
    const { token, grant } = (await call("POST", "/v1/grants", { profile: "billing" }, body.token))
      .body;
    const before = dev.aws.clock.now();
    const { status, body: moved } = await post("/_local/clock", { advance: "11m" });
    expect(status).toBe(200);
    expect(Date.parse(moved.now)).toBeGreaterThanOrEqual(before + 11 * 60_000);
    const after = await call("GET", `/v1/grants/${grant.id}`, undefined, token);
    expect(after.body.grant).toMatchObject({ state: "ended", why: "expired" });
  });

  test.each(["-5m", "90", "10y", "1h30m", "0s", "1e3s", "", "721h", "999999999h", 90, null])(
    "%j is no duration to advance by",
    async (advance) => {
      const before = dev.aws.clock.now();
      expect(await post("/_local/clock", { advance })).toMatchObject({ status: 400 });
      expect(dev.aws.clock.now() - before).toBeLessThan(60_000);
    },
  );

  test("unknown fields are refused, and nothing moves", async () => {
    expect(await post("/_local/clock", { advance: "1h", by: 3 })).toMatchObject({ status: 400 });
    expect(await post("/_local/clock", {})).toMatchObject({ status: 400 });
  });
});

describe("POST /_local/faults", () => {
  test("breaks what it names as often as it says, and is cleared", async () => {
    const fault = { kind: "refuse", service: "dynamodb", operation: "Query", times: 2 };
    expect(await post("/_local/faults", fault)).toMatchObject({
      status: 200,
      body: { faults: [{ ...fault, struck: 0 }] },
    });
    expect(await post("/_local/faults", { clear: true })).toEqual({
      status: 200,
      type: "application/json",
      body: { faults: [] },
    });
  });

  test.each([
    ["nothing", {}],
    ["an unknown kind", { kind: "explode" }],
    ["a delay without its length", { kind: "delay" }],
    ["a length without a delay", { kind: "refuse", delayMs: 5 }],
    ["a service that is not there", { kind: "refuse", service: "dynamo" }],
    ["no times", { kind: "refuse", times: 0 }],
    ["an error that is none", { kind: "refuse", error: { code: "X", status: 200 } }],
    ["clear: false", { clear: false }],
    ["clear and a fault", { clear: true, kind: "refuse" }],
    ["a list", []],
  ])("with %s is 400, and nothing is planned", async (_, body) => {
    expect(await post("/_local/faults", body)).toMatchObject({ status: 400 });
    expect(dev.aws.faults.list()).toEqual([]);
  });
});

describe("the rest of /_local", () => {
  test("shows the calls", async () => {
    const { status, body } = await call("GET", "/_local/calls");
    expect(status).toBe(200);
    expect(body.calls[0]).toMatchObject({ service: "dynamodb", operation: "CreateTable" });
  });

  test.each([
    ["GET", "/_local/token"],
    ["DELETE", "/_local/calls"],
    ["GET", "/_local/"],
    ["POST", "/_local/constructor"],
  ])("%s %s is no path, and the answer lists what there is", async (method, path) => {
    expect(await call(method, path)).toMatchObject({
      status: 404,
      body: { hint: expect.stringContaining("POST /_local/token") },
    });
  });
});

describe("starting", () => {
  /** `npm start` as a process of its own: it ends only if nothing is left open. */
  const start = async (env: Readonly<Record<string, string>>) => {
    const child = spawn(process.execPath, [START], {
      env: {
        PATH: process.env.PATH,
        STINT_CONFIG: config,
        STINT_PORT: "0",
        STINT_AWS_PORT: "0",
        STINT_OIDC_PORT: "0",
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let told = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk) => {
        told += chunk;
      });
    const [code] = await once(child, "close");
    return { code, told };
  };

  test.each(["STINT_PORT", "STINT_AWS_PORT", "STINT_OIDC_PORT"])(
    "with a taken port as %s says so and ends",
    async (name) => {
      const port = new URL(dev.url).port;
      expect(await start({ [name]: port })).toEqual({
        code: 1,
        told: `stint: port ${port} is taken: stop what listens there, or choose others by STINT_PORT, STINT_AWS_PORT and STINT_OIDC_PORT\n`,
      });
    },
  );

  test("with a port that is none says so and ends", async () => {
    expect(await start({ STINT_PORT: "65536" })).toEqual({
      code: 1,
      told: "stint: STINT_PORT is no port: 65536\n",
    });
  });

  test("with a configuration that is wrong or missing names the file and every problem", async () => {
    const wrong = join(folder, "wrong.yaml");
    await writeFile(wrong, "version: 2\naudience: x\nprofiles: {}\nfoo: 1\n");
    await expect(startDev({ ports, config: wrong })).rejects.toThrow(
      /wrong\.yaml:1 version: must be 1[\s\S]*wrong\.yaml:2 audience:[\s\S]*wrong\.yaml:4 foo:/,
    );
    await expect(startDev({ ports, config: join(folder, "none.yaml") })).rejects.toThrow(
      /none\.yaml cannot be read \(ENOENT\)/,
    );
  });

  test("with a role of another account tells that it is not here", async () => {
    const abroad = join(folder, "abroad.yaml");
    await writeFile(abroad, CONFIG.replace("000000000000:role", "111122223333:role"));
    const told: string[] = [];
    const started = await startDev({ ports, config: abroad, warn: (line) => told.push(line) });
    await started.close();
    expect(told).toEqual([
      expect.stringMatching(/^arn:aws:iam::111122223333:role\/stint\/billing is of another/),
    ]);
  });

  test("with a configuration that is odd tells so", async () => {
    const odd = join(folder, "odd.yaml");
    await writeFile(odd, CONFIG.replace(/rules:[\s\S]*/, "rules: []\n"));
    const told: string[] = [];
    const started = await startDev({ ports, config: odd, warn: (line) => told.push(line) });
    await started.close();
    expect(told).toEqual([expect.stringMatching(/odd\.yaml:\d+ profiles\.billing: no rule/)]);
  });
});

test("what it says to try next is made to fit the configuration's own rules", async () => {
  const lines = tryNext(dev, false).split("\n");
  const body = lines.find((line) => line.startsWith("TOKEN="))?.match(/-d '([^']*)'/)?.[1] ?? "";
  const { token } = (await post("/_local/token", body)).body;
  const answer = await call("POST", "/v1/decisions", { profile: "billing" }, token);
  expect(answer.body).toMatchObject({ allowed: true, rule: "tags" });
});
