/** Logins that a server has and Stint knows nothing of, or nothing more: the night ends them. */
import { randomBytes } from "node:crypto";
import { parseConfig } from "@stint/core/config/load";
import type { Config, PostgresTarget } from "@stint/core/profile";
import { pipelineClaims } from "@stint/pipelines/registry";
import { network, postgresTarget } from "@stint/targets/postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { TestServer } from "../postgres/server.ts";
import { newest, openShop, putSecret, SECRET, shopAt } from "../postgres/shop.ts";
import { type Witness, watch } from "./witness.ts";
import { type Answer, createWorld, grantIn, inside, type World } from "./world.ts";

const HOUR = 3_600_000;
/** Longer than indexes lag. */
const SEEN_MS = 5_000;
/** Ids that grants could have, and none has. */
const nobodys = (n: number) => `g${String(n).padStart(15, "0")}`;

const version = newest();

const configFor = (targets: Readonly<Record<string, object>>): Config => {
  const profiles = Object.fromEntries(
    Object.entries(targets).map(([name, db]) => [
      name,
      { duration: { default: "20m", max: "2h" }, targets: { db } },
    ]),
  );
  const rules = Object.keys(targets).map((profile) => ({
    id: profile,
    profile,
    to: { pipeline: "github", repository_id: "186853002" },
  }));
  const audience = "https://stint.local.test";
  // JSON is YAML too.
  const yaml = JSON.stringify({ version: 1, audience, profiles, rules });
  const parsed = parseConfig(yaml, {}, pipelineClaims());
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
};

describe.skipIf(version === undefined)("a login on a server", () => {
  let server: TestServer;
  let world: World;
  let witness: Witness;
  let jobs = 0;

  beforeAll(async () => {
    if (version !== undefined) server = await openShop(version);
  }, 60_000);
  afterAll(() => server?.[Symbol.asyncDispose]());
  beforeEach(() => open({ orders: shopAt(server) }));

  const open = async (targets: Readonly<Record<string, object>>) => {
    world = await createWorld({
      config: configFor(targets),
      maxAttempts: 1,
      // A server's clock goes on by itself: leases must not be over by it before they are by ours.
      start: Date.now(),
    });
    witness = await watch(world);
    await putSecret(world.administrator);
  };
  const ask = async (): Promise<Answer> => {
    jobs += 1;
    return world.call("POST", "/v1/grants", {
      token: await world.jobToken({ run_id: "5", check_run_id: String(jobs) }),
      body: { profile: "orders" },
    });
  };
  const release = async (answer: Answer) => {
    await world.call("DELETE", `/v1/grants/${grantIn(answer).id}`, { token: answer.body.token });
    await world.aws.settle();
  };
  const targetOf = (profile = "orders"): PostgresTarget => {
    const target = world.config.profiles[profile]?.targets.db;
    if (target?.kind !== "postgres") throw new Error(`${profile} has no database`);
    return target;
  };
  /** A login that nobody asked Stint for. */
  const mint = async (grantId: string, over: object = {}) => {
    const postgres = postgresTarget({ connect: network(), random: randomBytes });
    const { credentials } = await postgres.mint({
      place: { ...targetOf().place, ...over },
      adminPassword: SECRET,
      grantId,
      suffix: "behind",
      until: Date.now() + HOUR,
    });
    return credentials;
  };
  const owners = async () => {
    const roles = await server.as(
      {},
      "SELECT rolname FROM pg_roles WHERE rolname ~ '^stint_' ORDER BY 1",
    );
    return [...new Set(roles.map(({ rolname }) => rolname?.split("_")[1]))];
  };
  const reconcile = async () => {
    await world.advance(SEEN_MS);
    await world.stint.invoke("reconcile", {});
    await world.advance(SEEN_MS);
  };
  const drifts = () => witness.records.filter(({ fact }) => fact === "drift.login_removed");
  const walkOf = () =>
    world.logged.findLast(({ message }) => message === "reconcile")?.details as {
      strayedLogins: { looked: number; corrected: number; failed: number };
    }; // as the door writes it

  test("of no grant is ended with its session, with one record, and a live one is left", async () => {
    const live = await ask();
    const stray = await mint(nobodys(1));
    const session = await server.session(stray);
    await reconcile();
    expect(await owners()).toEqual([grantIn(live).id]);
    await expect(session.query("SELECT 1")).rejects.toThrow();
    await server.as(live.body.credentials.db, "SELECT 1");
    expect(drifts()).toMatchObject([
      { grant: nobodys(1), actor: { kind: "reconciler" }, fact: "drift.login_removed" },
    ]);
    await reconcile();
    expect(drifts()).toHaveLength(1);
    await release(live);
    expect(await owners()).toEqual([]);
  });

  test("of a grant that has ended is ended again, and the record says whose it was", async () => {
    const answer = await ask();
    await release(answer);
    await mint(grantIn(answer).id);
    await reconcile();
    expect(await owners()).toEqual([]);
    expect(drifts()).toMatchObject([
      { grant: grantIn(answer).id, profile: "orders", state: "ended" },
    ]);
  });

  test("goes with the schema and with what it made elsewhere", async () => {
    const stray = await mint(nobodys(2), { own: { kind: "schema" } });
    await server.as(stray, "CREATE TABLE mine (id int)", "CREATE TABLE public.left_over (id int)");
    await reconcile();
    expect(await owners()).toEqual([]);
    const left = await server.as(
      { database: "shop" },
      "SELECT 1 FROM pg_class WHERE relname IN ('mine', 'left_over')",
    );
    expect(left).toEqual([]);
  });

  test("loses nothing that any target of its server would have given away", async () => {
    await server.as({}, "CREATE ROLE heir NOLOGIN", "GRANT heir TO boss");
    await server.as({ database: "shop" }, "GRANT CREATE ON SCHEMA public TO heir");
    await open({
      orders: shopAt(server),
      kept: shopAt(server, { leavings: { reassign: "heir" } }),
    });
    await server.as(await mint(nobodys(3)), "CREATE TABLE public.heirloom (id int)");
    await reconcile();
    expect(await owners()).toEqual([]);
    expect(drifts()).toHaveLength(1);
    const found = await server.as(
      { database: "shop" },
      "SELECT tableowner FROM pg_tables WHERE tablename = 'heirloom'",
    );
    expect(found).toEqual([{ tableowner: "heir" }]);
  });

  inside("is told in the log and by an alarm, which name the server", async () => {
    await mint(nobodys(4));
    await reconcile();
    expect(world.logged.filter(({ message }) => message === "drift")).toMatchObject([
      {
        level: "error",
        details: {
          fact: "drift.login_removed",
          grant: nobodys(4),
          server: `127.0.0.1:${server.port}/shop`,
        },
      },
    ]);
    expect(walkOf().strayedLogins).toMatchObject({ looked: 1, corrected: 1, failed: 0 });
  });

  test("is ended though another server cannot be reached, which is told", async () => {
    await open({ away: shopAt({ host: "127.0.0.1", port: 1 }), orders: shopAt(server) });
    await mint(nobodys(5));
    await world.advance(SEEN_MS);
    await expect(world.stint.invoke("reconcile", {})).rejects.toThrow("not all could be looked at");
    await world.advance(SEEN_MS);
    expect(await owners()).toEqual([]);
    expect(drifts()).toHaveLength(1);
  });

  inside("that cannot be ended keeps no other from it, and is counted", async () => {
    for (const n of [6, 7, 8]) await mint(nobodys(n));
    const { deps } = world.stint.app("reconcile");
    const { clearing } = deps;
    Object.assign(deps, {
      clearing: {
        ...clearing,
        clear: async (...of: Parameters<typeof clearing.clear>) => {
          if (of[0] === nobodys(6)) throw new Error("something is in the way");
          return clearing.clear(...of);
        },
      },
    });
    await expect(world.stint.invoke("reconcile", {})).rejects.toThrow("not all could be looked at");
    expect(walkOf().strayedLogins).toMatchObject({ looked: 1, corrected: 2, failed: 1 });
    expect(await owners()).toEqual([nobodys(6)]);
    Object.assign(deps, { clearing });
    await reconcile();
    expect(await owners()).toEqual([]);
  });

  inside("of a grant that opens while the night looks is left", async () => {
    const { deps } = world.stint.app("reconcile");
    const { clearing } = deps;
    let opened: Answer | undefined;
    Object.assign(deps, {
      clearing: {
        ...clearing,
        strays: async (...of: Parameters<typeof clearing.strays>) => {
          opened ??= await ask();
          return clearing.strays(...of);
        },
      },
    });
    await reconcile();
    if (opened === undefined) throw new Error("nobody asked the server");
    expect(await owners()).toEqual([grantIn(opened).id]);
    expect(drifts()).toEqual([]);
    await server.as(opened.body.credentials.db, "SELECT 1");
    await release(opened);
  });

  inside("of a server that only live grants know any more is looked for there", async () => {
    const live = await ask();
    await mint(nobodys(9));
    const { deps } = world.stint.app("reconcile");
    Object.assign(deps, { config: { ...deps.config, profiles: {} } });
    await reconcile();
    expect(await owners()).toEqual([grantIn(live).id]);
    await release(live);
    await mint(nobodys(9));
    await reconcile();
    // Nobody knows of the server any more.
    expect(await owners()).toEqual([nobodys(9)]);
    Object.assign(deps, { config: world.config });
    await reconcile();
    expect(await owners()).toEqual([]);
  });

  inside("of a grant that is still being ended is left to who is at it", async () => {
    const answer = await ask();
    const { deps } = world.stint.app("clear");
    const { clearing } = deps;
    Object.assign(deps, {
      clearing: { ...clearing, clear: () => Promise.reject(new Error("not yet")) },
    });
    await release(answer);
    await reconcile();
    expect(await owners()).toEqual([grantIn(answer).id]);
    expect(drifts()).toEqual([]);
    Object.assign(deps, { clearing });
    await world.advance(HOUR / 6);
    expect(await owners()).toEqual([]);
  });
});
