/** How long a job waits for its credentials: in round trips, which are counted, and under given delays. */
import { setTimeout as sleep } from "node:timers/promises";
import { api } from "@stint/functions/api";
import { compose } from "@stint/functions/live";
import type { SdkRequestHandler } from "@stint/local/transport";
import { canned, serviceOf } from "./canned.ts";
import { type Bench, median, RUNS, rounded } from "./row.ts";
import { assertIssued, CONTEXT, createSystem, type System } from "./system.ts";

/** A table near by, a Scheduler and an STS as slow as they really are. */
const DELAYS: Readonly<Record<string, number>> = { dynamodb: 5, scheduler: 30, sts: 40 };
/** `open`; then the slower of schedule and session; then `lease`. */
const SLOWEST = [5, 40, 5];

/** Passes calls on after a wait. */
const delayed = (inner: SdkRequestHandler, wait: (service: string) => number) => ({
  ...inner,
  handle: async (...args: Parameters<SdkRequestHandler["handle"]>) => {
    await sleep(wait(serviceOf(args[0].headers.authorization)));
    return inner.handle(...args);
  },
});

interface Call {
  readonly service: string;
  readonly start: number;
  end: number;
}

/** Notes when each call starts and ends, in the order of these moments. */
function recorded(inner: SdkRequestHandler, calls: Call[]): SdkRequestHandler {
  let moment = 0;
  return {
    ...inner,
    handle: async (...args) => {
      const call = {
        service: serviceOf(args[0].headers.authorization),
        start: ++moment,
        end: Number.POSITIVE_INFINITY,
      };
      calls.push(call);
      return inner.handle(...args).finally(() => {
        call.end = ++moment;
      });
    },
  };
}

/** The longest chain of calls of which each began after the one before it had ended. */
export function longestChain(calls: readonly Pick<Call, "start" | "end">[]): number {
  const lengths: number[] = [];
  const inOrder = calls.toSorted((a, b) => a.start - b.start);
  for (const [at, call] of inOrder.entries()) {
    const before = lengths.filter(
      (_, i) => (inOrder[i]?.end ?? Number.POSITIVE_INFINITY) < call.start,
    );
    lengths[at] = 1 + Math.max(0, ...before);
  }
  return Math.max(0, ...lengths);
}

const issue = async (system: System, handler: ReturnType<typeof api>) => {
  const event = await system.requestEvent();
  const started = performance.now();
  const answer = await handler(event as never, CONTEXT as never); // events of tests have no more than the door reads
  const ms = performance.now() - started;
  assertIssued(answer);
  await system.aws.settle(); // what the stream makes of it is not the caller's wait
  return ms;
};

export const roundTrips: Bench = async () => {
  const system = await createSystem();
  const calls: Call[] = [];
  // Every call takes a while, so that two which are sent at the same time overlap whichever is faster.
  const held = delayed(system.aws.requestHandler, () => 25);
  const handler = api(compose(system.outside(recorded(held, calls))));
  await issue(system, handler); // fetches the issuer's keys and the token keys
  calls.length = 0;
  await issue(system, handler);
  const services = Object.groupBy(calls, ({ service }) => service);
  return [
    {
      name: "round trips to credentials",
      measured: longestChain(calls),
      unit: "",
      budget: 3,
      parts: Object.fromEntries(
        Object.entries(services).map(([service, of]) => [`calls ${service}`, of?.length ?? 0]),
      ),
      note: "longest chain of AWS calls, each begun after the end of the one before; one request, keys cached",
    },
  ];
};

export const latency: Bench = async (size) => {
  const system = await createSystem();
  const { requestHandler } = system.aws;
  const wait = (service: string) => DELAYS[service] ?? 0;
  const handlerOver = (transport: SdkRequestHandler) =>
    api(compose(system.outside(delayed(transport, wait))));
  const ready = handlerOver(canned(requestHandler));
  const local = handlerOver(requestHandler);
  const times: number[] = [];
  const localTimes: number[] = [];
  const warmUp = size === "full" ? 30 : 1;
  for (let i = -warmUp; i < RUNS[size] * 5; i++) {
    const [first, second] = [await issue(system, ready), await issue(system, local)];
    if (i < 0) continue;
    times.push(first);
    localTimes.push(second);
  }
  const bound = SLOWEST.reduce((sum, ms) => sum + ms);
  return [
    {
      name: "issuing latency / slowest calls",
      measured: rounded(median(times) / bound),
      unit: "×",
      budget: 1.15,
      parts: {
        "median ms": rounded(median(times)),
        "slowest calls ms": bound,
        "answered by local AWS, ms": rounded(median(localTimes)),
      },
      note: `real clock; ${times.length} requests; each call answers after its delay (table 5 ms, Scheduler 30 ms, STS 40 ms). Beside it the same with local AWS and the stream's readers working in this process`,
    },
  ];
};
