import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { missing, postgres, VERSIONS } from "../../../test/postgres/server.ts";
import { network, PostgresError, type PostgresPlace } from "../src/postgres.ts";
import {
  ADMIN,
  grantTo,
  LATER,
  newGrant,
  newSuffix,
  SECRET,
  targetOver,
  type World,
  world,
} from "./world.ts";

const PROMPT = network({ connectMs: 300, statementMs: 1_000, lockMs: 200 });

for (const version of VERSIONS)
  describe.skipIf(missing(version))(`a mint that PostgreSQL ${version} turns away`, () => {
    let on: World;
    beforeAll(async () => {
      on = await world(version);
    }, 60_000);
    afterAll(() => on?.[Symbol.asyncDispose]());

    const refusal = async (over: Partial<PostgresPlace>, adminPassword = SECRET) => {
      const id = newGrant();
      const request = {
        place: on.at(over).place,
        adminPassword,
        grantId: id,
        suffix: newSuffix(),
        until: LATER,
      };
      const error = await targetOver(PROMPT)
        .mint(request)
        .then(
          () => "minted",
          (reason: unknown) => reason,
        );
      if (!(error instanceof PostgresError)) throw error;
      expect(error.message).toMatch(/^[A-Z"].*\.$/);
      expect(
        `${error.message} ${error.hint} ${error.stack} ${JSON.stringify(error)}`,
      ).not.toContain(adminPassword);
      // Whatever it was, nothing that could log in is left of it.
      expect(await on.sql(`SELECT rolname FROM pg_roles WHERE rolname ~ '^stint_${id}_'`)).toEqual(
        [],
      );
      return error;
    };

    test("names a wrong secret and a wrong admin", async () => {
      expect(await refusal({}, "a-wrong-secret")).toMatchObject({
        fault: "admin_refused",
        retryable: false,
      });
      expect(await refusal({ user: "stranger" })).toMatchObject({ fault: "admin_refused" });
    });

    test("names a group that does not exist", async () => {
      const error = await refusal({ groups: ["app", "nope"] });
      expect(error).toMatchObject({
        fault: "group_missing",
        message: expect.stringContaining('"nope"'),
        retryable: false,
      });
    });

    test("names rights that the admin lacks", async () => {
      await on.sql(
        "CREATE ROLE weak LOGIN PASSWORD 'weak-secret'",
        "GRANT CONNECT ON DATABASE shop TO weak",
      );
      expect(await refusal({ user: "weak" }, "weak-secret")).toMatchObject({
        fault: "admin_lacks_rights",
      });
      await on.sql(`REVOKE CREATE ON DATABASE shop FROM ${ADMIN}`);
      const schema = await refusal({ own: { kind: "schema" } });
      expect(schema).toMatchObject({
        fault: "admin_lacks_rights",
        message: expect.stringContaining("create schemas"),
      });
      await on.sql(`GRANT CREATE ON DATABASE shop TO ${ADMIN}`);
    });

    test("says when no group may connect", async () => {
      await on.sql("CREATE ROLE outside", grantTo(version, "outside"));
      expect(await refusal({ groups: ["outside"] })).toMatchObject({
        fault: "group_lacks_connect",
      });
    });

    test("names a template that is missing, not for it, or in use", async () => {
      const from = (template: string) => refusal({ own: { kind: "database", template } });
      await on.sql("CREATE DATABASE private");
      for (const template of ["nowhere", "private"])
        expect(await from(template)).toMatchObject({
          fault: "template_unusable",
          message: expect.stringContaining(template),
        });
      const busy = await on.server.session({ database: "mould" });
      const error = await targetOver(network())
        .mint({
          ...on.at({ own: { kind: "database", template: "mould" } }),
          grantId: newGrant(),
          suffix: newSuffix(),
          until: LATER,
        })
        .catch((reason: unknown) => reason);
      await busy.end();
      expect(error).toMatchObject({
        fault: "template_unusable",
        message: expect.stringContaining("accessed by other users"),
      });
    });

    test("waits for locks and statements only so long", async () => {
      const holder = await on.server.session({ database: "shop" });
      await holder.query("BEGIN; LOCK TABLE pg_authid IN SHARE MODE");
      expect(await refusal({})).toMatchObject({ fault: "busy", retryable: true });
      await holder.end();
    });

    test("tells a server that starts, is full or is gone from one that refuses", async () => {
      await on.server.stop();
      const gone = await targetOver(PROMPT)
        .prove({ ...on.at(), grantId: newGrant() })
        .catch((error: unknown) => error);
      expect(gone).toMatchObject({ fault: "unreachable", retryable: true });
      await on.server.start();
      await on.target.prove({ ...on.at(), grantId: newGrant() });
    });

    test("refuses a server without TLS, or whose certificate is of another authority or host", async () => {
      const verify = { kind: "verify" } as const;
      expect(await refusal({ tls: verify })).toMatchObject({ fault: "tls_refused" });
      await using server = await postgres({ version, tls: true });
      const { ca } = server;
      if (ca === undefined) throw new Error("the server has no authority");
      await server.as(
        {},
        `CREATE ROLE ${ADMIN} LOGIN CREATEROLE PASSWORD '${SECRET}'`,
        "CREATE ROLE app",
        grantTo(version, "app"),
      );
      const over = (host: string, tls: PostgresPlace["tls"]) => {
        const { place } = on.at({ host, port: server.port, database: "postgres", tls });
        return targetOver(network()).mint({
          place,
          adminPassword: SECRET,
          grantId: newGrant(),
          suffix: newSuffix(),
          until: LATER,
        });
      };
      const { credentials } = await over("localhost", { kind: "verify", ca });
      expect(credentials.ca).toBe(ca);
      await expect(over("localhost", verify)).rejects.toMatchObject({
        fault: "tls_refused",
        retryable: false,
      });
      await expect(over("127.0.0.1", { kind: "verify", ca })).rejects.toMatchObject({
        fault: "tls_refused",
      });
    });
  });

describe("a server that is none", () => {
  const place: PostgresPlace = {
    host: "127.0.0.1",
    port: 1,
    database: "shop",
    user: ADMIN,
    tls: { kind: "off" },
    groups: [],
    connectionLimit: 1,
    own: { kind: "nothing" },
    leavings: { kind: "drop" },
  };
  const of = (over: Partial<PostgresPlace>) => ({
    place: { ...place, ...over },
    adminPassword: SECRET,
    grantId: newGrant(),
  });

  test("is waited for only so long", async () => {
    const silent = createServer();
    const listening = Promise.withResolvers<void>();
    silent.listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    const address = silent.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    await expect(targetOver(PROMPT).dismantle(of({ port: address.port }))).rejects.toMatchObject({
      fault: "unreachable",
    });
    silent.close();
  });

  test("is told when its name does not exist", async () => {
    await expect(targetOver(PROMPT).prove(of({ host: "nowhere.invalid" }))).rejects.toMatchObject({
      fault: "unreachable",
    });
  });

  test("is refused when it is older than 15", async () => {
    const old = targetOver(async () => ({
      query: async () => [{ version: "140011", superuser: "f" }],
      close: async () => undefined,
    }));
    await expect(old.prove(of({}))).rejects.toMatchObject({
      fault: "server_too_old",
      message: expect.stringContaining("14"),
    });
  });
});
