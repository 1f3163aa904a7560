/** Operations on single items, and the walks over many. */
import { type Operation, operation } from "../service.ts";
import type { Meter } from "./capacity.ts";
import type { Catalogue } from "./catalogue.ts";
import { invalid } from "./errors.ts";
import { expressions, type Placeholders } from "./expressions.ts";
import {
  DeleteItemInput,
  GetItemInput,
  PutItemInput,
  QueryInput,
  ScanInput,
  UpdateItemInput,
} from "./inputs.ts";
import { project, resolvePath } from "./paths.ts";
import { itemCheck, walkCheck } from "./permissions.ts";
import { type Page, query, type ReadInput, scan } from "./reads.ts";
import type { Row, Table } from "./table.ts";
import { admitItem, type Item } from "./values.ts";
import {
  carryOut,
  plan,
  type ReturnValues,
  returned,
  type Write,
  type WriteInput,
  type WriteKind,
} from "./writes.ts";

type Capacity = "NONE" | "TOTAL" | undefined;

/** Units as AWS counts them, by size alone. */
export const consumed = (wanted: Capacity, table: Table, units: number) =>
  wanted === "TOTAL" ? { ConsumedCapacity: { TableName: table.name, CapacityUnits: units } } : {};

export const writeUnits = (before: Row | undefined, after: Row | undefined): number =>
  Math.max(1, Math.ceil(Math.max(before?.size ?? 0, after?.size ?? 0) / 1024));

export const readUnits = (bytes: number, consistent: boolean | undefined): number =>
  Math.max(1, Math.ceil(bytes / 4096)) * (consistent === true ? 1 : 0.5);

/** Counts a write that was planned, by what it finds and puts. @throws {Throttled} */
export const charge = (meter: Meter, { table, key, keyItem, row }: Write, times = 1): void =>
  meter.write(times * writeUnits(table.get(key), row), keyItem, row ?? table.get(key));

/** Reads one item by key; `undefined` where there is none. */
export function find(
  { cache }: Catalogue,
  table: Table,
  input: Placeholders & {
    readonly Key: Item;
    readonly ProjectionExpression?: string | undefined;
  },
): { readonly row: Row | undefined; readonly item: Item | undefined; readonly key: string } {
  const bound = expressions(cache, input, ["ProjectionExpression"]);
  const projection = bound.projection(input.ProjectionExpression);
  bound.finish();
  admitItem(input.Key);
  const key = table.keyOf(input.Key);
  const row = table.get(key);
  const item =
    row === undefined || projection === undefined ? row?.item : project(row.item, projection);
  return { row, item, key };
}

/** The attributes that an update named, of an item before or after it. */
const updatedPart = (item: Item, { update }: Write): Item =>
  update === undefined
    ? {}
    : project(
        item,
        update.actions.map(({ path }) => resolvePath(path, update.bindings.names)),
      );

interface WriteCall extends WriteInput {
  readonly TableName: string;
  readonly ReturnValues?: ReturnValues | undefined;
  readonly ReturnConsumedCapacity?: Capacity;
}

export function itemOperations(catalogue: Catalogue): Record<string, Operation> {
  const { cache } = catalogue;

  function write(kind: WriteKind, input: WriteCall) {
    const { ReturnValues } = input;
    if (
      kind !== "Update" &&
      ReturnValues !== undefined &&
      ReturnValues !== "NONE" &&
      ReturnValues !== "ALL_OLD"
    )
      throw invalid("ReturnValues can only be ALL_OLD or NONE");
    const { table, meter } = catalogue.find(input.TableName);
    const planned = plan(cache, table, kind, input);
    charge(meter, planned);
    const { before, after } = carryOut(planned);
    return {
      Attributes: returned(planned, ReturnValues, before, after, updatedPart),
      ...consumed(input.ReturnConsumedCapacity, table, writeUnits(before, after)),
    };
  }

  function walk(
    input: ReadInput & { readonly TableName: string; readonly ReturnConsumedCapacity?: Capacity },
    read: (cache: Catalogue["cache"], table: Table, input: ReadInput) => Page,
  ) {
    const table = catalogue.reading(input.TableName, input);
    const { cost, ...page } = read(cache, table, input);
    const units = readUnits(cost.bytes, input.ConsistentRead);
    catalogue.find(input.TableName).meter.read(units, cost.item, cost.index);
    return { ...page, ...consumed(input.ReturnConsumedCapacity, table, units) };
  }

  return {
    PutItem: operation({
      input: PutItemInput,
      authorize: (input) => [itemCheck(catalogue, "PutItem", input)],
      run: (input) => write("Put", input),
    }),
    UpdateItem: operation({
      input: UpdateItemInput,
      authorize: (input) => [itemCheck(catalogue, "UpdateItem", input)],
      run: (input) => write("Update", input),
    }),
    DeleteItem: operation({
      input: DeleteItemInput,
      authorize: (input) => [itemCheck(catalogue, "DeleteItem", input)],
      run: (input) => write("Delete", input),
    }),
    GetItem: operation({
      input: GetItemInput,
      authorize: (input) => [itemCheck(catalogue, "GetItem", input)],
      run: (input) => {
        const table = catalogue.reading(input.TableName, input);
        const { row, item } = find(catalogue, table, input);
        const units = readUnits(row?.size ?? 0, input.ConsistentRead);
        catalogue.find(input.TableName).meter.read(units, input.Key);
        return { Item: item, ...consumed(input.ReturnConsumedCapacity, table, units) };
      },
    }),
    Query: operation({
      input: QueryInput,
      authorize: (input) => [walkCheck(catalogue, "Query", input)],
      run: (input) => walk(input, query),
    }),
    Scan: operation({
      input: ScanInput,
      authorize: (input) => [walkCheck(catalogue, "Scan", input)],
      run: (input) => walk(input, scan),
    }),
  };
}
