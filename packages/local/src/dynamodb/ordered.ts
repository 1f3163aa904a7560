import sortedBtree from "sorted-btree";

/** An ordered map from text to `V`, by code unit. */
export interface Ordered<V> {
  readonly size: number;
  get(key: string): V | undefined;
  set(key: string, value: V): void;
  delete(key: string): void;
  minKey(): string | undefined;
  /** Pairs from the first key ≥ `from` up. The pair is reused: read it before the next step. */
  ascending(from: string): IterableIterator<[string, V]>;
  /** Pairs from the last key < `below` down; everything without it. The pair is reused. */
  descending(below: string): IterableIterator<[string, V]>;
}

// The package is CommonJS with a `default`: Node hands over its exports, a bundler or a test runner the class itself.
const exported: typeof sortedBtree | typeof sortedBtree.default = sortedBtree;
const BTree = typeof exported === "function" ? exported : exported.default;

const byCodeUnit = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export function ordered<V>(): Ordered<V> {
  const tree = new BTree<string, V>(undefined, byCodeUnit, 64);
  return {
    get size() {
      return tree.size;
    },
    get: (key) => tree.get(key),
    set: (key, value) => {
      tree.set(key, value);
    },
    delete: (key) => {
      tree.delete(key);
    },
    minKey: () => tree.minKey(),
    ascending: (from) => tree.entries(from, []),
    descending: (below) => tree.entriesReversed(below, [], true),
  };
}
