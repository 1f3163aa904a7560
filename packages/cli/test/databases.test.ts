/** Logins of databases as programs take them: the variables that libpq reads. */
import type { PostgresCredentials } from "@stint/client/types";
import { describe, expect, test } from "vitest";
import { run } from "../src/main.ts";
import { type Answers, aws, grant, serve, TOKEN } from "./api.ts";
import { world } from "./world.ts";

const login = (name: string, more: Partial<PostgresCredentials> = {}): PostgresCredentials => ({
  host: `${name}.db.test`,
  port: 5432,
  database: name,
  user: `stint_${name}`,
  password: `it's ${name}`,
  expiration: "2026-11-22T10:15:00.000Z",
  ...more,
});
const variablesOf = (name: string, prefix = "") => ({
  [`${prefix}PGHOST`]: `${name}.db.test`,
  [`${prefix}PGPORT`]: "5432",
  [`${prefix}PGDATABASE`]: name,
  [`${prefix}PGUSER`]: `stint_${name}`,
  [`${prefix}PGPASSWORD`]: `it's ${name}`,
});

async function stint(
  argv: readonly string[],
  credentials: Readonly<Record<string, object>>,
  env: Readonly<Record<string, string>> = {},
) {
  const answers: Answers = {
    "POST /v1/grants": { status: 201, body: { grant: grant(), credentials, token: TOKEN } },
  };
  await using api = await serve(answers);
  const { io, out, err } = world({
    env: { STINT_URL: api.url, STINT_TOKEN: "oidc-token", PATH: process.env.PATH ?? "", ...env },
  });
  const code = await run(argv, io);
  return { code, out: out(), err: err(), api };
}

const SHOW = [process.execPath, "-e", "console.log(JSON.stringify(process.env))"];

/** What the program under `stint exec` sees. */
async function seen(
  credentials: Readonly<Record<string, object>>,
  {
    env = {},
    flags = [],
  }: { env?: Readonly<Record<string, string>>; flags?: readonly string[] } = {},
) {
  const argv = ["exec", "orders-integration", ...flags, "--", ...SHOW];
  const { code, out, err } = await stint(argv, credentials, env);
  expect(code).toBe(0);
  const variables: Record<string, string> = JSON.parse(out);
  return { err, variables };
}

/** Those that have to do with databases, by `--format env`. */
async function exported(credentials: Readonly<Record<string, object>>) {
  const { code, out } = await stint(
    ["request", "orders-integration", "--format", "env"],
    credentials,
  );
  expect(code).toBe(0);
  return out;
}

describe("a login", () => {
  test("of the only database is under the names that every client reads", async () => {
    const { variables } = await seen({ db: login("orders") });
    expect(variables).toMatchObject(variablesOf("orders"));
    expect(Object.keys(variables).filter((name) => /^AWS_|STINT_.*PG/.test(name))).toEqual([]);
    const out = await exported({ db: login("orders") });
    expect(out).toContain("export PGHOST='orders.db.test'\n");
    expect(out).toContain("export PGPASSWORD='it'\\''s orders'\n");
    expect(out).not.toContain("AWS_");
  });

  test("beside a role of AWS takes nothing from it, whichever is first", async () => {
    for (const credentials of [
      { aws, db: login("orders") },
      { db: login("orders"), aws },
    ]) {
      const { variables } = await seen(credentials);
      expect(variables).toMatchObject({
        ...variablesOf("orders"),
        AWS_ACCESS_KEY_ID: aws.accessKeyId,
        AWS_SECRET_ACCESS_KEY: aws.secretAccessKey,
      });
      expect(await exported(credentials)).toMatch(/^export PGHOST=.*\n/m);
    }
  });

  test("of a second database is under its target's name, its authority too", async () => {
    const ca = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    const credentials = { db: login("orders"), "re-ports": login("reports", { ca }) };
    const { variables } = await seen(credentials);
    expect(variables).toMatchObject({
      ...variablesOf("orders"),
      ...variablesOf("reports", "STINT_RE_PORTS_"),
      STINT_RE_PORTS_PG_CA: ca,
    });
    expect(variables.STINT_PG_CA).toBeUndefined();
    const out = await exported(credentials);
    expect(out).toContain("export STINT_RE_PORTS_PGHOST='reports.db.test'\n");
  });

  test("carries its authority as text", async () => {
    const { variables } = await seen({ db: login("orders", { ca: "PEM" }) });
    expect(variables.STINT_PG_CA).toBe("PEM");
  });

  test("of two targets whose names make the same variable is not given to the wrong one", async () => {
    const { code, err } = await stint(["exec", "orders-integration", "--", ...SHOW], {
      db: login("orders"),
      "a-b": login("one"),
      a_b: login("two"),
    });
    expect(code).not.toBe(0);
    expect(err).toContain("STINT_A_B_PGHOST");
    expect(err).not.toContain("it's one");
  });
});

describe("the runner's own variables", () => {
  const own = {
    PGSERVICE: "elsewhere",
    PGHOSTADDR: "192.0.2.1",
    PGPASSFILE: "/runner/.pgpass",
    PGPORT: "6432",
    PGAPPNAME: "tests",
    STINT_PG_CA: "another's",
  };

  test("that would lead elsewhere are not seen beside a login", async () => {
    const { variables } = await seen({ db: login("orders") }, { env: own });
    expect(variables).toMatchObject({ ...variablesOf("orders"), PGAPPNAME: "tests" });
    for (const name of ["PGSERVICE", "PGHOSTADDR", "PGPASSFILE", "STINT_PG_CA"])
      expect(variables[name], name).toBeUndefined();
  });

  test("stay where the grant has no database: the test's own server may be meant", async () => {
    const { variables } = await seen({ aws }, { env: own });
    expect(variables).toMatchObject(own);
  });
});

describe("exec --refresh", () => {
  const flags = ["--refresh"];

  test("gives a login as it is, and says when it ends", async () => {
    const { variables, err } = await seen({ aws, db: login("orders") }, { flags });
    expect(variables).toMatchObject(variablesOf("orders"));
    expect(variables.AWS_CONTAINER_CREDENTIALS_FULL_URI).toMatch(/^http:\/\/127\.0\.0\.1:/);
    expect(variables.AWS_SECRET_ACCESS_KEY).toBeUndefined();
    expect(err).toContain(
      "warning: the login for db is not renewed: it ends at 2026-11-22T10:15:00.000Z",
    );
  });

  test("of a database alone is the same, with no place to fetch anything", async () => {
    const { variables, err } = await seen({ db: login("orders") }, { flags });
    expect(variables).toMatchObject(variablesOf("orders"));
    expect(variables.AWS_CONTAINER_CREDENTIALS_FULL_URI).toBeUndefined();
    expect(err).toContain("the login for db is not renewed");
  });

  test("warns of nothing where there is no login", async () => {
    const { err } = await seen({ aws }, { flags });
    expect(err).not.toContain("not renewed");
  });
});

test("a credential_process is no place for a login, which is said", async () => {
  const { code, out, err } = await stint(
    ["request", "orders-integration", "--format", "credential-process"],
    { db: login("orders") },
  );
  expect(code).not.toBe(0);
  expect(out).toBe("");
  expect(err).toContain("there is no AWS target");
});
