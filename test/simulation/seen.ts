/**
 * What an onlooker sees of a run, whatever Stint says of it: every write of the table, every session that STS made, every
 * list of denials, every answer that a caller got. Invariants listen to it.
 */
import { auditRecords } from "@stint/aws/audit/record";
import type { GrantView } from "@stint/broker/view";
import type { AuditRecord } from "@stint/core/audit";
import type { Grant } from "@stint/core/grant";

/** One session that STS made for a grant, also where the answer never arrived. */
export interface Session {
  readonly grant: string;
  readonly role: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  readonly mintedAt: number;
  /** Whether a caller got it. */
  handed: boolean;
}

interface Written {
  readonly key: string;
  readonly before: Readonly<Record<string, unknown>> | undefined;
  readonly after: Readonly<Record<string, unknown>> | undefined;
}

interface Sights {
  /** A grant's item was written. */
  grant: { readonly before: Grant | undefined; readonly after: Grant };
  /** Any item was written. */
  item: Written;
  record: AuditRecord;
  session: Session;
  /** An inline deny list was written. */
  denyList: { readonly role: string; readonly ids: readonly string[] };
  schedule: { readonly name: string };
  /** An object of the audit log was written, under this key. */
  object: string;
  /** A caller was told of a grant, in answer to what it asked at that time. */
  view: { readonly view: GrantView; readonly askedAt: number };
  /** A caller got a credential, and was told when it ends. */
  handed: { readonly session: Session; readonly until: number; readonly view: GrantView };
  /** A caller got a login of a database. */
  login: {
    readonly grant: string;
    readonly user: string;
    readonly password: string;
    readonly until: number;
    readonly view: GrantView;
  };
  /** Text that was sent or written where no secret may be. */
  text: { readonly where: string; readonly text: string };
  /** What nobody may write down. */
  secret: string;
  /** A call that asks for an end. */
  asked: { readonly grant: string; readonly what: "release" | "revoke" };
}

type Listener<K extends keyof Sights> = (sight: Sights[K]) => void;

export interface Seen {
  on<K extends keyof Sights>(kind: K, listener: Listener<K>): void;
  tell<K extends keyof Sights>(kind: K, sight: Sights[K]): void;
  /** Grants as the table has them. */
  readonly grants: ReadonlyMap<string, Grant>;
  readonly sessions: readonly Session[];
  /** The audit records in the order in which they were written. */
  readonly records: readonly AuditRecord[];
  /** Keys of the audit log's objects. */
  readonly objects: readonly string[];
  /** Items as they lie in the table, by their keys. */
  readonly items: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
}

export function createSeen(): Seen {
  const listeners = new Map<keyof Sights, Array<(sight: never) => void>>();
  const grants = new Map<string, Grant>();
  const items = new Map<string, Readonly<Record<string, unknown>>>();
  const sessions: Session[] = [];
  const records: AuditRecord[] = [];
  const objects: string[] = [];
  const seen: Seen = {
    objects,
    grants,
    sessions,
    records,
    items,
    on(kind, listener) {
      const known = listeners.get(kind) ?? [];
      known.push(listener as (sight: never) => void); // told of this kind alone
      listeners.set(kind, known);
    },
    tell(kind, sight) {
      for (const listener of listeners.get(kind) ?? []) listener(sight as never);
    },
  };
  seen.on("grant", ({ after }) => grants.set(after.id, after));
  seen.on("session", (session) => sessions.push(session));
  seen.on("record", (record) => records.push(record));
  seen.on("object", (key) => objects.push(key));
  seen.on("item", ({ key, after }) => {
    if (after === undefined) items.delete(key);
    else items.set(key, after);
  });
  return seen;
}

/** The audit records of one change, read as the audit function reads them. */
export const recordsOf = (oldImage: object | undefined, newImage: object): AuditRecord[] =>
  auditRecords({
    Records: [
      {
        eventName: oldImage === undefined ? "INSERT" : "MODIFY",
        dynamodb: {
          SequenceNumber: "1",
          NewImage: { ...newImage },
          ...(oldImage === undefined ? {} : { OldImage: { ...oldImage } }),
        },
      },
    ],
  }).map(({ record }) => record);
