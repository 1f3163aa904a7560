/** A minute's sweep must cost what is due, not what lives. */
import { grantToItem } from "@stint/aws/store/write";
import { compose } from "@stint/functions/live";
import { sweep } from "@stint/functions/sweep";
import { createVirtualClock } from "@stint/local/clock";
import { NAMES } from "@stint/local/roles";
import type { SdkRequestHandler } from "@stint/local/transport";
import { active, living } from "./living.ts";
import { type Bench, collect, median, RUNS, rounded, type Size } from "./row.ts";
import { createSystem } from "./system.ts";

const NOW = Date.parse("2026-11-22T12:00:00Z");
const DUE = 10;
const LIVE: Readonly<Record<Size, readonly [number, number]>> = {
  full: [1_000, 1_000_000],
  tiny: [10, 100],
};

async function world(count: number) {
  const system = await createSystem({ clock: createVirtualClock(NOW) });
  const { aws } = system;
  const before = process.memoryUsage().rss;
  const started = performance.now();
  for (const items of living(count, NOW)) aws.services.dynamodb.load(NAMES.table, items);
  const loadSeconds = (performance.now() - started) / 1000;
  const gigabytes = (process.memoryUsage().rss - before) / 2 ** 30;
  let calls = 0;
  const counting: SdkRequestHandler = {
    ...aws.requestHandler,
    handle: (...args) => {
      calls++;
      return aws.requestHandler.handle(...args);
    },
  };
  const run = sweep(compose(system.outside(counting, "sweep")));
  let number = 0;
  return {
    loadSeconds,
    gigabytes,
    /** Sweeps with the same number due each time; what follows from it is not waited for inside the time. */
    async once() {
      const due = Array.from({ length: DUE }, () => active(++number, NOW - 600_000, 300));
      aws.services.dynamodb.load(
        NAMES.table,
        due.map((grant) => grantToItem(grant, 1, undefined)),
      );
      calls = 0;
      const from = performance.now();
      await run();
      const ms = performance.now() - from;
      await aws.settle();
      const left = aws.errors.length;
      if (left > 0) throw new Error(`${left} errors in local AWS: ${String(aws.errors[0])}`);
      return { ms, calls };
    },
  };
}

export const sweeping: Bench = async (size) => {
  const [few, many] = LIVE[size];
  const small = await world(few);
  const large = await world(many);
  const ratios: number[] = [];
  const times: [number[], number[]] = [[], []];
  const calls: [number[], number[]] = [[], []];
  const each = size === "full" ? 5 : 1;
  // What loading left behind is not for a sweep to clean up.
  collect();
  for (let round = size === "full" ? -3 : 0; round < RUNS[size]; round++) {
    const totals = [0, 0];
    for (let turn = 0; turn < each; turn++)
      for (const [side, of] of [small, large].entries()) {
        const swept = await of.once();
        totals[side] = (totals[side] ?? 0) + swept.ms / each;
        if (round >= 0) calls[side]?.push(swept.calls);
      }
    const [first = 0, second = 0] = totals;
    if (round < 0) continue;
    times[0].push(first);
    times[1].push(second);
    ratios.push(second / first);
  }
  return [
    {
      name: `sweep at ${many} live / at ${few}`,
      measured: rounded(median(ratios)),
      unit: "×",
      budget: 1.5,
      parts: {
        [`at ${few} ms`]: rounded(median(times[0])),
        [`at ${many} ms`]: rounded(median(times[1])),
      },
      note: `${RUNS[size]} rounds of ${each} in turns, ${DUE} due each; loading took ${rounded(large.loadSeconds)} s and ${rounded(large.gigabytes)} GB; the living share one body, their keys and indexes are their own`,
    },
    {
      name: `sweep's AWS calls at ${many} live − at ${few}`,
      measured: median(calls[1]) - median(calls[0]),
      unit: "",
      budget: 0,
      parts: { [`at ${few}`]: median(calls[0]), [`at ${many}`]: median(calls[1]) },
      note: "four shards asked, then a read and a write for each that is due",
    },
  ];
};
