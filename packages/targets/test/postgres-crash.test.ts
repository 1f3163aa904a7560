/** A crash between any two statements, before or after one took effect; then the repeat, and the proof. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { missing, VERSIONS } from "../../../test/postgres/server.ts";
import { type Connect, network, type Own, PostgresError } from "../src/postgres.ts";
import { LATER, newGrant, newSuffix, targetOver, type World, world } from "./world.ts";

const NOTHING = { roles: [], sessions: 0, schemas: [], databases: [] };
const KINDS: readonly Own[] = [
  { kind: "nothing" },
  { kind: "schema" },
  { kind: "database", template: "mould" },
];

/** Breaks at the nth step, and at every step after it: a process that has crashed does nothing more. */
function crashing(nth: number, when: "before" | "after"): { connect: Connect; crashed(): boolean } {
  let steps = 0;
  const inner = network();
  const dead = () => new Error("crashed");
  async function step<T>(work: () => Promise<T>): Promise<T> {
    steps++;
    if (steps > nth || (steps === nth && when === "before")) throw dead();
    const result = await work();
    if (steps === nth) throw dead();
    return result;
  }
  return {
    crashed: () => steps >= nth,
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

    describe.each(KINDS)("with %j of its own", (own) => {
      test.each(["before", "after"] as const)(
        "a mint that crashed %s a statement can be repeated, and dismantled",
        async (when) => {
          let nth = 1;
          for (; ; nth++) {
            const { connect, crashed } = crashing(nth, when);
            const request = {
              ...on.at({ own }),
              grantId: newGrant(),
              suffix: newSuffix(),
              until: LATER,
            };
            const first = await targetOver(connect)
              .mint(request)
              .catch((error: unknown) => error);
            if (!crashed()) {
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
            expect(await on.target.dismantle(request), `crash ${when} step ${nth}`).toEqual(
              NOTHING,
            );
          }
          expect(nth).toBeGreaterThan(12);
        },
        120_000,
      );

      test.each(["before", "after"] as const)(
        "a dismantling that crashed %s a statement is finished by the next",
        async (when) => {
          let nth = 1;
          for (; ; nth++) {
            const { connect, crashed } = crashing(nth, when);
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
            if (!crashed()) {
              await session.end();
              break;
            }
            expect(first).toBeInstanceOf(PostgresError);
            expect(await on.target.dismantle(request), `crash ${when} step ${nth}`).toEqual(
              NOTHING,
            );
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
