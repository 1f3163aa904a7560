import { createHash, createHmac, pbkdf2Sync } from "node:crypto";

/** The server's own default. More would only slow logins down: the password is 256 random bits. */
const ITERATIONS = 4096;

/**
 * What the server keeps of a password (RFC 5803). Made here, so that the password is in no statement and no server
 * log; nobody can log in with it. The password must be ASCII, for which SASLprep changes nothing.
 */
export function scramVerifier(password: string, salt: Uint8Array): string {
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, "sha256");
  const keyed = (text: string) => createHmac("sha256", salted).update(text).digest();
  const storedKey = createHash("sha256").update(keyed("Client Key")).digest("base64");
  const serverKey = keyed("Server Key").toString("base64");
  const saltText = Buffer.from(salt).toString("base64");
  return `SCRAM-SHA-256$${ITERATIONS}:${saltText}$${storedKey}:${serverKey}`;
}
