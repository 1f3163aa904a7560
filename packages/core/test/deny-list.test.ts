import { covers, exceeds, type Listable, planList } from "@stint/core/deny-list";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const NOW = 1_800_000_000_000;
const SECOND = 1_000;
const MINUTE = 60_000;

const denial = (n: number, over: Partial<Listable> = {}): Listable => ({
  grant: `g${n}`,
  until: NOW + MINUTE + n * SECOND,
  issuedBy: NOW - MINUTE,
  ...over,
});
const many = (count: number, over: Partial<Listable> = {}) =>
  Array.from({ length: count }, (_, n) => denial(n, over));

describe("a list that has room", () => {
  test("names every denial, and nothing lapses", () => {
    const plan = planList(many(3), { capacity: 3, now: NOW });
    expect(new Set(plan.listed.ids)).toEqual(new Set(["g0", "g1", "g2"]));
    expect(plan).toMatchObject({ lapsing: [] });
    expect(plan.watermark).toBeUndefined();
  });

  test("has no watermark even where nobody lives", () => {
    expect(
      planList(many(3), { capacity: 3, now: NOW, nobodyLives: true }).watermark,
    ).toBeUndefined();
  });
});

describe("a list that is full", () => {
  test("lets those with the least time left lapse while somebody lives", () => {
    const plan = planList(many(5), { capacity: 3, now: NOW });
    expect(plan.lapsing.map(({ grant }) => grant).toSorted()).toEqual(["g0", "g1"]);
    expect(plan.listed.ids).toHaveLength(3);
    expect(plan.denied).toHaveLength(3);
  });

  test("becomes a watermark where nobody lives, up to the newest session's second", () => {
    const denials = [...many(5), denial(9, { issuedBy: NOW - 10_500 })];
    const plan = planList(denials, { capacity: 3, now: NOW, nobodyLives: true });
    expect(plan.watermark).toEqual({ at: NOW - 11_000, until: NOW + MINUTE + 9 * SECOND });
    expect(plan.listed).toEqual({ ids: [], watermark: NOW - 11_000 });
    expect(plan.lapsing).toEqual([]);
    expect(plan.denied).toHaveLength(6);
  });

  test("keeps by id what may still be issued, and what was issued in a second that is not over", () => {
    const fresh = denial(7, { issuedBy: NOW });
    const maybe = denial(8, { issuedBy: NOW + 30_000 });
    const plan = planList([...many(5), fresh, maybe], {
      capacity: 3,
      now: NOW,
      nobodyLives: true,
    });
    expect(new Set(plan.listed.ids)).toEqual(new Set(["g7", "g8"]));
    expect(plan.watermark?.at).toBeLessThan(NOW);
  });
});

describe("a watermark that is there", () => {
  const watermark = { at: NOW - MINUTE, until: NOW + MINUTE };

  test("covers what was issued before it, and leaves the ids to what came after", () => {
    const after = denial(9, { issuedBy: NOW - 30_000 });
    const plan = planList([...many(5), after], { capacity: 3, now: NOW, watermark });
    expect(plan.listed).toEqual({ ids: ["g9"], watermark: watermark.at });
    expect(plan.denied).toHaveLength(6);
  });

  test("goes when the last session that it was for is over", () => {
    const plan = planList(many(2), { capacity: 3, now: watermark.until, watermark });
    expect(plan.listed.watermark).toBeUndefined();
    expect(plan.listed.ids).toHaveLength(2);
  });

  test("is never moved back by a further one", () => {
    const later = many(5, { issuedBy: NOW - 30_000 });
    const plan = planList(later, { capacity: 3, now: NOW, watermark, nobodyLives: true });
    expect(plan.watermark?.at).toBeGreaterThan(watermark.at);
    expect(plan.watermark?.until).toBeGreaterThanOrEqual(watermark.until);
  });
});

test("whatever is wanted: it fits, each denial is denied or lapses, and a watermark reaches no living second", () => {
  const one = fc.record({
    until: fc.integer({ min: NOW + 1, max: NOW + 60 * MINUTE }),
    issuedBy: fc.integer({ min: NOW - 60 * MINUTE, max: NOW + MINUTE }),
  });
  fc.assert(
    fc.property(
      fc.array(one, { maxLength: 40 }),
      fc.integer({ min: 1, max: 10 }),
      fc.boolean(),
      fc.option(one, { nil: undefined }),
      (all, capacity, nobodyLives, before) => {
        const denials = all.map((of, n) => ({ grant: `g${n}`, ...of }));
        const watermark =
          before === undefined
            ? undefined
            : { at: Math.floor(before.issuedBy / 1000) * 1000, until: before.until };
        const plan = planList(denials, { capacity, now: NOW, nobodyLives, watermark });
        expect(plan.listed.ids.length).toBeLessThanOrEqual(capacity);
        expect(plan.denied.length + plan.lapsing.length).toBe(denials.length);
        const ids = new Set(plan.listed.ids);
        for (const { grant, issuedBy } of plan.denied)
          expect(
            ids.has(grant) ||
              Math.floor(issuedBy / 1000) * 1000 <= (plan.listed.watermark ?? Number.NaN),
          ).toBe(true);
        if (plan.watermark?.at !== watermark?.at && plan.watermark !== undefined) {
          expect(nobodyLives).toBe(true);
          expect(plan.watermark.at).toBeLessThan(Math.floor(NOW / 1000) * 1000);
        }
        expect(covers(plan.listed, plan.listed)).toBe(true);
        expect(exceeds(plan.listed, plan.listed)).toBe(false);
      },
    ),
  );
});

describe("what rests on a role", () => {
  test.each([
    ["nothing", undefined, { ids: [] }, true],
    ["nothing, where an id is wanted", undefined, { ids: ["a"] }, false],
    ["more than is wanted", { ids: ["a", "b"] }, { ids: ["a"] }, true],
    ["another id", { ids: ["b"] }, { ids: ["a"] }, false],
    ["an older watermark", { ids: [], watermark: 1 }, { ids: [], watermark: 2 }, false],
    ["a later watermark", { ids: [], watermark: 3 }, { ids: [], watermark: 2 }, true],
    ["ids without the watermark", { ids: ["a"] }, { ids: ["a"], watermark: 2 }, false],
  ])("%s: does it do", (_, rests, wanted, does) => {
    expect(covers(rests, wanted)).toBe(does);
  });

  test("exceeds what is wanted by an id or a watermark that is over", () => {
    expect(exceeds({ ids: ["a", "b"] }, { ids: ["a"] })).toBe(true);
    expect(exceeds({ ids: ["a"], watermark: 1 }, { ids: ["a"] })).toBe(true);
    expect(exceeds({ ids: ["a"] }, { ids: ["a", "b"] })).toBe(false);
    expect(exceeds(undefined, { ids: [] })).toBe(false);
  });
});
