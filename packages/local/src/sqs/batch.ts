/** What batches have in common, and the ranges of parameters. */
import { AwsError } from "../service.ts";
import { parameterError } from "./attributes.ts";
import type { Sent } from "./queue.ts";

/** The most entries in a batch, and messages in a receive. */
export const batchLimit = 10;

/** @throws {AwsError} as SQS words it. */
export function inRange(name: string, value: number | undefined, min: number, max: number): void {
  if (value === undefined || (value >= min && value <= max)) return;
  throw parameterError(
    `Value ${value} for parameter ${name} is invalid. Reason: Must be between ${min} and ${max}, if provided.`,
  );
}

/** @throws {AwsError} where the batch as a whole cannot be taken. */
export function checkBatch(name: string, entries: ReadonlyArray<{ readonly Id: string }>): void {
  if (entries.length === 0) {
    throw new AwsError("EmptyBatchRequest", `There should be at least one ${name} in the request.`);
  }
  if (entries.length > batchLimit) {
    throw new AwsError(
      "TooManyEntriesInBatchRequest",
      `Maximum number of entries per request are ${batchLimit}. You have sent ${entries.length}.`,
    );
  }
  const seen = new Set<string>();
  for (const { Id } of entries) {
    if (!/^[A-Za-z0-9_-]{1,80}$/.test(Id)) {
      throw new AwsError(
        "InvalidBatchEntryId",
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
      );
    }
    if (seen.has(Id)) throw new AwsError("BatchEntryIdsNotDistinct", `Id ${Id} repeated.`);
    seen.add(Id);
  }
}

/** A batch answers for each entry; one that fails does not hold up the others. */
export function batch<E extends { readonly Id: string }>(
  entries: readonly E[],
  run: (entry: E) => Sent | undefined,
) {
  const Successful: unknown[] = [];
  const Failed: unknown[] = [];
  for (const entry of entries) {
    try {
      Successful.push({ Id: entry.Id, ...run(entry) });
    } catch (error) {
      if (!(error instanceof AwsError)) throw error;
      Failed.push({ Id: entry.Id, SenderFault: true, Code: error.code, Message: error.message });
    }
  }
  return {
    Successful,
    ...(Failed.length > 0 && { Failed }),
  };
}
