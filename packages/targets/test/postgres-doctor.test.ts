import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { missing, VERSIONS } from "../../../test/postgres/server.ts";
import type { Access, PostgresPlace } from "../src/postgres.ts";
import { grantTo, type World, world } from "./world.ts";

for (const version of VERSIONS)
  describe.skipIf(missing(version))(`what doctor finds on PostgreSQL ${version}`, () => {
    let on: World;
    beforeAll(async () => {
      on = await world(version);
    }, 60_000);
    afterAll(() => on?.[Symbol.asyncDispose]());

    const always = version < 16 ? ["group_can_be_set"] : [];
    const ids = async (access: Access) => (await on.target.examine(access)).map(({ id }) => id);
    const withOwn: readonly Partial<PostgresPlace>[] = [
      {},
      { own: { kind: "schema" } },
      { own: { kind: "database", template: "closed_mould" } },
    ];
    /** A fault, what is found, and that the remedy is one: each runs as it stands. */
    async function fault(
      make: readonly string[],
      over: Partial<PostgresPlace>,
      id: string,
      undo: readonly string[] = [],
    ) {
      await on.sql(...make);
      const findings = await on.target.examine(on.at(over));
      const found = findings.find((finding) => finding.id === id);
      expect(findings.map((finding) => finding.id)).toContain(id);
      expect(found?.says).toMatch(/\.$/);
      if (found?.remedy !== undefined && undo.length === 0) {
        await on.sql(found.remedy);
        expect(await ids(on.at(over))).not.toContain(id);
      }
      await on.sql(...undo);
      return found;
    }

    test("is nothing where nothing is wrong, and leaves nothing behind", async () => {
      await on.sql("CREATE DATABASE closed_mould IS_TEMPLATE true ALLOW_CONNECTIONS false");
      for (const over of withOwn) expect(await ids(on.at(over))).toEqual(always);
      expect(await on.sql("SELECT rolname FROM pg_roles WHERE rolname ~ '^stint_'")).toEqual([]);
    });

    test("a secret that is wrong", async () => {
      const wrong = { ...on.at(), adminPassword: "not-the-secret" };
      const [finding] = await on.target.examine(wrong);
      expect(finding).toMatchObject({ id: "admin_refused", severity: "error" });
      expect(JSON.stringify(finding)).not.toContain("not-the-secret");
    });

    test("a server that does not answer, and a database that is not there", async () => {
      expect(await ids(on.at({ port: 1 }))).toEqual(["unreachable"]);
      expect(await ids(on.at({ database: "nowhere" }))).toEqual(["database_gone"]);
    });

    test("an admin that may not create roles", () =>
      fault(["ALTER ROLE boss NOCREATEROLE"], {}, "admin_cannot_create_roles"));

    test("an admin that is a superuser", async () => {
      const found = await fault(["ALTER ROLE boss SUPERUSER"], {}, "admin_is_superuser");
      expect(found?.severity).toBe("warning");
    });

    test("an admin that may not create schemas, where grants have one", () =>
      fault(
        [`REVOKE CREATE ON DATABASE shop FROM boss`],
        { own: { kind: "schema" } },
        "admin_cannot_create_schemas",
      ));

    test("an admin that may not create databases, where grants have one", () =>
      fault(
        ["ALTER ROLE boss NOCREATEDB"],
        { own: { kind: "database", template: "closed_mould" } },
        "admin_cannot_create_databases",
      ));

    test("a template that is not there, not for this admin, or open to connections", async () => {
      const made = (template: string) => ({ own: { kind: "database", template } }) as const;
      await fault([], made("nowhere"), "template_unusable", ["SELECT 1"]);
      await fault(["CREATE DATABASE plain"], made("plain"), "template_unusable");
      await fault([], made("mould"), "template_open");
      await on.sql(
        "ALTER DATABASE mould ALLOW_CONNECTIONS true",
        "ALTER DATABASE plain IS_TEMPLATE false",
        "DROP DATABASE plain",
      );
    });

    test("a group that is not there", () =>
      fault([], { groups: ["app", `no "such`] }, "group_missing", ["SELECT 1"]));

    test("a group that the admin may not grant", async () => {
      if (version >= 16) {
        await fault(["CREATE ROLE closed"], { groups: ["app", "closed"] }, "group_not_grantable");
        await expect(on.mint(on.at({ groups: ["app", "closed"] }))).resolves.toBeDefined();
      } else {
        await fault(
          ["CREATE ROLE closed SUPERUSER"],
          { groups: ["app", "closed"] },
          "group_not_grantable",
          ["ALTER ROLE closed NOSUPERUSER"],
        );
      }
    });

    test("a group that is an administrator, or reaches the server's files", async () => {
      await on.sql(
        "CREATE ROLE strong CREATEROLE",
        grantTo(version, "strong"),
        "CREATE ROLE filer",
        grantTo(version, "filer"),
      );
      await fault([], { groups: ["app", "strong"] }, "group_is_strong", [
        "ALTER ROLE strong NOCREATEROLE",
      ]);
      await fault(
        ["GRANT pg_read_server_files TO filer"],
        { groups: ["app", "filer"] },
        "group_is_strong",
        ["REVOKE pg_read_server_files FROM filer"],
      );
    });

    test("a group that has the admin's own rights", async () => {
      await on.sql(
        "CREATE ROLE turned",
        grantTo(version, "turned"),
        ...(version >= 16 ? ["REVOKE turned FROM boss"] : []),
      );
      await fault(["GRANT boss TO turned"], { groups: ["app", "turned"] }, "group_holds_admin");
    });

    test("a group that owns things", async () => {
      await on.sql("CREATE TABLE grouped (id int)", "ALTER TABLE grouped OWNER TO app");
      await fault([], {}, "group_owns", ["DROP TABLE grouped"]);
    });

    test("groups none of which may connect", async () => {
      await on.sql("CREATE ROLE outside", grantTo(version, "outside"));
      expect(await ids(on.at({ groups: ["outside"] }))).toContain("group_lacks_connect");
    });

    test("another database that PUBLIC may connect to", () =>
      fault(["CREATE DATABASE open_house"], {}, "public_connects"));

    test("an heir that is not there, out of reach, or an administrator", async () => {
      const to = (heir: string) => ({ leavings: { kind: "reassign", to: heir } }) as const;
      await fault([], to("nobody_here"), "heir_missing", ["SELECT 1"]);
      await fault(["CREATE ROLE heir"], to("heir"), "heir_out_of_reach");
      expect(await ids(on.at(to("heir")))).toEqual(always);
      await fault(["ALTER ROLE heir CREATEROLE"], to("heir"), "heir_is_strong", [
        "ALTER ROLE heir NOCREATEROLE",
      ]);
    });

    test("roles of grants that another admin made", async () => {
      await on.sql("CREATE ROLE stint_g00000000000000z", "CREATE ROLE stint_mine");
      // Before 16 every admin may end every role.
      if (version < 16) expect(await ids(on.at())).not.toContain("admin_cannot_manage");
      else await fault([], {}, "admin_cannot_manage");
      expect(await on.target.dismantle({ ...on.at(), grantId: "g00000000000000z" })).toMatchObject({
        roles: [],
      });
      await on.sql("DROP ROLE stint_mine");
    });

    if (version >= 16)
      test("nothing, whatever the server grants to who creates a role", async () => {
        for (const grants of ["", "set", "inherit", "set, inherit"]) {
          await on.sql(`ALTER ROLE boss SET createrole_self_grant TO '${grants}'`);
          expect(await ids(on.at({ own: { kind: "schema" } }))).toEqual([]);
          const lease = await on.mint();
          expect(await on.target.dismantle({ ...on.at(), grantId: lease.id })).toMatchObject({
            roles: [],
          });
        }
        await on.sql("ALTER ROLE boss RESET createrole_self_grant");
      });
  });
