import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { missing, VERSIONS } from "../../../test/postgres/server.ts";
import { isGone, PostgresError } from "../src/postgres.ts";
import { type Leased, newGrant, type World, world } from "./world.ts";

const ownSchema = { own: { kind: "schema" } } as const;
const ownDatabase = { own: { kind: "database", template: "mould" } } as const;
const NOTHING = { roles: [], sessions: 0, schemas: [], databases: [] };

for (const version of VERSIONS)
  describe.skipIf(missing(version))(`the end of a grant on PostgreSQL ${version}`, () => {
    let on: World;
    beforeAll(async () => {
      on = await world(version, { settings: { max_locks_per_transaction: "10" } });
    }, 60_000);
    afterAll(() => on?.[Symbol.asyncDispose]());

    const end = ({ id }: { readonly id: string }, access = on.at()) =>
      on.target.dismantle({ ...access, grantId: id });
    const login = ({ user, password, database }: Leased) => ({ user, password, database });

    test("breaks open sessions and lets nobody in", async () => {
      const lease = await on.mint();
      const second = await on.mint(on.at(), lease.id);
      const sessions = await Promise.all(
        [lease, lease, second].map((one) => on.server.session(login(one))),
      );
      await sessions[0]?.query("BEGIN; LOCK TABLE orders IN ACCESS SHARE MODE");
      const working = sessions[1]?.query("SELECT pg_sleep(60)");
      expect((await on.target.prove({ ...on.at(), grantId: lease.id })).sessions).toBe(3);
      const [remains] = await Promise.all([
        end(lease),
        expect(working).rejects.toThrow(/terminat/),
      ]);
      expect(remains).toEqual(NOTHING);
      for (const session of sessions) await expect(session.query("SELECT 1")).rejects.toThrow();
      for (const one of [lease, second])
        await expect(on.by(one, "SELECT 1")).rejects.toThrow(/authentication failed/);
    });

    test("refuses a login that was under way", async () => {
      const lease = await on.mint();
      const asked = Promise.withResolvers<void>();
      const proof = Promise.withResolvers<string>();
      const client = new Client({
        ...login(lease),
        host: on.server.host,
        port: on.server.port,
        // The server has begun the exchange, and waits for the client's part.
        password: () => {
          asked.resolve();
          return proof.promise;
        },
      });
      client.on("error", () => undefined);
      const connecting = client.connect();
      connecting.catch(() => undefined);
      await asked.promise;
      expect(await end(lease)).toEqual(NOTHING);
      proof.resolve(lease.password);
      await expect(connecting).rejects.toThrow();
      expect(await on.target.prove({ ...on.at(), grantId: lease.id })).toEqual(NOTHING);
      await client.end().catch(() => undefined);
    });

    test("waits for a login that was let in and does not show yet", async () => {
      const lease = await on.mint();
      // Whoever renames a database holds up logins to it, past the check whether their role may log in.
      const holder = await on.server.session({});
      await holder.query("BEGIN; ALTER DATABASE depot RENAME TO held_up");
      const client = new Client({
        ...login(lease),
        database: "depot",
        host: on.server.host,
        port: on.server.port,
      });
      client.on("error", () => undefined);
      const connecting = client.connect();
      const until = async (what: string) => {
        while ((await on.sql(what)).length === 0);
      };
      await until("SELECT FROM pg_locks WHERE NOT granted AND classid = 'pg_database'::regclass");
      const ending = end(lease);
      await until(`SELECT FROM pg_roles WHERE rolname = '${lease.user}' AND NOT rolcanlogin`);
      await holder.query("SELECT pg_sleep(0.4)");
      await holder.query("ROLLBACK");
      await holder.end();
      await connecting.catch(() => undefined);
      expect(await ending).toEqual(NOTHING);
      await expect(client.query("SELECT 1")).rejects.toThrow();
      expect(await on.sql("SELECT FROM pg_stat_activity WHERE datname = 'depot'")).toEqual([]);
      await client.end().catch(() => undefined);
    });

    test("is not held up by a lease that holds what ending needs, and comes back", async () => {
      const lease = await on.mint();
      let tries = 0;
      let over = false;
      // Keeps its own role's row, and the lock by which Stint's calls wait for each other.
      const hold = async () => {
        while (!over) {
          const session = await on.server.session(login(lease)).catch(() => undefined);
          if (session === undefined) return;
          tries++;
          await session
            .query(
              `SET ROLE NONE; SELECT pg_advisory_lock(hashtextextended('stint:${lease.id}', 0)); BEGIN;
               ALTER ROLE CURRENT_USER PASSWORD 'mine'; SELECT pg_sleep(60)`,
            )
            .catch(() => undefined);
          await session.end();
        }
      };
      const holding = [hold(), hold()];
      while (
        (await on.sql("SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted")).length === 0
      );
      await on.sql("SELECT pg_sleep(0.1)");
      const remains = await end(lease).catch((error: unknown) => error);
      over = true;
      await Promise.all(holding);
      expect(remains).toEqual(NOTHING);
      expect(tries).toBeGreaterThan(1);
    }, 60_000);

    test("is not held up by what is set for the admin's sessions", async () => {
      await on.sql(
        "CREATE ROLE lesser",
        "GRANT lesser TO boss",
        "ALTER DATABASE shop SET default_transaction_read_only TO on",
        "ALTER ROLE boss SET role TO lesser",
        "ALTER ROLE boss SET default_transaction_isolation TO serializable",
      );
      try {
        const lease = await on.mint(on.at(ownSchema));
        expect(await end(lease, on.at(ownSchema))).toEqual(NOTHING);
      } finally {
        await on.server.as({}, "ALTER ROLE boss RESET ALL", "ALTER DATABASE shop RESET ALL");
      }
    });

    test("leaves nothing of the grant in any database", async () => {
      const lease = await on.mint(on.at(ownSchema));
      const names: Record<string, string[]> = {};
      for (const database of ["shop", "depot"]) {
        const make = [
          `CREATE TABLE public.made_${version} (id int PRIMARY KEY)`,
          "CREATE TEMPORARY TABLE passing (id int)",
          "SELECT lo_create(0)",
          `CREATE FUNCTION public.made_f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'`,
          "CREATE TYPE public.made_t AS ENUM ('a')",
          "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
          `GRANT SELECT ON public.made_${version} TO PUBLIC`,
        ];
        if (database === "shop")
          make.push("CREATE TABLE own_one (id int)", "CREATE VIEW own_view AS SELECT 1");
        await on.by({ ...lease, database }, ...make);
        // Also what the lease's own role made, not only the one that it acts as.
        await on.by(
          { ...lease, database },
          "SET ROLE NONE",
          "CREATE TABLE public.by_lease (id int)",
          "SELECT lo_create(0)",
        );
        names[database] = [];
      }
      // Others have built on it.
      await on.sql(`CREATE VIEW public.others AS SELECT * FROM public.made_${version}`);
      expect(await end(lease, on.at(ownSchema))).toEqual(NOTHING);
      for (const database of Object.keys(names)) {
        const left = await on.server.as(
          { database },
          `SELECT relname AS left FROM pg_class WHERE relname ~ '^(made_|by_lease|own_|passing|others)'
           UNION ALL SELECT proname FROM pg_proc WHERE proname ~ '^made_'
           UNION ALL SELECT typname FROM pg_type WHERE typname ~ '^made_'
           UNION ALL SELECT oid::text FROM pg_largeobject_metadata
           UNION ALL SELECT oid::text FROM pg_default_acl
           UNION ALL SELECT nspname FROM pg_namespace WHERE nspname ~ 'stint'`,
        );
        expect(left).toEqual([]);
      }
      expect(await on.sql("SELECT id FROM orders")).toEqual([{ id: "1" }]);
    });

    test("gives what it made to another role where the place says so, but not what was its own", async () => {
      await on.sql(
        "CREATE ROLE heir NOLOGIN",
        `GRANT heir TO boss`,
        "GRANT CREATE ON SCHEMA public TO heir",
      );
      const access = on.at({ ...ownSchema, leavings: { kind: "reassign", to: "heir" } });
      const lease = await on.mint(access);
      await on.by(
        lease,
        "CREATE TABLE public.kept (id int)",
        "INSERT INTO public.kept VALUES (5)",
        "CREATE TABLE gone (id int)",
      );
      expect(await end(lease, access)).toEqual(NOTHING);
      expect(
        await on.sql("SELECT id, tableowner FROM kept, pg_tables WHERE tablename = 'kept'"),
      ).toEqual([{ id: "5", tableowner: "heir" }]);
      expect(await on.sql("SELECT FROM pg_class WHERE relname = 'gone'")).toEqual([]);
      await on.sql("DROP TABLE kept");
    });

    test("drops more than the server has locks for", async () => {
      const lease = await on.mint(on.at(ownSchema));
      // Each in a transaction of its own, as a test suite would.
      await on.by(
        lease,
        "DO $$ BEGIN FOR n IN 1..2500 LOOP EXECUTE format('CREATE TABLE many_%s (id int)', n); IF n % 500 = 0 THEN COMMIT; END IF; END LOOP; END $$",
      );
      expect(await end(lease, on.at(ownSchema))).toEqual(NOTHING);
    }, 60_000);

    test("takes away very many things of every kind, whoever they go to", async () => {
      await on.sql(
        "CREATE ROLE big_heir",
        "GRANT big_heir TO boss",
        "GRANT CREATE ON SCHEMA public TO big_heir",
      );
      const of = (kind: string, many: number, statement: string) =>
        `DO $$ BEGIN FOR n IN 1..${many} LOOP EXECUTE format('${statement}', n); END LOOP; END $$ /* ${kind} */`;
      const make = (where: string) => [
        of(
          "tables",
          150,
          `CREATE TABLE ${where}t_%s (id serial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY)`,
        ),
        of("views", 150, `CREATE VIEW ${where}v_%1$s AS SELECT * FROM ${where}t_%1$s`),
        of(
          "routines",
          150,
          `CREATE FUNCTION ${where}f_%s(${where}t_1) RETURNS int LANGUAGE sql AS ''SELECT 1''`,
        ),
        `CREATE TABLE ${where}whole (id int) PARTITION BY LIST (id)`,
        of(
          "partitions",
          100,
          `CREATE TABLE ${where}p_%1$s PARTITION OF ${where}whole FOR VALUES IN (%1$s)`,
        ),
        of("sequences", 50, `CREATE SEQUENCE ${where}s_%s`),
        "SELECT lo_create(0) FROM generate_series(1, 100)",
      ];
      for (const leavings of [{ kind: "drop" }, { kind: "reassign", to: "big_heir" }] as const) {
        const access = on.at({ ...ownSchema, leavings });
        const lease = await on.mint(access);
        await on.by(lease, ...make(""), ...make("public."));
        expect(await end(lease, access)).toEqual(NOTHING);
      }
      const [kept] = await on.sql(
        `SELECT (SELECT count(*) FROM pg_tables WHERE tableowner = 'big_heir') AS tables,
                (SELECT count(*) FROM pg_views WHERE viewowner = 'big_heir') AS views,
                (SELECT count(*) FROM pg_largeobject_metadata WHERE lomowner = 'big_heir'::regrole) AS large`,
      );
      expect(kept).toEqual({ tables: "251", views: "150", large: "200" });
      await on.sql("DROP OWNED BY big_heir CASCADE");
    }, 60_000);

    test("rolls back what was prepared for a second phase", async () => {
      const lease = await on.mint();
      for (const database of ["shop", "depot"])
        await on.by(
          { ...lease, database },
          "BEGIN",
          "CREATE TABLE public.half (id int)",
          `PREPARE TRANSACTION 'it''s ${database}'`,
        );
      await on.by(
        lease,
        "SET ROLE NONE",
        "BEGIN",
        "CREATE TABLE public.other_half (id int)",
        "PREPARE TRANSACTION 'third'",
      );
      expect(await end(lease)).toEqual(NOTHING);
      expect(await on.sql("SELECT gid FROM pg_prepared_xacts")).toEqual([]);
    });

    test("may be asked for many times at once", async () => {
      for (const own of [{}, ownSchema, ownDatabase]) {
        const lease = await on.mint(on.at(own));
        const answers = await Promise.all([1, 2, 3, 4].map(() => end(lease, on.at(own))));
        expect(answers).toEqual([NOTHING, NOTHING, NOTHING, NOTHING]);
      }
    });

    test("of what never was is proved at once", async () => {
      const remains = await end({ id: newGrant() });
      expect(isGone(remains)).toBe(true);
    });

    test("touches no other grant", async () => {
      const [one, other] = await Promise.all([
        on.mint(on.at(ownSchema)),
        on.mint(on.at(ownSchema)),
      ]);
      await on.by(other, "CREATE TABLE mine (id int)");
      const session = await on.server.session(login(other));
      await end(one, on.at(ownSchema));
      await session.query("SELECT * FROM mine");
      await session.end();
      expect(await on.target.strays(on.at())).toContain(other.id);
      await end(other, on.at(ownSchema));
    });

    test("is not held up by a database that its owner has set against it", async () => {
      const lease = await on.mint(on.at(ownDatabase));
      const mine = `"${lease.database}"`;
      await on.by(
        lease,
        "CREATE SCHEMA evil",
        "GRANT USAGE ON SCHEMA evil TO PUBLIC",
        "CREATE TABLE evil.caught (who text)",
        `CREATE FUNCTION evil.trap(name, name) RETURNS bool LANGUAGE plpgsql AS $$
           BEGIN
             IF pg_catalog.current_setting('application_name') OPERATOR(pg_catalog.=) 'stint'
             THEN RAISE EXCEPTION 'the admin ran code of a lease'; END IF;
             RETURN $1 OPERATOR(pg_catalog.=) $2;
           END $$`,
        "CREATE OPERATOR evil.= (FUNCTION = evil.trap, LEFTARG = name, RIGHTARG = name)",
        `ALTER DATABASE ${mine} SET search_path TO evil, pg_catalog`,
        `ALTER DATABASE ${mine} SET default_transaction_read_only TO on`,
        `ALTER DATABASE ${mine} SET statement_timeout TO 1`,
        `ALTER DATABASE ${mine} SET role TO 'stint_${lease.id}'`,
        `ALTER ROLE CURRENT_USER SET role TO 'none'`,
      );
      await on.by(
        lease,
        "SET statement_timeout TO 0",
        "BEGIN READ WRITE",
        "CREATE TABLE evil.half (id int)",
        "PREPARE TRANSACTION 'held'",
      );
      const [elsewhere] = [{ ...lease, database: "shop" }];
      await on.by(elsewhere, `ALTER DATABASE ${mine} IS_TEMPLATE true ALLOW_CONNECTIONS false`);
      expect(await end(lease, on.at(ownDatabase))).toEqual(NOTHING);
    });

    test("drops its database though somebody else is connected to it", async () => {
      const lease = await on.mint(on.at(ownDatabase));
      const mine = await on.server.session(login(lease));
      expect(await end(lease, on.at(ownDatabase))).toEqual(NOTHING);
      await expect(mine.query("SELECT 1")).rejects.toThrow();
    });

    test("goes as far as it can, and says what is in the way", async () => {
      const lease = await on.mint();
      await on.sql("CREATE TABLE theirs (id int)", `GRANT SELECT ON theirs TO "${lease.user}"`);
      const refused = await end(lease).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(PostgresError);
      expect(refused).toMatchObject({
        fault: "failed",
        retryable: true,
        message: expect.stringContaining("theirs"),
      });
      const left = await on.target.prove({ ...on.at(), grantId: lease.id });
      expect(left).toMatchObject({ sessions: 0 });
      await expect(on.by(lease, "SELECT 1")).rejects.toThrow(/not permitted to log in/);
      // A mint that comes too late does not bring it back.
      await expect(on.mint(on.at(), lease.id)).rejects.toMatchObject({ fault: "grant_ending" });
      await on.sql("DROP TABLE theirs");
      expect(await end(lease)).toEqual(NOTHING);
    });

    test("reaches roles also when their database is gone, and says when the server has none", async () => {
      await on.server.as({}, "CREATE DATABASE brief", "GRANT CONNECT ON DATABASE brief TO app");
      const access = on.at({ database: "brief" });
      const lease = await on.mint(access);
      await on.server.as({}, "DROP DATABASE brief");
      await expect(on.mint(access)).rejects.toMatchObject({
        fault: "database_gone",
        retryable: false,
      });
      expect(await end(lease, access)).toEqual(NOTHING);
      await on.server.as({ database: "template1" }, "ALTER DATABASE postgres RENAME TO hidden");
      try {
        await expect(end(lease, access)).rejects.toMatchObject({ fault: "database_gone" });
      } finally {
        await on.server.as({ database: "template1" }, "ALTER DATABASE hidden RENAME TO postgres");
      }
    });

    test("is not lost when the server is, though it is set to lose its last commits", async () => {
      const lease = await on.mint(on.at(ownSchema));
      const [set] = await on.sql("SHOW synchronous_commit");
      expect(set?.synchronous_commit).toBe("off");
      expect(await end(lease, on.at(ownSchema))).toEqual(NOTHING);
      await on.server.stop();
      await on.server.start();
      expect(await on.target.prove({ ...on.at(ownSchema), grantId: lease.id })).toEqual(NOTHING);
    });

    test("waits for a server that is away", async () => {
      const lease = await on.mint(on.at(ownSchema));
      await on.server.stop();
      await expect(end(lease, on.at(ownSchema))).rejects.toMatchObject({
        fault: "unreachable",
        retryable: true,
      });
      await on.server.start();
      expect(await end(lease, on.at(ownSchema))).toEqual(NOTHING);
    });

    test("can be found among what is on the server, by the admin whose grant it is", async () => {
      await on.sql(
        "CREATE ROLE second_boss LOGIN CREATEROLE PASSWORD 'x'",
        "GRANT CONNECT ON DATABASE shop TO second_boss",
        "CREATE ROLE stint_nothing NOLOGIN",
      );
      const leases = [
        await on.mint(),
        await on.mint(on.at(ownSchema)),
        await on.mint(on.at(ownDatabase)),
      ];
      const found = await on.target.strays(on.at());
      expect(found).toEqual(expect.arrayContaining(leases.map(({ id }) => id)));
      const others = { place: on.at({ user: "second_boss" }).place, adminPassword: "x" };
      expect(await on.target.strays(others)).toEqual([]);
      for (const id of found) await end({ id });
      expect(await on.target.strays(on.at())).toEqual([]);
      expect(await on.sql("SELECT rolname FROM pg_roles WHERE rolname ~ '^stint_g'")).toEqual([]);
    });
  });
