/** Functions: handlers of this process under an ARN, invoked directly or, with AWS's retries, asynchronously. */
import { AsyncLocalStorage } from "node:async_hooks";
import { type FaultPlan, under } from "./faults.ts";
import { AwsError, type Delivery, type World } from "./service.ts";
import { uuid } from "./uuid.ts";

export interface FunctionContext {
  readonly awsRequestId: string;
  readonly invokedFunctionArn: string;
  readonly functionName: string;
  readonly getRemainingTimeInMillis: () => number;
}

export type FunctionHandler = (event: never, context: FunctionContext) => Promise<unknown>;

export interface FunctionOptions {
  /** Default 30 s, on the local clock. */
  readonly timeoutMs?: number;
  /** What a new process begins with: where one crashed or ran out of time, its memory is gone. Default: the same handler. */
  readonly restart?: () => FunctionHandler;
  /** Where an asynchronous invocation's event goes when its last attempt has failed: a queue's or function's ARN. */
  readonly deadLetterArn?: string;
}

export interface Functions {
  /** Adds or replaces a function. @returns its ARN. */
  set(name: string, handler: FunctionHandler, options?: FunctionOptions): string;
  delete(name: string): boolean;
  /** The policy that rests on a function: who may invoke it besides its account's roles. @throws {AwsError} */
  policy(name: string): string | undefined;
  /** @throws {AwsError} `ResourceNotFoundException` */
  setPolicy(name: string, policy: string | undefined): void;
  /** Invokes it and resolves with its answer, or rejects with what it threw. */
  invoke(name: string, event: unknown): Promise<unknown>;
  /** One call to AWS, made by whatever function runs here: the one at which the plan has it die is its last. */
  calling<T>(work: () => Promise<T>): Promise<T>;
}

/** One attempt's process. */
interface Process {
  /** The call that it does not survive; 0 once it is dead. */
  crashAt: number;
  die(): void;
  calls: number;
}

/**
 * What is left of a dead process hears this at whatever it asks for. An error and no silence: what it shares with others of
 * its kind here, as in AWS it would not, must not have these wait for ever.
 */
const gone = () => new AwsError("Runtime.ExitError", "the process is gone");

// AWS retries an asynchronous invocation twice: after one minute, and two more minutes.
const RETRY_AFTER_MS = [60_000, 120_000];

const nameIn = (arn: string): string => arn.split(":")[6] ?? "";

/** A copy as JSON would carry it: a function and its caller share no objects. */
const overTheWire = (value: unknown): unknown =>
  value === undefined ? null : (JSON.parse(JSON.stringify(value) ?? "null") as unknown);

/** @param options.failed hears of every failed attempt of an asynchronous invocation. */
export const createFunctions = (
  world: World,
  options: {
    readonly failed: (error: unknown, functionName: string) => void;
    readonly faults: FaultPlan;
  },
): Functions => {
  const { failed, faults } = options;
  const functions = new Map<
    string,
    {
      handler: FunctionHandler;
      readonly options: FunctionOptions;
      policy: string | undefined;
    }
  >();
  const processes = new AsyncLocalStorage<Process>();
  const arnOf = (name: string) =>
    `arn:aws:lambda:${world.region}:${world.account}:function:${name}`;
  const find = (name: string) => {
    const found = functions.get(name);
    if (found !== undefined) return found;
    throw new AwsError("ResourceNotFoundException", `Function not found: ${arnOf(name)}`, 404);
  };

  const attempt = async (name: string, event: unknown, requestId: string): Promise<unknown> => {
    const found = find(name);
    const { handler, options } = found;
    const { clock } = world;
    const restart = () => {
      if (found.handler === handler) found.handler = options.restart?.() ?? handler;
    };
    const timeoutMs = options.timeoutMs ?? 30_000;
    const until = clock.now() + timeoutMs;
    let cancel = () => {};
    const timeout = new Promise<never>((_, reject) => {
      cancel = clock.schedule(until, () => {
        // What is under way reaches AWS all the same; nothing follows it.
        process.crashAt = 0;
        restart();
        const seconds = (timeoutMs / 1000).toFixed(2);
        reject(
          new AwsError("Sandbox.Timedout", `${requestId} Task timed out after ${seconds} seconds`),
        );
      });
    });
    // The cast undoes `never`: handlers declare the event that they expect, and check it themselves.
    const run = handler as (event: unknown, context: FunctionContext) => Promise<unknown>;
    const strike = faults.strike("lambda", "Run", { functionName: name, event });
    const process: Process = {
      crashAt: strike.crashAt ?? Number.POSITIVE_INFINITY,
      calls: 0,
      die() {},
    };
    const runOnce = async () => {
      const death = new Promise<never>((_, reject) => {
        process.die = () => {
          restart();
          reject(new AwsError("Runtime.ExitError", `${requestId} Runtime exited`));
        };
      });
      const context = {
        awsRequestId: requestId,
        invokedFunctionArn: arnOf(name),
        functionName: name,
        getRemainingTimeInMillis: () => Math.max(0, until - clock.now()),
      };
      const answer = processes.run(process, () => run(overTheWire(event), context));
      return overTheWire(await Promise.race([answer, timeout, death]));
    };
    try {
      return await under(strike, clock, () => {}, runOnce);
    } finally {
      cancel();
    }
  };

  const invokeLater = (
    name: string,
    payload: string,
    event: unknown,
    tries: number,
    id: string,
  ): void =>
    world.background(async () => {
      try {
        await attempt(name, event, id);
      } catch (error) {
        failed(error, name);
        const wait = RETRY_AFTER_MS[tries];
        const letters = functions.get(name)?.options.deadLetterArn;
        if (wait !== undefined)
          // Scheduled, not slept: work that waits for minutes must not hold up `settle`.
          world.clock.schedule(world.clock.now() + wait, () =>
            invokeLater(name, payload, event, tries + 1, id),
          );
        else if (letters !== undefined)
          await world.deliver({ arn: letters, payload, sender: "lambda.amazonaws.com" });
      }
    });

  const found = (arn: string) => {
    const name = nameIn(arn);
    if (arn.split(":").slice(0, 7).join(":") !== arnOf(name))
      throw new AwsError("ResourceNotFoundException", `Function not found: ${arn}`, 404);
    return { name, ...find(name) };
  };
  const receive = async ({ arn, payload }: Delivery) => {
    const { name } = found(arn);
    let event: unknown;
    try {
      event = JSON.parse(payload);
    } catch {
      throw new AwsError(
        "InvalidRequestContentException",
        "Could not parse request body into json",
      );
    }
    invokeLater(name, payload, event, 0, uuid(world));
  };
  world.onDeliver("lambda", { receive, policyOf: (arn) => found(arn).policy });

  return {
    set(name, handler, options = {}) {
      if (!/^[A-Za-z0-9-_]{1,64}$/.test(name)) throw new RangeError(`not a function name: ${name}`);
      functions.set(name, { handler, options, policy: functions.get(name)?.policy });
      return arnOf(name);
    },
    policy: (name) => find(name).policy,
    setPolicy(name, policy) {
      find(name).policy = policy;
    },
    delete: (name) => functions.delete(name),
    invoke: (name, event) => attempt(name, event, uuid(world)),
    async calling(work) {
      const process = processes.getStore();
      if (process === undefined) return work();
      process.calls += 1;
      if (process.calls > process.crashAt) throw gone();
      const last = process.calls === process.crashAt;
      // Also by another call, or by its time-out, while this one was under way.
      const isDead = () => process.crashAt <= process.calls;
      try {
        const answer = await work();
        if (isDead()) throw gone();
        return answer;
      } catch (error) {
        throw isDead() ? gone() : error;
      } finally {
        if (last) process.die();
      }
    },
  };
};
