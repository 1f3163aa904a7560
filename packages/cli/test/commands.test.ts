import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { run } from "../src/main.ts";
import {
  type Answers,
  type Api,
  aws,
  GRANT,
  grant,
  ID,
  pending,
  problem,
  serve,
  TOKEN,
} from "./api.ts";
import { world } from "./world.ts";

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly api: Api;
}

async function stint(
  argv: readonly string[],
  given: {
    readonly answers?: Answers;
    readonly env?: Readonly<Record<string, string>>;
    readonly tty?: boolean;
  } = {},
): Promise<Ran> {
  await using api = await serve(given.answers);
  const { io, out, err } = world({
    tty: given.tty ?? false,
    env: { STINT_URL: api.url, STINT_TOKEN: "oidc-token", ...given.env },
  });
  const code = await run(argv, io);
  return { code, out: out(), err: err(), api };
}

const lines = (text: string): string[] => text.trimEnd().split("\n");

describe("request", () => {
  test("as JSON prints the answer, with the grant's token", async () => {
    const { code, out } = await stint(["request", "orders-integration", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ grant: grant(), credentials: { aws }, token: TOKEN });
  });

  test("as a credential process prints exactly what the SDKs read", async () => {
    const { code, out, err } = await stint([
      "request",
      "orders-integration",
      "--format",
      "credential-process",
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toStrictEqual({
      Version: 1,
      AccessKeyId: aws.accessKeyId,
      SecretAccessKey: aws.secretAccessKey,
      SessionToken: aws.sessionToken,
      Expiration: aws.expiration,
    });
    expect(err).toBe("");
  });

  test("as env survives a real shell, whatever the secret is made of", async () => {
    const odd = { ...aws, secretAccessKey: 'it\'s $HOME `id` "x" \\ !' };
    const { out } = await stint(["request", "orders-integration", "--format", "env"], {
      answers: {
        "POST /v1/grants": {
          status: 201,
          body: { grant: grant(), credentials: { aws: odd }, token: TOKEN },
        },
      },
    });
    const shell = await promisify(execFile)("sh", ["-c", `${out} env -0`], { env: {} });
    const seen = Object.fromEntries(
      shell.stdout.split("\0").map((entry) => {
        const at = entry.indexOf("=");
        return [entry.slice(0, at), entry.slice(at + 1)];
      }),
    );
    expect(seen).toMatchObject({
      AWS_ACCESS_KEY_ID: odd.accessKeyId,
      AWS_SECRET_ACCESS_KEY: odd.secretAccessKey,
      AWS_SESSION_TOKEN: odd.sessionToken,
      STINT_GRANT_ID: ID,
      STINT_NAMESPACE: `it-${ID}`,
      STINT_GRANT_TOKEN: TOKEN,
    });
  });

  test("as dotenv quotes only what needs it", async () => {
    const { out } = await stint(["request", "orders-integration", "--format=dotenv"]);
    expect(lines(out)).toContain("AWS_ACCESS_KEY_ID=ASIAEXAMPLE");
    expect(lines(out)).toContain(`AWS_SECRET_ACCESS_KEY="secret/it's+one="`);
    expect(lines(out)).toContain(`STINT_NAMESPACE=it-${ID}`);
  });

  test("as a table shows the grant and no secret", async () => {
    const { code, out, err } = await stint(["request", "orders-integration"], { tty: true });
    expect(code).toBe(0);
    expect(out).toMatch(/^grant +g0123456789abcde$/m);
    expect(out).toMatch(/^dead by +2026-11-22T10:20:00.000Z$/m);
    for (const secret of [TOKEN, aws.secretAccessKey, aws.sessionToken])
      expect(out + err).not.toContain(secret);
    expect(err).toContain(`stint claim ${ID} --format env`);
  });

  test("that waits for approval prints the grant and its token, and 0", async () => {
    const { code, out } = await stint(["request", "orders-integration", "--json"], {
      answers: { "POST /v1/grants": pending },
    });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ grant: { state: "pending" }, token: TOKEN });
    expect(JSON.parse(out)).not.toHaveProperty("credentials");
  });

  test("that waits for approval has no credentials to print, and stays for a later claim", async () => {
    const { code, out, err, api } = await stint(
      ["request", "orders-integration", "--format", "env"],
      { answers: { "POST /v1/grants": pending } },
    );
    expect([code, out]).toEqual([5, ""]);
    expect(err).toContain(`stint claim ${ID}`);
    expect(api.asked()).toEqual(["POST /v1/grants"]);
  });

  test("with --wait claims once approved, for the lease that was asked for", async () => {
    const { code, out, api } = await stint(
      ["request", "orders-integration", "--wait", "--lease", "5m", "--json"],
      {
        answers: {
          "POST /v1/grants": pending,
          [`GET ${GRANT}`]: { status: 200, body: { grant: grant({ state: "ready" }) } },
        },
      },
    );
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ credentials: { aws }, token: TOKEN });
    expect(api.calls.at(-1)?.body).toEqual({ lease: "5m" });
  });

  test("of a target that is not there leaves no live grant behind", async () => {
    const { code, err, api } = await stint([
      "request",
      "orders-integration",
      "--format",
      "credential-process",
      "--target",
      "toString",
    ]);
    expect(code).toBe(1);
    expect(err).toContain("targets: aws");
    expect(api.asked()).toEqual(["POST /v1/grants", `DELETE ${GRANT}`]);
  });
});

describe("claim", () => {
  test("prints fresh credentials, without a token that it does not have", async () => {
    const { code, out, api } = await stint(["claim", ID, "--lease", "90s", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ grant: grant(), credentials: { aws } });
    expect(api.calls[0]).toMatchObject({ method: "POST", body: { lease: "90s" } });
  });

  test.each([
    ["its token", { STINT_GRANT_TOKEN: TOKEN }],
    ["its id", { STINT_GRANT_ID: ID }],
  ])("as a credential process needs no more than %s from the environment", async (_, env) => {
    const argv = ["claim", "--format", "credential-process"];
    const { code, out, err, api } = await stint(argv, { env });
    expect([code, err]).toEqual([0, ""]);
    expect(JSON.parse(out)).toMatchObject({ Version: 1, AccessKeyId: aws.accessKeyId });
    // The profile's own, short lease: an SDK comes back for the next.
    expect(api.calls).toMatchObject([{ path: `${GRANT}/credentials`, body: {} }]);
  });

  test("of no grant at all says how to name one", async () => {
    const { code, err, api } = await stint(["claim", "--json"]);
    expect([code, api.calls]).toEqual([1, []]);
    expect(err).toContain("STINT_GRANT_ID");
  });

  test("mints nothing that would not be shown", async () => {
    const { code, api } = await stint(["claim", ID]);
    expect(code).toBe(1);
    expect(api.calls).toHaveLength(0);
  });
});

describe("which token a grant is looked after with", () => {
  const bearer = async (argv: string[], env: Record<string, string>) => {
    const { api } = await stint(argv, { env });
    return api.calls[0]?.headers.authorization;
  };

  test("its own, where the environment has it", async () => {
    expect(await bearer(["get", ID], { STINT_GRANT_TOKEN: TOKEN })).toBe(`Bearer ${TOKEN}`);
    expect(await bearer(["claim", ID, "--json"], { STINT_GRANT_TOKEN: TOKEN })).toBe(
      `Bearer ${TOKEN}`,
    );
  });

  test("the caller's, where that one is another grant's", async () => {
    const env = { STINT_GRANT_TOKEN: "stint_g00000000000000z_x" };
    expect(await bearer(["get", ID], env)).toBe("Bearer oidc-token");
  });

  test("a flag's before all", async () => {
    const env = { STINT_GRANT_TOKEN: TOKEN };
    expect(await bearer(["get", ID, "--token", "flag"], env)).toBe("Bearer flag");
  });

  test("the caller's, to end somebody else's or to approve", async () => {
    const env = { STINT_GRANT_TOKEN: TOKEN };
    expect(await bearer(["revoke", ID], env)).toBe("Bearer oidc-token");
    expect(await bearer(["approve", ID, "--reason", "x"], env)).toBe("Bearer oidc-token");
  });
});

describe("release", () => {
  test.each([
    ["the one that is named", [ID], {}],
    ["this environment's", [], { STINT_GRANT_ID: ID }],
    ["its token's", [], { STINT_GRANT_TOKEN: TOKEN }],
    ["the flag's token's", ["--token", TOKEN], { STINT_GRANT_ID: "g00000000000000z" }],
  ])("ends %s", async (_, argv, env) => {
    const { code, out, api } = await stint(["release", ...argv], { env: { ...env } });
    expect(code).toBe(0);
    expect(out).toMatch(/^state +ending$/m);
    expect(api.asked()).toEqual([`DELETE ${GRANT}`]);
  });

  test("without any grant is a matter of usage", async () => {
    const { code, err, api } = await stint(["release"]);
    expect(code).toBe(1);
    expect(err).toContain("STINT_GRANT_ID");
    expect(api.calls).toHaveLength(0);
  });
});

describe("list", () => {
  const many: Answers = {
    "GET /v1/grants": ({ path }) => {
      const second = path.includes("cursor=next");
      const body = { grants: [grant({ id: second ? "g-two" : "g-one" })] };
      return { status: 200, body: second ? body : { ...body, cursor: "next" } };
    },
  };

  test("goes through the pages and passes the filters on", async () => {
    const argv = [
      "list",
      "--state",
      "active",
      "--profile",
      "p",
      "--principal",
      "x:y",
      "--job",
      "1",
    ];
    const { code, out, api } = await stint([...argv, "--stuck", "--json"], { answers: many });
    expect(code).toBe(0);
    expect(JSON.parse(out).grants.map(({ id }: { id: string }) => id)).toEqual(["g-one", "g-two"]);
    expect(api.calls[0]?.path).toBe(
      "/v1/grants?state=active&profile=p&principal=x%3Ay&job=1&stuck=true&limit=50",
    );
  });

  test("stops at its limit and says that there is more", async () => {
    const { out, err } = await stint(["list", "--limit", "1"], { answers: many });
    expect(lines(out)).toHaveLength(2);
    expect(err).toContain("more than these 1");
  });

  test("is plain in a pipe and under NO_COLOR, and bold on a terminal", async () => {
    const answers: Answers = { "GET /v1/grants": { status: 200, body: { grants: [grant()] } } };
    const bold = "\u001b[1m";
    expect((await stint(["list"], { answers })).out).toMatch(/^GRANT +PROFILE +STATE/);
    expect((await stint(["list"], { answers, tty: true })).out).toContain(bold);
    const env = { NO_COLOR: "1" };
    expect((await stint(["list"], { answers, tty: true, env })).out).not.toContain(bold);
  });

  test("does not let names play with the terminal", async () => {
    const profile = "\u001b[2J\u009b31mred\u202eevil\nnext";
    const answers: Answers = {
      "GET /v1/grants": { status: 200, body: { grants: [grant({ profile })] } },
    };
    const { out } = await stint(["list"], { answers });
    expect(out).toContain("[2J31mredevil next");
    expect(lines(out)).toHaveLength(2);
  });

  test.each([
    ["--limit", "0"],
    ["--limit", "-1"],
    ["--limit", "1e3"],
    ["--state", "gone"],
    ["--format", "env"],
    ["--format", "yaml"],
  ])("%s %s is told as a mistake before anything is asked", async (flag, value) => {
    const { code, err, api } = await stint(["list", flag, value]);
    expect(code).toBe(1);
    expect(err).toContain(value);
    expect(api.calls).toHaveLength(0);
  });
});

test("approve and refuse send the decision with its reason", async () => {
  for (const decision of ["approve", "refuse"]) {
    const { code, api } = await stint([decision, ID, "--reason", "looks right"]);
    expect(code).toBe(0);
    expect(api.calls[0]).toMatchObject({
      path: `${GRANT}/approval`,
      body: { decision, reason: "looks right" },
    });
    expect((await stint([decision, ID])).code).toBe(1);
  }
});

describe("errors", () => {
  test.each([
    ["a refusal", problem(403, "refused"), 3],
    ["no authentication", problem(401, "unauthenticated"), 4],
    ["a grant that is not there", problem(404, "grant_not_found"), 2],
    ["a limit", problem(429, "limit_reached"), 2],
    ["a fault", problem(500, "internal"), 2],
    ["no answer at all", { status: 0, cut: true } as const, 2],
  ])("%s has its exit code", async (_, answer, code) => {
    const ran = await stint(["get", ID], { answers: { [`GET ${GRANT}`]: answer } });
    expect(ran.code).toBe(code);
    expect(ran.out).toBe("");
  });

  test("are one line of JSON on stderr where JSON is asked for", async () => {
    const explanation = { failed: [{ claim: "ref", actual: null }], considered: 1 };
    const answers: Answers = {
      [`GET ${GRANT}`]: problem(403, "refused", { hint: "ask", explanation, requestId: "r-9" }),
    };
    for (const argv of [
      ["get", ID, "--json"],
      ["get", ID, "--format", "json"],
      ["get", ID],
    ]) {
      const env: Record<string, string> = argv.length === 2 ? { STINT_FORMAT: "json" } : {};
      const { code, out, err } = await stint(argv, { answers, env });
      expect([code, out]).toEqual([3, ""]);
      expect(lines(err)).toHaveLength(1);
      expect(JSON.parse(err)).toEqual({
        code: "refused",
        message: "it is refused",
        hint: "ask",
        explanation,
        requestId: "r-9",
      });
    }
  });

  test("of usage are JSON too", async () => {
    const { code, err } = await stint(["list", "--nonsense", "--json"]);
    expect(code).toBe(1);
    expect(JSON.parse(err)).toMatchObject({
      code: "usage",
      message: expect.stringContaining("nonsense"),
    });
  });

  test("name the grant that they are about", async () => {
    const { code, err } = await stint(["request", "p", "--wait", "--format=json"], {
      answers: {
        "POST /v1/grants": pending,
        [`GET ${GRANT}`]: {
          status: 200,
          body: { grant: grant({ state: "refused", why: "approval_expired" }) },
        },
      },
    });
    expect(code).toBe(5);
    expect(JSON.parse(err)).toMatchObject({ code: "approval_expired", grantId: ID });
  });

  test("from afar cannot start a line of their own", async () => {
    const answers: Answers = {
      [`GET ${GRANT}`]: problem(403, "refused", {
        hint: "x\n::add-path::/evil",
        detail: "a\r\n::b",
      }),
    };
    const { err } = await stint(["get", ID], { answers });
    expect(lines(err).filter((line) => line.trimStart().startsWith("::"))).toEqual([]);
  });

  test("a missing or impossible address is this side's fault", async () => {
    for (const url of ["", "stint.acme.dev"]) {
      const { code, err } = await stint(["get", ID], { env: { STINT_URL: url } });
      expect(code).toBe(1);
      expect(err).toMatch(/address/);
    }
  });

  test("a format that is none is told, one of another command's is not minded", async () => {
    const answers: Answers = { "GET /v1/grants": { status: 200, body: { grants: [] } } };
    expect((await stint(["list"], { answers, env: { STINT_FORMAT: "env" } })).code).toBe(0);
    expect((await stint(["list"], { answers, env: { STINT_FORMAT: "xml" } })).code).toBe(1);
  });

  test("a command that is misspelt gets a suggestion", async () => {
    const { code, err } = await stint(["reqest", "p"]);
    expect(code).toBe(1);
    expect(err).toContain("request");
  });
});

describe("without a token", () => {
  const noToken = { STINT_TOKEN: "" };

  test("says so and exits with 4, before the API is asked for anything", async () => {
    const { code, err, api } = await stint(["request", "p"], { env: noToken });
    expect(code).toBe(4);
    expect(err).toContain("STINT_TOKEN");
    expect(api.calls).toHaveLength(0);
  });

  test("a fork's pull request learns why, and what a maintainer can do", async () => {
    await using api = await serve();
    const { io, err } = world({
      env: {
        STINT_URL: api.url,
        GITHUB_ACTIONS: "true",
        GITHUB_EVENT_NAME: "pull_request",
        GITHUB_EVENT_PATH: "/event.json",
      },
    });
    const event = { pull_request: { head: { repo: { id: 2 } }, base: { repo: { id: 1 } } } };
    const forked = { ...io, readText: async () => JSON.stringify(event) };
    expect(await run(["exec", "p", "--", "true"], forked)).toBe(4);
    expect(err()).toContain("pull request from a fork");
    expect(err()).toContain("maintainer");
    expect(api.calls).toHaveLength(0);
  });

  test("a GitHub job without the permission learns which one", async () => {
    const env = { ...noToken, GITHUB_ACTIONS: "true", GITHUB_EVENT_NAME: "push" };
    const { code, err } = await stint(["exec", "p", "--", "true"], { env });
    expect(code).toBe(4);
    expect(err).toMatch(/permissions:\s+id-token: write/);
  });

  test("a GitHub job's own token is asked for once, for the server's audience", async () => {
    await using github = await serve({ "GET /token": { status: 200, body: { value: "a.b.c" } } });
    const { api } = await stint(["get", ID], {
      env: {
        ...noToken,
        ACTIONS_ID_TOKEN_REQUEST_URL: `${github.url}/token?v=2`,
        ACTIONS_ID_TOKEN_REQUEST_TOKEN: "t",
      },
    });
    expect(github.asked()).toEqual(["GET /token?v=2&audience=https%3A%2F%2Fstint.acme.dev"]);
    expect(api.calls.at(-1)?.headers.authorization).toBe("Bearer a.b.c");
  });
});

test("help and version go to stdout with 0; no command at all shows the help with 1", async () => {
  const help = await stint(["--help"]);
  expect(help.code).toBe(0);
  expect(help.out).toMatch(/exec .*request .*policy/s);
  expect((await stint(["exec", "--help"])).out).toContain("-- COMMAND");
  expect((await stint(["--version"])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  const none = await stint([]);
  expect([none.code, none.out]).toEqual([1, ""]);
  expect(none.err).toContain("Usage: stint");
});

test.each([
  [["exec"], "stint exec --help shows how"],
  [["approve", "g1"], "stint approve --help shows how"],
  [["policy", "explain"], "stint policy explain --help shows how"],
  [["nope"], "stint help shows every command"],
])("%j cannot be meant: the hint is the nearest help", async (argv, hint) => {
  const { code, err } = await stint(argv);
  expect(code).toBe(1);
  expect(err).toContain(`hint: ${hint}`);
});

test("audit query asks for its bucket and for times that mean one thing", async () => {
  expect((await stint(["audit", "query"])).err).toContain("STINT_AUDIT_BUCKET");
  for (const time of ["yesterday", "2026-01-31T12:00", "2026-13-45", "-5m", "90"]) {
    const { code, err } = await stint(["audit", "query", "--bucket", "b", `--since=${time}`]);
    expect(code).toBe(1);
    expect(err).toContain("which is no time");
  }
});

test("dev wants ports that there are", async () => {
  for (const port of ["x", "-1", "65536", "4010.5"])
    expect((await stint(["dev", `--port=${port}`])).code).toBe(1);
});
