/** A stream's shards: each takes the records of some partition keys for some hours, then children take over. */
import type { StreamRecord } from "./streams.ts";

/** A record and its place: numbers grow through all shards of a stream, and have gaps within one. */
export interface Entry {
  readonly number: number;
  readonly record: StreamRecord;
  /** Epoch ms. */
  readonly writtenAt: number;
}

export interface Shard {
  readonly id: string;
  /** The shard whose records come before these; it may be forgotten already. */
  readonly parent: string | undefined;
  /** No record of it has a lower number. */
  readonly first: number;
  readonly openedAt: number;
  /** Where it was closed: its records have lower numbers. */
  readonly closed: { readonly end: number; readonly at: number } | undefined;
  /** The number from which on records can still be read. */
  readonly oldest: number;
  /** Its records from a number on, also those that are too old to be read but not cut off yet. */
  from(number: number, limit: number): readonly Entry[];
}

/** Hashes are below this. */
const HASHES = 2 ** 32;
const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;
/** DynamoDB gives a shard up after about so long, however little it holds. */
const SHARD_LIFE_MS = 4 * HOUR_MS;

/** FNV-1a: spreads, and is the same everywhere. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++)
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return hash;
}

/** The first place in `entries` whose number is `number` or higher. */
function placeOf(entries: readonly Entry[], number: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle]?.number ?? number) < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

class OpenShard implements Shard {
  readonly id: string;
  readonly parent: string | undefined;
  readonly first: number;
  readonly openedAt: number;
  readonly range: Range;
  closed: { readonly end: number; readonly at: number } | undefined;
  oldest: number;
  #entries: Entry[] = [];

  constructor(id: string, parent: string | undefined, range: Range, first: number, at: number) {
    this.id = id;
    this.parent = parent;
    this.range = range;
    this.first = first;
    this.openedAt = at;
    this.oldest = first;
  }

  from(number: number, limit: number): readonly Entry[] {
    const place = placeOf(this.#entries, number);
    return this.#entries.slice(place, place + limit);
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
  }

  trim(now: number): void {
    let place = placeOf(this.#entries, this.oldest);
    for (let entry = this.#entries[place]; entry !== undefined; entry = this.#entries[++place]) {
      if (entry.writtenAt >= now - DAY_MS) break;
      this.oldest = entry.number + 1;
    }
    // Cutting in large pieces keeps the cost per record constant; cutting an hour late lets an event source mapping,
    // which looks every minute, still hand over what it has to give up.
    const last = this.#entries[place - 1];
    if (last === undefined || last.writtenAt >= now - DAY_MS - HOUR_MS) return;
    if (this.closed !== undefined || (place > 1000 && place * 2 > this.#entries.length))
      this.#entries = this.#entries.slice(place);
  }
}

export interface Shards {
  /** Number after the newest record. */
  readonly end: number;
  /** Oldest first; those whose records are all gone are not among them. */
  list(): readonly Shard[];
  /** The number that the next record gets. */
  push(partition: string, make: (number: number) => Entry): void;
  /** Closes every open shard; two children take over its keys, half each. */
  split(): void;
  /** Closes every shard for good. */
  close(): void;
}

/** One shard for all keys. */
export function shardsOf(now: () => number): Shards {
  let shards: OpenShard[] = [];
  let end = 0;
  let made = 0;

  const open = (range: Range, parent?: string): void => {
    made++;
    const id = `shardId-${String(now()).padStart(20, "0")}-${made.toString(16).padStart(8, "0")}`;
    shards.push(new OpenShard(id, parent, range, end, now()));
  };
  const closeOne = (shard: OpenShard): void => {
    shard.closed = { end, at: now() };
  };
  const isOpen = (shard: OpenShard) => shard.closed === undefined;
  open({ from: 0, to: HASHES });

  return {
    get end() {
      return end;
    },
    list() {
      const gone = now() - DAY_MS;
      for (const shard of shards) shard.trim(now());
      shards = shards.filter(({ closed }) => closed === undefined || closed.at >= gone - HOUR_MS);
      return shards.filter(({ closed }) => closed === undefined || closed.at >= gone);
    },
    push(partition, make) {
      const hash = hashOf(partition);
      const find = () =>
        shards.find((each) => isOpen(each) && hash >= each.range.from && hash < each.range.to);
      let shard = find();
      if (shard === undefined) return; // closed for good
      if (now() - shard.openedAt >= SHARD_LIFE_MS) {
        closeOne(shard);
        open(shard.range, shard.id);
        shard = find();
      }
      shard?.push(make(end));
      shard?.trim(now());
      end++;
    },
    split() {
      for (const shard of shards.filter(isOpen)) {
        const { from, to } = shard.range;
        const middle = Math.floor((from + to) / 2);
        closeOne(shard);
        open({ from, to: middle }, shard.id);
        open({ from: middle, to }, shard.id);
      }
    },
    close() {
      for (const shard of shards.filter(isOpen)) closeOne(shard);
    },
  };
}
