/** A story as data: who wants what, what happens when, and what goes wrong. The same story is the same run. */
import type { FaultError } from "@stint/local/faults";
import type { ActorEvent } from "./actors/all.ts";

export interface Job {
  readonly run: number;
  readonly attempt: number;
  readonly job: number;
}

/** One grant that somebody will ask for, by its place in the story. */
export interface Wanted {
  readonly owner: { readonly job: number } | { readonly person: number };
  readonly profile: string;
  readonly key: string;
  readonly duration?: string;
  readonly lease?: string;
}

/** What AWS leaves open, and how far clocks differ. */
export interface Surroundings {
  readonly iamDelayMs: number;
  readonly readLagMs: number;
  /** How long after a write functions read it from the stream. */
  readonly streamLagMs: number;
  readonly splitShards: boolean;
  readonly fireLateMs: number | "random";
  /** How likely a queue is to deliver a message once more. */
  readonly redeliver: number;
  /** Every call to AWS takes up to so long. */
  readonly latencyMs: number;
  /** How far callers' clocks and their issuer's are ahead of ours. */
  readonly skewMs: number;
  /** Runs every minute's sweep, also where the table has nothing for it. */
  readonly everySweep: boolean;
}

/** One fault, as local AWS's plan takes it, from `at` on. */
export interface Trouble {
  readonly at: number;
  /** Whatever it still would have struck. Without it: until faults stop. */
  readonly until?: number;
  readonly service: string;
  readonly operation: string;
  /** Strikes runs of that function, or deliveries to it. */
  readonly door?: string;
  readonly kind: "refuse" | "fail-after" | "delay" | "duplicate" | "lose" | "crash";
  readonly times?: number;
  readonly skip?: number;
  readonly error?: FaultError;
  readonly delayMs?: number;
  readonly atCall?: number;
}

export interface Story {
  readonly seed: number;
  readonly surroundings: Surroundings;
  readonly jobs: readonly Job[];
  readonly wanted: readonly Wanted[];
  /** In order of time; `at` is in ms from the start. */
  readonly events: readonly ActorEvent[];
  readonly troubles: readonly Trouble[];
  /** When faults stop. */
  readonly calmAt: number;
}

export const SECOND = 1_000;
export const MINUTE = 60_000;
/** When every story begins. */
export const START = Date.parse("2026-11-22T12:00:00Z");
