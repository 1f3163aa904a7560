/** Delivery to a target as EventBridge and its Scheduler do it: attempts with backoff on the clock, then a dead letter. */
import { AwsError, type Delivery, type World } from "../service.ts";
import { messageAttributesOf, type QueueDelivery } from "../sqs/attributes.ts";

export interface Attempts {
  /** The payload may name the attempt, so it is made anew for each (the first is 1). */
  readonly delivery: (attempt: number) => Delivery;
  readonly maxRetries: number;
  readonly maxAgeMs: number;
  /** When the event came to be; its age counts from here. */
  readonly since: number;
  /** Errors that no retry can mend. */
  readonly hopeless?: (error: unknown) => boolean;
  readonly deadLetter?: {
    readonly arn: string;
    readonly roleArn?: string;
    /** Message attributes beside what every dead letter tells. */
    readonly attributes: Readonly<Record<string, string>>;
  };
  /** Called once when nothing more will be tried. */
  readonly onDone?: () => void;
}

/** EventBridge spreads 185 retries over a day, so its waits stop growing at several minutes. */
const longestWaitMs = 450_000;

/** Starts delivering in the background. Returns what stops further attempts. */
export function deliverWithRetries(world: World, of: Attempts): () => void {
  let stopped = false;
  let cancel = () => {};
  const attempt = (number: number) => {
    world.background(async () => {
      if (stopped) return;
      try {
        await world.deliver(of.delivery(number));
      } catch (error) {
        if (stopped) return;
        const waitMs = Math.min(1_000 * 2 ** (number - 1), longestWaitMs);
        const next = world.clock.now() + waitMs;
        const hopeless = of.hopeless?.(error) === true;
        const exhausted = hopeless
          ? undefined
          : number > of.maxRetries
            ? "MaximumRetryAttempts"
            : next - of.since > of.maxAgeMs
              ? "MaximumEventAgeInSeconds"
              : "not yet";
        if (exhausted === "not yet") {
          cancel = world.clock.schedule(next, () => attempt(number + 1));
          return;
        }
        await bury(world, of, error, number, exhausted);
      }
      of.onDone?.();
    });
  };
  attempt(1);
  return () => {
    stopped = true;
    cancel();
  };
}

async function bury(
  world: World,
  of: Attempts,
  error: unknown,
  attempts: number,
  exhausted: string | undefined,
): Promise<void> {
  if (of.deadLetter === undefined) return;
  const { arn, roleArn, attributes } = of.deadLetter;
  const failed = of.delivery(attempts);
  const letter: QueueDelivery = {
    arn,
    payload: failed.payload,
    sender: failed.sender,
    ...(failed.sourceArn !== undefined && { sourceArn: failed.sourceArn }),
    ...(roleArn !== undefined && { roleArn }),
    messageAttributes: messageAttributesOf({
      ...attributes,
      ERROR_CODE: error instanceof AwsError ? error.code : "InternalFailure",
      ERROR_MESSAGE: error instanceof Error && error.message !== "" ? error.message : "unknown",
      RETRY_ATTEMPTS: String(attempts - 1),
      TARGET_ARN: failed.arn,
      ...(exhausted !== undefined && { EXHAUSTED_RETRY_CONDITION: exhausted }),
    }),
  };
  try {
    await world.deliver(letter);
  } catch {
    // AWS drops the event here too, and shows it in a metric only (InvocationsFailedToBeSentToDlq).
  }
}
