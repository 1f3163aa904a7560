/** The grant's item: how it is made of a grant, and how single attributes of it are updated. */
import type { AttributeValue } from "@aws-sdk/client-dynamodb";
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
/** After its last lease's end. Short, because a role's worker reads all of its denials each time. */
export const DENIAL_SECONDS = 60 * 60;

/**
 * Plain data in the table's notation, without what is undefined. The SDK's own marshaller takes five times as long,
 * since it asks each value about kinds that we never store.
 * @throws TypeError for what is no plain data
 */
export function toItem(value: object): Item {
  const item: Item = {};
  for (const [name, inner] of Object.entries(value)) {
    // As a name it would be lost, and with it what stood under it.
    if (name === "__proto__") throw new TypeError("no attribute is called __proto__");
    if (inner !== undefined) item[name] = toValue(inner);
  }
  return item;
}

function toValue(value: unknown): AttributeValue {
  switch (typeof value) {
    case "string":
      return { S: value };
    case "boolean":
      return { BOOL: value };
    case "number":
      // Beyond these, what is read back is another number.
      if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER)) break;
      return { N: String(value) };
    case "object":
      if (value === null) return { NULL: true };
      if (Array.isArray(value))
        return { L: value.filter((inner) => inner !== undefined).map(toValue) };
      if (Object.getPrototypeOf(value) !== Object.prototype) break;
      return { M: toItem(value) };
  }
  throw new TypeError(`the table holds plain data, not ${String(value)}`);
}

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
