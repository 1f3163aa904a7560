/** How fast local AWS evaluates policies: every call that it serves waits for at least one evaluation. */
import { seededRandom } from "@stint/local/world";
import { caseOf } from "../../packages/local/test/iam-cases.ts";
import { oracle } from "../../packages/local/test/iam-oracle.ts";
import { prepare } from "../../packages/local/test/iam-ours.ts";
import { type Bench, collect, median, RUNS, rounded } from "./row.ts";

/** Microseconds per piece of work. */
function timeOf<T>(work: readonly T[], run: (item: T) => unknown): number {
  collect();
  const started = performance.now();
  for (const item of work) run(item);
  return ((performance.now() - started) * 1000) / work.length;
}

/**
 * The cases of the differential test: identity, session, boundary, resource and trust policies of one to several
 * statements, with conditions of every operator. The other evaluator is the one that test compares with.
 */
export const iam: Bench = async (size) => {
  const random = seededRandom(20_261_123);
  const cases = Array.from({ length: size === "full" ? 2_000 : 20 }, () => caseOf(random));
  const prepared = cases.map(prepare);
  const us = { evaluating: [] as number[], reading: [] as number[], other: [] as number[] };
  for (let round = -1; round < RUNS[size]; round++) {
    const evaluating = timeOf(prepared, (decide) => decide());
    const reading = timeOf(cases, (of) => prepare(of)());
    const other = timeOf(cases, oracle);
    if (round < 0) continue;
    us.evaluating.push(evaluating);
    us.reading.push(reading);
    us.other.push(other);
  }
  const [evaluating, reading, other] = [us.evaluating, us.reading, us.other].map(median);
  if (!evaluating || !reading || !other) throw new Error("nothing was measured");
  return [
    {
      name: "IAM evaluation, policies read / another evaluator's",
      measured: rounded(reading / other),
      unit: "×",
      parts: {
        "evaluations/s": Math.round(1e6 / evaluating),
        "with reading the policies/s": Math.round(1e6 / reading),
        "the other's/s": Math.round(1e6 / other),
      },
      note: `${RUNS[size]} rounds of ${cases.length} generated cases in turns. The kernel reads each policy text once, so the first number is what calls pay`,
    },
  ];
};
