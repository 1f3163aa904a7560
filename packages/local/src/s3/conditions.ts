/** Preconditions and ranges of HTTP, as S3 reads them. */
import { AwsError } from "../service.ts";
import { S3Error } from "./answers.ts";
import { type Bucket, current, type StoredObject } from "./buckets.ts";
import { httpDate } from "./state.ts";

type Headers = Readonly<Record<string, unknown>>;

const text = (headers: Headers, name: string): string | undefined => {
  const value = headers[name];
  return typeof value === "string" ? value : undefined;
};

const failed = (Condition: string) =>
  new AwsError(
    "PreconditionFailed",
    "At least one of the pre-conditions you specified did not hold",
    412,
    { Condition },
  );

const matches = (header: string, etag: string): boolean =>
  header.split(",").some((part) => {
    const tag = part.trim().replace(/^"(.*)"$/, "$1");
    return tag === "*" || tag === etag;
  });

/** A date that cannot be read is as if it had not been sent, as HTTP has it. */
const date = (headers: Headers, name: string): number | undefined => {
  const value = text(headers, name);
  const at = value === undefined ? Number.NaN : Date.parse(value);
  return Number.isNaN(at) ? undefined : at;
};

/** @throws {AwsError} PreconditionFailed, or NotModified (304). An ETag counts for more than a date. */
export function checkRead(object: StoredObject, headers: Headers): void {
  const match = text(headers, "if-match");
  const unmodified = date(headers, "if-unmodified-since");
  if (match !== undefined) {
    if (!matches(match, object.etag)) throw failed("If-Match");
  } else if (unmodified !== undefined && object.modifiedAt > unmodified)
    throw failed("If-Unmodified-Since");
  const noneMatch = text(headers, "if-none-match");
  const modified = date(headers, "if-modified-since");
  const same =
    noneMatch !== undefined
      ? matches(noneMatch, object.etag)
      : modified !== undefined && object.modifiedAt <= modified;
  if (same)
    throw new S3Error(
      "NotModified",
      "Not Modified",
      304,
      {},
      {
        etag: `"${object.etag}"`,
        "last-modified": httpDate(object.modifiedAt),
      },
    );
}

const SOURCE = "x-amz-copy-source-";

/** The same of a copy's source, where every failure is a 412. */
export function checkSource(object: StoredObject, headers: Headers): void {
  const own = Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      name.startsWith(SOURCE) ? [[name.slice(SOURCE.length), value]] : [],
    ),
  );
  try {
    checkRead(object, own);
  } catch (error) {
    if (error instanceof AwsError && error.status === 304)
      throw failed("x-amz-copy-source-If-None-Match");
    throw error;
  }
}

/** Whether a write may go ahead: a delete marker on top counts as nothing there. */
export function checkWrite(bucket: Bucket, Key: string, headers: Headers): void {
  const match = text(headers, "if-match");
  const noneMatch = text(headers, "if-none-match");
  const top = current(bucket, Key);
  const object = top?.kind === "object" ? top : undefined;
  if (noneMatch !== undefined && (noneMatch !== "*" || match !== undefined))
    throw new AwsError(
      "NotImplemented",
      "A header you provided implies functionality that is not implemented",
      501,
      { Header: "If-None-Match" },
    );
  if (noneMatch !== undefined && object !== undefined) throw failed("If-None-Match");
  if (match === undefined) return;
  if (match === "*")
    throw new AwsError(
      "NotImplemented",
      "A header you provided implies functionality that is not implemented",
      501,
      { Header: "If-Match" },
    );
  if (object === undefined)
    throw new AwsError("NoSuchKey", "The specified key does not exist.", 404, { Key });
  if (!matches(match, object.etag)) throw failed("If-Match");
}

/** A conditional delete; of what is not there it demands nothing but that it be there. */
export function checkDelete(object: StoredObject | undefined, match: string | undefined): void {
  if (match === undefined) return;
  if (object === undefined || !matches(match, object.etag)) throw failed("If-Match");
}

export interface ByteRange {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
}

/**
 * The range that a header asks for. One that cannot be read, or several at once, give the whole object, as S3 does.
 * @throws {AwsError} InvalidRange when none of it is there.
 */
export function byteRange(header: string | undefined, size: number): ByteRange | undefined {
  const [, from = "", to = ""] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? [];
  if (from === "" && to === "") return undefined;
  const first = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const last = from === "" || to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (from !== "" && to !== "" && Number(to) < Number(from)) return undefined;
  if (first > last)
    throw new S3Error(
      "InvalidRange",
      "The requested range is not satisfiable",
      416,
      { RangeRequested: header, ActualObjectSize: String(size) },
      { "content-range": `bytes */${size}` },
    );
  return { first, last };
}
