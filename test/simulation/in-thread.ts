/**
 * WebCrypto on this thread. SDK clients and `jose` sign and verify with it, and its threads finish in an order of their
 * own: a run could not be repeated. The same answers, computed where they are asked for.
 */
import { createHash, createHmac, KeyObject, sign, verify } from "node:crypto";

/** Stands for the key of an HMAC; everything else keeps the runtime's own keys. */
class Secret {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

type Bytes = ArrayBuffer | ArrayBufferView;

const view = (data: Bytes): Uint8Array =>
  ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);

const nameOf = (algorithm: string | { readonly name: string }): string =>
  typeof algorithm === "string" ? algorithm : algorithm.name;

/** RSASSA-PKCS1-v1_5 with SHA-256 is all that is signed here. */
const keyOf = (algorithm: string | { readonly name: string }, key: CryptoKey): KeyObject => {
  if (nameOf(algorithm) !== "RSASSA-PKCS1-v1_5")
    throw new Error(`${nameOf(algorithm)} is not simulated`);
  return KeyObject.from(key);
};

let done = false;

/** For the whole process, once. */
export function stayOnThisThread(): void {
  if (done) return;
  done = true;
  const { subtle } = globalThis.crypto;
  const native = {
    importKey: subtle.importKey.bind(subtle),
    generateKey: subtle.generateKey.bind(subtle),
  };
  const replaced = {
    digest: async (algorithm: string | { readonly name: string }, data: Bytes) =>
      createHash(nameOf(algorithm).replace("-", "").toLowerCase()).update(view(data)).digest(),
    async importKey(
      format: "raw" | "jwk",
      data: Bytes | JsonWebKey,
      algorithm: { readonly name: string },
      _: boolean,
      uses: readonly KeyUsage[],
    ) {
      if (format === "raw") return new Secret(view(data as Bytes).slice()); // that format's data
      // Extractable, since only such keys may be used outside of WebCrypto.
      return native.importKey(format, data as JsonWebKey, algorithm, true, uses); // the other's data
    },
    generateKey: (algorithm: RsaHashedKeyGenParams, _: boolean, uses: readonly KeyUsage[]) =>
      native.generateKey(algorithm, true, uses),
    async sign(
      algorithm: string | { readonly name: string },
      key: CryptoKey | Secret,
      data: Bytes,
    ) {
      if (key instanceof Secret) return createHmac("sha256", key.bytes).update(view(data)).digest();
      return sign("sha256", view(data), keyOf(algorithm, key));
    },
    verify: async (
      algorithm: string | { readonly name: string },
      key: CryptoKey,
      signature: Bytes,
      data: Bytes,
    ) => verify("sha256", view(data), keyOf(algorithm, key), view(signature)),
  };
  for (const [name, value] of Object.entries(replaced))
    Object.defineProperty(subtle, name, { value, configurable: true });
}
