/** Lambda's event source mapping for a queue: polls, invokes, deletes what succeeded. */
import type { World } from "../service.ts";
import type { MessageAttributes } from "./attributes.ts";
import type { Queue, Received } from "./queue.ts";

export interface Mapping {
  /** The function's handler, given Lambda's event; what it returns may list `batchItemFailures`. */
  readonly function: (event: SqsEvent) => Promise<unknown>;
  /** Most messages in one invocation. Default 10. */
  readonly batchSize?: number;
  /** As `FunctionResponseTypes: ["ReportBatchItemFailures"]`. Default false. */
  readonly reportBatchItemFailures?: boolean;
}

export interface SqsEvent {
  readonly Records: readonly SqsRecord[];
}

export interface SqsRecord {
  readonly messageId: string;
  readonly receiptHandle: string;
  readonly body: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly messageAttributes: Readonly<Record<string, unknown>>;
  readonly md5OfBody: string;
  readonly md5OfMessageAttributes?: string;
  readonly eventSource: "aws:sqs";
  readonly eventSourceARN: string;
  readonly awsRegion: string;
}

/** Starts the mapping. Returns its end. */
export function startMapping(
  world: World,
  queue: Queue,
  mapping: Mapping,
  recordOf: (received: Received) => SqsRecord,
): () => void {
  const invoke = async (batch: readonly Received[]) => {
    const event: SqsEvent = { Records: batch.map(recordOf) };
    let failed: ReadonlySet<string>;
    try {
      const answer = await mapping.function(event);
      failed = mapping.reportBatchItemFailures ? failures(answer, batch) : new Set();
    } catch {
      return; // all of it reappears when its visibility timeout is over
    }
    for (const { message, handle } of batch) {
      if (failed.has(message.id)) continue;
      try {
        queue.remove(handle);
      } catch {
        // A FIFO receipt that ran out while the function was at work: the message comes again.
      }
    }
  };
  const poll = () => {
    for (;;) {
      const batch = queue.receive(mapping.batchSize ?? 10);
      if (batch.length === 0) return;
      world.background(() => invoke(batch));
    }
  };
  const stop = queue.watch(poll);
  poll(); // what was there before
  return stop;
}

/** Lambda takes an answer that it cannot read, or an unknown id, as the failure of the whole batch. */
function failures(answer: unknown, batch: readonly Received[]): ReadonlySet<string> {
  const ids = new Set(batch.map(({ message }) => message.id));
  if (answer === undefined || answer === null) return new Set();
  const listed: unknown =
    typeof answer === "object" && "batchItemFailures" in answer ? answer.batchItemFailures : [];
  if (listed === null || listed === undefined) return new Set();
  if (!Array.isArray(listed)) return ids;
  const failed = new Set<string>();
  for (const item of listed as readonly unknown[]) {
    const id =
      typeof item === "object" && item !== null && "itemIdentifier" in item
        ? item.itemIdentifier
        : undefined;
    if (typeof id !== "string" || !ids.has(id)) return ids;
    failed.add(id);
  }
  return failed;
}

/** Message attributes as Lambda spells them. */
export function lambdaAttributes(attributes: MessageAttributes): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, { DataType, StringValue, BinaryValue }]) => [
      name,
      {
        ...(StringValue !== undefined && { stringValue: StringValue }),
        ...(BinaryValue !== undefined && { binaryValue: BinaryValue }),
        stringListValues: [],
        binaryListValues: [],
        dataType: DataType,
      },
    ]),
  );
}
