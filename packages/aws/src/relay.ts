import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import type { Change } from "@stint/broker/relay";
import * as z from "zod/mini";
import type { StreamEvent } from "./audit/record.ts";
import { DENIAL_PREFIX, ROLE_ITEM } from "./store/keys.ts";

const text = z.string();
const run = { pipeline: text, issuer: text, run: text, attempt: text };

const jobEnd = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("job.ended"), job: z.strictObject({ ...run, job: text }) }),
  z.strictObject({ kind: z.literal("run.ended"), ...run }),
]);

/** Only what is acted on is looked at: a fault in anything else of an item must not keep access from ending. */
const tombstone = z.object({
  end: jobEnd,
  audit: z.object({ actor: z.object({ id: text }) }),
});
const ofRole = z.object({ role: text });
const grant = z.object({ grant: z.object({ id: text }) });
const retried = z.object({
  grant: z.object({ id: text, targets: z.record(text, z.object({ role: z.optional(text) })) }),
});

type Image = Readonly<Record<string, AttributeValue>>;

export interface Task {
  readonly sequenceNumber: string;
  /** Undefined where the item is not as we write it. */
  readonly change: Change | undefined;
}

/** What each record of a batch asks for, in its order; records that ask for nothing are left out. */
export function relayTasks(event: StreamEvent): Task[] {
  return event.Records.flatMap(({ eventName, dynamodb }): Task[] => {
    const sequenceNumber = dynamodb?.SequenceNumber;
    if (sequenceNumber === undefined || eventName === "REMOVE") return [];
    // DynamoDB's own notation, which `unmarshall` checks.
    const image = (dynamodb?.NewImage ?? {}) as Image;
    const before = (dynamodb?.OldImage ?? {}) as Image;
    const read = readerOf(image, before);
    if (read === undefined) return [];
    return [{ sequenceNumber, change: changeOf(sequenceNumber, read, image) }];
  });
}

function changeOf(
  id: string,
  read: (item: unknown) => Omit<Change, "id">,
  image: Image,
): Change | undefined {
  try {
    return { id, ...read(unmarshall(image)) };
  } catch {
    return undefined;
  }
}

function readerOf(
  image: Image,
  before: Image,
): ((item: unknown) => Omit<Change, "id">) | undefined {
  if (image.sk?.S?.startsWith(DENIAL_PREFIX) === true && before.sk === undefined)
    return (item) => ({ denial: ofRole.parse(item) });
  if (image.end !== undefined && before.end === undefined)
    return (item) => {
      const { end, audit } = tombstone.parse(item);
      return { end: { of: end, actor: { kind: "webhook", id: audit.actor.id } } };
    };
  // Whoever asks for a try asks for nothing more: what must be looked at follows from the change.
  if (stateOf(image) === "ending" && retriesOf(image) !== retriesOf(before))
    return (item) => {
      const { id, targets } = retried.parse(item).grant;
      const roles = Object.values(targets).flatMap(({ role }) => role ?? []);
      return { check: [...new Set(roles)], ...(mustBeCleared(image) ? { clear: id } : {}) };
    };
  if (image.sk?.S === ROLE_ITEM && hardOf(image) !== hardOf(before))
    return (item) => ({ check: [ofRole.parse(item).role] });
  if (stateOf(image) === "ending" && stateOf(before) !== "ending" && mustBeCleared(image))
    return (item) => ({ clear: grant.parse(item).grant.id });
  if (stateOf(image) === "ended" && stateOf(before) !== "ended")
    return (item) => ({ ended: grant.parse(item).grant.id });
  return undefined;
}

const retriesOf = (image: Image): string | undefined => image.grant?.M?.retries?.N;
const hardOf = (image: Image): string | undefined => image.hard?.M?.at?.N;
const mustBeCleared = (image: Image): boolean =>
  Object.values(image.grant?.M?.targets?.M ?? {}).some(
    (target) => target.M?.revocability?.S === "immediate",
  );

const stateOf = (image: Image): string | undefined => image.grant?.M?.state?.S;
