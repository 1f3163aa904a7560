import { describe, expect, test } from "vitest";
import { bundles } from "../scripts/bench/bundles.ts";
import { bursts } from "../scripts/bench/burst.ts";
import { cpu } from "../scripts/bench/cpu.ts";
import { decisions } from "../scripts/bench/decisions.ts";
import { iam } from "../scripts/bench/iam.ts";
import { latency, longestChain, roundTrips } from "../scripts/bench/issuing.ts";
import { localAwsCalls } from "../scripts/bench/local-aws.ts";
import { type Bench, median, met, type Row } from "../scripts/bench/row.ts";
import { start } from "../scripts/bench/start.ts";
import { sweeping } from "../scripts/bench/sweep.ts";
import { worker } from "../scripts/bench/worker.ts";

// Counts are judged here; times are not: a busy machine must not make a test fail.
describe("the bench", () => {
  test("counts three round trips from a request to its credentials", async () => {
    const [row] = await roundTrips("tiny");
    expect(row).toMatchObject({ measured: 3, budget: 3 });
    expect(row?.parts).toEqual({ "calls dynamodb": 2, "calls scheduler": 1, "calls sts": 1 });
  });

  test("counts as many calls of a sweep however many grants live", async () => {
    const [, calls] = await sweeping("tiny");
    expect(calls).toMatchObject({ measured: 0, budget: 0 });
  });

  test("counts as many calls of a role's worker however many grants live", async () => {
    const [calls] = await worker("tiny");
    expect(calls).toMatchObject({ measured: 0, budget: 0 });
  });

  // Their time is the local clock's: it goes by calls, so a busy machine changes nothing.
  test("finds grants that end together denied in few writes, and dead by when they say", async () => {
    const rows = await bursts("tiny");
    expect(rows).toHaveLength(3);
    for (const row of rows) expect(met(row), row.name).toBe(true);
  });

  test.each<[string, Bench]>([
    ["latency", latency],
    ["cpu", cpu],
    ["decisions", decisions],
    ["start", start],
    ["bundles", bundles],
    ["iam", iam],
    ["local-aws", localAwsCalls],
  ])("still measures %s", async (_, bench) => {
    const rows = await bench("tiny");
    expect(rows.length).toBeGreaterThan(0);
    for (const { measured, note } of rows) {
      expect(measured).toBeGreaterThan(0);
      expect(Number.isFinite(measured)).toBe(true);
      expect(note).not.toBe("");
    }
  });

  test("takes a call for sequential only where it began after the other's end", () => {
    const together = [
      { start: 1, end: 2 },
      { start: 3, end: 6 },
      { start: 4, end: 5 },
      { start: 7, end: 8 },
    ];
    expect(longestChain(together)).toBe(3);
    expect(longestChain([...together, { start: 9, end: 10 }])).toBe(4);
    expect(longestChain([])).toBe(0);
  });

  test("a budget is met up to its own value", () => {
    const row: Row = { name: "", measured: 2, unit: "", budget: 2, note: "" };
    expect(met(row)).toBe(true);
    expect(met({ ...row, measured: 2.01 })).toBe(false);
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
  });
});
