import { describe, expect, test } from "vitest";
import type { Io } from "../src/io.ts";
import { run } from "../src/main.ts";
import { serve } from "./api.ts";
import { world } from "./world.ts";

const CONFIG = `version: 1
audience: https://stint.acme.dev
issuers:
  - login: acme
    url: https://login.acme.dev
profiles:
  orders-integration:
    duration: { default: 20m, max: 2h }
    lease: 15m
    targets:
      aws:
        kind: aws
        role: arn:aws:iam::111122223333:role/stint/orders-integration
        allow:
          - actions: [s3:GetObject]
            resources: ["arn:aws:s3:::acme-it/\${namespace}/*"]
rules:
  - id: orders-main
    profile: orders-integration
    to: { pipeline: github, repository_id: "186853002", ref: refs/heads/main }
    duration: 30m
  - id: orders-people
    profile: orders-integration
    to: { person: { group: orders } }
    approval: { from: { person: { group: owners } }, count: 1 }
`;

const CLAIMS = {
  iss: "https://token.actions.githubusercontent.com",
  sub: "repo:Codertocat/Hello-World:ref:refs/heads/main",
  repository: "Codertocat/Hello-World",
  repository_id: "186853002",
  repository_owner_id: "21031067",
  ref: "refs/heads/main",
  event_name: "push",
  run_id: "2202229078",
  run_attempt: "1",
  check_run_id: "1291536064",
};

const jwt = (claims: unknown): string =>
  ["{}", JSON.stringify(claims), "signature"]
    .map((part) => Buffer.from(part).toString("base64url"))
    .join(".");

async function stint(
  argv: readonly string[],
  files: Readonly<Record<string, string>> = {},
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number; out: string; err: string }> {
  const { io, out, err } = world({ env });
  const made: Io = {
    ...io,
    readText: async (path) => {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error(path), { code: "ENOENT" });
      return text;
    },
    list: async () => Object.keys(files),
  };
  return { code: await run(argv, made), out: out(), err: err() };
}

describe("policy check", () => {
  test("says that nothing is wrong", async () => {
    const { code, out } = await stint(["policy", "check"], { "stint.yaml": CONFIG });
    expect([code, out]).toEqual([0, "stint.yaml: profiles: 1, rules: 2, nothing wrong\n"]);
  });

  test("tells every problem with its place and a hint, and exits with 1", async () => {
    const wrong = CONFIG.replace("duration: 30m", "duration: 1h30m").replace(
      "count: 1",
      "cuont: 1",
    );
    const { code, out } = await stint(["policy", "check", "it/stint.yaml"], {
      "it/stint.yaml": wrong,
    });
    expect(code).toBe(1);
    expect(out).toMatch(/^it\/stint\.yaml:21:\d+ rules\[0\]\.duration: /m);
    expect(out).toMatch(/^it\/stint\.yaml:25:\d+ rules\[1\]\.approval\S*: /m);
    expect(out).toMatch(/^ {2}hint: /m);
  });

  test("as JSON gives the problems to a program", async () => {
    const { code, out } = await stint(["policy", "check", "--json"], {
      "stint.yaml": "version: 2\n",
    });
    expect(code).toBe(1);
    const answer = JSON.parse(out);
    expect(answer.ok).toBe(false);
    expect(answer.problems[0]).toMatchObject({ path: expect.any(String), line: 1 });
  });

  test("reads the .cedar files beside it and names the one that is wrong", async () => {
    const { code, out } = await stint(["policy", "check"], {
      "stint.yaml": CONFIG,
      "freeze.cedar": "forbid (principal, action, resource) when {",
      "notes.txt": "not looked at",
    });
    expect(code).toBe(1);
    expect(out).toMatch(/^freeze\.cedar:1:\d+ freeze\.cedar: /m);
  });

  test("tells warnings, with the file that they are about, and exits with 0", async () => {
    const { code, out } = await stint(["policy", "check"], {
      "stint.yaml": CONFIG,
      "all.cedar": `@id("all") permit (principal, action, resource);`,
    });
    expect(code).toBe(0);
    expect(out).toBe(
      "all.cedar:1:1 all.cedar: all: warning: permits everyone who can get any token\n" +
        "stint.yaml: profiles: 1, rules: 2, warnings: 1\n",
    );
  });

  test("goes by STINT_CONFIG, and says which file is not there", async () => {
    const { code, err } = await stint(["policy", "check"], {}, { STINT_CONFIG: "other.yaml" });
    expect(code).toBe(1);
    expect(err).toContain("there is no file other.yaml");
  });
});

describe("policy explain", () => {
  const files = (claims: unknown) => ({
    "stint.yaml": CONFIG,
    "claims.json": JSON.stringify(claims),
  });
  const explain = (claims: unknown, ...more: string[]) =>
    stint(
      ["policy", "explain", "orders-integration", "--claims", "claims.json", ...more],
      files(claims),
    );

  test("names the rule that allows, and for how long", async () => {
    const { code, out } = await explain(CLAIMS, "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ allowed: true, rule: "orders-main", seconds: 1200 });
  });

  test("names the nearest rule and the claim that failed, and exits with 3", async () => {
    const { code, out, err } = await explain({ ...CLAIMS, ref: "refs/heads/x" });
    expect(code).toBe(3);
    expect(err).toBe("");
    expect(out).toMatch(/^allowed +no$/m);
    expect(out).toContain("nearest rule: orders-main");
    expect(out).toMatch(/^ {2}ref +refs\/heads\/main +refs\/heads\/x$/m);
  });

  test("decides on claims that are not all there, and says that such a token would not do", async () => {
    const { code, out, err } = await explain({
      repository_id: 186853002,
      ref: "refs/heads/main",
      event_name: "push",
    });
    expect(code).toBe(0);
    expect(out).toContain("orders-main");
    expect(err).toMatch(/would be turned away: .*repository_owner_id/);
  });

  test("a length beyond the rule is refused, one that is none is a mistake", async () => {
    expect((await explain(CLAIMS, "--duration", "30m")).code).toBe(0);
    expect((await explain(CLAIMS, "--duration", "31m")).code).toBe(3);
    for (const duration of ["1h30m", "90", "0s", "10y", "30s"])
      expect((await explain(CLAIMS, "--duration", duration)).code).toBe(1);
  });

  test("knows people by their login, and says whose approval it takes", async () => {
    const person = { iss: "https://login.acme.dev", sub: "alice", groups: ["orders"] };
    const { code, out } = await explain(person, "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ rule: "orders-people", approval: { count: 1 } });
  });

  test("reads the claims of a token without verifying it", async () => {
    const argv = ["policy", "explain", "orders-integration", "--token", jwt(CLAIMS)];
    expect((await stint(argv, { "stint.yaml": CONFIG })).out).toMatch(/^rule +orders-main$/m);
  });

  test.each([
    ["an issuer that nobody trusts", { iss: "https://evil.example" }, "not trusted"],
    ["a list", [], "one JSON object"],
    ["a pipeline that is none", { pipeline: "jenkins" }, "no pipeline jenkins"],
  ])("%s is told as a mistake", async (_, claims, message) => {
    const { code, err } = await explain(claims);
    expect(code).toBe(1);
    expect(err).toContain(message);
  });

  test("a broken configuration is told with its problems", async () => {
    const argv = ["policy", "explain", "p", "--claims", "claims.json"];
    const { code, err } = await stint(argv, { ...files(CLAIMS), "stint.yaml": "version: 2\n" });
    expect(code).toBe(1);
    expect(err).toContain("stint.yaml:1:");
  });

  test("--remote asks the server, which has the last word", async () => {
    await using api = await serve({
      "POST /v1/decisions": {
        status: 200,
        body: { allowed: false, explanation: { failed: [], considered: 0 } },
      },
    });
    const argv = ["policy", "explain", "p", "--remote", "--duration", "2h", "--json"];
    const { code, out } = await stint(argv, {}, { STINT_URL: api.url, STINT_TOKEN: "t" });
    expect(code).toBe(3);
    expect(JSON.parse(out)).toEqual({
      allowed: false,
      explanation: { failed: [], considered: 0 },
    });
    expect(api.calls[0]?.body).toEqual({ profile: "p", duration: "2h" });
  });
});

describe("whoami", () => {
  const token = jwt({ ...CLAIMS, aud: "https://stint.acme.dev", exp: 1_795_341_600 });

  test("shows what the token says, that nobody verified it, and not the token", async () => {
    const { code, out, err } = await stint(["whoami"], {}, { STINT_TOKEN: token });
    expect(code).toBe(0);
    expect(out).toMatch(/^verified +no/m);
    expect(out).toMatch(/^issuer +https:\/\/token\.actions\.githubusercontent\.com$/m);
    expect(out).toMatch(/^repository_id +186853002$/m);
    expect(out).toContain("/v1/decisions");
    for (const part of token.split(".")) expect(out + err).not.toContain(part);
  });

  test("says when it is over", async () => {
    const old = jwt({ ...CLAIMS, exp: 1_700_000_000 });
    const { out } = await stint(["whoami", "--json"], {}, { STINT_TOKEN: old });
    expect(JSON.parse(out)).toMatchObject({
      verified: false,
      source: "STINT_TOKEN",
      expired: true,
      expiresAt: "2023-11-14T22:13:20.000Z",
    });
  });

  test("names the grant of a grant's token", async () => {
    const grantToken = "stint_g0123456789abcde_c2ln";
    const { out } = await stint(["whoami", "--token", grantToken]);
    expect(out).toContain("g0123456789abcde");
    expect(out).not.toContain("c2ln");
  });

  test.each(["nonsense", "a.b.c", `e30.${"x".repeat(100_000)}.e30`, "..", jwt([1])])(
    "a token that is none is told without quoting it",
    async (broken) => {
      const { code, out, err } = await stint(["whoami"], {}, { STINT_TOKEN: broken });
      expect([code, out]).toEqual([1, ""]);
      expect(err).toContain("neither a JWT nor a grant's token");
    },
  );
});
