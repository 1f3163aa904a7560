/** A role's worker must cost what is to be denied, not what lives. */
import { denialKey, liveKey } from "@stint/aws/store/keys";
import { grantToItem, toItem } from "@stint/aws/store/write";
import { denialsOf } from "@stint/broker/ending";
import { end } from "@stint/core/grant";
import { compose } from "@stint/functions/live";
import { revoke } from "@stint/functions/revoke";
import { createVirtualClock } from "@stint/local/clock";
import { NAMES } from "@stint/local/roles";
import type { SdkRequestHandler } from "@stint/local/transport";
import { active, living, ROLE } from "./living.ts";
import { type Bench, collect, median, RUNS, rounded, type Size } from "./row.ts";
import { createSystem } from "./system.ts";

const NOW = Date.parse("2026-11-22T12:00:00Z");
const DENIED = 10;
const LIVE: Readonly<Record<Size, readonly [number, number]>> = {
  full: [1_000, 100_000],
  tiny: [10, 100],
};

async function world(count: number) {
  const system = await createSystem({ clock: createVirtualClock(NOW) });
  const { aws } = system;
  for (const items of living(count, NOW)) {
    aws.services.dynamodb.load(NAMES.table, items);
    aws.services.dynamodb.load(
      NAMES.table,
      items.map(({ pk }) => {
        const grantId = pk?.S?.slice("GRANT#".length) ?? "";
        return toItem({ ...liveKey(ROLE, grantId), role: ROLE, grantId, until: NOW + 3_600_000 });
      }),
    );
  }
  let calls = 0;
  const counting: SdkRequestHandler = {
    ...aws.requestHandler,
    handle: (...args) => {
      calls++;
      return aws.requestHandler.handle(...args);
    },
  };
  const work = revoke(compose(system.outside(counting, "revoke")));
  let number = 0;
  return {
    /** One run of the role's worker, with the same number to deny each time. */
    async once() {
      const ending = Array.from({ length: DENIED }, () =>
        end(active(++number, NOW, 3600), "revoked", NOW),
      );
      aws.services.dynamodb.load(NAMES.table, [
        ...ending.map((grant) => grantToItem(grant, 1, undefined)),
        ...ending.flatMap((grant) =>
          denialsOf(grant, NOW).map(({ grant: grantId, ...denial }) =>
            toItem({ ...denialKey(ROLE, grantId), grantId, ...denial }),
          ),
        ),
      ]);
      const message = { messageId: "1", receiptHandle: "1", body: dirty };
      calls = 0;
      const from = performance.now();
      const { batchItemFailures } = await work({
        Records: [{ ...message, attributes: { ApproximateReceiveCount: "1" } }],
      });
      const ms = performance.now() - from;
      if (batchItemFailures.length > 0) throw new Error("the role's list was not written");
      const during = calls;
      // Its proof, and what the stream makes of its writes.
      await aws.advance(2_000);
      return { ms, calls: during };
    },
  };
}

const dirty = JSON.stringify({ role: ROLE, look: "new" });

export const worker: Bench = async (size) => {
  const [few, many] = LIVE[size];
  const sides = [await world(few), await world(many)] as const;
  const times: [number[], number[]] = [[], []];
  const calls: [number[], number[]] = [[], []];
  collect();
  // Each run has more on its list than the one before, on both sides alike.
  for (let round = size === "full" ? -3 : 0; round < RUNS[size]; round++)
    for (const [side, of] of sides.entries()) {
      const run = await of.once();
      if (round < 0) continue;
      times[side]?.push(run.ms);
      calls[side]?.push(run.calls);
    }
  return [
    {
      name: `a role's worker: AWS calls at ${many} live − at ${few}`,
      measured: median(calls[1]) - median(calls[0]),
      unit: "",
      budget: 0,
      parts: {
        [`at ${few}`]: median(calls[0]),
        [`at ${many}`]: median(calls[1]),
        [`at ${few} ms`]: rounded(median(times[0])),
        [`at ${many} ms`]: rounded(median(times[1])),
      },
      note: `${RUNS[size]} runs in turns, ${DENIED} new denials each, all of one role: denials, role and list are read, the list written, each grant marked, read and ended, and all read again`,
    },
  ];
};
