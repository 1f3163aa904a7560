import {
  type CancellationReason,
  TransactionCanceledException,
  type TransactWriteItem,
  TransactWriteItemsCommand,
} from "@aws-sdk/client-dynamodb";
import type { Context } from "./context.ts";

const ATTEMPTS = 8;
const PASSING: ReadonlySet<string> = new Set([
  "TransactionConflict",
  "ThrottlingError",
  "ProvisionedThroughputExceeded",
]);

/** True where it was the item's condition that did not hold. */
export const failed = (reason: Pick<CancellationReason, "Code"> | undefined): boolean =>
  reason?.Code === "ConditionalCheckFailed";

/**
 * Each transaction's items in order; undefined where all conditions held, else why each one failed. Transactions
 * that touch the same items at the same time cancel each other: the jobs of one matrix all check the same run.
 */
export function createTransact({
  db,
  pause,
}: Pick<Context, "db" | "pause">): (
  items: TransactWriteItem[],
) => Promise<CancellationReason[] | undefined> {
  return async (items) => {
    for (let attempt = 1; ; attempt++) {
      try {
        await db.send(new TransactWriteItemsCommand({ TransactItems: items }));
        return undefined;
      } catch (error) {
        if (!(error instanceof TransactionCanceledException)) throw error;
        const reasons = error.CancellationReasons ?? [];
        // Only conditions are an answer; everything else is a fault, and some faults pass.
        const faults = reasons.filter(({ Code }) => Code !== "None" && !failed({ Code }));
        if (faults.length === 0) return reasons;
        if (attempt === ATTEMPTS || !faults.every(({ Code }) => PASSING.has(Code ?? "")))
          throw error;
        await pause(attempt);
      }
    }
  };
}
