/** What several operations read. */
import { z } from "zod";

/** Bytes, which JSON carries as base64. */
export const bytes = (max: number) =>
  z.string().transform((text, ctx) => {
    const raw = Buffer.from(text, "base64");
    const exact = raw.toString("base64").replace(/=+$/, "") === text.replace(/=+$/, "");
    if (exact && raw.length > 0 && raw.length <= max) return new Uint8Array(raw);
    ctx.addIssue({ code: "custom", message: `Member must be base64 of 1 to ${max} bytes` });
    return z.NEVER;
  });

/** An id, an ARN, or an alias. */
export const keyId = z.string().min(1).max(2048);

/** Bytes of an answer. Told outright: a Buffer's own `toJSON` would get in before the protocol's encoding. */
export const base64 = (data: Uint8Array): string => Buffer.from(data).toString("base64");
