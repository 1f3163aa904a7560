/**
 * Lambda's event source mapping for a stream: from each shard batches in order, one at a time, a failed one again until
 * it succeeds; a shard's children begin when it was read to its end.
 */
import type { World } from "../service.ts";
import type { Entry, Shard } from "./shards.ts";
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

/**
 * Starts the mapping. Returns its end.
 * @param lagMs how long after a write its record is read: what is written meanwhile comes in the same batch
 */
export function startMapping(
  world: World,
  stream: Stream,
  mapping: Mapping,
  lagMs: () => number = () => 0,
): () => void {
  const readers = new Map<string, Reader>();
  const begin = (shard: Shard, number: number) =>
    readers.set(shard.id, reading(world, stream, shard, number, mapping, lagMs, look));

  function look(): void {
    const shards = stream.shards.list();
    for (const shard of shards) {
      const before = shard.parent === undefined ? undefined : readers.get(shard.parent);
      if (!readers.has(shard.id) && before?.drained() !== false) begin(shard, shard.first);
      readers.get(shard.id)?.start();
    }
    // Those of forgotten shards go on as long as they have something to hand over.
    for (const [id, reader] of readers)
      if (reader.drained() && !shards.some((shard) => shard.id === id)) readers.delete(id);
  }

  for (const shard of stream.shards.list())
    if (mapping.startingPosition === "LATEST") begin(shard, stream.shards.end);
  const unwatch = stream.watch(look);
  look();
  return () => {
    unwatch();
    for (const reader of readers.values()) reader.stop();
  };
}

interface Reader {
  /** Goes on where something is to be read and nothing is under way. */
  start(): void;
  /** Whether the shard is closed and every record of it handed over. */
  drained(): boolean;
  stop(): void;
}

function reading(
  world: World,
  stream: Stream,
  shard: Shard,
  first: number,
  mapping: Mapping,
  lagMs: () => number,
  onDrained: () => void,
): Reader {
  const { clock } = world;
  const batchSize = mapping.batchSize ?? 100;
  let position = first;
  let retries = 0;
  let busy = false;
  let stopped = false;
  let cancelRetry: (() => void) | undefined;
  const waiting = () => shard.from(position, 1).length > 0;
  const drained = () => shard.closed !== undefined && !busy && !waiting();

  /** As JSON carries them: the function shares nothing with the table. */
  const eventOf = (entries: readonly Entry[]): StreamEvent => {
    const Records = entries.map(({ record }) => ({ ...record, eventSourceARN: stream.arn }));
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

  /** Goes on after these. */
  const pass = (entries: readonly Entry[]): void => {
    position = (entries.at(-1)?.number ?? position) + 1;
    retries = 0;
  };

  async function giveUp(entries: readonly Entry[]): Promise<void> {
    if (entries.length === 0) return;
    const lost = eventOf(entries);
    pass(entries);
    try {
      await mapping.onFailure?.(lost);
    } catch {
      // A destination that fails loses the record in AWS too.
    }
  }

  async function pump(): Promise<void> {
    // A transaction writes several records: its writer must be done before the function sees any.
    await Promise.resolve();
    while (!stopped) {
      // The stream keeps records for a day, so these had their chance.
      const old = shard.from(position, batchSize).filter(({ number }) => number < shard.oldest);
      await giveUp(old);
      if (old.length > 0) continue;
      const batch = shard.from(position, batchSize);
      if (batch.length === 0) return;
      const done = await invoke(eventOf(batch));
      if (done > 0) {
        pass(batch.slice(0, done));
        if (done === batch.length) continue;
      }
      const left = batch.slice(done);
      if (clock.now() - (left[0]?.writtenAt ?? 0) >= DAY_MS) {
        await giveUp(left.slice(0, 1));
        continue;
      }
      if (retries >= (mapping.maxRetries ?? Number.POSITIVE_INFINITY)) {
        await giveUp(left);
        continue;
      }
      const wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(retries, 10));
      retries++;
      // Not a sleep: nothing is under way while it waits.
      cancelRetry = clock.schedule(clock.now() + wait, () => {
        cancelRetry = undefined;
        read();
      });
      return;
    }
  }

  function start(): void {
    if (busy || stopped || cancelRetry !== undefined || !waiting()) return;
    const lag = lagMs();
    if (lag === 0) read();
    else
      cancelRetry = clock.schedule(clock.now() + lag, () => {
        cancelRetry = undefined;
        read();
      });
  }

  function read(): void {
    busy = true;
    world.background(async () => {
      try {
        await pump();
      } finally {
        busy = false;
      }
      // What was written between the last look and the end of the pump.
      start();
      if (drained()) onDrained();
    });
  }

  return {
    start,
    drained,
    stop() {
      stopped = true;
      cancelRetry?.();
    },
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
