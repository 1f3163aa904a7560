/** Many stories at a time, call by call, and the clock that goes on under them. */
import type { VirtualClock } from "@stint/local/clock";
import type { System } from "../bench/system.ts";
import { type Kind, type Plan, story, type Told } from "./story.ts";

/** So many stories are under way for each call in flight: between two calls of a grant others come. */
const UNDER_WAY = 5;
/** How long a call takes by local time, as far as time goes by calls. */
const CALL_MS = 1_000;
/** Real time after which the clock moves although no call was answered: all of them may be waiting for it. */
const IMPATIENCE_MS = 50;

export interface Traffic {
  readonly told: readonly Told[];
  /** Real ms of each call's handler, by kind. */
  readonly times: Readonly<Record<Kind, readonly number[]>>;
  /** Real, from the first call to the last answer. */
  readonly seconds: number;
  /** What was not answered as it should be. */
  readonly failures: readonly string[];
}

/**
 * Plays all stories with `inFlight` calls at a time. Local time is driven by the answers: each moves it by so much that
 * a call takes one second of it, whatever the machine. So nothing that waits is waited for, and what a deployment does
 * beside its callers (streams, queues, schedules, sweeps) goes on at the same time as they do.
 */
export async function play(
  system: System,
  clock: VirtualClock,
  plans: readonly Plan[],
  inFlight: number,
): Promise<Traffic> {
  const pace = CALL_MS / inFlight;
  const fresh = plans.values();
  const waiting: Story[] = [];
  const told: Told[] = [];
  const failures: string[] = [];
  const times: Record<Kind, number[]> = {
    open: [],
    refresh: [],
    release: [],
    webhook: [],
    revoke: [],
  };
  let underWay = 0;
  let moved = performance.now();
  const move = () => {
    clock.drift(pace);
    moved = performance.now();
  };
  const begin = (): Story | undefined => {
    const { value: plan } = underWay < UNDER_WAY * inFlight ? fresh.next() : { value: undefined };
    if (plan === undefined) return undefined;
    underWay++;
    const own: Told = { plan, id: "", askedAt: clock.now(), credentials: [] };
    told.push(own);
    const calls = story(system, own);
    return { calls, next: () => calls.next() };
  };

  const work = async () => {
    for (let one = begin() ?? waiting.shift(); one; one = begin() ?? waiting.shift()) {
      try {
        const { value: step } = await one.next();
        if (step === undefined) {
          underWay--;
          continue;
        }
        const started = performance.now();
        const answer = await step.call();
        times[step.kind].push(performance.now() - started);
        move();
        const { calls } = one;
        waiting.push({ calls, next: () => calls.next(answer) });
      } catch (error) {
        underWay--;
        failures.push(String(error));
      }
    }
  };

  const impatience = setInterval(() => {
    if (performance.now() - moved > IMPATIENCE_MS) move();
  }, IMPATIENCE_MS);
  const started = performance.now();
  await Promise.all(Array.from({ length: inFlight }, work));
  clearInterval(impatience);
  return { told, times, failures, seconds: (performance.now() - started) / 1000 };
}

interface Story {
  readonly calls: ReturnType<typeof story>;
  /** Goes on with what was answered, up to the next call. */
  readonly next: () => ReturnType<Story["calls"]["next"]>;
}
