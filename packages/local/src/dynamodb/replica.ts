/**
 * What reads see that need not be up to date: a copy of the table that follows it at a distance. Indexes and default
 * reads in AWS lag by milliseconds mostly, and code that relies on that passes its tests and fails one day.
 */
import { type Row, Table } from "./table.ts";

export interface Replica {
  /** The table as such a read sees it now: the table itself where nothing lags. */
  read(): Table;
  /** Forgets what lags, for changes that nobody is told of. */
  reset(): void;
}

interface Late {
  readonly at: number;
  readonly key: string;
  /** Undefined: it was deleted. */
  readonly row: Row | undefined;
}

const copyOf = (table: Table): Table => {
  const copy = new Table(table.name, table.keys, table.indexes);
  const rows: Row[] = [];
  for (const [, row] of table.rows.ascending("")) rows.push(row);
  copy.load(rows);
  return copy;
};

const settle = (table: Table, key: string, row: Row | undefined): void => {
  if (row === undefined) table.delete(key);
  else table.put(row);
};

export function replicaOf(table: Table, now: () => number, lagMs: () => number): Replica {
  let copy: Table | undefined;
  let late: Late[] = [];
  const reset = () => {
    copy = undefined;
    late = [];
  };
  table.watch((before, after) => {
    if (lagMs() === 0 && copy === undefined) return;
    const key = (after ?? before)?.key;
    if (key === undefined) return;
    if (copy === undefined) {
      copy = copyOf(table);
      // It is told after the write: the copy begins before it.
      settle(copy, key, before);
    }
    late.push({ at: now() + lagMs(), key, row: after });
  });
  return {
    reset,
    read() {
      if (copy === undefined) return table;
      // An index that came or went: AWS backfills it, here it is there at once.
      if (copy.indexes.length !== table.indexes.length) {
        reset();
        return table;
      }
      let arrived = 0;
      for (const { at, key, row } of late) {
        if (at > now()) break;
        settle(copy, key, row);
        arrived += 1;
      }
      late = late.slice(arrived);
      // All has arrived: until the next write there is nothing to tell apart.
      if (late.length > 0) return copy;
      if (lagMs() === 0) reset();
      return table;
    },
  };
}
