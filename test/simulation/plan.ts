/** Local AWS's fault plan for a story: its troubles at their times, latency, and every call a line of the trace. */
import type { AdvancingClock } from "@stint/local/clock";
import { createFaults, type Fault, type FaultPlan } from "@stint/local/faults";
import type { StandardAws } from "@stint/local/local-aws";
import { functionName } from "@stint/local/roles";
import { seededRandom } from "@stint/local/world";
import type { Seen } from "./seen.ts";
import { START, type Story, type Trouble } from "./story.ts";

/** What of the table gives the sweeper work. Where nothing is left of these, its run does nothing, and is not run. */
const SWEPT: ReadonlyArray<(item: Readonly<Record<string, unknown>>, now: number) => boolean> = [
  ({ due, dueAt }, now) => due !== "ROLES" && typeof dueAt === "number" && dueAt <= now,
  // Roles with denials that run: their lists are looked at each minute.
  ({ due, dueAt }, now) => due === "ROLES" && typeof dueAt === "number" && dueAt > now,
];

const doorOf = (input: unknown): unknown =>
  typeof input === "object" && input !== null && "functionName" in input
    ? input.functionName
    : undefined;

function faultOf({ at: _, until: __, door, ...fault }: Trouble): Fault {
  if (door === undefined) return fault;
  const name = `stint-${door}`;
  return { ...fault, when: (input) => doorOf(input) === name };
}

/** Requests of the onlookers, which nothing delays. */
const ASIDE = "GetQueueUrl";

export function createPlan(
  { seed, troubles, surroundings, calmAt }: Story,
  seen: Seen,
  clock: AdvancingClock,
  note: (line: string) => void,
) {
  const planned = createFaults();
  const latency = seededRandom(seed ^ 0x3c6ef372);
  const sweeper = functionName("sweep");
  const calmTime = START + calmAt;
  let begun = false;
  const nothingToSweep = (now: number) => {
    for (const item of seen.items.values())
      if (SWEPT.some((isWork) => isWork(item, now))) return false;
    return true;
  };
  const faults: FaultPlan = {
    ...planned,
    strike(service, operation, input) {
      const strike = planned.strike(service, operation, input);
      if (operation === ASIDE) return strike;
      const now = clock.now();
      const name = doorOf(input);
      if (name === sweeper && !surroundings.everySweep && nothingToSweep(now))
        return { delayMs: 0, runs: 0 };
      note(`${now - START} ${service} ${operation} ${typeof name === "string" ? name : ""}`);
      const isCall = service !== "lambda" && operation !== "Deliver";
      if (!begun || !isCall || surroundings.latencyMs === 0 || now >= calmTime) return strike;
      return { ...strike, delayMs: strike.delayMs + Math.ceil(latency() * surroundings.latencyMs) };
    },
  };
  return {
    faults,
    /** Has troubles begin and end at their times. */
    begin(): void {
      begun = true;
      for (const trouble of troubles)
        clock.schedule(START + trouble.at, () => {
          if (clock.now() >= calmTime) return;
          const id = planned.add(faultOf(trouble));
          if (trouble.until !== undefined)
            clock.schedule(START + trouble.until, () => void planned.remove(id));
        });
    },
    calm(aws: StandardAws): void {
      planned.clear();
      aws.services.sqs.configure({ redeliver: 0 });
    },
  };
}
