/** Which of S3's operations a request is, and everything that it says, by name. What is not known is refused. */
import { AwsError, type AwsRequest } from "../service.ts";
import { unify } from "./request.ts";

/** How an operation is told from others, and which parameters and headers it reads. */
export interface Route {
  readonly operation: string;
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  readonly on: "service" | "bucket" | "object";
  /** The query parameter that selects it, as `versioning`, or `list-type=2`. */
  readonly sub?: string;
  /** The header that selects it. */
  readonly by?: string;
  readonly query?: readonly string[];
  /** Headers beyond those that every request may carry; `x-amz-meta-` stands for all that begin so. */
  readonly headers?: readonly string[];
  /** Whether there may be a body, and with it checksums and framing. */
  readonly body?: boolean;
}

const READ_CONDITIONS = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];
const STORED = [
  "content-type",
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "expires",
];
const LOCK = [
  "x-amz-object-lock-mode",
  "x-amz-object-lock-retain-until-date",
  "x-amz-object-lock-legal-hold",
];
const OVERRIDES = STORED.map((name) => `response-${name}`);
const LIST = ["prefix", "delimiter", "max-keys", "encoding-type"];
const COPY_SOURCE = "x-amz-copy-source";
const COPY_CONDITIONS = READ_CONDITIONS.map((name) => `${COPY_SOURCE}-${name}`);
const BYPASS = "x-amz-bypass-governance-retention";

const READ = {
  on: "object",
  query: ["versionId", ...OVERRIDES],
  headers: ["range", "x-amz-checksum-mode", ...READ_CONDITIONS],
} as const;

export const routes: readonly Route[] = [
  { operation: "ListBuckets", method: "GET", on: "service" },
  {
    operation: "CreateBucket",
    method: "PUT",
    on: "bucket",
    headers: ["x-amz-bucket-object-lock-enabled"],
    body: true,
  },
  { operation: "DeleteBucket", method: "DELETE", on: "bucket" },
  { operation: "HeadBucket", method: "HEAD", on: "bucket" },
  { operation: "PutBucketVersioning", method: "PUT", on: "bucket", sub: "versioning", body: true },
  { operation: "GetBucketVersioning", method: "GET", on: "bucket", sub: "versioning" },
  {
    operation: "PutObjectLockConfiguration",
    method: "PUT",
    on: "bucket",
    sub: "object-lock",
    body: true,
  },
  { operation: "GetObjectLockConfiguration", method: "GET", on: "bucket", sub: "object-lock" },
  { operation: "PutBucketPolicy", method: "PUT", on: "bucket", sub: "policy", body: true },
  { operation: "GetBucketPolicy", method: "GET", on: "bucket", sub: "policy" },
  { operation: "DeleteBucketPolicy", method: "DELETE", on: "bucket", sub: "policy" },
  {
    operation: "ListObjectsV2",
    method: "GET",
    on: "bucket",
    sub: "list-type=2",
    query: [...LIST, "continuation-token", "start-after", "fetch-owner"],
  },
  {
    operation: "ListObjectVersions",
    method: "GET",
    on: "bucket",
    sub: "versions",
    query: [...LIST, "key-marker", "version-id-marker"],
  },
  {
    operation: "DeleteObjects",
    method: "POST",
    on: "bucket",
    sub: "delete",
    headers: [BYPASS],
    body: true,
  },
  { operation: "GetObject", method: "GET", ...READ },
  { operation: "HeadObject", method: "HEAD", ...READ },
  {
    operation: "PutObject",
    method: "PUT",
    on: "object",
    headers: [...STORED, ...LOCK, "if-match", "if-none-match", "x-amz-meta-"],
    body: true,
  },
  {
    operation: "CopyObject",
    method: "PUT",
    on: "object",
    by: COPY_SOURCE,
    headers: [
      ...STORED,
      ...LOCK,
      "if-match",
      "if-none-match",
      COPY_SOURCE,
      ...COPY_CONDITIONS,
      "x-amz-metadata-directive",
      "x-amz-checksum-algorithm",
      "x-amz-meta-",
    ],
  },
  {
    operation: "DeleteObject",
    method: "DELETE",
    on: "object",
    query: ["versionId"],
    headers: [BYPASS, "if-match"],
  },
  {
    operation: "PutObjectRetention",
    method: "PUT",
    on: "object",
    sub: "retention",
    query: ["versionId"],
    headers: [BYPASS],
    body: true,
  },
  {
    operation: "GetObjectRetention",
    method: "GET",
    on: "object",
    sub: "retention",
    query: ["versionId"],
  },
  {
    operation: "PutObjectLegalHold",
    method: "PUT",
    on: "object",
    sub: "legal-hold",
    query: ["versionId"],
    body: true,
  },
  {
    operation: "GetObjectLegalHold",
    method: "GET",
    on: "object",
    sub: "legal-hold",
    query: ["versionId"],
  },
];

/** Of the signature, the payload's form, or without effect: every request may carry them. */
const COMMON: ReadonlySet<string> = new Set([
  "x-amz-date",
  "x-amz-content-sha256",
  "x-amz-security-token",
  "x-amz-user-agent",
  "x-amz-expected-bucket-owner",
]);

/** Settings of which there is one value here: another would have to be passed over. */
const FIXED: Readonly<Record<string, string>> = {
  "x-amz-server-side-encryption": "AES256",
  "x-amz-storage-class": "STANDARD",
  "x-amz-checksum-type": "FULL_OBJECT",
};
const STORING: ReadonlySet<string> = new Set(["PutObject", "CopyObject"]);

const OF_BODIES =
  /^x-amz-(decoded-content-length|trailer|sdk-checksum-algorithm|checksum-(crc32|crc32c|crc64nvme|sha1|sha256|sha512|md5))$/;

/** Headers outside of `x-amz-` that would change an answer, so that no operation may pass over them. */
const MEANINGFUL: ReadonlySet<string> = new Set([...READ_CONDITIONS, "range", "if-range"]);

const notImplemented = (what: string, details: Record<string, string>) =>
  new AwsError(
    "NotImplemented",
    `A ${what} you provided implies functionality that is not implemented`,
    501,
    details,
  );

/** `bucket` from a host such as `bucket.s3.us-east-1.amazonaws.com` or `bucket.localhost:4011`. */
const bucketOfHost = (host: string): string | undefined => {
  const name = host.replace(/:\d+$/, "").toLowerCase();
  return /^(.+)\.(?:s3[.-](?:.+\.)?amazonaws\.com|(?:s3\.)?localhost)$/
    .exec(name)?.[1]
    ?.replace(/^s3$/, "");
};

const decodePath = (path: string): string => {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new AwsError("InvalidURI", "Couldn't parse the specified URI.");
  }
};

const locate = ({ path, headers }: AwsRequest): { bucket: string; key: string } => {
  const inPath = path.replace(/^\//, "");
  const byHost = bucketOfHost(headers.host ?? "");
  if (byHost) return { bucket: byHost, key: decodePath(inPath) };
  const slash = inPath.indexOf("/");
  if (slash === -1) return { bucket: decodePath(inPath), key: "" };
  return { bucket: decodePath(inPath.slice(0, slash)), key: decodePath(inPath.slice(slash + 1)) };
};

const selected = (route: Route, query: ReadonlyMap<string, string>): boolean => {
  if (route.sub === undefined) return false;
  const [name = "", value] = route.sub.split("=");
  return query.has(name) && (value === undefined || query.get(name) === value);
};

export interface Parsed {
  readonly operation: string;
  /** `Bucket`, `Key`, and every parameter and header of the route that was sent, by its own name. */
  readonly input: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

/** @throws {AwsError} NotImplemented for whatever this S3 would have to overlook. */
export function route(request: AwsRequest): Parsed {
  const { bucket, key } = locate(request);
  const on = bucket === "" ? "service" : key === "" ? "bucket" : "object";
  const { query, headers } = unify(request);
  const fit = routes.filter((of) => of.method === request.method && of.on === on);
  const found =
    fit.find((of) => selected(of, query)) ??
    fit.find((of) => of.by !== undefined && headers.has(of.by)) ??
    fit.find((of) => of.sub === undefined && of.by === undefined);
  if (found === undefined)
    throw notImplemented("request", { Method: request.method, ResourceType: on.toUpperCase() });

  const input: Record<string, string | Record<string, string>> = {};
  if (on !== "service") input.Bucket = bucket;
  if (on === "object") input.Key = key;
  const sub = found.sub?.split("=")[0];
  for (const [name, value] of query) {
    if (name === sub) continue;
    // SDKs name their operation here: one that goes by another name would be read as something it is not.
    if (name === "x-id" && value === found.operation) continue;
    if (!found.query?.includes(name)) throw notImplemented("parameter", { Parameter: name });
    input[name] = value;
  }
  const metadata: Record<string, string> = {};
  for (const [name, value] of headers) {
    if (found.headers?.includes(name)) input[name] = value;
    else if (name.startsWith("x-amz-meta-") && found.headers?.includes("x-amz-meta-"))
      metadata[name.slice("x-amz-meta-".length)] = value;
    else if (name === "x-amz-expected-bucket-owner") input[name] = value;
    else if (STORING.has(found.operation) && FIXED[name] === value) continue;
    else if (COMMON.has(name) || (found.body && OF_BODIES.test(name))) continue;
    else if (name.startsWith("x-amz-") || MEANINGFUL.has(name))
      throw notImplemented("header", { Header: name });
  }
  if (found.headers?.includes("x-amz-meta-")) input.metadata = metadata;
  if (!found.body && request.body.length > 0) throw notImplemented("body", {});
  return { operation: found.operation, input };
}
