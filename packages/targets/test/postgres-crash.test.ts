/** A crash after any statement, or its answer lost; then the repeat, and the proof. */
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { missing, VERSIONS } from "../../../test/postgres/server.ts";
import { type Connect, network, type Own, PostgresError } from "../src/postgres.ts";
import { LATER, newGrant, newSuffix, targetOver, type World, world } from "./world.ts";

const NOTHING = { roles: [], sessions: 0, schemas: [], databases: [] };
/** Nothing of its own is the same without one statement. */
const KINDS: readonly Own[] = [{ kind: "schema" }, { kind: "database", template: "mould" }];

/**
 * The answer of the nth step is lost, though it took effect. A process that has crashed then does nothing more; one
 * that has not cleans up behind itself.
 */
function losing(nth: number, crash: boolean): { connect: Connect; lost(): boolean } {
  let steps = 0;
  const inner = network();
  async function step<T>(work: () => Promise<T>): Promise<T> {
    steps++;
    if (steps > nth && crash) throw new Error("crashed");
    const result = await work();
    if (steps === nth) throw new Error("lost");
    return result;
  }
  return {
    lost: () => steps >= nth,
    connect: async (login) => {
      const opened: { close(): Promise<void> }[] = [];
      try {
        return await step(async () => {
          const session = await inner(login);
          opened.push(session);
          return {
            query: (text, values) => step(() => session.query(text, values)),
            close: () => session.close(),
          };
        });
      } catch (error) {
        // The machine is gone, and its sockets with it.
        await Promise.all(opened.map((session) => session.close()));
        throw error;
      }
    },
  };
}

for (const version of VERSIONS)
  describe.skipIf(missing(version))(`a crash at any step on PostgreSQL ${version}`, () => {
    let on: World;
    beforeAll(async () => {
      on = await world(version);
    }, 60_000);
    afterAll(() => on?.[Symbol.asyncDispose]());

    // A lost answer differs from a crash in our code, not in the server's.
    const crashes = version === 18 ? [true, false] : [true];
    describe.each(KINDS)("with %j of its own", (own) => {
      test.each(crashes)(
        "a mint cut short anywhere can be repeated, and dismantled (a crash: %j)",
        async (crash) => {
          let nth = 1;
          for (; ; nth++) {
            const { connect, lost } = losing(nth, crash);
            const request = {
              ...on.at({ own }),
              grantId: newGrant(),
              suffix: newSuffix(),
              until: LATER,
            };
            const first = await targetOver(connect)
              .mint(request)
              .catch((error: unknown) => error);
            if (!lost()) {
              await on.target.dismantle(request);
              break;
            }
            expect(first).toBeInstanceOf(PostgresError);
            // Every second one is repeated first; the other is left as the crash left it.
            if (nth % 2 === 0) {
              const { credentials } = await on.target.mint(request);
              await on.by(
                { ...credentials, id: request.grantId },
                "CREATE TABLE made (id int)",
                "DROP TABLE made",
              );
            }
            expect(await on.target.dismantle(request), `cut short at step ${nth}`).toEqual(NOTHING);
          }
          expect(nth).toBeGreaterThan(12);
        },
        120_000,
      );

      test.each(crashes)(
        "a dismantling cut short anywhere is finished by the next (a crash: %j)",
        async (crash) => {
          let nth = 1;
          for (; ; nth++) {
            const { connect, lost } = losing(nth, crash);
            const request = {
              ...on.at({ own }),
              grantId: newGrant(),
              suffix: newSuffix(),
              until: LATER,
            };
            const { credentials } = await on.target.mint(request);
            const lease = { ...credentials, id: request.grantId };
            await on.by(lease, "CREATE TABLE made (id int)");
            await on.by(
              { ...lease, database: "depot" },
              `CREATE TABLE public.made_${nth} (id int)`,
            );
            const session = await on.server.session(lease);
            const first = await targetOver(connect)
              .dismantle(request)
              .catch((error: unknown) => error);
            if (!lost()) {
              await session.end();
              break;
            }
            // Who is still there may do without an answer that told nothing, and has then finished.
            if (crash || !isDeepStrictEqual(first, NOTHING))
              expect(first).toBeInstanceOf(PostgresError);
            expect(await on.target.dismantle(request), `cut short at step ${nth}`).toEqual(NOTHING);
            await expect(session.query("SELECT 1")).rejects.toThrow();
          }
          expect(nth).toBeGreaterThan(20);
          expect(await on.sql("SELECT FROM pg_class WHERE relname ~ '^made'")).toEqual([]);
        },
        120_000,
      );
    });

    test("leaves nothing that the nightly reconcile would find", async () => {
      expect(await on.target.strays(on.at())).toEqual([]);
      const [left] = await on.sql(
        "SELECT (SELECT count(*) FROM pg_roles WHERE rolname ~ '^stint_') AS roles, (SELECT count(*) FROM pg_database WHERE datname ~ '^stint_') AS databases",
      );
      expect(left).toEqual({ roles: "0", databases: "0" });
    });
  });
