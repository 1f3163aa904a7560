/** Two issuers of one pipeline: their repository, run and job ids may be equal, and mean different things. */
import { parseConfig } from "@stint/core/config/load";
import { demoJobPayload } from "@stint/local/payloads";
import { webhookSecret } from "@stint/local/stint";
import { pipelineClaims } from "@stint/pipelines/registry";
import { beforeAll, describe, expect, test } from "vitest";
import { type Answer, createWorld, sign, type World } from "./world.ts";

const PUBLIC = "https://token.actions.githubusercontent.com";
const SERVER = "https://ghe.acme.test/_services/token";

const profile = (name: string) => `
  ${name}:
    duration: { default: 20m, max: 2h }
    targets:
      aws:
        kind: aws
        role: arn:aws:iam::000000000000:role/stint/${name}
        allow: [{ actions: [s3:GetObject], resources: ["arn:aws:s3:::it/\${namespace}/*"] }]`;
const rule = (name: string, issuer: string) => `
  - id: ${name}
    profile: ${name}
    to: { pipeline: github, issuer: "${issuer}", repository_id: "186853002" }`;

const CONFIG = `version: 1
audience: https://stint.local.test
issuers:
  - { pipeline: github, url: ${SERVER}, webhookSecret: /stint/webhooks/server }
profiles:${profile("server")}${profile("public")}
rules:${rule("server", SERVER)}${rule("public", PUBLIC)}
`;

let world: World;
beforeAll(async () => {
  const parsed = parseConfig(CONFIG, {}, pipelineClaims());
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  world = await createWorld({ config: parsed.config });
});

const ask = async (name: string, wanted: string) =>
  world.call("POST", "/v1/grants", {
    token: await world.issuer.mint(name),
    body: { profile: wanted },
  });

describe("the same repository id at two issuers", () => {
  test("gets what its own issuer's rule says, and the identity names that issuer", async () => {
    expect(await ask("github", "server")).toMatchObject({
      status: 201,
      body: {
        grant: {
          principal: { id: "github:ghe.acme.test:186853002:2202229078:1:1291536064" },
          job: { issuer: SERVER },
        },
      },
    });
    expect(await ask("github.2", "public")).toMatchObject({
      status: 201,
      body: { grant: { job: { issuer: PUBLIC } } },
    });
  });

  test.each([
    ["github", "public"],
    ["github.2", "server"],
  ])("does not get the other's, and is told nothing about it (%s)", async (name, wanted) => {
    expect(await ask(name, wanted)).toMatchObject({
      status: 403,
      body: { code: "refused", explanation: { failed: [], considered: 0 } },
    });
  });
});

test("a webhook ends the jobs of the issuer whose secret signed it, and no others of these ids", async () => {
  const [server, open] = [await ask("github", "server"), await ask("github.2", "public")];
  const raw = JSON.stringify(demoJobPayload("completed"));
  const answer = await world.call("POST", "/v1/webhooks/github", {
    raw,
    headers: {
      "x-github-event": "workflow_job",
      "x-github-delivery": "from-the-public-one",
      "x-hub-signature-256": sign(raw, webhookSecret("github.2")),
    },
  });
  expect(answer.status).toBe(202);
  await world.aws.settle();
  const stateOf = async ({ body }: Answer) =>
    (await world.call("GET", `/v1/grants/${body.grant.id}`, { token: body.token })).body.grant
      .state;
  expect(await stateOf(open)).toBe("ended");
  expect(await stateOf(server)).toBe("active");
});
