import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import type { Change } from "@stint/broker/relay";
import * as z from "zod";
import { auditRecords, type StreamEvent } from "./audit/record.ts";
import { denialItem } from "./store/items.ts";
import { DENIAL_PREFIX } from "./store/keys.ts";

export type TableEvent = StreamEvent;

const text = z.string();
const run = { pipeline: text, issuer: text, run: text, attempt: text };

const endAttribute = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("job.ended"), job: z.strictObject({ ...run, job: text }) }),
  z.strictObject({ kind: z.literal("run.ended"), ...run }),
]);

type Image = Readonly<Record<string, AttributeValue>>;

/** What each record of a batch asks for, in its order; records that ask for nothing are left out. */
export function relayTasks(
  event: TableEvent,
): Array<{ readonly sequenceNumber: string; readonly change: Change }> {
  const records = new Map(auditRecords(event).map((row) => [row.sequenceNumber, row.record]));
  return event.Records.flatMap(({ eventName, dynamodb }) => {
    const sequenceNumber = dynamodb?.SequenceNumber;
    if (sequenceNumber === undefined || eventName === "REMOVE") return [];
    // DynamoDB's own notation, which `unmarshall` checks.
    const image = (dynamodb?.NewImage ?? {}) as Image;
    const before = (dynamodb?.OldImage ?? {}) as Image;
    const record = records.get(sequenceNumber);
    const denial =
      eventName === "INSERT" && image.sk?.S?.startsWith(DENIAL_PREFIX) === true
        ? denialItem.parse(unmarshall(image))
        : undefined;
    const ended = image.endedAt !== undefined && before.endedAt === undefined;
    const end =
      ended && image.end !== undefined
        ? endAttribute.parse(unmarshall({ end: image.end }).end)
        : undefined;
    if (record === undefined && denial === undefined && end === undefined) return [];
    const change: Change = {
      id: sequenceNumber,
      ...(record === undefined ? {} : { record }),
      ...(denial === undefined ? {} : { denial: { role: denial.role } }),
      ...(end === undefined ? {} : { end }),
    };
    return [{ sequenceNumber, change }];
  });
}
