import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { missing, VERSIONS } from "../../../test/postgres/server.ts";
import { leaseRoleOf } from "../src/postgres/place.ts";
import { grantTo, LATER, newGrant, newSuffix, type World, world } from "./world.ts";

const ownSchema = { own: { kind: "schema" } } as const;
const ownDatabase = { own: { kind: "database", template: "mould" } } as const;

for (const version of VERSIONS)
  describe.skipIf(missing(version))(`a lease on PostgreSQL ${version}`, () => {
    let on: World;
    beforeAll(async () => {
      on = await world(version);
    }, 60_000);
    afterAll(() => on?.[Symbol.asyncDispose]());

    test("logs in with its password, as its grant's role, with the rights of its groups", async () => {
      const lease = await on.mint();
      expect(lease.user).toMatch(new RegExp(`^stint_${lease.id}_`));
      const [who] = await on.by(lease, "SELECT session_user AS login, current_user AS acts");
      expect(who).toEqual({ login: lease.user, acts: `stint_${lease.id}` });
      expect(await on.by(lease, "SELECT id FROM orders")).toEqual([{ id: "1" }]);
      await expect(on.by(lease, "DELETE FROM orders")).rejects.toThrow(/permission denied/);
    });

    test("is let in by no other password", async () => {
      const lease = await on.mint();
      await expect(on.by({ ...lease, password: "guess" }, "SELECT 1")).rejects.toThrow(
        /authentication failed/,
      );
    });

    test("logs in no more once it is at its end", async () => {
      const lease = await on.mint(on.at(), newGrant(), 1_700_000_000_000);
      await expect(on.by(lease, "SELECT 1")).rejects.toThrow(/authentication failed/);
    });

    test("ends on the millisecond that it was minted for", async () => {
      const lease = await on.mint(on.at(), newGrant(), 1_900_000_000_123);
      const [row] = await on.sql(
        `SELECT extract(epoch FROM rolvaliduntil) * 1000 = 1900000000123 AS exact FROM pg_roles WHERE rolname = '${lease.user}'`,
      );
      expect(row?.exact).toBe("t");
      expect(lease.expiration).toBe(1_900_000_000_123);
    });

    test("cannot put off its end, hand its role on, make roles, or act as its group", async () => {
      const lease = await on.mint();
      const roles = [`"${lease.user}"`, `"stint_${lease.id}"`];
      const tries = roles.flatMap((role) => [
        `ALTER ROLE ${role} VALID UNTIL 'infinity'`,
        `ALTER ROLE ${role} LOGIN CONNECTION LIMIT -1`,
        `ALTER ROLE ${role} CREATEROLE`,
        `GRANT ${role} TO app`,
        `DROP ROLE ${role}`,
      ]);
      tries.push(
        "CREATE ROLE spare LOGIN",
        "CREATE DATABASE spare",
        "GRANT app TO pg_monitor",
        "SET SESSION AUTHORIZATION app",
      );
      // Before 16 a membership cannot be without SET: stint doctor says so.
      if (version >= 16)
        tries.push("SET ROLE app", "CREATE TABLE things (); ALTER TABLE things OWNER TO app");
      for (const attempt of tries) {
        const refused = {
          message: expect.stringMatching(
            /permission denied|must be|must have admin|cannot be dropped/,
          ),
        };
        await expect(on.by(lease, attempt), attempt).rejects.toMatchObject(refused);
        await expect(on.by(lease, "SET ROLE NONE", attempt), attempt).rejects.toMatchObject(
          refused,
        );
      }
    });

    test("has as many sessions as its limit says", async () => {
      const lease = await on.mint(on.at({ connectionLimit: 1 }));
      const login = { user: lease.user, password: lease.password, database: lease.database };
      const first = await on.server.session(login);
      try {
        await expect(on.by(lease, "SELECT 1")).rejects.toThrow(/too many connections/);
      } finally {
        await first.end();
      }
    });

    test("owns what the last lease of its grant made", async () => {
      const first = await on.mint(on.at(ownSchema));
      await on.by(first, "CREATE TABLE carts (id int)");
      const second = await on.mint(on.at(ownSchema), first.id);
      await on.by(second, "ALTER TABLE carts ADD COLUMN note text", "DROP TABLE carts");
      expect(second.user).not.toBe(first.user);
    });

    test("has a schema that is no other grant's", async () => {
      const lease = await on.mint(on.at(ownSchema));
      const other = await on.mint(on.at(ownSchema));
      await on.by(lease, "CREATE TABLE carts (id int)", "INSERT INTO carts VALUES (7)");
      expect(lease.schema).toBe(`stint_${lease.id}`);
      expect(await on.by(lease, `SELECT id FROM ${lease.schema}.carts`)).toEqual([{ id: "7" }]);
      await expect(on.by(other, `SELECT * FROM ${lease.schema}.carts`)).rejects.toThrow(
        /permission denied/,
      );
      await expect(on.by(lease, "SELECT * FROM orders")).rejects.toThrow(/does not exist/);
    });

    test("has a database from the template that is no other grant's", async () => {
      const lease = await on.mint(on.at(ownDatabase));
      const other = await on.mint(on.at(ownDatabase));
      expect(lease.database).toBe(`stint_${lease.id}`);
      await on.by(lease, "CREATE SCHEMA mine", "CREATE TABLE mine.carts (id int)");
      expect(await on.by(lease, "SELECT id FROM orders")).toEqual([{ id: "1" }]);
      await expect(on.by({ ...other, database: lease.database }, "SELECT 1")).rejects.toThrow(
        /permission denied/,
      );
    });

    test("takes another password when its mint is repeated, and the first works no more", async () => {
      const request = {
        ...on.at(ownSchema),
        grantId: newGrant(),
        suffix: newSuffix(),
        until: LATER,
      };
      const first = await on.target.mint(request);
      const second = await on.target.mint(request);
      expect(second.role).toBe(first.role);
      const id = request.grantId;
      await expect(on.by({ ...first.credentials, id }, "SELECT 1")).rejects.toThrow(
        /authentication/,
      );
      await on.by({ ...second.credentials, id }, "SELECT 1");
    });

    test.each([{}, ownSchema, ownDatabase])(
      "is one of many minted at the same moment (%j)",
      async (own) => {
        const id = newGrant();
        const leases = await Promise.all([1, 2, 3, 4, 5].map(() => on.mint(on.at(own), id)));
        await Promise.all(leases.map((lease) => on.by(lease, "SELECT 1")));
        expect(new Set(leases.map((lease) => lease.user)).size).toBe(5);
        await on.target.dismantle({ ...on.at(own), grantId: id });
      },
    );

    test("minted twice at the same moment under one suffix is one role, and the last password holds", async () => {
      const request = { ...on.at(), grantId: newGrant(), suffix: newSuffix(), until: LATER };
      const both = await Promise.all([on.target.mint(request), on.target.mint(request)]);
      const tries = await Promise.allSettled(
        both.map(({ credentials }) => on.by({ ...credentials, id: "" }, "SELECT 1")),
      );
      expect(tries.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    });

    test("of many grants at once does not wait in a circle", async () => {
      await on.sql("CREATE ROLE other_group", grantTo(version, "other_group"));
      const orders = [
        ["app", "other_group"],
        ["other_group", "app"],
      ];
      const leases = await Promise.all(
        Array.from({ length: 8 }, (_, n) => on.mint(on.at({ groups: orders[n % 2] ?? [] }))),
      );
      await Promise.all(leases.map(({ id }) => on.target.dismantle({ ...on.at(), grantId: id })));
    });

    test("is made where names need quotes", async () => {
      const group = `we"ird'; DROP TABLE orders; --`;
      const quoted = group.replaceAll('"', '""');
      await on.server.as(
        {},
        `CREATE ROLE "${quoted}"`,
        grantTo(version, quoted),
        `CREATE DATABASE "sh""op's"`,
      );
      const access = on.at({ groups: [group], database: `sh"op's` });
      const lease = await on.mint(access);
      expect(
        await on.by(lease, `SELECT pg_has_role('${group.replaceAll("'", "''")}', 'USAGE') AS has`),
      ).toEqual([{ has: "t" }]);
      await on.target.dismantle({ ...access, grantId: lease.id });
      await on.server.as({}, `DROP DATABASE "sh""op's"`);
    });

    test("leaves its password in no log of the server", async () => {
      const lease = await on.mint(on.at(ownSchema));
      await on.by(lease, "SELECT 'seen in the log'");
      const log = on.server.log();
      expect(log).toContain("seen in the log");
      expect(log).toContain(`CREATE ROLE "${lease.user}"`);
      expect(log).not.toContain(lease.password);
    });
  });

describe("names", () => {
  test("fit into what PostgreSQL keeps of a name", () => {
    expect(leaseRoleOf(newGrant(), "a".repeat(40))).toHaveLength(63);
  });
  test.each(["", "A", "a_b", 'a"', "a".repeat(41)])("%j is no suffix", (suffix) => {
    expect(() => leaseRoleOf(newGrant(), suffix)).toThrow(TypeError);
  });
  test.each(["", "g", "g00000000000000", "G000000000000000", "g00000000000000i"])(
    "%j is no grant",
    (id) => {
      expect(() => leaseRoleOf(id, "a")).toThrow(TypeError);
    },
  );
});
