/** Passwords of the roles that Stint acts as on servers: fetched when they are needed, and never written down. */
import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import { GrantError } from "@stint/core/error";
import type { AdminSecret, PostgresPlace } from "@stint/core/postgres";
import type { Secrets } from "./secrets.ts";

/** By this path SSM hands out secrets of Secrets Manager, to who may read them there. */
const SECRETS_MANAGER = "/aws/reference/secretsmanager/";
/** A token of RDS IAM authentication is good for a login that begins within this time. */
const TOKEN_SECONDS = 900;

export interface AdminSecretsSettings {
  readonly secrets: Secrets;
  readonly region: () => Promise<string>;
  readonly credentials: () => Promise<{
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  }>;
  readonly now: () => number;
}

/** @throws GrantError target_refused where there is no such secret */
export const createAdminSecrets =
  (settings: AdminSecretsSettings) =>
  async (secret: AdminSecret, place: PostgresPlace): Promise<string> => {
    if (secret.kind === "iam") return rdsToken(settings, place);
    const name = secret.kind === "secret" ? `${SECRETS_MANAGER}${secret.name}` : secret.name;
    const value = await settings.secrets.get(name);
    if (value === undefined)
      throw new GrantError("target_refused", `there is no ${secret.kind} ${secret.name}`, {
        hint: `put the password of ${place.user} on ${place.host} there`,
      });
    return secret.kind === "secret" ? passwordIn(value) : value;
  };

/** What the console makes for a database is JSON; what people put there is often the password alone. */
function passwordIn(value: string): string {
  try {
    const parsed: unknown = JSON.parse(value);
    if (typeof parsed === "object" && parsed !== null && "password" in parsed)
      if (typeof parsed.password === "string") return parsed.password;
  } catch {
    // It is the password itself.
  }
  return value;
}

/** A presigned `connect`, without its scheme, is the password. */
async function rdsToken(settings: AdminSecretsSettings, place: PostgresPlace): Promise<string> {
  const signer = new SignatureV4({
    service: "rds-db",
    region: settings.region,
    credentials: settings.credentials,
    sha256: Sha256,
  });
  const { host: hostname, port, user } = place;
  const signed = await signer.presign(
    {
      method: "GET",
      protocol: "https:",
      hostname,
      port,
      path: "/",
      query: { Action: "connect", DBUser: user },
      headers: { host: `${hostname}:${port}` },
    },
    { expiresIn: TOKEN_SECONDS, signingDate: new Date(settings.now()) },
  );
  const query = Object.entries(signed.query ?? {})
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`)
    .join("&");
  return `${hostname}:${port}/?${query}`;
}

/** Node's own hash in the shape that the signer asks for. */
class Sha256 {
  readonly #hash;
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash =
      secret === undefined ? createHash("sha256") : createHmac("sha256", bytesOf(secret));
  }
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data));
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
  reset(): void {}
}

const bytesOf = (data: string | ArrayBuffer | ArrayBufferView): Uint8Array | string => {
  if (typeof data === "string") return data;
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
};
