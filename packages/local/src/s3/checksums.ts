/** The checksums that clients send with an upload, and S3 keeps with the object. */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

export type ChecksumAlgorithm =
  | "crc32"
  | "crc32c"
  | "crc64nvme"
  | "sha1"
  | "sha256"
  | "sha512"
  | "md5";

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Base64, as on the wire. */
  readonly value: string;
}

// Bit-reversed polynomials. A 64-bit remainder lives in two 32-bit halves: BigInt is 30 times slower.
const CRC32C = 0x82f63b78;
const CRC64NVME = { high: 0x9a6c9329, low: 0xac4bc9b5 };

const table32 = (polynomial: number): Uint32Array =>
  Uint32Array.from({ length: 256 }, (_, index) => {
    let rest = index;
    for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ polynomial : rest >>> 1;
    return rest >>> 0;
  });

const table64 = (polynomial: { high: number; low: number }) => {
  const high = new Uint32Array(256);
  const low = new Uint32Array(256);
  for (let index = 0; index < 256; index += 1) {
    let h = 0;
    let l = index;
    for (let bit = 0; bit < 8; bit += 1) {
      const odd = l & 1;
      l = ((l >>> 1) | (h << 31)) >>> 0;
      h >>>= 1;
      if (odd) {
        h = (h ^ polynomial.high) >>> 0;
        l = (l ^ polynomial.low) >>> 0;
      }
    }
    high[index] = h;
    low[index] = l;
  }
  return { high, low };
};

const castagnoli = table32(CRC32C);
const nvme = table64(CRC64NVME);

const entry = (table: Uint32Array, index: number): number => table[index & 0xff] ?? 0;

const bytes32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value >>> 0);
  return out;
};

const crc32c = (data: Uint8Array): Buffer => {
  let rest = 0xffffffff;
  for (const byte of data) rest = (rest >>> 8) ^ entry(castagnoli, rest ^ byte);
  return bytes32(~rest);
};

const crc64nvme = (data: Uint8Array): Buffer => {
  let high = 0xffffffff;
  let low = 0xffffffff;
  for (const byte of data) {
    const index = low ^ byte;
    low = ((low >>> 8) | (high << 24)) ^ entry(nvme.low, index);
    high = (high >>> 8) ^ entry(nvme.high, index);
  }
  return Buffer.concat([bytes32(~high), bytes32(~low)]);
};

const hash = (name: string) => (data: Uint8Array) => createHash(name).update(data).digest();

const ALGORITHMS = {
  crc32: { bytes: 4, of: (data: Uint8Array) => bytes32(crc32(data)) },
  crc32c: { bytes: 4, of: crc32c },
  crc64nvme: { bytes: 8, of: crc64nvme },
  sha1: { bytes: 20, of: hash("sha1") },
  sha256: { bytes: 32, of: hash("sha256") },
  sha512: { bytes: 64, of: hash("sha512") },
  md5: { bytes: 16, of: hash("md5") },
} satisfies Record<ChecksumAlgorithm, { bytes: number; of: (data: Uint8Array) => Buffer }>;

export const isChecksumAlgorithm = (name: string): name is ChecksumAlgorithm =>
  Object.hasOwn(ALGORITHMS, name);

/** Base64 of the checksum of `data`. */
export const checksumOf = (algorithm: ChecksumAlgorithm, data: Uint8Array): string =>
  ALGORITHMS[algorithm].of(data).toString("base64");

/** Whether `value` is base64 of as many bytes as the algorithm gives. */
export const isChecksumValue = (algorithm: ChecksumAlgorithm, value: string): boolean => {
  const raw = Buffer.from(value, "base64");
  return raw.length === ALGORITHMS[algorithm].bytes && raw.toString("base64") === value;
};
