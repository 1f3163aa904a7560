/** What puts a lock on a version: the headers of an upload, and the operations on retention and legal hold. */
import { z } from "zod";
import { AwsError, type Check, operation } from "../service.ts";
import type { Answer } from "./answers.ts";
import { receive } from "./body.ts";
import { type Bucket, current, findVersion, replace, type StoredObject } from "./buckets.ts";
import {
  checkFuture,
  checkRetentionChange,
  type LockMode,
  type Retention,
  underGovernance,
  weakens,
} from "./lock.ts";
import {
  bucketOf,
  isoDate,
  type OnVersion,
  objectOf,
  onVersion,
  parseDate,
  permission,
  readChecks,
  type State,
} from "./state.ts";
import { one, readXml } from "./xml.ts";

const DAY = 86_400_000;
const MODE = "x-amz-object-lock-mode";
const UNTIL = "x-amz-object-lock-retain-until-date";
const HOLD = "x-amz-object-lock-legal-hold";

/** The headers that an upload may carry about its lock. */
export const lockSchema = {
  [MODE]: z.enum(["GOVERNANCE", "COMPLIANCE"]).optional(),
  [UNTIL]: z.string().optional(),
  [HOLD]: z.enum(["ON", "OFF"]).optional(),
};

export interface LockInput {
  readonly [MODE]?: LockMode | undefined;
  readonly [UNTIL]?: string | undefined;
  readonly [HOLD]?: "ON" | "OFF" | undefined;
}

const withoutLock = () =>
  new AwsError("InvalidRequest", "Bucket is missing Object Lock Configuration");

/** @throws {AwsError} InvalidRequest where the bucket locks nothing, InvalidArgument for half a retention. */
export function lockOf(
  bucket: Bucket,
  input: LockInput,
  now: number,
): { readonly retention?: Retention; readonly legalHold: boolean } {
  const { [MODE]: mode, [UNTIL]: date, [HOLD]: hold } = input;
  if ((mode ?? date ?? hold) !== undefined && !bucket.objectLock) throw withoutLock();
  if ((mode === undefined) !== (date === undefined))
    throw new AwsError(
      "InvalidArgument",
      "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
    );
  const legalHold = hold === "ON";
  if (mode === undefined || date === undefined) return { legalHold };
  const until = parseDate(date);
  checkFuture(until, now);
  return { legalHold, retention: { mode, until } };
}

const retentionContext = (mode: string | undefined, until: number | undefined, now: number) => ({
  "s3:object-lock-mode": mode,
  "s3:object-lock-retain-until-date": until === undefined ? undefined : isoDate(until),
  "s3:object-lock-remaining-retention-days":
    until === undefined ? undefined : String(Math.ceil((until - now) / DAY)),
});

/** The condition keys that an upload's lock headers set. */
export const lockContext = (input: LockInput, now: number) => ({
  ...retentionContext(
    input[MODE],
    input[UNTIL] === undefined ? undefined : parseDate(input[UNTIL]),
    now,
  ),
  "s3:object-lock-legal-hold": input[HOLD],
});

/** The permissions beyond PutObject that those headers need. */
export const lockChecks = (
  state: State,
  bucket: Bucket,
  key: string,
  input: LockInput,
): readonly Check[] => {
  const context = lockContext(input, state.world.clock.now());
  return [
    ...(input[MODE] === undefined
      ? []
      : [permission(state, "s3:PutObjectRetention", bucket, key, context)]),
    ...(input[HOLD] === undefined
      ? []
      : [permission(state, "s3:PutObjectLegalHold", bucket, key, context)]),
  ];
};

/** How a version's lock shows when it is read. */
export const lockHeaders = ({ retention, legalHold }: StoredObject) => ({
  [MODE]: retention?.mode,
  [UNTIL]: retention === undefined ? undefined : isoDate(retention.until),
  [HOLD]: legalHold ? "ON" : undefined,
});

const retentionXml = z.strictObject({
  Mode: one(z.enum(["GOVERNANCE", "COMPLIANCE"])).optional(),
  RetainUntilDate: one(z.string()).optional(),
});

const holdXml = z.strictObject({ Status: one(z.enum(["ON", "OFF"])) });

const readRetention = (bytes: Uint8Array): Retention | undefined => {
  const { Mode, RetainUntilDate } = readXml(bytes, "Retention", retentionXml);
  if (Mode === undefined && RetainUntilDate === undefined) return undefined;
  if (Mode === undefined || RetainUntilDate === undefined)
    throw new AwsError(
      "MalformedXML",
      "The XML you provided was not well-formed or did not validate against our published schema",
    );
  return { mode: Mode, until: parseDate(RetainUntilDate) };
};

/** The version that is meant, in a bucket that can lock it. */
const lockable = (state: State, input: OnVersion) => {
  const bucket = bucketOf(state, input);
  if (!bucket.objectLock) throw withoutLock();
  return { bucket, object: objectOf(bucket, input) };
};

const seen = (bucket: Bucket, { Key, versionId }: OnVersion): StoredObject | undefined => {
  const version =
    versionId === undefined ? current(bucket, Key) : findVersion(bucket, Key, versionId);
  return version?.kind === "object" ? version : undefined;
};

const noLock = () =>
  new AwsError(
    "NoSuchObjectLockConfiguration",
    "The specified object does not have a ObjectLock configuration",
    404,
  );

const putRetention = (state: State) =>
  operation({
    input: z.strictObject({
      ...onVersion,
      "x-amz-bypass-governance-retention": z.enum(["true", "false"]).optional(),
    }),
    authorize(input, call) {
      const bucket = bucketOf(state, input);
      const now = state.world.clock.now();
      const next = readRetention(receive(call.request).bytes);
      const object = seen(bucket, input);
      const context = {
        ...retentionContext(next?.mode, next?.until, now),
        "s3:VersionId": input.versionId,
      };
      const governed =
        input["x-amz-bypass-governance-retention"] === "true" &&
        object?.retention !== undefined &&
        underGovernance(object, now) &&
        weakens(object.retention, next);
      return [
        permission(state, "s3:PutObjectRetention", bucket, input.Key, context),
        ...(governed
          ? [permission(state, "s3:BypassGovernanceRetention", bucket, input.Key, context)]
          : []),
      ];
    },
    run(input, call): Answer {
      const { bucket, object } = lockable(state, input);
      const now = state.world.clock.now();
      const next = readRetention(receive(call.request).bytes);
      if (next !== undefined) checkFuture(next.until, now);
      const bypass = input["x-amz-bypass-governance-retention"] === "true";
      checkRetentionChange(object, next, bypass, now);
      const { retention: _, ...rest } = object;
      replace(bucket, input.Key, next === undefined ? rest : { ...rest, retention: next });
      return {};
    },
  });

const getRetention = (state: State) =>
  operation({
    input: z.strictObject(onVersion),
    authorize: (input) => readChecks(state, "s3:GetObjectRetention", input),
    run(input): Answer {
      const { retention } = lockable(state, input).object;
      if (retention === undefined) throw noLock();
      return {
        xml: ["Retention", { Mode: retention.mode, RetainUntilDate: isoDate(retention.until) }],
      };
    },
  });

const putHold = (state: State) =>
  operation({
    input: z.strictObject(onVersion),
    authorize(input, call) {
      const { Status } = readXml(receive(call.request).bytes, "LegalHold", holdXml);
      const context = { "s3:object-lock-legal-hold": Status, "s3:VersionId": input.versionId };
      return [
        permission(state, "s3:PutObjectLegalHold", bucketOf(state, input), input.Key, context),
      ];
    },
    run(input, call): Answer {
      const { bucket, object } = lockable(state, input);
      const { Status } = readXml(receive(call.request).bytes, "LegalHold", holdXml);
      replace(bucket, input.Key, { ...object, legalHold: Status === "ON" });
      return {};
    },
  });

const getHold = (state: State) =>
  operation({
    input: z.strictObject(onVersion),
    authorize: (input) => readChecks(state, "s3:GetObjectLegalHold", input),
    run(input): Answer {
      const { object } = lockable(state, input);
      return { xml: ["LegalHold", { Status: object.legalHold ? "ON" : "OFF" }] };
    },
  });

export const lockOperations = (state: State) => ({
  PutObjectRetention: putRetention(state),
  GetObjectRetention: getRetention(state),
  PutObjectLegalHold: putHold(state),
  GetObjectLegalHold: getHold(state),
});
