import {
  approve,
  claim,
  deadBy,
  denied,
  due,
  dueAt,
  type EndReason,
  end,
  endsAt,
  finish,
  type Grant,
  type GrantFacts,
  isLive,
  type Lease,
  lease,
  leaseUntil,
  plan,
  refuse,
  running,
  toOpening,
  toPending,
} from "@stint/core/grant";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const START = 1_800_000_000_000;

const facts: GrantFacts = {
  id: "g0123456789abcde",
  profile: "orders-integration",
  principal: {
    kind: "job",
    id: "github:token.actions.githubusercontent.com:1:2:1:3",
    claims: {},
    job: { pipeline: "github", issuer: "https://i.test", run: "2", attempt: "1", job: "3" },
  },
  namespace: "it-g0123456789abcde",
  rule: "orders-main",
  policyVersion: "v1",
  createdAt: START,
  seconds: 1200,
  leaseSeconds: 900,
  claimSeconds: 900,
  targets: {
    aws: {
      kind: "aws",
      role: "arn:aws:iam::111122223333:role/stint/o",
      revocability: "next-request",
    },
  },
  requestHash: "h",
  tokenKey: "1",
};

const opening = () => toOpening(facts, "m1", 900, START);
const mintedOf = (grant: Grant, at: number): Record<string, Lease> =>
  "leases" in grant
    ? Object.fromEntries(
        Object.entries(grant.leases).map(([key, one]) => [
          key,
          { ...one, mintedAt: at, accessKeyId: "ASIA", hash: "h" },
        ]),
      )
    : {};
const active = () => lease(opening(), mintedOf(opening(), START));

describe("one grant", () => {
  test("a schedule that fires early does not end a grant", () => {
    const grant = active();
    expect(end(grant, "expired", START + 1)).toBe(grant);
    expect(due(grant, endsAt(grant) - 1)).toBe(grant);
  });

  test("at its end a grant whose leases are over is ended at once", () => {
    const grant = active();
    const after = due(grant, endsAt(grant));
    expect(after).toMatchObject({ state: "ended", why: "expired", endedAt: endsAt(grant) });
    expect(deadBy(after)).toBe(deadBy(grant));
  });

  test("an end with a running lease waits for its denial and keeps the last lease's end as deadBy", () => {
    const grant = active();
    const after = end(grant, "job_ended", START + 60_000);
    expect(after.state).toBe("ending");
    expect(deadBy(after)).toBe(START + 900_000);
    expect(finish(after, START + 899_999)).toBe(after);
    expect(finish(after, START + 900_000).state).toBe("ended");
    expect(denied(after, START + 61_000)).toMatchObject({
      state: "ended",
      why: "job_ended",
      deniedAt: START + 61_000,
      endedAt: START + 60_000,
    });
  });

  test("a denial alone proves nothing, so deadBy stays", () => {
    const after = denied(end(active(), "released", START), START + 1_000);
    expect(deadBy(after)).toBe(START + 900_000);
  });

  test("a mint that was only planned counts as one that runs", () => {
    const after = end(opening(), "failed", START + 1_000);
    expect(after.state).toBe("ending");
    expect(deadBy(after)).toBe(START + 900_000);
  });

  test("an issuer that is too late finds the grant ended", () => {
    const late = due(opening(), START + 60_000);
    expect(late).toMatchObject({ state: "ending", why: "failed" });
    expect(lease(late, mintedOf(opening(), START + 61_000))).toBe(late);
  });

  test("a lapsing target leaves nothing to wait for", () => {
    const lapsing = {
      ...facts,
      targets: { aws: { kind: "aws" as const, role: "r", revocability: "lapse" as const } },
    };
    const grant = lease(toOpening(lapsing, "m1", 900, START), mintedOf(opening(), START));
    expect(end(grant, "revoked", START + 1).state).toBe("ended");
  });

  test("a lease is never longer than what is left of the grant, and ends on a whole second", () => {
    expect(leaseUntil(START + 123, 60, START + 10_000)).toBe(START + 10_000);
    expect(leaseUntil(START + 123, 60, START + 900_000)).toBe(START + 60_000);
  });

  test("as many different approvers as the rule asks for make it ready", () => {
    const first = approve(toPending(facts, 2, 3600, START), "person:a:1", "ok", START + 1);
    expect(first.state).toBe("pending");
    expect(approve(first, "person:a:1", "again", START + 2)).toBe(first);
    const second = approve(first, "person:a:2", "fine", START + 3);
    expect(second).toMatchObject({ state: "ready", claimBy: START + 3 + 900_000 });
  });

  test("a request that nobody decides on is refused, one that nobody claims ends unclaimed", () => {
    const pending = toPending(facts, 1, 3600, START);
    expect(due(pending, START + 3_600_000)).toMatchObject({
      state: "refused",
      why: "approval_expired",
    });
    const ready = approve(pending, "person:a:1", "ok", START);
    expect(due(ready, START + 900_000)).toMatchObject({ state: "ended", why: "unclaimed" });
    expect(deadBy(due(ready, START + 900_000))).toBeUndefined();
  });

  test("too late an approval, claim or refresh changes nothing", () => {
    const pending = toPending(facts, 1, 60, START);
    expect(approve(pending, "person:a:1", "ok", START + 60_000)).toBe(pending);
    const ready = approve(pending, "person:a:1", "ok", START);
    expect(claim(ready, "m", 60, START + 900_000)).toBe(ready);
    const grant = active();
    expect(plan(grant, "m2", 60, endsAt(grant))).toBe(grant);
  });

  test("a claimed grant runs from its claim", () => {
    const ready = approve(toPending(facts, 1, 3600, START), "person:a:1", "ok", START);
    const claimed = claim(ready, "m", 900, START + 600_000);
    expect(claimed).toMatchObject({
      state: "opening",
      startsAt: START + 600_000,
      endsAt: START + 1_800_000,
    });
  });
});

type Step =
  | { do: "end"; why: EndReason }
  | { do: "approve"; by: string }
  | { do: "refuse" | "claim" | "plan" | "lease" | "due" | "denied" | "finish" };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant("end" as const),
    why: fc.constantFrom<EndReason>(
      "expired",
      "job_ended",
      "released",
      "revoked",
      "withdrawn",
      "failed",
      "target_gone",
    ),
  }),
  fc.record({ do: fc.constant("approve" as const), by: fc.constantFrom("a", "b", "c") }),
  fc.record({
    do: fc.constantFrom(
      "refuse" as const,
      "claim" as const,
      "plan" as const,
      "lease" as const,
      "due" as const,
      "denied" as const,
      "finish" as const,
    ),
  }),
);

function apply(grant: Grant, at: Step, now: number, mint: string): Grant {
  switch (at.do) {
    case "end":
      return end(grant, at.why, now);
    case "approve":
      return approve(grant, at.by, "reason", now);
    case "refuse":
      return refuse(grant, "approver", now);
    case "claim":
      return claim(grant, mint, 900, now);
    case "plan":
      return plan(grant, mint, 120, now);
    case "lease":
      return lease(grant, mintedOf(grant, now));
    case "due":
      return due(grant, now);
    case "denied":
      return denied(grant, now);
    case "finish":
      return finish(grant, now);
  }
}

const RANK = {
  pending: 0,
  ready: 1,
  opening: 2,
  active: 3,
  ending: 4,
  ended: 5,
  refused: 5,
} as const;

/** Every grant that any order and repetition of transitions leads through. */
const lives = fc
  .tuple(
    fc.constantFrom("pending", "opening"),
    fc.array(fc.tuple(step, fc.integer({ min: 0, max: 900_000 })), { maxLength: 40 }),
  )
  .map(([first, steps]) => {
    let now = START;
    let grant: Grant = first === "pending" ? toPending(facts, 2, 3600, START) : opening();
    const life: Array<{ grant: Grant; now: number; step: Step | undefined }> = [
      { grant, now, step: undefined },
    ];
    for (const [i, [one, wait]] of steps.entries()) {
      now += wait;
      grant = apply(grant, one, now, `m${i + 2}`);
      life.push({ grant, now, step: one });
    }
    return life;
  });

describe("any order and repetition of transitions", () => {
  const every = (check: (life: ReadonlyArray<{ grant: Grant; now: number }>) => void) =>
    fc.assert(fc.property(lives, check), { numRuns: 2_000 });
  const pairs = <T>(list: readonly T[]) =>
    list.slice(1).map((after, i): [T, T] => [list[i] as T, after]); // i is below the length

  test("only ever goes forward", () => {
    every((life) => {
      for (const [before, after] of pairs(life))
        expect(RANK[after.grant.state]).toBeGreaterThanOrEqual(RANK[before.grant.state]);
    });
  });

  test("gives one end and one reason", () => {
    every((life) => {
      for (const [before, after] of pairs(life))
        if ("why" in before.grant)
          expect(after.grant).toMatchObject({
            why: before.grant.why,
            endedAt: before.grant.endedAt,
          });
    });
  });

  test("mints nothing after the end", () => {
    every((life) => {
      for (const [before, after] of pairs(life))
        if (!isLive(before.grant) && "leases" in before.grant)
          expect("leases" in after.grant && after.grant.leases).toEqual(before.grant.leases);
    });
  });

  test("never extends a grant or a lease", () => {
    every((life) => {
      for (const [before, after] of pairs(life)) {
        if (isLive(after.grant))
          expect(endsAt(after.grant)).toBeLessThanOrEqual(endsAt(before.grant));
        if ("leases" in after.grant && "startsAt" in after.grant)
          for (const one of Object.values(after.grant.leases))
            expect(one.until).toBeLessThanOrEqual(endsAt(after.grant));
      }
    });
  });

  test("shows as terminal only what has no lease that runs undenied", () => {
    every((life) => {
      for (const { grant, now } of life)
        if (grant.state === "ended" && grant.deniedAt === undefined)
          expect(running(grant.leases, now)).toEqual([]);
    });
  });

  test("leaves nothing that the sweeper would not find", () => {
    every((life) => {
      for (const { grant } of life)
        expect(dueAt(grant) === undefined).toBe(
          grant.state === "ended" || grant.state === "refused",
        );
    });
  });

  test("ends by the sweeper alone, whatever else stops", () => {
    every((life) => {
      const last = life.at(-1);
      let grant = last?.grant as Grant; // a life has at least its first state
      for (let i = 0; i < 100 && dueAt(grant) !== undefined; i++)
        grant = due(grant, dueAt(grant) ?? 0);
      expect(["ended", "refused"]).toContain(grant.state);
    });
  });
});
