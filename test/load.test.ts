import { beforeAll, describe, expect, test } from "vitest";
import { check } from "../scripts/load/checks.ts";
import type { Evidence } from "../scripts/load/evidence.ts";
import { type Load, load } from "../scripts/load/run.ts";
import { ENDINGS, plans, type Told } from "../scripts/load/story.ts";

let run: Load;
beforeAll(async () => {
  run = await load({ grants: 100, roles: 4, inFlight: 20 });
}, 240_000);

const failing = (seen: Partial<Load["seen"]>, found: Partial<Evidence> = {}): string[] =>
  check({ ...run.seen, ...seen }, { ...run.found, ...found })
    .filter(({ against }) => against.length > 0)
    .map(({ name }) => name);

/** A grant of the run with credentials, and the first of them. */
function someone(): { readonly told: Told; readonly key: string } {
  const told = run.seen.told.find(({ credentials }) => credentials.length > 1);
  const [first] = told?.credentials ?? [];
  if (told === undefined || first === undefined) throw new Error("nobody was given anything");
  return { told, key: first.accessKeyId };
}

describe("a load", () => {
  test("loses nothing and leaves nothing", () => {
    expect(failing({})).toEqual([]);
    for (const { name, of } of run.checks) expect(of, name).toBeGreaterThan(0);
  });

  test("opens, refreshes and ends in every way, and tells what it measured", () => {
    const { callMs, timeToDeadMs, timeToDeniedMs, webhookToEndMs, iamWrites } = run.told;
    for (const [kind, { count }] of Object.entries(callMs)) expect(count, kind).toBeGreaterThan(0);
    expect(callMs.open.count).toBe(100);
    const early = callMs.release.count + callMs.webhook.count + callMs.revoke.count;
    expect(webhookToEndMs.count).toBe(callMs.webhook.count);
    // Each that was ended early is accounted for: denied, left to lapse, or over before it came to that.
    expect(timeToDeniedMs.count + run.told.lapsed + run.told.overBefore).toBe(early);
    expect(timeToDeadMs.count).toBe(timeToDeniedMs.count);
    // The proof waits for what the denial does not: IAM takes a second.
    expect(timeToDeadMs.p50).toBeGreaterThan(timeToDeniedMs.p50);
    expect(iamWrites.all).toBeGreaterThanOrEqual(4);
    expect(new Set(plans(100, 4, Math.random).map(({ ending }) => ending))).toEqual(
      new Set(ENDINGS),
    );
  });
});

describe("a load's checks see", () => {
  const rid = <T>(all: readonly T[], which: (one: T) => boolean) =>
    all.filter((one) => !which(one));

  test("a grant that is lost", () => {
    const { told } = someone();
    const grants = rid(run.found.grants, ({ id }) => id === told.id);
    expect(failing({}, { grants })).toContain("every grant is in the table, ended for its reason");
  });

  test("a grant that nobody was told of", () => {
    const { told } = someone();
    expect(failing({ told: rid(run.seen.told, (one) => one === told) })).toContain(
      "every grant is in the table, ended for its reason",
    );
  });

  test("a grant that ended for another reason than was given", () => {
    const { told } = someone();
    const grants = run.found.grants.map((grant) =>
      grant.id === told.id && grant.state === "ended"
        ? { ...grant, why: "failed" as const }
        : grant,
    );
    expect(failing({}, { grants })).toEqual(["every grant is in the table, ended for its reason"]);
  });

  test("a lease that is taken away", () => {
    const { told, key } = someone();
    const grants = run.found.grants.map((grant) =>
      grant.id === told.id && "leases" in grant
        ? {
            ...grant,
            leases: Object.fromEntries(
              Object.entries(grant.leases).filter(([, { accessKeyId }]) => accessKeyId !== key),
            ),
          }
        : grant,
    );
    expect(failing({}, { grants })).toEqual(["every credential has its lease in the table"]);
  });

  test("a record of a lease that is taken out of the log", () => {
    const { key } = someone();
    const log = rid(run.found.log, (record) => record.key === key);
    expect(failing({}, { log })).toEqual(["every credential has its record in the log"]);
  });

  test("a second end of a grant", () => {
    const { told } = someone();
    const end = { fact: "grant.ended", grant: told.id, why: "expired", key: null };
    expect(failing({}, { log: [...run.found.log, end] })).toEqual([
      "every grant has one end in the log, and one reason",
    ]);
  });

  test("credentials that outlive what was said of them, and a sample of none", () => {
    const name = "sampled credentials worked, and do no more";
    expect(failing({ undead: ["ASIA"] })).toEqual([name]);
    const none = run.seen.told.map((one) => ({ ...one, plan: { ...one.plan, sampled: false } }));
    expect(failing({ told: none })).toEqual([name]);
  });

  test("what is left behind, grew too large or failed on the way", () => {
    expect(failing({}, { schedules: ["g1"] })).toEqual(["no schedule is left"]);
    expect(failing({}, { deadLetters: { dead: 1 } })).toEqual(["no message was given up"]);
    expect(failing({}, { lists: { one: 10_241 } })).toEqual([
      "deny lists stayed within IAM's size",
    ]);
    expect(failing({ longestList: 10_241 })).toEqual(["deny lists stayed within IAM's size"]);
    expect(failing({ errors: ["stuck"] })).toEqual(["nothing failed on the way"]);
    expect(failing({ failures: ["500"] })).toEqual(["every call was answered as it should be"]);
  });
});
