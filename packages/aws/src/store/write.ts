/** The grant's item: how it is made of a grant, and how single attributes of it are updated. */
import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { marshall, type marshallOptions } from "@aws-sdk/util-dynamodb";
import type { AuditRecord } from "@stint/core/audit";
import { dueAt, type Grant } from "@stint/core/grant";
import { dueShard, grantKey } from "./keys.ts";

export type Item = Record<string, AttributeValue>;

const DAY_SECONDS = 24 * 60 * 60;
/** How long the table keeps what has ended; the audit log keeps it for ever. */
export const RETENTION_SECONDS = 35 * DAY_SECONDS;
export const TOMBSTONE_SECONDS = 40 * DAY_SECONDS;
export const DELIVERY_SECONDS = 3 * DAY_SECONDS;
export const DECISION_SECONDS = DAY_SECONDS;

const OPTIONS: marshallOptions = { removeUndefinedValues: true };

export const toItem = (value: object): Item => marshall(value, OPTIONS);

export const seconds = (ms: number): number => Math.floor(ms / 1000);

/** Index attributes of a grant as it is now; `undefined` ones leave the index. */
function indexes(grant: Grant): Record<string, string | number | undefined> {
  const due = dueAt(grant);
  return {
    due: due === undefined ? undefined : dueShard(grant.id),
    dueAt: due,
    byProfile: grant.profile,
    byPrincipal: grant.principal.id,
    createdAt: grant.createdAt,
  };
}

export function grantToItem(
  grant: Grant,
  version: number,
  audit: AuditRecord | Item | undefined,
): Item {
  const ended = grant.state === "ended" || grant.state === "refused" ? grant.endedAt : undefined;
  const item = toItem({
    ...grantKey(grant.id),
    version,
    grant,
    ...indexes(grant),
    ...(ended === undefined ? {} : { ttl: seconds(ended) + RETENTION_SECONDS }),
  });
  if (audit !== undefined) item.audit = { M: isItem(audit) ? audit : toItem(audit) };
  return item;
}

/** A record read back from the table is in the table's own notation already. */
const isItem = (audit: AuditRecord | Item): audit is Item => typeof audit.id === "object";
