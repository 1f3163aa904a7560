/**
 * A server of databases that is not there: logins that end by its clock, and what ending them does. The driver's own tests
 * ask real servers; this one can be away, slow and forgetful in thousands of stories.
 */
import { sha256 } from "@stint/core/id";
import type { PostgresDriver } from "@stint/functions/postgres";
import type { AdvancingClock } from "@stint/local/clock";
import { type FaultPlan, under } from "@stint/local/faults";
import { PostgresError } from "@stint/targets/postgres";
import type { Seen } from "./seen.ts";

export interface Database extends PostgresDriver {
  /** Whether a login begins now. */
  accepts(user: string, password: string): boolean;
  /** Roles that are there, of that grant or of all. */
  roles(grant?: string): string[];
}

interface Role {
  readonly password: string;
  readonly until: number;
}

/** The driver gives up by then, and the server undoes what was under way. */
const LONGEST_MS = 25_000;

export function createDatabase(
  clock: AdvancingClock,
  faults: FaultPlan,
  random: () => number,
  seen: Seen,
  slowestMs: number,
): Database {
  const roles = new Map<string, Role>();
  const asked = async <T>(operation: string, run: () => T): Promise<T> => {
    const strike = faults.strike("postgres", operation, {});
    const lost = () => new PostgresError("unreachable", "Postgres cannot be reached.");
    if (strike.delayMs > LONGEST_MS) {
      await clock.sleep(LONGEST_MS);
      throw lost();
    }
    // Statements take their time, and what races with them is what this is about.
    if (slowestMs > 0) await clock.sleep(Math.floor(random() * slowestMs));
    let done: { readonly value: T } | undefined;
    const once = () => {
      done = { value: run() };
    };
    await under(strike, clock, () => {}, once).catch(() => {
      throw lost();
    });
    if (done === undefined) throw lost();
    return done.value;
  };
  const ofGrant = (grant: string) =>
    [...roles.keys()].filter(
      (name) => name === `stint_${grant}` || name.startsWith(`stint_${grant}_`),
    );
  return {
    accepts: (user, password) => {
      const role = roles.get(user);
      return role !== undefined && role.password === password && clock.now() < role.until;
    },
    roles: (grant) => (grant === undefined ? [...roles.keys()] : ofGrant(grant)),
    mint: ({ place, grantId, suffix, until }) =>
      asked("Mint", () => {
        const role = `stint_${grantId}_${suffix}`;
        const password = `pw-${sha256(String(random()))}`;
        seen.tell("secret", password);
        roles.set(`stint_${grantId}`, { password: "", until: 0 });
        roles.set(role, { password, until });
        const { host, port, database } = place;
        return {
          credentials: { host, port, database, user: role, password, expiration: until },
          role,
          hash: sha256(password),
        };
      }),
    strays: () =>
      asked("Strays", () => [
        ...new Set([...roles.keys()].flatMap((name) => name.split("_")[1] ?? [])),
      ]),
    dismantle: ({ grantId }) =>
      asked("Dismantle", () => {
        for (const role of ofGrant(grantId)) roles.delete(role);
        return { roles: [], sessions: 0, schemas: [], databases: [] };
      }),
  };
}
