/**
 * Keys as texts whose order by code units is DynamoDB's order, so that one ordered tree of texts holds a table or an
 * index, and every key condition is one stretch of it:
 *
 *     hash(partition) partition NUL NUL [sort NUL NUL] [the same for the table's own key, in an index]
 *
 * The hash in front scatters partitions, as in AWS, so that nobody comes to rely on the order of a scan.
 */
import { encodeNumber } from "./numbers.ts";
import { type AttributeValue, binaryOrder, codePointOrder } from "./values.ts";

/** A NUL inside a part is written NUL SOH, so that the end mark sorts before every continuation. */
const END = "\0\0";
/** Above every text that continues after an end mark, or after any part of a key: those never reach U+FFFF there. */
export const AFTER = "\uffff";

const escaped = (part: string): string =>
  part.includes("\0") ? part.replaceAll("\0", "\0\u0001") : part;

function encodeScalar(value: AttributeValue): string {
  if ("S" in value) return escaped(codePointOrder(value.S));
  if ("N" in value) return encodeNumber(value.N);
  if ("B" in value) return escaped(binaryOrder(value.B));
  throw new TypeError("only S, N and B can be keys");
}

const HASH_BITS = 28;

/** FNV-1a, as four units of 7 bits: a key in ASCII stays a string of single bytes, which is smaller and faster. */
function scatter(part: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < part.length; at++) hash = Math.imul(hash ^ part.charCodeAt(at), 0x01000193);
  // One more round: FNV leaves short texts close together in the upper bits.
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return hashText((hash ^ (hash >>> 12)) >>> (32 - HASH_BITS));
}

const hashText = (hash: number): string =>
  String.fromCharCode(hash >>> 21, (hash >>> 14) & 0x7f, (hash >>> 7) & 0x7f, hash & 0x7f);

/** The stretch of a partition begins with this. */
export function partitionKey(value: AttributeValue): string {
  const part = encodeScalar(value);
  return scatter(part) + part + END;
}

/** A sort key with its end mark. */
export const sortKey = (value: AttributeValue): string => encodeScalar(value) + END;

/** A beginning of sort keys, for `begins_with`. */
export const sortPrefix = (value: AttributeValue): string => encodeScalar(value);

/** Where a parallel scan's segment begins; the next one's beginning is its end. */
export const segmentStart = (segment: number, of: number): string =>
  segment === 0
    ? ""
    : segment >= of
      ? AFTER
      : hashText(Math.floor((segment * 2 ** HASH_BITS) / of));
