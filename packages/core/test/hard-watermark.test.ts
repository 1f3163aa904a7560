import { expect, test } from "vitest";
import { covers, exceeds, hardWatermark, type Listable, planList } from "../src/deny-list.ts";

const NOW = Date.parse("2026-11-22T12:00:00Z");
const HOUR = 3_600_000;

/** A denial of sessions that were issued so long ago, and run for so long still. */
const denial = (grant: string, agoMs: number, leftMs = 600_000): Listable => ({
  grant,
  issuedBy: NOW - agoMs,
  until: NOW + leftMs,
});

test("a watermark is a whole second, never after the order, and outlives what it hits", () => {
  for (const now of [NOW, NOW + 1, NOW + 999]) {
    const { at, until } = hardWatermark(now);
    expect(at % 1_000).toBe(0);
    expect(at).toBeLessThanOrEqual(now);
    expect(now - at).toBeLessThan(1_000);
    // The longest session that can be issued in its second.
    expect(until).toBeGreaterThanOrEqual(at + 999 + HOUR);
  }
});

test("one that is ordered stands beside the ids", () => {
  const hard = hardWatermark(NOW);
  const plan = planList([denial("a", 60_000), denial("b", -5_000)], {
    capacity: 9,
    now: NOW,
    hard,
  });
  expect(plan.listed).toEqual({ ids: ["b", "a"], watermark: hard.at });
  // It is somebody else's, and not to be noted as the list's own.
  expect(plan.watermark).toBeUndefined();
  expect(plan.lapsing).toEqual([]);
});

test("what it covers makes room, and lapses never", () => {
  const hard = hardWatermark(NOW);
  const covered = [denial("a", 60_000), denial("b", 50_000, 900_000), denial("c", 40_000)];
  const young = [denial("x", -5_000, 100_000), denial("y", -6_000, 200_000)];
  const room = { capacity: 3, now: NOW, hard };
  const plan = planList([...covered, ...young], room);
  expect(plan.listed.ids).toEqual(["y", "x", "b"]);
  expect(plan.lapsing).toEqual([]);
  expect(plan.denied).toHaveLength(5);
  const more = [...young, denial("z", -7_000, 50_000), denial("w", -7_000, 40_000)];
  expect(planList([...covered, ...more], room).lapsing.map(({ grant }) => grant)).toEqual(["w"]);
});

test("where it covers enough, the list needs no watermark of its own", () => {
  const old = [denial("a", 60_000), denial("b", 50_000), denial("c", 40_000)];
  const room = { capacity: 2, now: NOW, nobodyLives: true };
  expect(planList(old, room).watermark).toBeDefined();
  const hard = hardWatermark(NOW);
  expect(planList(old, { ...room, hard }).watermark).toBeUndefined();
});

test("of two watermarks the later one rests on the role, and each is over in its own time", () => {
  const watermark = { at: NOW - 60_000, until: NOW + HOUR };
  const hard = hardWatermark(NOW);
  const at = (now: number, of: object) => planList([], { capacity: 9, now, ...of }).listed;
  expect(at(NOW, { watermark, hard }).watermark).toBe(hard.at);
  expect(at(NOW, { watermark: { ...watermark, at: NOW + 1_000 }, hard }).watermark).toBe(
    NOW + 1_000,
  );
  expect(at(hard.until - 1, { hard }).watermark).toBe(hard.at);
  expect(at(hard.until, { hard })).toEqual({ ids: [] });
});

test("one that is over goes with the next tidying, and causes no write before", () => {
  const rests = { ids: ["a"], watermark: NOW - 2 * HOUR };
  const wanted = { ids: ["a"] };
  expect(covers(rests, wanted)).toBe(true);
  expect(exceeds(rests, wanted)).toBe(true);
});
