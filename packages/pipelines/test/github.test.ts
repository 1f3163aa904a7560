import { createRequire } from "node:module";
import { sign as octokitSign } from "@octokit/webhooks-methods";
import { describe, expect, test } from "vitest";
import { github, parseSubject } from "../src/github.ts";
import { DOCUMENTED, GITHUB, refusal } from "./support.ts";

const { webhook } = github;

// Its types declare a default export that the JSON file does not have for Node.
const examples: ReadonlyArray<{ readonly name: string; readonly examples: readonly unknown[] }> =
  createRequire(import.meta.url)("@octokit/webhooks-examples");

describe("a subject", () => {
  test.each([
    ["repo:octo-org/octo-repo:ref:refs/heads/main", ["ref", "refs/heads/main"]],
    ["repo:octo-org/octo-repo:pull_request", ["pull_request"]],
    ["repo:octo-org/octo-repo:environment:Production%3AV1", ["environment", "Production:V1"]],
    ["repo:octo-org/octo-repo", []],
    [
      "repo:octo-org/octo-repo:environment:prod:job_workflow_ref:o/a/.github/workflows/o.yml@refs/heads/main",
      ["environment", "prod", "job_workflow_ref", "o/a/.github/workflows/o.yml@refs/heads/main"],
    ],
  ])("%s is read by names", (sub, context) => {
    expect(parseSubject(sub)).toEqual({ owner: "octo-org", repository: "octo-repo", context });
  });

  test("of the immutable form is read with its ids", () => {
    expect(parseSubject("repo:octo-org@123456/octo-repo@456789:ref:refs/heads/main")).toEqual({
      owner: "octo-org",
      repository: "octo-repo",
      ids: { owner: "123456", repository: "456789" },
      context: ["ref", "refs/heads/main"],
    });
  });

  test.each([
    "",
    "repo",
    "repo:",
    "repo:octo-org",
    "repo:/octo-repo:pull_request",
    "repo:octo-org@1/octo-repo:pull_request",
    "repo:octo-org/octo-repo@2:pull_request",
    "repo:octo-org@x/octo-repo@2:pull_request",
    "repo:octo-org@0/octo-repo@2:pull_request",
    "repo:octo-org@1@3/octo-repo@2:pull_request",
    "repo:a/b/c:pull_request",
    "repository_owner:monalisa:repository_visibility:private",
    "REPO:octo-org/octo-repo:pull_request",
  ])("%j is no default one", (sub) => {
    expect(parseSubject(sub)).toBeUndefined();
  });
});

describe("a token's principal", () => {
  const principal = (more: object) => github.principal({ ...DOCUMENTED, ...more }, GITHUB);

  test("is the same under both forms of sub", () => {
    const sub = "repo:octo-org@65/octo-repo@74:environment:prod";
    expect(principal({ sub }).id).toBe(principal({}).id);
    expect(principal({ sub }).claims.sub).toBe(sub);
  });

  test.each([
    "repo:octo-org@66/octo-repo@74:environment:prod",
    "repo:octo-org@65/octo-repo@75:environment:prod",
    "repo:octo-org@74/octo-repo@65:environment:prod",
  ])("is refused when its sub %s names other ids", async (sub) => {
    const error = await refusal(() => principal({ sub }));
    expect(error.code).toBe("unauthenticated");
    expect(error.message).toMatch(/other ids/);
  });

  test("is refused when its sub names half of the ids", async () => {
    const sub = "repo:octo-org@65/octo-repo:environment:prod";
    expect((await refusal(() => principal({ sub }))).message).toMatch(/unknown form/);
  });

  test("has a sub of a template apart, since it may name the actor", () => {
    for (const sub of [
      "actor:octocat",
      "repo:octo-org/octo-repo:actor:octocat",
      "repo:octo-org/octo-repo:environment:prod:actor:octocat",
    ]) {
      const { claims, personal } = principal({ sub });
      expect(claims.sub).toBeUndefined();
      expect(personal?.sub).toBe(sub);
    }
  });

  test("names nobody outside its personal part", () => {
    const { id, claims, personal, job } = principal({});
    expect(JSON.stringify({ id, claims, job })).not.toMatch(/octocat|"12"/);
    expect(personal).toEqual({ actor: "octocat", actor_id: "12" });
    expect(principal({ actor: undefined, actor_id: undefined }).personal).toBeUndefined();
  });

  test("has ids and flags as text, whether they were quoted or not", () => {
    const { id, claims, job } = principal({
      run_id: 5373506832,
      run_attempt: 2,
      ref_protected: true,
    });
    expect(id).toBe(principal({}).id);
    expect(job).toEqual(principal({}).job);
    expect(claims.ref_protected).toBe("true");
  });

  test("has documented claims only", () => {
    const { claims } = principal({
      repo_property_team: "platform",
      constructor: "x",
      pipeline: "x",
    });
    expect(Object.keys(claims)).toEqual(expect.arrayContaining(["ref", "environment"]));
    for (const name of Object.keys(claims))
      expect([...github.claims.claims, "sub"]).toContain(name);
  });

  test("keeps claims that are empty apart from claims that are missing", () => {
    expect(principal({}).claims.base_ref).toBe("");
    expect("base_ref" in principal({ base_ref: undefined }).claims).toBe(false);
  });

  test.each([
    ["run_id", "5 "],
    ["run_id", "-5"],
    ["run_id", "05"],
    ["run_id", "0"],
    ["run_id", ""],
    ["run_id", "1:2"],
    ["run_id", "9".repeat(21)],
    ["run_id", 1.5],
    ["run_id", 2 ** 53],
    ["run_id", null],
    ["run_id", ["5"]],
    ["check_run_id", "example-run-id"],
    ["repository_id", true],
    ["repository_owner_id", {}],
    ["run_attempt", "x"],
    ["ref", ["refs/heads/main"]],
    ["environment", null],
    ["event_name", { a: 1 }],
    ["event_name", ""],
    ["event_name", undefined],
    ["actor", 1.5],
    ["sub", 7.5],
  ])("is refused when %s is %j", async (name, value) => {
    const error = await refusal(() => principal({ [name]: value }));
    expect(error.code).toBe("unauthenticated");
    expect(error.message).toContain(name);
  });
});

describe("a signature", () => {
  const secret = "It's a Secret to Everybody";
  const text = "Hello, World!";
  const body = Buffer.from(text);
  // The pair by which GitHub's documentation has implementations tested.
  const right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
  const verify = (signature: string | undefined, bytes: Uint8Array = body, key = secret) =>
    webhook.verify(bytes, { [webhook.signatureHeader]: signature }, key);

  test("that GitHub's own example and Octokit's signer make holds", async () => {
    expect(verify(right)).toBe(true);
    expect(verify(await octokitSign(secret, text))).toBe(true);
    const big = JSON.stringify({ text: "ü😀".repeat(10_000) });
    expect(verify(await octokitSign(secret, big), Buffer.from(big))).toBe(true);
  });

  test("over bytes that are not UTF-8 holds for those bytes alone", async () => {
    const { createHmac } = await import("node:crypto");
    const bytes = Buffer.from([0x7b, 0xff, 0xfe, 0x7d]);
    const signature = `sha256=${createHmac("sha256", secret).update(bytes).digest("hex")}`;
    expect(verify(signature, bytes)).toBe(true);
    expect(verify(signature, Buffer.from(bytes.toString("utf8")))).toBe(false);
  });

  test("does not hold when any one byte of the body was changed", () => {
    for (let i = 0; i < body.length; i++) {
      const changed = Buffer.from(body);
      changed[i] = (changed[i] ?? 0) ^ 1;
      expect(verify(right, changed)).toBe(false);
    }
    expect(verify(right, Buffer.concat([body, Buffer.from("\n")]))).toBe(false);
    expect(verify(right, new Uint8Array())).toBe(false);
  });

  test.each([
    ["missing", undefined],
    ["empty", ""],
    [
      "of another secret",
      "sha256=0000000000000000000000000000000000000000000000000000000000000000",
    ],
    ["in capitals", right.toUpperCase().replace("SHA256", "sha256")],
    ["with its algorithm in capitals", right.replace("sha256", "SHA256")],
    ["without its algorithm", right.slice("sha256=".length)],
    ["cut off", right.slice(0, -1)],
    ["too long", `${right}0`],
    ["with a line break", `${right}\n`],
    ["twice", `${right}, ${right}`],
    ["of sha1", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59"],
    ["of no algorithm", `none=${right.slice("sha256=".length)}`],
  ])("that is %s does not hold", (_, signature) => {
    expect(verify(signature)).toBe(false);
  });

  test("under the old sha1 header alone does not hold", () => {
    const headers = { "x-hub-signature": "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59" };
    expect(webhook.verify(body, headers, secret)).toBe(false);
  });

  test("with another secret, or with the empty one that everybody knows, does not hold", async () => {
    const { createHmac } = await import("node:crypto");
    expect(verify(right, body, "another")).toBe(false);
    const forged = `sha256=${createHmac("sha256", "").update(body).digest("hex")}`;
    expect(verify(forged, body, "")).toBe(false);
  });
});

describe("a delivery", () => {
  const id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";

  test("is named by its header", () => {
    expect(webhook.deliveryId({ "x-github-delivery": id }, {})).toBe(id);
  });

  test.each([undefined, "", "a b", "a#b", "x".repeat(65)])(
    "named %j is malformed",
    async (name) => {
      const error = await refusal(() => webhook.deliveryId({ "x-github-delivery": name }, {}));
      expect(error.code).toBe("invalid_request");
    },
  );
});

const facts = (event: string, body: unknown) =>
  webhook.facts({ "x-github-event": event }, body, GITHUB);

describe("facts", () => {
  const all = examples.flatMap(({ name, examples: payloads }) =>
    payloads.map((payload) => ({ name, payload })),
  );

  test("come of all of GitHub's example payloads, and of completed jobs and runs only", () => {
    expect(all.length).toBeGreaterThan(300);
    for (const { name, payload } of all) {
      const action =
        typeof payload === "object" && payload && "action" in payload && payload.action;
      const ends = action === "completed" && (name === "workflow_job" || name === "workflow_run");
      expect(facts(name, payload)).toHaveLength(ends ? 1 : 0);
    }
  });

  test("of Codertocat/Hello-World's completed job name its run and check run", () => {
    const found = all.filter(
      ({ name, payload }) => name === "workflow_job" && facts(name, payload).length > 0,
    );
    expect(found.length).toBeGreaterThan(0);
    for (const { name, payload } of found)
      expect(facts(name, payload)).toEqual([
        {
          kind: "job.ended",
          job: {
            pipeline: "github",
            issuer: GITHUB,
            run: "2202229078",
            attempt: "1",
            job: "1291536064",
          },
        },
      ]);
  });

  test("of a completed run name the run and its attempt", () => {
    const body = { action: "completed", workflow_run: { id: 289782451, run_attempt: 3 } };
    expect(facts("workflow_run", body)).toEqual([
      { kind: "run.ended", pipeline: "github", issuer: GITHUB, run: "289782451", attempt: "3" },
    ]);
  });

  const job = (more: object) => ({
    action: "completed",
    workflow_job: {
      run_id: 1,
      run_attempt: 2,
      check_run_url: "https://api.github.com/a/check-runs/7",
      ...more,
    },
  });

  test("look at the last segment of the check run's URL alone", () => {
    for (const check_run_url of [
      "https://ghe.acme.example/api/v3/repos/a/b/check-runs/7",
      "https://evil.example/7",
      "/7",
    ])
      expect(facts("workflow_job", job({ check_run_url }))).toMatchObject([{ job: { job: "7" } }]);
  });

  test("are of the first attempt where the payload names none, as older servers do", () => {
    for (const run_attempt of [undefined, null])
      expect(facts("workflow_job", job({ run_attempt }))).toMatchObject([
        { job: { attempt: "1" } },
      ]);
  });

  test("carry the issuer that they were given, whatever the payload says", () => {
    const found = webhook.facts(
      { "x-github-event": "workflow_job" },
      { ...job({}), issuer: "x" },
      "https://ghe",
    );
    expect(found).toMatchObject([{ job: { issuer: "https://ghe" } }]);
  });

  test("do not come of other actions and events", () => {
    for (const action of ["queued", "in_progress", "waiting", "requested", "COMPLETED"])
      expect(facts("workflow_job", { ...job({}), action })).toEqual([]);
    for (const event of [
      "ping",
      "check_run",
      "push",
      "Workflow_Job",
      "workflow_job ",
      "__proto__",
      "",
    ])
      expect(facts(event, job({}))).toEqual([]);
    expect(facts("ping", null)).toEqual([]);
  });

  test.each([
    ["workflow_job", null],
    ["workflow_job", []],
    ["workflow_job", "text"],
    ["workflow_job", {}],
    ["workflow_job", { action: 7 }],
    ["workflow_job", { action: "completed" }],
    ["workflow_job", { action: "completed", workflow_job: [] }],
    ["workflow_job", { action: "completed", workflow_run: { id: 1 } }],
    ["workflow_job", job({ run_id: "1" })],
    ["workflow_job", job({ run_id: 0 })],
    ["workflow_job", job({ run_id: 1.5 })],
    ["workflow_job", job({ run_id: 2 ** 53 })],
    ["workflow_job", job({ run_attempt: "2" })],
    ["workflow_job", job({ check_run_url: undefined })],
    ["workflow_job", job({ check_run_url: "https://api.github.com/check-runs/" })],
    ["workflow_job", job({ check_run_url: "https://api.github.com/check-runs/7/" })],
    ["workflow_job", job({ check_run_url: "https://api.github.com/check-runs/7?x" })],
    ["workflow_job", job({ check_run_url: "https://api.github.com/check-runs/x7" })],
    ["workflow_job", job({ check_run_url: "7" })],
    ["workflow_run", { action: "completed", workflow_job: {} }],
    ["workflow_run", { action: "completed", workflow_run: { id: "1" } }],
    ["workflow_run", { action: "completed", workflow_run: { id: 1, run_attempt: -1 } }],
  ])("of a malformed %s are an invalid request: %j", async (event, body) => {
    const error = await refusal(() => facts(event, body));
    expect(error.code).toBe("invalid_request");
    expect(error.message).toContain(event);
  });

  test("of a delivery without its event are an invalid request", async () => {
    expect((await refusal(() => webhook.facts({}, job({}), GITHUB))).code).toBe("invalid_request");
  });
});
