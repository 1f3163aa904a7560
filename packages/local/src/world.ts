/** What services are given: identity of the account, time, seeded randomness, deliveries, background work. */

import type { AdvancingClock } from "./clock.ts";
import { type FaultPlan, under } from "./faults.ts";
import { AwsError, type Delivery, type World } from "./service.ts";

/** Uniform in [0, 1) from a 32-bit seed (mulberry32): not for secrets that matter outside of this process. */
export const seededRandom = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};

/** `n` random bytes from `random`, as lower-case hex. */
export const hexOf = (random: () => number, bytes: number): string => {
  let out = "";
  for (let index = 0; index < bytes; index += 1)
    out += Math.floor(random() * 256)
      .toString(16)
      .padStart(2, "0");
  return out;
};

/** Work that nobody awaits, tracked so that somebody can wait until there is none. */
export const createBackground = (clock: AdvancingClock, failed: (error: unknown) => void) => {
  const pending = new Set<Promise<void>>();
  return {
    start(work: () => Promise<void>): void {
      clock.stir();
      const promise = (async () => work())()
        .catch(failed)
        .finally(() => {
          clock.stir();
          pending.delete(promise);
        });
      pending.add(promise);
    },
    /** Resolves when no work is under way, also none that other work started meanwhile. */
    async idle(): Promise<void> {
      while (pending.size > 0) await Promise.all(pending);
    },
  };
};

/**
 * @param options.mayDeliver throws AwsError where neither the role that is given nor the target's own policy lets it in
 * @param options.trusts whether a role lets a service assume it
 */
export const createWorld = (options: {
  readonly account: string;
  readonly region: string;
  readonly clock: AdvancingClock;
  readonly random: () => number;
  readonly background: World["background"];
  readonly mayDeliver: (target: Delivery, policy: string | undefined) => void;
  readonly trusts: World["trusts"];
  readonly faults: FaultPlan;
}): World => {
  const receivers = new Map<string, Parameters<World["onDeliver"]>[1]>();
  const { account, region, clock, random, background } = options;
  return {
    account,
    region,
    clock,
    random,
    background,
    hex: (bytes) => hexOf(random, bytes),
    trusts: options.trusts,
    onDeliver: (service, receiver) => {
      receivers.set(service, receiver);
    },
    async deliver(target) {
      const service = target.arn.split(":")[2] ?? "";
      const receiver = receivers.get(service);
      if (receiver === undefined)
        throw new AwsError(
          "ResourceNotFoundException",
          `Nothing here receives for ${target.arn}`,
          404,
        );
      const strike = options.faults.strike(target.sender.split(".")[0] ?? "", "Deliver", target);
      const admit = () => options.mayDeliver(target, receiver.policyOf(target.arn));
      await under(strike, clock, admit, () => receiver.receive(target));
    },
  };
};
