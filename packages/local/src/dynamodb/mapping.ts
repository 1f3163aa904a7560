/** Lambda's event source mapping for a stream: batches in order, one at a time, a failed one again until it succeeds. */
import type { World } from "../service.ts";
import type { Stream, StreamRecord } from "./streams.ts";

/** As Lambda gets it. */
export interface StreamEvent {
  readonly Records: readonly (StreamRecord & { readonly eventSourceARN: string })[];
}

export interface Mapping {
  readonly table: string;
  /** What it returns may be `{ batchItemFailures: [{ itemIdentifier: <SequenceNumber> }] }`. */
  readonly function: (event: StreamEvent) => Promise<unknown>;
  /** Default 100. */
  readonly batchSize?: number;
  /** Default TRIM_HORIZON: everything that the stream still has. */
  readonly startingPosition?: "TRIM_HORIZON" | "LATEST";
  /** How often a failed batch is tried again before it is given up; without it, until its records are a day old. */
  readonly maxRetries?: number;
  /** As `FunctionResponseTypes: ["ReportBatchItemFailures"]`. Default false. */
  readonly reportBatchItemFailures?: boolean;
  /** Gets what was given up. */
  readonly onFailure?: (lost: StreamEvent) => void | Promise<void>;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 60_000;

/** Starts the mapping. Returns its end. */
export function startMapping(world: World, stream: Stream, mapping: Mapping): () => void {
  const { clock } = world;
  const batchSize = mapping.batchSize ?? 100;
  let position = mapping.startingPosition === "LATEST" ? stream.end : stream.start;
  let retries = 0;
  let busy = false;
  let stopped = false;
  let cancelRetry: (() => void) | undefined;

  /** The records from `position` up to `until`, as JSON carries them: the function shares nothing with the table. */
  const eventOf = (until: number): StreamEvent => {
    const Records: object[] = [];
    for (let at = position; at < until; at++) {
      const entry = stream.at(at);
      if (entry !== undefined) Records.push({ ...entry.record, eventSourceARN: stream.arn });
    }
    return JSON.parse(JSON.stringify({ Records })) as StreamEvent; // made of nothing else
  };

  /** How many records of the batch are done. */
  async function invoke(event: StreamEvent): Promise<number> {
    let answer: unknown;
    try {
      answer = await mapping.function(event);
    } catch {
      return 0;
    }
    if (mapping.reportBatchItemFailures !== true) return event.Records.length;
    return firstFailure(answer, event);
  }

  async function giveUp(until: number): Promise<void> {
    const lost = eventOf(until);
    position = until;
    retries = 0;
    try {
      await mapping.onFailure?.(lost);
    } catch {
      // A destination that fails loses the record in AWS too.
    }
  }

  async function pump(): Promise<void> {
    // A transaction writes several records: its writer must be done before the function sees any.
    await Promise.resolve();
    while (!stopped && position < stream.end) {
      // The stream keeps records for a day, so these had their chance.
      if (position < stream.start) await giveUp(stream.start);
      const until = Math.min(stream.end, position + batchSize);
      if (position >= until) break;
      const done = await invoke(eventOf(until));
      if (done > 0) {
        position += done;
        retries = 0;
        if (position >= until) continue;
      }
      const writtenAt = stream.at(position)?.writtenAt ?? 0;
      if (clock.now() - writtenAt >= DAY_MS) {
        await giveUp(position + 1);
        continue;
      }
      if (retries >= (mapping.maxRetries ?? Number.POSITIVE_INFINITY)) {
        await giveUp(until);
        continue;
      }
      const wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(retries, 10));
      retries++;
      // Not a sleep: nothing is under way while it waits.
      cancelRetry = clock.schedule(clock.now() + wait, () => {
        cancelRetry = undefined;
        start();
      });
      return;
    }
  }

  function start(): void {
    if (busy || stopped || cancelRetry !== undefined || position >= stream.end) return;
    busy = true;
    world.background(async () => {
      try {
        await pump();
      } finally {
        busy = false;
      }
      // What was written between the last look and the end of the pump.
      start();
    });
  }

  const unwatch = stream.watch(start);
  start();
  return () => {
    stopped = true;
    unwatch();
    cancelRetry?.();
  };
}

/** Lambda takes an answer that it cannot read, or an unknown id, as the failure of the whole batch. */
function firstFailure(answer: unknown, event: StreamEvent): number {
  const all = event.Records.length;
  if (answer === undefined || answer === null) return all;
  if (typeof answer !== "object" || !("batchItemFailures" in answer)) return all;
  const listed: unknown = answer.batchItemFailures;
  if (listed === null || listed === undefined) return all;
  if (!Array.isArray(listed)) return 0;
  let first = all;
  for (const failure of listed as readonly unknown[]) {
    const id =
      typeof failure === "object" && failure !== null && "itemIdentifier" in failure
        ? failure.itemIdentifier
        : undefined;
    const at = event.Records.findIndex(({ dynamodb }) => dynamodb.SequenceNumber === id);
    if (at < 0) return 0;
    first = Math.min(first, at);
  }
  return first;
}
