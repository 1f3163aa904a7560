/** One write, apart from who asks for it: checked and bound first, then decided on the stored row, then done. */
import { AwsError } from "../service.ts";
import { holds } from "./conditions.ts";
import { invalid, invalidParameters } from "./errors.ts";
import {
  type BoundCondition,
  type BoundUpdate,
  type ExpressionCache,
  expressions,
  type Placeholders,
} from "./expressions.ts";
import { canonicalNumber } from "./numbers.ts";
import { type KeySchema, MAX_ITEM_BYTES, type Row, type Table } from "./table.ts";
import { applyUpdate, touches } from "./updates.ts";
import { admitItem, attributeOf, type Item, itemSize } from "./values.ts";

export type WriteKind = "Put" | "Update" | "Delete" | "ConditionCheck";

/** What single and transactional writes have in common; items are unchecked until `plan` has seen them. */
export interface WriteInput extends Placeholders {
  readonly Item?: Item | undefined;
  readonly Key?: Item | undefined;
  readonly ConditionExpression?: string | undefined;
  readonly UpdateExpression?: string | undefined;
  readonly ReturnValuesOnConditionCheckFailure?: "ALL_OLD" | "NONE" | undefined;
}

export interface Write {
  readonly kind: WriteKind;
  readonly table: Table;
  readonly key: string;
  /** The row that a put would store. */
  readonly row?: Row;
  /** The key attributes, for an update that creates its item. */
  readonly keyItem: Item;
  readonly condition: BoundCondition | undefined;
  readonly update?: BoundUpdate | undefined;
  readonly returnOld: boolean;
  /** Bytes of the request, for the limits of batches and transactions. */
  readonly size: number;
}

export function plan(
  cache: ExpressionCache,
  table: Table,
  kind: WriteKind,
  input: WriteInput,
): Write {
  const bound = expressions(
    cache,
    input,
    kind === "Update" ? ["UpdateExpression", "ConditionExpression"] : ["ConditionExpression"],
  );
  const update = kind === "Update" ? bound.update(input.UpdateExpression) : undefined;
  const condition = bound.condition("ConditionExpression", input.ConditionExpression);
  bound.finish();
  const shared = {
    kind,
    table,
    condition,
    returnOld: input.ReturnValuesOnConditionCheckFailure === "ALL_OLD",
  };
  if (kind === "Put") {
    // `admitItem` has checked it.
    const item = (input.Item ?? {}) as Item;
    const size = admitItem(item);
    const row = table.row(item, size);
    return { ...shared, key: row.key, row, keyItem: item, size };
  }
  const key = input.Key ?? {};
  const size = admitItem(key);
  const place = table.keyOf(key);
  if (update !== undefined) {
    for (const name of keyNames(table.keys))
      if (touches(update.actions, name, update.bindings))
        throw invalidParameters(
          `Cannot update attribute ${name}. This attribute is part of the key`,
        );
  }
  return { ...shared, key: place, keyItem: key, update, size };
}

export const keyNames = ({ partition, sort }: KeySchema): readonly string[] =>
  sort === undefined ? [partition.name] : [partition.name, sort.name];

const NOTHING: Item = {};

export const conditionHolds = (write: Write, before: Row | undefined): boolean =>
  write.condition === undefined ||
  holds(write.condition.condition, before?.item ?? NOTHING, write.condition.bindings);

/** The row after the write; undefined when there is none. @throws ValidationException for an update that does not fit. */
export function outcome(write: Write, before: Row | undefined): Row | undefined {
  if (write.kind === "Put") return write.row;
  if (write.kind === "Delete") return undefined;
  if (write.kind === "ConditionCheck") return before;
  const old = before?.item ?? write.keyItem;
  if (write.update === undefined) return before ?? write.table.row(old, itemSize(old));
  const item = applyUpdate(write.update.actions, old, write.update.bindings);
  const size = itemSize(item);
  if (size > MAX_ITEM_BYTES)
    throw invalid("Item size to update has exceeded the maximum allowed size");
  return write.table.row(item, size);
}

/** Does what was decided. */
export function commit(write: Write, after: Row | undefined): void {
  if (write.kind === "ConditionCheck") return;
  if (after === undefined) write.table.delete(write.key);
  else write.table.put(after);
}

/** Decides and does one write by itself. */
export function carryOut(write: Write): { before: Row | undefined; after: Row | undefined } {
  const before = write.table.get(write.key);
  if (!conditionHolds(write, before))
    throw new AwsError(
      "ConditionalCheckFailedException",
      "The conditional request failed",
      400,
      write.returnOld && before !== undefined ? { Item: before.item } : {},
    );
  const after = outcome(write, before);
  commit(write, after);
  return { before, after };
}

export type ReturnValues = "NONE" | "ALL_OLD" | "UPDATED_OLD" | "ALL_NEW" | "UPDATED_NEW";

/** The `Attributes` of an answer. */
export function returned(
  write: Write,
  which: ReturnValues | undefined,
  before: Row | undefined,
  after: Row | undefined,
  cut: (item: Item, write: Write) => Item,
): Item | undefined {
  switch (which) {
    case "ALL_OLD":
      return before?.item;
    case "ALL_NEW":
      return after?.item;
    case "UPDATED_OLD":
      return before === undefined ? undefined : nonEmpty(cut(before.item, write));
    case "UPDATED_NEW":
      return after === undefined ? undefined : nonEmpty(cut(after.item, write));
    default:
      return undefined;
  }
}

const nonEmpty = (item: Item): Item | undefined =>
  Object.keys(item).length > 0 ? item : undefined;

/** The partition key's value as IAM's `dynamodb:LeadingKeys` has it; undefined where the request lacks it. */
export function leadingKey(table: Table, of: unknown): string | undefined {
  if (typeof of !== "object" || of === null) return undefined;
  // Not checked yet: whatever is not a scalar is no leading key.
  const value: unknown = attributeOf(of as Item, table.keys.partition.name);
  return leadingValue(value);
}

export function leadingValue(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  // As stored: a policy on "1" must not be got around by writing "01".
  if ("N" in value && typeof value.N === "string") return canonicalNumber(value.N);
  for (const scalar of Object.values(value)) return typeof scalar === "string" ? scalar : undefined;
  return undefined;
}
