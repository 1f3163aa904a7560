/** The doctor before databases: through the real function and its role, against a real server. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { TestServer } from "../../../test/postgres/server.ts";
import { ADMIN, newest, openShop, putSecret, SECRET, shopAt } from "../../../test/postgres/shop.ts";
import { type DoctorWorld, doctorWorld } from "./doctor-world.ts";

const version = newest();

const configuration = (targets: Readonly<Record<string, object>>): string =>
  JSON.stringify({
    version: 1,
    audience: "https://stint.test",
    profiles: { orders: { duration: { default: "20m", max: "1h" }, targets } },
    rules: [],
  });

describe.skipIf(version === undefined)("a database", () => {
  let server: TestServer;
  let world: DoctorWorld;

  beforeAll(async () => {
    if (version !== undefined) server = await openShop(version);
  }, 60_000);
  afterAll(() => server?.[Symbol.asyncDispose]());

  const put = (value: string) =>
    putSecret(
      {
        region: "us-east-1",
        credentials: world.aws.administrator,
        requestHandler: world.aws.requestHandler,
      },
      value,
    );
  const open = async (more: object = {}, others: Readonly<Record<string, object>> = {}) => {
    world = await doctorWorld(configuration({ db: shopAt(server, more), ...others }));
    await put(SECRET);
  };
  beforeEach(() => open());

  test("with which nothing is wrong is counted, and left as it was", async () => {
    const well = await world.doctor(...world.all);
    expect(well.code).toBe(0);
    expect(well.out).toBe(
      "roles read: 0, sessions opened: 0, databases examined: 1, nothing wrong\n",
    );
    expect(await world.findings()).toMatchObject({
      code: 0,
      databases: [{ profile: "orders", target: "db", server: `127.0.0.1:${server.port}/shop` }],
    });
    expect(await server.as({}, "SELECT FROM pg_roles WHERE rolname ~ '^stint_'")).toEqual([]);
  });

  test.each([
    ["whose server does not answer", { port: 1 }, SECRET, "unreachable", /STINT_VPC_SUBNETS/],
    ["whose admin's secret is wrong", {}, "another", "admin_refused", /targets\.db\.admin says/],
    ["that does not exist", { database: "gone" }, SECRET, "database_gone", /targets\.db\.database/],
    [
      "with a group that does not exist",
      { roles: ["nobody"] },
      SECRET,
      "group_missing",
      /^CREATE ROLE "nobody" NOLOGIN;$/,
    ],
    [
      "with a template that does not exist",
      { own: { database: "mould" } },
      SECRET,
      "template_unusable",
      /targets\.db/,
    ],
    [
      "without its admin's secret",
      { admin: { user: ADMIN, password: "/stint/postgres/other" } },
      SECRET,
      "secret_missing",
      /^aws ssm put-parameter --type SecureString --name \/stint\/postgres\/other --value '…'$/,
    ],
    [
      "whose admin's secret is in no secret of Secrets Manager",
      { admin: { user: ADMIN, secret: "stint/other" } },
      SECRET,
      "secret_unreadable",
      /let the functions read it/,
    ],
  ])("%s is a finding, with what to do, and no secret", async (_, more, secret, id, fix) => {
    await open(more);
    await put(secret);
    const { code, findings } = await world.findings();
    expect(code).toBe(1);
    expect(findings).toMatchObject([
      { code: `postgres.${id}`, subject: expect.stringMatching(/^127\.0\.0\.1:\d+\//) },
    ]);
    expect(findings[0]?.fix).toMatch(fix);
    const said = await world.doctor(...world.all);
    expect(said.code).toBe(1);
    expect(said.out).toContain(`To do: ${findings[0]?.fix}`);
    expect(JSON.stringify([findings, said])).not.toContain(secret);
  });

  test("that is mended by what the finding says has none, at once", async () => {
    await open({ roles: ["late"] });
    await put("another");
    expect((await world.findings()).findings).toMatchObject([{ code: "postgres.admin_refused" }]);
    await put(SECRET);
    // One thing after the other: who may be granted is seen only once the role is there.
    for (let round = 0; round < 5; round++) {
      const { findings } = await world.findings();
      for (const { fix } of findings.filter(({ code }) => code !== "postgres.group_lacks_connect"))
        await server.as({}, fix);
      if (findings.some(({ code }) => code === "postgres.group_lacks_connect"))
        await server.as({}, "GRANT CONNECT ON DATABASE shop TO late");
    }
    expect(await world.findings()).toMatchObject({ code: 0, findings: [] });
  });

  test("of which something is to be known is no failure: it is a warning", async () => {
    await server.as({}, "CREATE DATABASE open_to_all");
    const { code, out, err } = await world.doctor(...world.all);
    await server.as({}, "DROP DATABASE open_to_all");
    expect(code).toBe(0);
    expect(out).toContain("nothing wrong");
    expect(err).toMatch(
      /warning: 127\.0\.0\.1:\d+\/shop: .*open_to_all.* To do: REVOKE CONNECT ON DATABASE "open_to_all" FROM PUBLIC;/,
    );
  });

  test("that fails keeps no other from being looked at", async () => {
    await open(
      { port: 1 },
      { spare: shopAt(server), third: shopAt(server, { roles: ["nobody"] }) },
    );
    const { findings } = await world.findings();
    expect(findings.map(({ code }) => code)).toEqual([
      "postgres.unreachable",
      "postgres.group_missing",
    ]);
  });

  test("is not looked at without the deployment's doctor, which is said", async () => {
    const [, broker = "", , revoker = ""] = world.all;
    const { err } = await world.doctor("--broker", broker, "--revoker", revoker);
    expect(err).toMatch(/not checked: the sessions and databases: .*--function/);
  });
});
