/**
 * Signatures over digests, as KMS makes them. Node signs messages only, and KMS may be given the digest alone: so
 * RSA is padded here and ECDSA computed from the curve's own operations.
 */
import {
  constants,
  createECDH,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  privateEncrypt,
  publicDecrypt,
  timingSafeEqual,
} from "node:crypto";
import { promisify } from "node:util";

export type HashName = "sha256" | "sha384" | "sha512";

export interface SigningAlgorithm {
  readonly kind: "pkcs1" | "pss" | "ecdsa";
  readonly hash: HashName;
}

export const SIGNING = {
  RSASSA_PKCS1_V1_5_SHA_256: { kind: "pkcs1", hash: "sha256" },
  RSASSA_PKCS1_V1_5_SHA_384: { kind: "pkcs1", hash: "sha384" },
  RSASSA_PKCS1_V1_5_SHA_512: { kind: "pkcs1", hash: "sha512" },
  RSASSA_PSS_SHA_256: { kind: "pss", hash: "sha256" },
  RSASSA_PSS_SHA_384: { kind: "pss", hash: "sha384" },
  RSASSA_PSS_SHA_512: { kind: "pss", hash: "sha512" },
  ECDSA_SHA_256: { kind: "ecdsa", hash: "sha256" },
} as const satisfies Record<string, SigningAlgorithm>;

export type SigningName = keyof typeof SIGNING;

/** Makes and checks signatures over one digest. */
export interface Signer {
  readonly publicDer: Uint8Array;
  sign(digest: Uint8Array, algorithm: SigningAlgorithm): Uint8Array;
  verify(digest: Uint8Array, signature: Uint8Array, algorithm: SigningAlgorithm): boolean;
}

const HASH_BYTES: Readonly<Record<HashName, number>> = { sha256: 32, sha384: 48, sha512: 64 };

export const hashBytes = (hash: HashName): number => HASH_BYTES[hash];

export const digestOf = (hash: HashName, message: Uint8Array): Buffer =>
  createHash(hash).update(message).digest();

const same = (a: Uint8Array, b: Uint8Array) => a.length === b.length && timingSafeEqual(a, b);

// What stands before the digest in EMSA-PKCS1-v1_5: its DER wrapping (RFC 8017, 9.2).
const DIGEST_INFO: Readonly<Record<HashName, string>> = {
  sha256: "3031300d060960864801650304020105000420",
  sha384: "3041300d060960864801650304020205000430",
  sha512: "3051300d060960864801650304020305000440",
};

const pkcs1 = (digest: Uint8Array, hash: HashName, size: number): Buffer => {
  const info = Buffer.concat([Buffer.from(DIGEST_INFO[hash], "hex"), digest]);
  const padding = Buffer.alloc(size - info.length - 3, 0xff);
  return Buffer.concat([Buffer.from([0, 1]), padding, Buffer.from([0]), info]);
};

const mask = (seed: Uint8Array, length: number, hash: HashName): Buffer => {
  const parts: Buffer[] = [];
  for (let count = 0; parts.length * HASH_BYTES[hash] < length; count += 1) {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(count);
    parts.push(createHash(hash).update(seed).update(counter).digest());
  }
  return Buffer.concat(parts).subarray(0, length);
};

const xor = (a: Uint8Array, b: Uint8Array): Buffer =>
  Buffer.from(a.map((byte, index) => byte ^ (b[index] ?? 0)));

const pssHash = (digest: Uint8Array, salt: Uint8Array, hash: HashName) =>
  createHash(hash).update(Buffer.alloc(8)).update(digest).update(salt).digest();

/** EMSA-PSS with a salt as long as the hash; our moduli have whole bytes, so that one bit is cleared. */
const pss = (digest: Uint8Array, salt: Uint8Array, hash: HashName, size: number): Buffer => {
  const h = pssHash(digest, salt, hash);
  const db = Buffer.concat([
    Buffer.alloc(size - salt.length - h.length - 2),
    Buffer.from([1]),
    salt,
  ]);
  const masked = xor(db, mask(h, db.length, hash));
  masked[0] = (masked[0] ?? 0) & 0x7f;
  return Buffer.concat([masked, h, Buffer.from([0xbc])]);
};

const pssMatches = (block: Buffer, digest: Uint8Array, hash: HashName): boolean => {
  const bytes = HASH_BYTES[hash];
  const h = block.subarray(block.length - bytes - 1, -1);
  const db = xor(
    block.subarray(0, block.length - bytes - 1),
    mask(h, block.length - bytes - 1, hash),
  );
  const salt = db.subarray(db.length - bytes);
  // Made anew from the salt found in it, the block must be the same in every bit.
  return same(pss(digest, salt, hash, block.length), block);
};

export const rsaSigner = async (
  bits: 2048 | 3072 | 4096,
  randomBytes: (count: number) => Buffer,
): Promise<Signer> => {
  const { privateKey, publicKey } = await promisify(generateKeyPair)("rsa", {
    modulusLength: bits,
  });
  const size = bits / 8;
  const padding = constants.RSA_NO_PADDING;
  return {
    publicDer: publicKey.export({ type: "spki", format: "der" }),
    sign(digest, { kind, hash }) {
      const block =
        kind === "pss"
          ? pss(digest, randomBytes(HASH_BYTES[hash]), hash, size)
          : pkcs1(digest, hash, size);
      return privateEncrypt({ key: privateKey, padding }, block);
    },
    verify(digest, signature, { kind, hash }) {
      if (signature.length !== size) return false;
      let block: Buffer;
      try {
        block = publicDecrypt({ key: publicKey, padding }, signature);
      } catch {
        return false; // a number beyond the modulus
      }
      if (kind === "pss") return pssMatches(block, digest, hash);
      return same(pkcs1(digest, hash, size), block);
    },
  };
};

// The order of NIST P-256.
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

const toBig = (bytes: Uint8Array): bigint =>
  BigInt(`0x${Buffer.from(bytes).toString("hex") || "0"}`);
const to32 = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, "0"), "hex");
const mod = (value: bigint): bigint => ((value % N) + N) % N;

const inverse = (value: bigint): bigint => {
  let [a, b, x, y] = [mod(value), N, 1n, 0n];
  while (a > 1n) {
    const quotient = b / a;
    [a, b] = [b % a, a];
    [x, y] = [y - quotient * x, x];
  }
  return mod(x);
};

/** The x coordinate of `scalar` times the curve's generator. */
const pointX = (scalar: bigint): bigint => {
  const curve = createECDH("prime256v1");
  curve.setPrivateKey(to32(scalar));
  return toBig(curve.getPublicKey().subarray(1, 33));
};

const derInteger = (value: bigint): Buffer => {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  const signed = (bytes[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes;
  return Buffer.concat([Buffer.from([2, signed.length]), signed]);
};

const derSignature = (r: bigint, s: bigint): Buffer => {
  const inner = Buffer.concat([derInteger(r), derInteger(s)]);
  return Buffer.concat([Buffer.from([0x30, inner.length]), inner]);
};

const readDer = (der: Uint8Array): { r: bigint; s: bigint } | undefined => {
  const at = (der[3] ?? 0) + 4;
  const r = toBig(der.subarray(4, at));
  const s = toBig(der.subarray(at + 2));
  // Written anew it must be the same: no other encoding of the two numbers counts.
  return same(derSignature(r, s), der) ? { r, s } : undefined;
};

const jwk = (scalar: bigint): KeyObject => {
  const curve = createECDH("prime256v1");
  curve.setPrivateKey(to32(scalar));
  const point = curve.getPublicKey();
  const part = (bytes: Buffer) => bytes.toString("base64url");
  return createPrivateKey({
    format: "jwk",
    key: {
      kty: "EC",
      crv: "P-256",
      d: part(to32(scalar)),
      x: part(point.subarray(1, 33)),
      y: part(point.subarray(33)),
    },
  });
};

/** ECDSA on P-256; the same seed gives the same key and, by nonces from key and digest, the same signatures. */
export const p256Signer = (randomBytes: (count: number) => Buffer): Signer => {
  const d = mod(toBig(randomBytes(40)) % (N - 1n)) + 1n;
  const nonce = (z: bigint, attempt: number): bigint => {
    const seed = createHmac("sha512", to32(d)).update(to32(z)).update(String(attempt)).digest();
    return (toBig(seed) % (N - 1n)) + 1n;
  };
  return {
    publicDer: createPublicKey(jwk(d)).export({ type: "spki", format: "der" }),
    sign(digest) {
      const z = mod(toBig(digest));
      for (let attempt = 0; ; attempt += 1) {
        const k = nonce(z, attempt);
        const r = mod(pointX(k));
        const s = mod(inverse(k) * (z + r * d));
        if (r !== 0n && s !== 0n) return derSignature(r, s);
      }
    },
    verify(digest, signature) {
      const read = readDer(signature);
      if (read === undefined) return false;
      const { r, s } = read;
      if (r <= 0n || r >= N || s <= 0n || s >= N) return false;
      const w = inverse(s);
      // zG/s + rQ/s is (z + rd)/s times G for whoever has d, which saves adding points.
      const scalar = mod((mod(toBig(digest)) + r * d) * w);
      return scalar !== 0n && mod(pointX(scalar)) === r;
    },
  };
};
