/** What a client uploads: the framing taken off, every digest that was sent along checked. */
import { AwsError, type AwsRequest } from "../service.ts";
import { type Checksum, checksumOf, isChecksumAlgorithm, isChecksumValue } from "./checksums.ts";
import { unify } from "./request.ts";

export interface Upload {
  readonly bytes: Uint8Array;
  /** The one checksum that came by header or trailer, found right. */
  readonly checksum?: Checksum;
  /** Whether any digest vouches for the body, as Object Lock demands. */
  readonly vouched: boolean;
}

type Headers = ReadonlyMap<string, string>;

const MAX_BYTES = 5 * 1024 ** 3;
const MIN_CHUNK = 8192;
const CHECKSUM_HEADER = /^x-amz-checksum-(.+)$/;
/** Headers of that form which are no checksum. */
const SETTINGS: ReadonlySet<string> = new Set(["mode", "algorithm", "type"]);

const incomplete = () =>
  new AwsError(
    "IncompleteBody",
    "You did not provide the number of bytes specified by the Content-Length HTTP header.",
  );
const badTrailer = () =>
  new AwsError(
    "MalformedTrailerError",
    "The request contained trailing data that was not well-formed or did not conform to our published schema.",
  );

/** Reads one line up to CRLF; a line here is a chunk's size or a trailer, never long. */
const line = (body: Buffer, from: number): { text: string; next: number } => {
  const end = body.indexOf("\r\n", from, "latin1");
  if (end === -1 || end - from > 4096) throw incomplete();
  return { text: body.toString("latin1", from, end), next: end + 2 };
};

const dechunk = (body: Buffer): { bytes: Buffer; trailers: ReadonlyMap<string, string> } => {
  const chunks: Buffer[] = [];
  let at = 0;
  for (;;) {
    const { text, next } = line(body, at);
    // An extension would be a chunk's signature, which this kind of upload does not have.
    if (!/^[0-9a-f]{1,8}$/i.test(text)) throw incomplete();
    const size = Number.parseInt(text, 16);
    at = next;
    if (size === 0) break;
    const chunk = body.subarray(at, at + size);
    at += size + 2;
    if (chunk.length !== size || body.toString("latin1", at - 2, at) !== "\r\n") throw incomplete();
    chunks.push(chunk);
  }
  if (chunks.slice(0, -1).some((chunk) => chunk.length < MIN_CHUNK))
    throw new AwsError(
      "InvalidChunkSizeError",
      "Only the last chunk is allowed to have a size less than 8192 bytes",
      403,
    );
  const trailers = new Map<string, string>();
  while (at < body.length) {
    const { text, next } = line(body, at);
    at = next;
    if (text === "") break;
    const colon = text.indexOf(":");
    if (colon < 1) throw badTrailer();
    trailers.set(text.slice(0, colon).trim().toLowerCase(), text.slice(colon + 1).trim());
  }
  if (at !== body.length) throw incomplete();
  return { bytes: Buffer.concat(chunks), trailers };
};

const length = (text: string): number => {
  if (!/^\d{1,15}$/.test(text)) throw new AwsError("InvalidArgument", "Invalid content length");
  return Number(text);
};

const checkSize = (size: number): void => {
  if (size > MAX_BYTES)
    throw new AwsError(
      "EntityTooLarge",
      "Your proposed upload exceeds the maximum allowed size",
      400,
      {
        ProposedSize: String(size),
        MaxSizeAllowed: String(MAX_BYTES),
      },
    );
};

const sentChecksums = (entries: Iterable<readonly [string, string]>): ReadonlyArray<Checksum> => {
  const sent: Checksum[] = [];
  for (const [name, value] of entries) {
    const algorithm = CHECKSUM_HEADER.exec(name)?.[1];
    if (algorithm === undefined || SETTINGS.has(algorithm)) continue;
    if (!isChecksumAlgorithm(algorithm))
      throw new AwsError("NotImplemented", `The checksum ${algorithm} is not implemented`, 501);
    if (!isChecksumValue(algorithm, value))
      throw new AwsError("InvalidRequest", `Value for ${name} header is invalid.`);
    sent.push({ algorithm, value });
  }
  return sent;
};

const unframe = (headers: Headers, body: Uint8Array) => {
  const raw = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const payload = headers.get("x-amz-content-sha256") ?? "";
  if (!payload.startsWith("STREAMING-")) return { bytes: raw, trailers: new Map<string, string>() };
  if (payload !== "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    throw new AwsError("NotImplemented", `${payload} uploads are not implemented`, 501);
  const decoded = headers.get("x-amz-decoded-content-length");
  if (decoded === undefined)
    throw new AwsError(
      "MissingContentLength",
      "You must provide the Content-Length HTTP header.",
      411,
    );
  checkSize(length(decoded));
  const { bytes, trailers } = dechunk(raw);
  if (bytes.length !== length(decoded)) throw incomplete();
  const announced = (headers.get("x-amz-trailer") ?? "")
    .toLowerCase()
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  if (announced.length !== trailers.size || announced.some((name) => !trailers.has(name)))
    throw badTrailer();
  if (announced.some((name) => !CHECKSUM_HEADER.test(name)))
    throw new AwsError("NotImplemented", "A trailer you provided is not implemented", 501);
  return { bytes, trailers };
};

const badDigest = (what: string) =>
  new AwsError("BadDigest", `The ${what} you specified did not match the calculated checksum.`);

/**
 * The body of `request` (its `x-amz-content-sha256` is part of the signature, so the kernel has checked that) as its sender meant it.
 * @throws {AwsError} BadDigest, IncompleteBody, EntityTooLarge and others when it did not arrive as it was sent.
 */
export function receive(request: AwsRequest): Upload {
  const { headers } = unify(request);
  const announcedLength = headers.get("content-length");
  if (announcedLength !== undefined) checkSize(length(announcedLength));
  const { bytes, trailers } = unframe(headers, request.body);
  const md5 = headers.get("content-md5");
  if (md5 !== undefined) {
    if (!isChecksumValue("md5", md5))
      throw new AwsError("InvalidDigest", "The Content-MD5 you specified was invalid.");
    if (checksumOf("md5", bytes) !== md5) throw badDigest("Content-MD5");
  }
  const sent = sentChecksums([...headers, ...trailers]);
  if (sent.length > 1)
    throw new AwsError(
      "InvalidRequest",
      "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    );
  const [checksum] = sent;
  const announced = headers.get("x-amz-sdk-checksum-algorithm")?.toLowerCase();
  if (announced !== undefined && checksum?.algorithm !== announced)
    throw new AwsError(
      "InvalidRequest",
      "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
    );
  if (checksum !== undefined && checksumOf(checksum.algorithm, bytes) !== checksum.value)
    throw badDigest(checksum.algorithm.toUpperCase());
  return {
    bytes,
    ...(checksum === undefined ? {} : { checksum }),
    vouched: checksum !== undefined || md5 !== undefined,
  };
}
