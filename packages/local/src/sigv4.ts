/** Verifies AWS Signature Version 4, from the `Authorization` header or a presigned query, as AWS does. */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { AwsError, type AwsRequest } from "./service.ts";
import { type ErrorFamily, familyOf, signatureError } from "./signature-errors.ts";

/** What a signature claims, before it is checked. */
export interface Claims {
  readonly accessKeyId: string;
  /** `YYYYMMDD` of the scope. */
  readonly date: string;
  readonly region: string;
  readonly service: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  /** `YYYYMMDDTHHMMSSZ`. */
  readonly timestamp: string;
  readonly sessionToken?: string;
  /** Only of a presigned request: seconds that it may be used from its timestamp on. */
  readonly expiresSeconds?: number;
}

const ALGORITHM = "AWS4-HMAC-SHA256";
const SKEW_MS = 5 * 60_000;
const WEEK_SECONDS = 7 * 24 * 3600;

const scopeParts = (credential: string, family: ErrorFamily) => {
  const parts = credential.split("/");
  const [service, terminator] = [parts.at(-2), parts.at(-1)];
  const accessKeyId = parts.slice(0, -4).join("/");
  const [date, region] = parts.slice(-4, -2);
  if (!accessKeyId || !date || !region || !service || terminator !== "aws4_request")
    throw signatureError(
      "incomplete",
      family,
      `Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '${credential}'`,
    );
  return { accessKeyId, date, region, service };
};

/**
 * Reads what the signature claims; nothing of it is verified yet.
 * @throws {AwsError} where there is none, or only part of one.
 */
export const readSignature = (request: AwsRequest): Claims => {
  const family = familyOf(undefined, request);
  const header = request.headers.authorization;
  const presigned = new Map(request.query.filter(([name]) => name.startsWith("X-Amz-")));
  const inQuery = presigned.has("X-Amz-Algorithm") || presigned.has("X-Amz-Signature");
  if (header === undefined && !inQuery)
    throw signatureError(
      "missing",
      family,
      family === "s3" ? "Access Denied" : "Missing Authentication Token",
    );
  if (header !== undefined && inQuery)
    throw signatureError(
      "incomplete",
      family,
      "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the Authorization header should be specified",
    );
  return header === undefined ? fromQuery(presigned, family) : fromHeader(request, header, family);
};

const fromHeader = (request: AwsRequest, header: string, family: ErrorFamily): Claims => {
  const space = header.indexOf(" ");
  if (space < 0 || header.slice(0, space) !== ALGORITHM)
    throw signatureError(
      "incomplete",
      family,
      `Authorization header requires existence of the '${ALGORITHM}' algorithm.`,
    );
  const parts = new Map<string, string>();
  for (const piece of header.slice(space + 1).split(",")) {
    const equals = piece.indexOf("=");
    const name = piece.slice(0, equals).trim();
    if (equals < 0 || parts.has(name))
      throw signatureError(
        "incomplete",
        family,
        `'${piece.trim()}' not a valid key=value pair (missing equal-sign) in Authorization header.`,
      );
    parts.set(name, piece.slice(equals + 1).trim());
  }
  const part = (name: string) => {
    const value = parts.get(name);
    if (value) return value;
    throw signatureError(
      "incomplete",
      family,
      `Authorization header requires '${name}' parameter.`,
    );
  };
  const [credential, signedHeaders, signature] = [
    part("Credential"),
    part("SignedHeaders"),
    part("Signature"),
  ];
  const scope = scopeParts(credential, family);
  const timestamp = request.headers["x-amz-date"] ?? compactDate(request.headers.date);
  if (timestamp === undefined)
    throw signatureError(
      "incomplete",
      family,
      "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
    );
  const sessionToken = request.headers["x-amz-security-token"];
  return {
    ...scope,
    timestamp,
    signature,
    signedHeaders: signedHeaders.split(";"),
    ...(sessionToken === undefined ? {} : { sessionToken }),
  };
};

const compactDate = (date: string | undefined): string | undefined => {
  const at = date === undefined ? Number.NaN : Date.parse(date);
  return Number.isNaN(at) ? undefined : `${new Date(at).toISOString().replace(/[-:]|\.\d+/g, "")}`;
};

const fromQuery = (query: ReadonlyMap<string, string>, family: ErrorFamily): Claims => {
  const part = (name: string) => {
    const value = query.get(name);
    if (value) return value;
    throw signatureError(
      "incomplete",
      family,
      `AWS query-string parameters must include '${name}'.`,
    );
  };
  if (part("X-Amz-Algorithm") !== ALGORITHM)
    throw signatureError("incomplete", family, `X-Amz-Algorithm only supports "${ALGORITHM}"`);
  const scope = scopeParts(part("X-Amz-Credential"), family);
  const expires = part("X-Amz-Expires");
  const expiresSeconds = /^\d{1,6}$/.test(expires) ? Number(expires) : -1;
  if (expiresSeconds < 0 || expiresSeconds > WEEK_SECONDS)
    throw signatureError(
      "incomplete",
      family,
      "X-Amz-Expires must be a number of seconds, less than a week",
    );
  const sessionToken = query.get("X-Amz-Security-Token");
  return {
    ...scope,
    timestamp: part("X-Amz-Date"),
    signature: part("X-Amz-Signature"),
    signedHeaders: part("X-Amz-SignedHeaders").split(";"),
    expiresSeconds,
    ...(sessionToken === undefined ? {} : { sessionToken }),
  };
};

const rfc3986 = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/** S3 signs the path as it was sent; the others normalize it and encode it once more. */
const canonicalPath = (path: string, service: string): string => {
  if (service === "s3") return path;
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment === "..") kept.pop();
    else kept.push(segment);
  }
  const tail = kept.length > 0 && path.endsWith("/") ? "/" : "";
  return `/${kept.map(rfc3986).join("/")}${tail}`;
};

const byCodePoint = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

const canonicalQuery = (query: AwsRequest["query"]): string =>
  query
    .filter(([name]) => name !== "X-Amz-Signature")
    .map(([name, value]): [string, string] => [rfc3986(name), rfc3986(value)])
    .sort(([a, x], [b, y]) => byCodePoint(a, b) || byCodePoint(x, y))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");

const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, data: string) =>
  createHmac("sha256", key).update(data).digest();

/** What the payload is signed as: its hash, or one of the words by which S3 lets it go unsigned. */
const payloadHash = (request: AwsRequest, claims: Claims, family: ErrorFamily): string => {
  const declared =
    request.headers["x-amz-content-sha256"] ??
    request.query.find(([name]) => name === "X-Amz-Content-Sha256")?.[1];
  if (claims.service === "s3") {
    if (declared === undefined && claims.expiresSeconds !== undefined) return "UNSIGNED-PAYLOAD";
    if (declared === undefined)
      throw new AwsError(
        "InvalidRequest",
        "Missing required header for this request: x-amz-content-sha256",
      );
    if (declared === "UNSIGNED-PAYLOAD" || declared === "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
      return declared;
    if (declared.startsWith("STREAMING-"))
      throw new AwsError(
        "NotImplemented",
        `Signed chunks (${declared}) are not implemented here`,
        501,
      );
  }
  const actual = sha256(request.body);
  if (declared !== undefined && declared !== actual)
    throw signatureError(
      "payload",
      family,
      claims.service === "s3"
        ? "The provided 'x-amz-content-sha256' header does not match what was computed."
        : MISMATCH,
    );
  return actual;
};

const MISMATCH =
  "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

const parseTimestamp = (timestamp: string): number => {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(timestamp);
  if (parts === null) return Number.NaN;
  const [, year, month, day, hour, minute, second] = parts;
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
};

/** Signed headers must cover what could change the meaning of the request. */
const assertCovered = (request: AwsRequest, claims: Claims, family: ErrorFamily): void => {
  const signed = new Set(claims.signedHeaders);
  const needed = Object.keys(request.headers).filter(
    (name) =>
      name === "host" ||
      name === "x-amz-target" ||
      (claims.service === "s3" && name.startsWith("x-amz-")),
  );
  const open = ["host", ...needed].find((name) => !signed.has(name));
  if (open !== undefined)
    throw signatureError(
      "mismatch",
      family,
      `There were headers present in the request which were not signed: ${open}`,
    );
};

const assertTimely = (claims: Claims, wall: number, family: ErrorFamily): void => {
  const at = parseTimestamp(claims.timestamp);
  if (Number.isNaN(at))
    throw signatureError(
      "incomplete",
      family,
      `Date must be in ISO-8601 'basic format'. Got '${claims.timestamp}'.`,
    );
  if (claims.timestamp.slice(0, 8) !== claims.date)
    throw signatureError(
      "mismatch",
      family,
      `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${claims.date}' != '${claims.timestamp.slice(0, 8)}'`,
    );
  const iso = (ms: number) => new Date(ms).toISOString().replace(/[-:]|\.\d+/g, "");
  if (claims.expiresSeconds !== undefined && wall > at + claims.expiresSeconds * 1000)
    throw signatureError("presignedOver", family, "Request has expired.");
  if (claims.expiresSeconds === undefined && wall - at > SKEW_MS)
    throw signatureError(
      "skewed",
      family,
      `Signature expired: ${claims.timestamp} is now earlier than ${iso(wall - SKEW_MS)} (${iso(wall)} - 5 min.)`,
    );
  if (at - wall > SKEW_MS)
    throw signatureError(
      "skewed",
      family,
      `Signature not yet current: ${claims.timestamp} is still later than ${iso(wall + SKEW_MS)} (${iso(wall)} + 5 min.)`,
    );
};

const canonicalRequest = (request: AwsRequest, claims: Claims, payload: string): string =>
  [
    request.method,
    canonicalPath(request.path, claims.service),
    canonicalQuery(request.query),
    ...claims.signedHeaders.map(
      (name) => `${name}:${(request.headers[name] ?? "").replace(/\s+/g, " ").trim()}`,
    ),
    "",
    claims.signedHeaders.join(";"),
    payload,
  ].join("\n");

/**
 * A verifier with its own cache of signing keys.
 * @param options.wall the real time that signatures are dated with, in epoch ms.
 */
export const createVerifier = (options: {
  readonly region: string;
  readonly wall: () => number;
}) => {
  const keys = new Map<string, Buffer>();
  const signingKey = (secret: string, { date, region, service }: Claims): Buffer => {
    const id = `${secret}/${date}/${region}/${service}`;
    const known = keys.get(id);
    if (known !== undefined) return known;
    const key = [region, service, "aws4_request"].reduce(hmac, hmac(`AWS4${secret}`, date));
    // Every session has a secret of its own, so old entries go as new ones come.
    if (keys.size >= 2_000) for (const old of [...keys.keys()].slice(0, 500)) keys.delete(old);
    keys.set(id, key);
    return key;
  };
  return {
    /** @throws {AwsError} as the family spells it, unless `secret` signed this very request just now. */
    verify(request: AwsRequest, claims: Claims, secret: string): void {
      const family = familyOf(claims.service, request);
      assertTimely(claims, options.wall(), family);
      if (claims.region !== options.region)
        throw signatureError(
          "wrongScope",
          family,
          family === "s3"
            ? `The authorization header is malformed; the region '${claims.region}' is wrong; expecting '${options.region}'`
            : "Credential should be scoped to a valid region. ",
        );
      assertCovered(request, claims, family);
      const canonical = canonicalRequest(request, claims, payloadHash(request, claims, family));
      const scope = `${claims.date}/${claims.region}/${claims.service}/aws4_request`;
      const toSign = [ALGORITHM, claims.timestamp, scope, sha256(canonical)].join("\n");
      const expected = hmac(signingKey(secret, claims), toSign);
      const given = Buffer.from(claims.signature, "hex");
      const same = /^[0-9a-f]{64}$/.test(claims.signature) && timingSafeEqual(given, expected);
      if (!same) throw signatureError("mismatch", family, MISMATCH);
    },
  };
};
