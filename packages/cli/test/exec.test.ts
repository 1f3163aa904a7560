import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "../src/main.ts";
import {
  type Answers,
  type Api,
  aws,
  GRANT,
  grant,
  ID,
  issued,
  pending,
  problem,
  serve,
  TOKEN,
} from "./api.ts";
import { type World, type WorldOptions, world } from "./world.ts";

const NODE = process.execPath;
const PATH = process.env.PATH ?? "";

interface Ran {
  readonly code: number;
  readonly api: Api;
  readonly world: World;
}

/** Runs `stint exec orders-integration <flags> -- <command>` against the fake. */
async function exec(
  command: readonly string[],
  given: {
    readonly flags?: readonly string[];
    readonly answers?: Answers;
    readonly options?: (signal: (signal: NodeJS.Signals) => void) => WorldOptions;
    readonly env?: Readonly<Record<string, string>>;
  } = {},
): Promise<Ran> {
  await using api = await serve(given.answers);
  const made: World = world({
    ...given.options?.((signal) => made.signal(signal)),
    env: { STINT_URL: api.url, STINT_TOKEN: "oidc-token", PATH, ...given.env },
  });
  const argv = ["exec", "orders-integration", ...(given.flags ?? []), "--", ...command];
  return { code: await run(argv, made.io), api, world: made };
}

const script = (text: string): string[] => [NODE, "-e", text];
const releases = ({ api }: Ran) => api.calls.filter(({ method }) => method === "DELETE");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stint-exec-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("the request", () => {
  test("asks as the caller for the longest lease, under one key of its own", async () => {
    const ran = await exec(script(""), {
      flags: ["--duration", "20m", "--name", "e2e", "--reason", "nightly"],
    });
    expect(ran.code).toBe(0);
    expect(ran.api.asked()).toEqual(["POST /v1/grants", `DELETE ${GRANT}`]);
    expect(ran.api.calls[0]).toMatchObject({
      headers: { authorization: "Bearer oidc-token", "idempotency-key": "key-1" },
      body: {
        profile: "orders-integration",
        duration: "20m",
        lease: "1h",
        name: "e2e",
        reason: "nightly",
      },
    });
  });

  test("keeps its key while the API is away", async () => {
    const answers = [problem(503, "unavailable"), { status: 0, cut: true } as const, issued];
    const ran = await exec(script(""), {
      answers: { "POST /v1/grants": () => answers.shift() ?? issued },
    });
    expect(ran.code).toBe(0);
    const keys = ran.api.calls
      .filter(({ path }) => path === "/v1/grants")
      .map(({ headers }) => headers["idempotency-key"]);
    expect(keys).toEqual(["key-1", "key-1", "key-1"]);
  });

  test("that is refused runs nothing and exits with 3", async () => {
    const file = join(folder, "never");
    const ran = await exec(script(`fs.writeFileSync(${JSON.stringify(file)}, "")`), {
      answers: {
        "POST /v1/grants": problem(403, "refused", {
          hint: "run on main",
          explanation: {
            rule: "orders-main",
            failed: [{ claim: "ref", expected: "refs/heads/main", actual: "refs/heads/x" }],
            considered: 2,
          },
        }),
      },
    });
    expect(ran.code).toBe(3);
    await expect(readFile(file)).rejects.toThrow("ENOENT");
    expect(releases(ran)).toHaveLength(0);
    expect(ran.world.out()).toBe("");
    const told = ran.world.err();
    expect(told).toContain("stint: Refused: it is refused");
    expect(told).toContain("nearest rule: orders-main (of 2)");
    expect(told).toMatch(/CLAIM +EXPECTED +ACTUAL\n {2}ref +refs\/heads\/main +refs\/heads\/x/);
    expect(told).toContain("hint: run on main");
  });
});

describe("the child", () => {
  test("has the grant in its environment and nothing with which to ask for more", async () => {
    const file = join(folder, "env.json");
    const ran = await exec(
      script(`fs.writeFileSync(${JSON.stringify(file)}, JSON.stringify(process.env))`),
      {
        env: {
          KEPT: "yes",
          AWS_REGION: "eu-west-1",
          AWS_PROFILE: "admin",
          AWS_ACCESS_KEY_ID: "AKIARUNNER",
          AWS_WEB_IDENTITY_TOKEN_FILE: "/token",
          AWS_ROLE_ARN: "arn:aws:iam::111122223333:role/runner",
          AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://169.254.170.2/x",
          STINT_GRANT_TOKEN: "stint_other",
          ACTIONS_ID_TOKEN_REQUEST_URL: "http://127.0.0.1:1/",
          ACTIONS_ID_TOKEN_REQUEST_TOKEN: "t",
        },
      },
    );
    expect(ran.code).toBe(0);
    const env: Record<string, string> = JSON.parse(await readFile(file, "utf8"));
    expect(env).toMatchObject({
      KEPT: "yes",
      AWS_REGION: "eu-west-1",
      AWS_ACCESS_KEY_ID: aws.accessKeyId,
      AWS_SECRET_ACCESS_KEY: aws.secretAccessKey,
      AWS_SESSION_TOKEN: aws.sessionToken,
      STINT_GRANT_ID: ID,
      STINT_NAMESPACE: `it-${ID}`,
    });
    const names = Object.keys(env);
    expect(
      names.filter((name) => /TOKEN_REQUEST|PROFILE|ROLE|IDENTITY|CONTAINER/.test(name)),
    ).toEqual([]);
    expect(names).not.toContain("STINT_TOKEN");
    expect(names).not.toContain("STINT_GRANT_TOKEN");
    expect(Object.values(env)).not.toContain(TOKEN);
  });

  test("finds a second target under its own names", async () => {
    const other = { ...aws, accessKeyId: "ASIAOTHER" };
    const file = join(folder, "two.json");
    await exec(script(`fs.writeFileSync(${JSON.stringify(file)}, JSON.stringify(process.env))`), {
      answers: {
        "POST /v1/grants": {
          status: 201,
          body: { grant: grant(), credentials: { main: aws, "data-lake": other }, token: TOKEN },
        },
      },
    });
    expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({
      AWS_ACCESS_KEY_ID: "ASIAEXAMPLE",
      STINT_DATA_LAKE_AWS_ACCESS_KEY_ID: "ASIAOTHER",
      STINT_DATA_LAKE_AWS_SESSION_TOKEN: aws.sessionToken,
    });
  });

  test("is not run when two targets would share a name, and the grant is released", async () => {
    const credentials = { main: aws, "a-b": aws, a_b: aws };
    const ran = await exec(script(""), {
      answers: {
        "POST /v1/grants": { status: 201, body: { grant: grant(), credentials, token: TOKEN } },
      },
    });
    expect(ran.code).toBe(1);
    expect(ran.world.err()).toContain("STINT_A_B_AWS_ACCESS_KEY_ID");
    expect(releases(ran)).toHaveLength(1);
  });

  test("gets its arguments verbatim, whatever they look like", async () => {
    const args = [
      "--json",
      "--format",
      "nonsense",
      "-x",
      "--",
      "--nested",
      "",
      "a b",
      "$HOME",
      "-h",
    ];
    // Its own `--` keeps them from node, not from us.
    const ran = await exec([NODE, "-p", "JSON.stringify(process.argv.slice(1))", "--", ...args]);
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.world.out())).toEqual(args);
  });

  test.each([0, 1, 7, 255])("exits with %i, and so do we", async (code) => {
    const ran = await exec(script(`process.exit(${code})`));
    expect(ran.code).toBe(code);
    expect(releases(ran)).toHaveLength(1);
  });

  test("that is killed counts as 137, and its grant is released with the grant's own token", async () => {
    const ran = await exec(script("process.kill(process.pid, 'SIGKILL')"));
    expect(ran.code).toBe(137);
    expect(releases(ran)).toMatchObject([
      { path: GRANT, headers: { authorization: `Bearer ${TOKEN}` } },
    ]);
  });

  test("that does not exist counts as 127, and the grant is released", async () => {
    const ran = await exec(["stint-test-no-such-command"]);
    expect(ran.code).toBe(127);
    expect(ran.world.err()).toContain("stint-test-no-such-command: command not found");
    expect(releases(ran)).toHaveLength(1);
  });

  test("that may not be executed counts as 126", async () => {
    const ran = await exec([folder]);
    expect(ran.code).toBe(126);
    expect(releases(ran)).toHaveLength(1);
  });

  test("cannot be one with a zero byte in its arguments, and the grant is released", async () => {
    const ran = await exec([NODE, "a\0b"]);
    expect(ran.code).toBe(126);
    expect(releases(ran)).toHaveLength(1);
  });
});

describe("signals", () => {
  /** Ready when it has said so, so that no signal comes before its handlers are there. */
  const catching = (signal: string, then: string) =>
    script(`process.on(${JSON.stringify(signal)}, () => { ${then} });
      setInterval(() => {}, 1000); console.log("ready")`);

  const onReady = (send: () => void): NonNullable<WorldOptions["onSpawn"]> => {
    return (child) => child.stdout?.once("data", send);
  };

  test.each(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const)(
    "%s is passed on, and the child's answer to it counts",
    async (signal) => {
      const ran = await exec(catching(signal, "console.log('caught'); process.exit(9)"), {
        options: (send) => ({ onSpawn: onReady(() => send(signal)) }),
      });
      expect(ran.world.out()).toContain("caught");
      expect(ran.code).toBe(9);
      expect(releases(ran)).toHaveLength(1);
      expect(ran.world.listeners()).toBe(0);
    },
  );

  test("one that the child dies of gives 128 + n", async () => {
    const ran = await exec(script("setInterval(() => {}, 1000); console.log('ready')"), {
      options: (send) => ({ onSpawn: onReady(() => send("SIGTERM")) }),
    });
    expect(ran.code).toBe(143);
    expect(releases(ran)).toHaveLength(1);
  });

  test("Ctrl-C at a terminal reaches the child once: from the terminal", async () => {
    const ran = await exec(
      script(`let n = 0; process.on("SIGINT", () => n++);
        process.on("SIGTERM", () => { console.log("count " + n); process.exit(0) });
        setInterval(() => {}, 1000); console.log("ready")`),
      {
        options: (send) => ({
          tty: true,
          onSpawn: onReady(() => {
            send("SIGINT");
            send("SIGTERM");
          }),
        }),
      },
    );
    expect(ran.world.out()).toContain("count 0");
  });

  test("one that comes while the request is on its way ends the grant before anything runs", async () => {
    let send: (signal: NodeJS.Signals) => void = () => {};
    const ran = await exec(script("console.log('ran')"), {
      options: (signal) => {
        send = signal;
        return {};
      },
      answers: {
        "POST /v1/grants": () => {
          send("SIGTERM");
          return issued;
        },
      },
    });
    expect(ran.code).toBe(143);
    expect(ran.world.out()).toBe("");
    expect(releases(ran)).toHaveLength(1);
  });

  test("one that comes while waiting for approval withdraws the request", async () => {
    const ran = await exec(script("console.log('ran')"), {
      options: (send) => ({ onSleep: () => send("SIGINT") }),
      answers: {
        "POST /v1/grants": pending,
        [`GET ${GRANT}`]: { status: 200, body: { grant: grant({ state: "pending" }) } },
      },
    });
    expect(ran.code).toBe(130);
    expect(ran.world.out()).toBe("");
    expect(releases(ran)).toHaveLength(1);
  });
});

describe("approval", () => {
  const looks = (...grants: ReturnType<typeof grant>[]): Answers => ({
    "POST /v1/grants": pending,
    [`GET ${GRANT}`]: () => ({
      status: 200,
      body: { grant: grants.length > 1 ? grants.shift() : grants[0] },
    }),
  });

  test("is waited for, then claimed with the grant's token and the same lease", async () => {
    const waiting = grant({ state: "pending" });
    const ran = await exec(script("console.log(process.env.AWS_ACCESS_KEY_ID)"), {
      answers: looks(waiting, waiting, grant({ state: "ready" })),
    });
    expect(ran.code).toBe(0);
    expect(ran.world.out()).toBe("ASIAEXAMPLE\n");
    expect(ran.world.err()).toContain(`${ID} waits for approval`);
    const claim = ran.api.calls.find(({ path }) => path.endsWith("/credentials"));
    expect(claim).toMatchObject({
      headers: { authorization: `Bearer ${TOKEN}` },
      body: { lease: "1h" },
    });
  });

  test.each([
    ["runs out", "approval_expired", 5],
    ["is denied", "approver", 3],
  ] as const)("that %s runs nothing", async (_, why, code) => {
    const ran = await exec(script("console.log('ran')"), {
      answers: looks(grant({ state: "refused", why })),
    });
    expect(ran.code).toBe(code);
    expect(ran.world.out()).toBe("");
    expect(releases(ran)).toHaveLength(0);
  });

  test("for a grant that ended meanwhile runs nothing", async () => {
    const ran = await exec(script(""), {
      answers: looks(grant({ state: "ended", why: "job_ended" })),
    });
    expect(ran.code).toBe(2);
    expect(ran.world.err()).toContain("job_ended");
  });

  test("that cannot be claimed lets go of the grant", async () => {
    const ran = await exec(script(""), {
      answers: {
        ...looks(grant({ state: "ready" })),
        [`POST ${GRANT}/credentials`]: problem(409, "job_ended"),
      },
    });
    expect(ran.code).toBe(2);
    expect(releases(ran)).toHaveLength(1);
  });
});

describe("the release", () => {
  test("that fails is a warning with the grant's end; the exit code stays the child's", async () => {
    const ran = await exec(script("process.exit(7)"), {
      answers: { [`DELETE ${GRANT}`]: { status: 0, cut: true } },
    });
    expect(ran.code).toBe(7);
    expect(releases(ran).length).toBeGreaterThan(1);
    expect(ran.world.err()).toMatch(/warning: g0123456789abcde was not released .*10:20:00/);
    expect(ran.world.err()).not.toContain(TOKEN);
  });

  test("that fails is told as JSON where errors are JSON", async () => {
    const ran = await exec(script(""), {
      env: { STINT_FORMAT: "json" },
      answers: { [`DELETE ${GRANT}`]: problem(500, "internal") },
    });
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.world.err())).toMatchObject({ code: "warning" });
  });
});

describe("usage", () => {
  test.each([
    [["exec", "orders-integration"], "no command to run"],
    [["exec", "orders-integration", "--"], "no command to run"],
    [["exec", "--", "npm", "test"], "missing required argument 'profile'"],
    [["exec", "orders-integration", "npm", "--", "x"], "too many arguments"],
  ])("%j is told as such", async (argv, message) => {
    const { io, err } = world({ env: { STINT_URL: "http://127.0.0.1:1", STINT_TOKEN: "t" } });
    expect(await run(argv, io)).toBe(1);
    expect(err()).toContain(message);
  });

  test("one inside the other needs --nested", async () => {
    const inner = { STINT_GRANT_ID: "g00000000000000z" };
    const refused = await exec(script(""), { env: inner });
    expect(refused.code).toBe(1);
    expect(refused.world.err()).toContain("--nested");
    expect(refused.api.calls).toHaveLength(0);
    expect((await exec(script(""), { env: inner, flags: ["--nested"] })).code).toBe(0);
  });

  test("nothing secret is ever on stderr", async () => {
    const ran = await exec(script(""));
    for (const secret of [aws.secretAccessKey, aws.sessionToken, TOKEN, "oidc-token"])
      expect(ran.world.err()).not.toContain(secret);
    expect(ran.world.err()).toContain(`${ID}: orders-integration until`);
  });

  test("credentials that end before the grant are warned of", async () => {
    const ran = await exec(script(""), {
      answers: {
        "POST /v1/grants": {
          status: 201,
          body: {
            grant: grant({ endsAt: "2026-11-22T12:00:00.000Z" }),
            credentials: { aws },
            token: TOKEN,
          },
        },
      },
    });
    expect(ran.world.err()).toMatch(
      /warning: the credentials for aws end at .*; --refresh renews them/,
    );
  });
});
