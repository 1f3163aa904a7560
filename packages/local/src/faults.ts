/**
 * The fault plan: which calls are refused, fail after their effect, are delayed, or happen twice. What AWS does by itself
 * can be struck as well: what a schedule or rule sends (service `scheduler` or `events`, operation `Deliver`), and each
 * attempt to run a function (service `lambda`, operation `Run`, whose input has `functionName`), which can also crash.
 */

import { AwsError, type Clock } from "./service.ts";
import { NoAnswer } from "./transport.ts";

/** An error to answer with, or `timeout`: no answer at all within the client's patience. */
export type FaultError =
  | { readonly code: string; readonly status?: number; readonly message?: string }
  | "timeout";

export interface Fault {
  /** As in the signature's scope (`dynamodb`); all services when left out. */
  readonly service?: string;
  readonly operation?: string;
  /** Looks at the parsed input. */
  readonly when?: (input: unknown) => boolean;
  /** How many matching calls it hits; all of them when left out. */
  readonly times?: number;
  /** How many matching calls it lets pass first. */
  readonly skip?: number;
  /**
   * `refuse`: the error, and no effect. `fail-after`: the effect, and then the error.
   * `delay`: waits on the local clock first. `duplicate`: runs twice, answers with the last.
   * `lose`: says that it was done, and does nothing; for deliveries and deletions alone, which answer nothing more.
   * `crash`: the function's process dies while it makes its call number `atCall` to AWS; for runs of functions alone.
   */
  readonly kind: "refuse" | "fail-after" | "delay" | "duplicate" | "lose" | "crash";
  /** Default: `InternalFailure`, status 500. */
  readonly error?: FaultError;
  /** For `delay`. */
  readonly delayMs?: number;
  /** For `crash`, from 1: that call still has its effect, its answer and everything after it are lost. */
  readonly atCall?: number;
}

/** A fault of the plan and how often it has matched and struck. */
export interface PlannedFault extends Fault {
  readonly id: string;
  readonly matched: number;
  readonly struck: number;
}

/** What the plan holds for one call. */
export interface Strike {
  readonly delayMs: number;
  readonly refuse?: FaultError;
  readonly failAfter?: FaultError;
  readonly runs: number;
  /** The call at which the function that runs dies. */
  readonly crashAt?: number;
}

export interface FaultPlan {
  /** @returns the fault's id. */
  add(fault: Fault): string;
  remove(id: string): boolean;
  clear(): void;
  list(): readonly PlannedFault[];
  /** Asks the plan about one call, which counts as a match of every fault that fits it. */
  strike(service: string, operation: string, input: unknown): Strike;
}

/** Operations that can be lost. */
export const LOSABLE = /^(Deliver$|Delete)/;

const DEFAULT_ERROR: FaultError = {
  code: "InternalFailure",
  status: 500,
  message: "Injected fault",
};

const none: Strike = { delayMs: 0, runs: 1 };

const failure = (error: FaultError): Error =>
  error === "timeout"
    ? new NoAnswer()
    : new AwsError(error.code, error.message ?? "Injected fault", error.status ?? 500);

/** Does something once, or as a strike has it. `admit` has to let it pass first, whatever comes of it then. */
export async function under<T>(
  strike: Strike,
  clock: Clock,
  admit: () => void,
  run: () => T | Promise<T>,
): Promise<T | undefined> {
  if (strike.delayMs > 0) await clock.sleep(strike.delayMs);
  if (strike.refuse !== undefined) throw failure(strike.refuse);
  admit();
  let output: T | undefined;
  for (let times = 0; times < strike.runs; times += 1) output = await run();
  if (strike.failAfter !== undefined) throw failure(strike.failAfter);
  return output;
}

/** An empty plan. */
export const createFaults = (): FaultPlan => {
  const plan = new Map<string, Fault & { matched: number; struck: number }>();
  let count = 0;
  return {
    add(fault) {
      if (fault.kind === "delay" && !(fault.delayMs !== undefined && fault.delayMs >= 0))
        throw new RangeError("a delay needs delayMs, zero or more");
      if (fault.kind === "lose" && !LOSABLE.test(fault.operation ?? ""))
        throw new RangeError("only a delivery or a deletion can be lost: say which operation");
      if (fault.kind === "crash" && !(fault.service === "lambda" && (fault.atCall ?? 0) >= 1))
        throw new RangeError("only a function crashes: service lambda, and atCall from 1");
      count += 1;
      const id = `fault-${count}`;
      plan.set(id, { ...fault, matched: 0, struck: 0 });
      return id;
    },
    remove: (id) => plan.delete(id),
    clear: () => plan.clear(),
    list: () => [...plan].map(([id, fault]) => ({ id, ...fault })),
    strike(service, operation, input) {
      let strike = none;
      for (const fault of plan.values()) {
        if (fault.service !== undefined && fault.service !== service) continue;
        if (fault.operation !== undefined && fault.operation !== operation) continue;
        if (fault.when !== undefined && !fault.when(input)) continue;
        fault.matched += 1;
        const skip = fault.skip ?? 0;
        if (fault.matched <= skip || fault.struck >= (fault.times ?? Infinity)) continue;
        // A call that is refused anyway neither runs twice nor fails afterwards.
        if (strike.refuse !== undefined && fault.kind !== "delay") continue;
        fault.struck += 1;
        const error = fault.error ?? DEFAULT_ERROR;
        if (fault.kind === "delay")
          strike = { ...strike, delayMs: strike.delayMs + (fault.delayMs ?? 0) };
        else if (fault.kind === "refuse") strike = { ...strike, refuse: error };
        else if (fault.kind === "fail-after") strike = { ...strike, failAfter: error };
        else if (fault.kind === "lose") strike = { ...strike, runs: 0 };
        else if (fault.kind === "crash") strike = { ...strike, crashAt: fault.atCall ?? 1 };
        else strike = { ...strike, runs: strike.runs + 1 };
      }
      return strike;
    },
  };
};
