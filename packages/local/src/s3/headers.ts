/** What reading and writing objects have in common: names of headers, and how an object shows in them. */
import { z } from "zod";
import type { StoredObject } from "./buckets.ts";
import { checksumOf } from "./checksums.ts";

export const text = z.string().optional();
/** Optional texts by those names. */
export const names = <const N extends readonly string[]>(...list: N) =>
  // The names are kept: fromEntries widens them to string.
  Object.fromEntries(list.map((name) => [name, text])) as Record<N[number], typeof text>;

/** Headers that come back as they were sent. */
export const STORED = [
  "content-type",
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "expires",
] as const;

/** All is encrypted under keys of S3 itself. */
export const ENCRYPTED = { "x-amz-server-side-encryption": "AES256" };

/** What nobody sent a checksum for has S3's own. */
export const checksumHeaders = (object: StoredObject): Record<string, string> => {
  const { algorithm, value } = object.checksum ?? {
    algorithm: "crc64nvme",
    value: checksumOf("crc64nvme", object.bytes),
  };
  return { [`x-amz-checksum-${algorithm}`]: value, "x-amz-checksum-type": "FULL_OBJECT" };
};
