/** A table: its rows in key order, its indexes, and what a write does to them. */
import { AwsError } from "../service.ts";
import { invalid, invalidParameters } from "./errors.ts";
import { partitionKey, sortKey } from "./keys.ts";
import { type Ordered, ordered } from "./ordered.ts";
import { project } from "./paths.ts";
import { type AttributeValue, attributeOf, type Item, setAttribute, typeOf } from "./values.ts";

export type ScalarType = "S" | "N" | "B";

export interface KeyAttribute {
  readonly name: string;
  readonly type: ScalarType;
}

export interface KeySchema {
  readonly partition: KeyAttribute;
  readonly sort?: KeyAttribute;
}

export type Projection =
  | { readonly type: "ALL" | "KEYS_ONLY" }
  | { readonly type: "INCLUDE"; readonly attributes: readonly string[] };

export interface IndexDefinition {
  readonly name: string;
  readonly keys: KeySchema;
  readonly projection: Projection;
}

/** A stored item. It is never changed: a write puts another in its place. */
export interface Row {
  readonly key: string;
  readonly item: Item;
  readonly size: number;
  /** Its place in each index, by position; undefined where it lacks the index's key. */
  readonly indexKeys: readonly (string | undefined)[];
}

export interface Index extends IndexDefinition {
  readonly rows: Ordered<Row>;
  /** What a read of this index may return; undefined for everything. */
  readonly attributes: ReadonlySet<string> | undefined;
}

/** Hears of every write after it happened. `by` is who deleted, when it was not a caller. */
export type Watcher = (before: Row | undefined, after: Row | undefined, by?: "ttl") => void;

export const MAX_ITEM_BYTES = 400 * 1024;
const MAX_PARTITION_BYTES = 2048;
const MAX_SORT_BYTES = 1024;
const NO_INDEX_KEYS: readonly undefined[] = [];

export class Table {
  readonly name: string;
  readonly keys: KeySchema;
  readonly rows: Ordered<Row> = ordered();
  readonly #indexes: Index[] = [];
  readonly #watchers = new Set<Watcher>();
  #bytes = 0;

  constructor(name: string, keys: KeySchema, indexes: readonly IndexDefinition[] = []) {
    this.name = name;
    this.keys = keys;
    for (const index of indexes) this.#indexes.push(this.#emptyIndex(index));
  }

  get indexes(): readonly Index[] {
    return this.#indexes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): Row | undefined {
    return this.rows.get(key);
  }

  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** The place of a key that a request names alone, as `Key` of GetItem. */
  keyOf(key: Item): string {
    const { partition, sort } = this.keys;
    let count = 0;
    for (const _ in key) count++;
    const first = attributeOf(key, partition.name);
    const second = sort === undefined ? undefined : attributeOf(key, sort.name);
    if (
      count !== (sort === undefined ? 1 : 2) ||
      first === undefined ||
      typeOf(first) !== partition.type ||
      (sort !== undefined && (second === undefined || typeOf(second) !== sort.type))
    )
      throw invalid("The provided key element does not match the schema");
    return this.#place(first, second);
  }

  /** An item that may be stored here. @throws ValidationException for a key that does not fit the table or an index. */
  row(item: Item, size: number): Row {
    if (size > MAX_ITEM_BYTES) throw invalid("Item size has exceeded the maximum allowed size");
    const { partition, sort } = this.keys;
    const first = ownKey(item, partition);
    const second = sort === undefined ? undefined : ownKey(item, sort);
    const key = this.#place(first, second);
    return { key, item, size, indexKeys: this.#indexKeys(item, key) };
  }

  /** Just the key attributes. */
  keyItem(item: Item, index?: Index): Item {
    const key: { [name: string]: AttributeValue } = {};
    for (const { partition, sort } of index === undefined ? [this.keys] : [index.keys, this.keys])
      for (const attribute of sort === undefined ? [partition] : [partition, sort]) {
        const value = attributeOf(item, attribute.name);
        if (value !== undefined) setAttribute(key, attribute.name, value);
      }
    return key;
  }

  /** Puts a row in, in place of what was there. */
  put(after: Row): void {
    const before = this.rows.get(after.key);
    this.rows.set(after.key, after);
    this.#bytes += after.size - (before?.size ?? 0);
    for (let at = 0; at < this.#indexes.length; at++)
      move(this.#indexes[at], before?.indexKeys[at], after.indexKeys[at], after);
    for (const watcher of this.#watchers) watcher(before, after);
  }

  delete(key: string, by?: "ttl"): void {
    const before = this.rows.get(key);
    if (before === undefined) return;
    this.rows.delete(key);
    this.#bytes -= before.size;
    for (let at = 0; at < this.#indexes.length; at++)
      move(this.#indexes[at], before.indexKeys[at], undefined, before);
    for (const watcher of this.#watchers) watcher(before, undefined, by);
  }

  /** As many puts, but without anybody hearing of them. */
  load(rows: readonly Row[]): void {
    for (const row of rows) {
      const before = this.rows.get(row.key);
      if (before === undefined) continue;
      this.rows.delete(row.key);
      this.#bytes -= before.size;
      for (let at = 0; at < this.#indexes.length; at++)
        move(this.#indexes[at], before.indexKeys[at], undefined, before);
    }
    // The last of several rows with one key holds, as with puts.
    const last = new Map(rows.map((row) => [row.key, row]));
    for (const row of last.values()) this.#bytes += row.size;
    append(this.rows, last);
    this.#indexes.forEach((index, at) => {
      const entries = new Map<string, Row>();
      for (const row of last.values()) {
        const key = row.indexKeys[at];
        if (key !== undefined) entries.set(key, row);
      }
      append(index.rows, entries);
    });
  }

  addIndex(definition: IndexDefinition): void {
    this.#indexes.push(this.#emptyIndex(definition));
    this.#reindex();
  }

  removeIndex(name: string): void {
    const at = this.#indexes.findIndex((index) => index.name === name);
    if (at < 0) return;
    this.#indexes.splice(at, 1);
    this.#reindex();
  }

  /** Index definitions changed: each row's places are worked out again. */
  #reindex(): void {
    for (let at = 0; at < this.#indexes.length; at++) {
      const index = this.#indexes[at];
      if (index !== undefined) this.#indexes[at] = this.#emptyIndex(index);
    }
    for (const [key, old] of this.rows.ascending("")) {
      const row = { ...old, indexKeys: this.#indexKeys(old.item, key, false) };
      this.rows.set(key, row);
      for (let at = 0; at < this.#indexes.length; at++)
        move(this.#indexes[at], undefined, row.indexKeys[at], row);
    }
  }

  #emptyIndex({ name, keys, projection }: IndexDefinition): Index {
    const own = [this.keys, keys].flatMap(({ partition, sort }) =>
      sort === undefined ? [partition.name] : [partition.name, sort.name],
    );
    const more = projection.type === "INCLUDE" ? projection.attributes : [];
    return {
      name,
      keys,
      projection,
      rows: ordered(),
      attributes: projection.type === "ALL" ? undefined : new Set([...own, ...more]),
    };
  }

  /** `strict`: a value of the wrong type is refused; for rows that were there before the index, it is left out. */
  #indexKeys(item: Item, key: string, strict = true): readonly (string | undefined)[] {
    if (this.#indexes.length === 0) return NO_INDEX_KEYS;
    return this.#indexes.map((index) => {
      const { partition, sort } = index.keys;
      const first = indexValue(index, partition, item, strict);
      if (sort === undefined) return first === undefined ? undefined : partitionKey(first) + key;
      // The sort key is checked even where the partition key is missing.
      const second = indexValue(index, sort, item, strict);
      if (first === undefined || second === undefined) return undefined;
      return partitionKey(first) + sortKey(second) + key;
    });
  }

  #place(first: AttributeValue, second: AttributeValue | undefined): string {
    checkKeyValue(this.keys.partition.name, first, MAX_PARTITION_BYTES);
    if (second === undefined) return partitionKey(first);
    checkKeyValue(this.keys.sort?.name ?? "", second, MAX_SORT_BYTES);
    return partitionKey(first) + sortKey(second);
  }
}

/** What a read of an index sees of a row. */
export const projected = (index: Index, item: Item): Item =>
  index.attributes === undefined
    ? item
    : project(
        item,
        [...index.attributes].map((name) => [name]),
      );

/** Puts many entries in. A tree takes them much faster in its own order. */
function append(rows: Ordered<Row>, entries: ReadonlyMap<string, Row>): void {
  for (const key of [...entries.keys()].sort()) {
    const row = entries.get(key);
    if (row !== undefined) rows.set(key, row);
  }
}

function move(
  index: Index | undefined,
  from: string | undefined,
  to: string | undefined,
  row: Row,
): void {
  if (from !== undefined && from !== to) index?.rows.delete(from);
  if (to !== undefined) index?.rows.set(to, row);
}

function ownKey(item: Item, { name, type }: KeyAttribute): AttributeValue {
  const value = attributeOf(item, name);
  if (value === undefined) throw invalidParameters(`Missing the key ${name} in the item`);
  if (typeOf(value) !== type)
    throw invalidParameters(
      `Type mismatch for key ${name} expected: ${type} actual: ${typeOf(value)}`,
    );
  return value;
}

function checkKeyValue(name: string, value: AttributeValue, limit: number): void {
  const bytes = keyBytes(value);
  if (bytes === 0)
    throw new AwsError(
      "ValidationException",
      `One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty ${"S" in value ? "string" : "binary"} value. Key: ${name}`,
    );
  if (bytes > limit)
    throw invalidParameters(
      limit === MAX_PARTITION_BYTES
        ? `Size of hashkey has exceeded the maximum size limit of${limit} bytes`
        : `Aggregated size of all range keys has exceeded the size limit of ${limit} bytes`,
    );
}

function keyBytes(value: AttributeValue): number {
  if ("S" in value) return Buffer.byteLength(value.S);
  return "B" in value ? Buffer.byteLength(value.B, "base64") : 1;
}

function indexValue(
  index: Index,
  { name, type }: KeyAttribute,
  item: Item,
  strict: boolean,
): AttributeValue | undefined {
  const value = attributeOf(item, name);
  if (value === undefined) return undefined;
  const bytes = typeOf(value) === type ? keyBytes(value) : undefined;
  const limit = name === index.keys.partition.name ? MAX_PARTITION_BYTES : MAX_SORT_BYTES;
  if (bytes !== undefined && bytes > 0 && bytes <= limit) return value;
  if (!strict) return undefined;
  if (bytes === undefined)
    throw invalidParameters(
      `Type mismatch for Index Key ${name} Expected: ${type} Actual: ${typeOf(value)} IndexName: ${index.name}`,
    );
  if (bytes > limit)
    throw invalidParameters(
      `Size of index key has exceeded the maximum size limit of ${limit} bytes. IndexName: ${index.name}, IndexKey: ${name}`,
    );
  throw invalid(
    `One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty ${"S" in value ? "string" : "binary"} value. IndexName: ${index.name}, IndexKey: ${name}`,
  );
}
