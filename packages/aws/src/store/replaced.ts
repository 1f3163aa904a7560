import type { TransactWriteItem } from "@aws-sdk/client-dynamodb";
import type { Replaced, Stored } from "@stint/broker/ports";
import { type Context, read } from "./context.ts";
import { createTransact, failed } from "./transact.ts";

/** The first reason is the grant's; `others` says what it means when a further condition failed. */
export async function replaced(
  context: Context,
  items: TransactWriteItem[],
  after: Stored,
  others: "tombstones" | "denials" = "tombstones",
): Promise<Replaced> {
  const [own, ...rest] = (await createTransact(context)(items)) ?? [];
  if (own === undefined) return { kind: "written", stored: after };
  if (own.Code === "ConditionalCheckFailed") {
    if (own.Item === undefined) throw new Error(`grant ${after.grant.id} is gone`);
    return { kind: "changed", stored: read(own.Item) };
  }
  if (others === "tombstones" && rest.some(failed)) return { kind: "job_ended" };
  throw new Error(`a write of grant ${after.grant.id} was cancelled by its ${others}`);
}
