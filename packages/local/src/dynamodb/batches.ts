/** Operations on several items at once: batches, which are only a saving of trips, and transactions. */

import type { z } from "zod";
import { type Check, type Operation, operation } from "../service.ts";
import { type Meter, Throttled } from "./capacity.ts";
import type { Catalogue } from "./catalogue.ts";
import { invalid } from "./errors.ts";
import {
  BatchGetItemInput,
  BatchWriteItemInput,
  TransactGetItemsInput,
  TransactWriteItemsInput,
} from "./inputs.ts";
import { charge, find, readUnits, writeUnits } from "./items.ts";
import { itemCheck, itemsCheck } from "./permissions.ts";
import { chargeAll, refuseDuplicates, transact, transactionTokens } from "./transactions.ts";
import type { Item } from "./values.ts";
import { carryOut, plan, type Write } from "./writes.ts";

const MAX_BATCH_WRITES = 25;
const MAX_BATCH_GETS = 100;
const MAX_BATCH_GET_BYTES = 16 * 1024 * 1024;

type TransactItem = z.infer<typeof TransactWriteItemsInput>["TransactItems"][number];

/** Units by table name. */
const capacities = (wanted: "NONE" | "TOTAL" | undefined, units: ReadonlyMap<string, number>) =>
  wanted === "TOTAL"
    ? {
        ConsumedCapacity: [...units].map(([TableName, CapacityUnits]) => ({
          TableName,
          CapacityUnits,
        })),
      }
    : {};

const count = (units: Map<string, number>, table: string, more: number) =>
  units.set(table, (units.get(table) ?? 0) + more);

type BatchWrite = z.infer<typeof BatchWriteItemInput>["RequestItems"][string][number];

/** A batch leaves out what is throttled, and fails only when nothing of it passed. */
function throttled() {
  let refused: Throttled | undefined;
  let passed = false;
  return {
    passes(pay: () => void): boolean {
      try {
        pay();
      } catch (error) {
        if (!(error instanceof Throttled)) throw error;
        refused = error;
        return false;
      }
      passed = true;
      return true;
    },
    finish(): void {
      if (refused !== undefined && !passed) throw refused;
    },
  };
}

/** The one action that an element of `TransactItems` holds. */
function actionOf(element: TransactItem) {
  const { Put, Update, Delete, ConditionCheck } = element;
  const given = [
    ...(Put === undefined ? [] : [{ kind: "Put" as const, input: Put }]),
    ...(Update === undefined ? [] : [{ kind: "Update" as const, input: Update }]),
    ...(Delete === undefined ? [] : [{ kind: "Delete" as const, input: Delete }]),
    ...(ConditionCheck === undefined
      ? []
      : [{ kind: "ConditionCheck" as const, input: ConditionCheck }]),
  ];
  const [action] = given;
  if (action === undefined || given.length > 1)
    throw invalid("TransactItems can only contain one of Check, Put, Update or Delete");
  return action;
}

export function batchOperations(catalogue: Catalogue): Record<string, Operation> {
  const { cache } = catalogue;
  const tokens = transactionTokens(catalogue.world.clock);

  return {
    BatchGetItem: operation({
      input: BatchGetItemInput,
      authorize: ({ RequestItems }): Check[] =>
        Object.entries(RequestItems).map(([name, request]) =>
          itemsCheck(catalogue, "BatchGetItem", name, request.Keys, request),
        ),
      run({ RequestItems, ReturnConsumedCapacity }) {
        const requests = Object.entries(RequestItems);
        const total = requests.reduce((sum, [, { Keys }]) => sum + Keys.length, 0);
        if (total === 0) throw empty("requestItems");
        if (total > MAX_BATCH_GETS)
          throw invalid("Too many items requested for the BatchGetItem call");
        const Responses: Record<string, Item[]> = {};
        const UnprocessedKeys: Record<string, unknown> = {};
        const units = new Map<string, number>();
        const throttling = throttled();
        let bytes = 0;
        for (const [name, request] of requests) {
          const table = catalogue.reading(name, request);
          const { meter } = catalogue.find(name);
          const { Keys, ...shared } = request;
          const found = Keys.map((Key) => ({ Key, ...find(catalogue, table, { ...shared, Key }) }));
          if (new Set(found.map(({ key }) => key)).size !== found.length)
            throw invalid("Provided list of item keys contains duplicates");
          const items: Item[] = [];
          const left: Item[] = [];
          for (const { Key, row, item } of found) {
            if (bytes + (row?.size ?? 0) > MAX_BATCH_GET_BYTES) {
              left.push(Key);
              continue;
            }
            const cost = readUnits(row?.size ?? 0, shared.ConsistentRead);
            if (!throttling.passes(() => meter.read(cost, Key))) {
              left.push(Key);
              continue;
            }
            bytes += row?.size ?? 0;
            count(units, table.name, cost);
            if (item !== undefined) items.push(item);
          }
          Responses[name] = items;
          if (left.length > 0) UnprocessedKeys[name] = { ...shared, Keys: left };
        }
        throttling.finish();
        return { Responses, UnprocessedKeys, ...capacities(ReturnConsumedCapacity, units) };
      },
    }),

    BatchWriteItem: operation({
      input: BatchWriteItemInput,
      authorize: ({ RequestItems }): Check[] =>
        Object.entries(RequestItems).map(([name, requests]) =>
          itemsCheck(
            catalogue,
            "BatchWriteItem",
            name,
            requests.map(({ PutRequest, DeleteRequest }) => PutRequest?.Item ?? DeleteRequest?.Key),
          ),
        ),
      run({ RequestItems, ReturnConsumedCapacity }) {
        const requests = Object.entries(RequestItems);
        const total = requests.reduce((sum, [, list]) => sum + list.length, 0);
        if (total === 0) throw empty("requestItems");
        if (total > MAX_BATCH_WRITES)
          throw invalid("Too many items requested for the BatchWriteItem call");
        // All are checked before the first is done.
        const writes: { name: string; meter: Meter; request: BatchWrite; write: Write }[] = [];
        for (const [name, list] of requests) {
          const { table, meter } = catalogue.find(name);
          const own = list.map((request) => {
            const { PutRequest, DeleteRequest } = request;
            if ((PutRequest === undefined) === (DeleteRequest === undefined))
              throw invalid(
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
              );
            const write =
              PutRequest === undefined
                ? plan(cache, table, "Delete", { Key: DeleteRequest?.Key })
                : plan(cache, table, "Put", { Item: PutRequest.Item });
            return { name, meter, request, write };
          });
          if (new Set(own.map(({ write: { key } }) => key)).size !== own.length)
            throw invalid("Provided list of item keys contains duplicates");
          writes.push(...own);
        }
        const units = new Map<string, number>();
        const throttling = throttled();
        const UnprocessedItems: Record<string, BatchWrite[]> = {};
        for (const { name, meter, request, write } of writes) {
          if (!throttling.passes(() => charge(meter, write))) {
            UnprocessedItems[name] = [...(UnprocessedItems[name] ?? []), request];
            continue;
          }
          const { before, after } = carryOut(write);
          count(units, write.table.name, writeUnits(before, after));
        }
        throttling.finish();
        return { UnprocessedItems, ...capacities(ReturnConsumedCapacity, units) };
      },
    }),

    TransactWriteItems: operation({
      input: TransactWriteItemsInput,
      authorize: ({ TransactItems }): Check[] =>
        TransactItems.map((element) => {
          const { kind, input } = actionOf(element);
          const action = kind === "ConditionCheck" ? "ConditionCheckItem" : `${kind}Item`;
          return itemCheck(catalogue, action, input, "TransactWriteItems");
        }),
      run({ TransactItems, ClientRequestToken, ReturnConsumedCapacity }) {
        const writes = TransactItems.map((element) => {
          const { kind, input } = actionOf(element);
          const { table, meter } = catalogue.find(input.TableName);
          const write = plan(cache, table, kind, input);
          return { ...write, charge: () => charge(meter, write, 2) };
        });
        // After `plan`, so that values are compared in their stored form.
        const remember = tokens.begin(ClientRequestToken, TransactItems);
        if (remember !== undefined) {
          transact(writes);
          remember();
        }
        const units = new Map<string, number>();
        for (const { table, key } of writes)
          count(units, table.name, 2 * writeUnits(table.get(key), undefined));
        return capacities(ReturnConsumedCapacity, units);
      },
    }),

    TransactGetItems: operation({
      input: TransactGetItemsInput,
      authorize: ({ TransactItems }): Check[] =>
        TransactItems.map(({ Get }) => itemCheck(catalogue, "GetItem", Get, "TransactGetItems")),
      run({ TransactItems, ReturnConsumedCapacity }) {
        const units = new Map<string, number>();
        const found = TransactItems.map(({ Get }) => {
          const { table, meter } = catalogue.find(Get.TableName);
          const one = find(catalogue, table, Get);
          const cost = 2 * readUnits(one.row?.size ?? 0, true);
          count(units, table.name, cost);
          return { table, charge: () => meter.read(cost, Get.Key), ...one };
        });
        refuseDuplicates(found);
        chargeAll(found.map(({ charge }) => charge));
        return {
          Responses: found.map(({ item }) => (item === undefined ? {} : { Item: item })),
          ...capacities(ReturnConsumedCapacity, units),
        };
      },
    }),
  };
}

const empty = (parameter: string) =>
  invalid(
    `1 validation error detected: Value '{}' at '${parameter}' failed to satisfy constraint: Member must have length greater than or equal to 1`,
  );
