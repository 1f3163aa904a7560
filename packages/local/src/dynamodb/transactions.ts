/** Transactions: everything is checked, then every condition decided, and only then anything written. */
import { hash } from "node:crypto";
import { AwsError, type Clock } from "../service.ts";
import { Throttled } from "./capacity.ts";
import { invalid } from "./errors.ts";
import type { Row, Table } from "./table.ts";
import { commit, conditionHolds, outcome, type Write } from "./writes.ts";

const MAX_BYTES = 4 * 1024 * 1024;
const TOKEN_LIFE_MS = 10 * 60 * 1000;

interface Reason {
  readonly Code: string;
  readonly Message?: string;
  readonly Item?: unknown;
}

const FINE: Reason = { Code: "None" };

function cancelled(reasons: readonly Reason[]): AwsError {
  return new AwsError(
    "TransactionCanceledException",
    `Transaction cancelled, please refer cancellation reasons for specific reasons [${reasons.map(({ Code }) => Code).join(", ")}]`,
    400,
    { CancellationReasons: reasons },
  );
}

function throttling(charge: () => void): Reason {
  try {
    charge();
    return FINE;
  } catch (error) {
    if (error instanceof Throttled) return { Code: error.reason, Message: error.message };
    throw error;
  }
}

/** Counts all of a transaction's reads. @throws TransactionCanceledException */
export function chargeAll(charges: readonly (() => void)[]): void {
  const reasons = charges.map(throttling);
  if (reasons.some((reason) => reason !== FINE)) throw cancelled(reasons);
}

export function refuseDuplicates(
  places: readonly { readonly table: Table; readonly key: string }[],
): void {
  if (places.length < 2) return;
  const seen = new Map<Table, Set<string>>();
  for (const { table, key } of places) {
    const keys = seen.get(table) ?? new Set();
    if (keys.has(key))
      throw invalid("Transaction request cannot include multiple operations on one item");
    keys.add(key);
    seen.set(table, keys);
  }
}

/**
 * Does all of the writes or none. `charge` counts a write before it is looked at.
 * @throws TransactionCanceledException with one reason for each.
 */
export function transact(writes: readonly (Write & { readonly charge: () => void })[]): void {
  refuseDuplicates(writes);
  const afters: (Row | undefined)[] = [];
  const reasons: Reason[] = [];
  let bytes = 0;
  let failed = false;
  for (const write of writes) {
    const before = write.table.get(write.key);
    let reason = throttling(write.charge);
    if (reason !== FINE) {
      // Nothing is decided about what was not let in.
    } else if (!conditionHolds(write, before)) {
      reason = {
        Code: "ConditionalCheckFailed",
        Message: "The conditional request failed",
        ...(write.returnOld && before !== undefined ? { Item: before.item } : {}),
      };
    } else {
      try {
        const after = outcome(write, before);
        afters.push(after);
        bytes += after?.size ?? before?.size ?? 0;
      } catch (error) {
        if (!(error instanceof AwsError)) throw error;
        reason = { Code: "ValidationError", Message: error.message };
      }
    }
    if (reason !== FINE) failed = true;
    reasons.push(reason);
  }
  if (failed) throw cancelled(reasons);
  if (bytes > MAX_BYTES)
    throw invalid("Transaction request cannot exceed the maximum aggregate item size of 4 MB");
  writes.forEach((write, at) => {
    commit(write, afters[at]);
  });
}

/** Remembers which transactions were done under which client token. */
export interface Tokens {
  /**
   * Undefined when this very request was done before; else what to call once it is.
   * @throws IdempotentParameterMismatchException when the token stands for another request.
   */
  begin(token: string | undefined, request: unknown): (() => void) | undefined;
}

export function transactionTokens(clock: Clock): Tokens {
  // Oldest first, since a map keeps its order.
  const done = new Map<string, { readonly digest: string; readonly at: number }>();
  return {
    begin(token, request) {
      if (token === undefined) return () => {};
      const oldest = clock.now() - TOKEN_LIFE_MS;
      for (const [old, { at }] of done) {
        if (at > oldest) break;
        done.delete(old);
      }
      const digest = hash("sha256", JSON.stringify(request), "base64");
      const before = done.get(token);
      if (before === undefined) return () => void done.set(token, { digest, at: clock.now() });
      if (before.digest === digest) return undefined;
      throw new AwsError(
        "IdempotentParameterMismatchException",
        "The request uses the same client token as a previous, but non-identical request. Do not reuse a client token with different requests, unless the requests are identical",
      );
    },
  };
}
