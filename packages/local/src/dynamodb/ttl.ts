/** Time to live: rows ordered by when they expire, so that deleting them never walks the table. */
import type { World } from "../service.ts";
import { type Ordered, ordered } from "./ordered.ts";
import type { Row, Table } from "./table.ts";
import { attributeOf } from "./values.ts";

const FIVE_YEARS_SECONDS = 5 * 366 * 24 * 60 * 60;
const DIGITS = 15;

export interface TimeToLive {
  readonly attribute: string;
  /** Rows that were loaded behind the table's back. */
  add(row: Row): void;
  stop(): void;
}

/** Deletes a table's items `lagMs` after they expired. */
export function startTtl(
  world: World,
  table: Table,
  attribute: string,
  lagMs: () => number,
): TimeToLive {
  const { clock } = world;
  const byExpiry: Ordered<string> = ordered();
  let wakeAt = Number.POSITIVE_INFINITY;
  let cancel = () => {};

  const place = (row: Row | undefined): string | undefined => {
    const value = row === undefined ? undefined : attributeOf(row.item, attribute);
    if (row === undefined || value === undefined || !("N" in value)) return undefined;
    const seconds = Math.floor(Number(value.N));
    // AWS leaves alone what is not a time of our age: most likely it is in another unit.
    if (!(seconds > 0) || seconds >= 10 ** DIGITS) return undefined;
    return String(seconds).padStart(DIGITS, "0") + row.key;
  };
  const expiryOf = (entry: string): number => Number(entry.slice(0, DIGITS));

  function arm(): void {
    const first = byExpiry.minKey();
    if (first === undefined) return;
    const at = expiryOf(first) * 1000 + lagMs();
    if (at >= wakeAt) return; // it wakes early and looks again
    cancel();
    wakeAt = at;
    cancel = clock.schedule(at, sweep);
  }

  function sweep(): void {
    wakeAt = Number.POSITIVE_INFINITY;
    cancel = () => {};
    const now = clock.now();
    for (;;) {
      const first = byExpiry.minKey();
      if (first === undefined || expiryOf(first) * 1000 + lagMs() > now) break;
      const key = byExpiry.get(first);
      byExpiry.delete(first);
      const tooOld = expiryOf(first) < now / 1000 - FIVE_YEARS_SECONDS;
      if (key !== undefined && !tooOld) table.delete(key, "ttl");
    }
    arm();
  }

  function add(row: Row): void {
    const at = place(row);
    if (at !== undefined) byExpiry.set(at, row.key);
  }

  const unwatch = table.watch((before, after) => {
    const from = place(before);
    const to = place(after);
    if (from === to) return;
    if (from !== undefined) byExpiry.delete(from);
    if (to !== undefined && after !== undefined) byExpiry.set(to, after.key);
    arm();
  });
  for (const [, row] of table.rows.ascending("")) add(row);
  arm();
  return {
    attribute,
    add(row) {
      add(row);
      arm();
    },
    stop() {
      unwatch();
      cancel();
    },
  };
}
