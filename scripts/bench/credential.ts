/** What the API hands out, and whether it still works. */
import { PutObjectCommand, S3Client, S3ServiceException } from "@aws-sdk/client-s3";
import * as z from "zod";
import type { System } from "./system.ts";

export interface Credential {
  readonly grant: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** Epoch ms. */
  readonly until: number;
}

const keys = z.object({
  accessKeyId: z.string(),
  secretAccessKey: z.string(),
  sessionToken: z.string(),
  expiration: z.string(),
});

/** An answer with a new lease, and the one with the first. */
export const issued = z.object({
  grant: z.object({ id: z.string() }),
  credentials: z.object({ aws: keys }),
});
export const opened = z.object({ ...issued.shape, token: z.string() });

/** @throws ZodError where there is none in the answer */
export function credentialIn(body: unknown): Credential {
  const { grant, credentials } = issued.parse(body);
  const { expiration, ...aws } = credentials.aws;
  return { grant: grant.id, until: Date.parse(expiration), ...aws };
}

/** Whether a credential still does what its grant is for: to write under its own prefix of the bucket. */
export async function works(system: System, Bucket: string, of: Credential): Promise<boolean> {
  const s3 = new S3Client({ ...system.client(of), forcePathStyle: true });
  try {
    await s3.send(
      new PutObjectCommand({ Bucket, Key: `it-${of.grant}/${of.accessKeyId}`, Body: "x" }),
    );
    return true;
  } catch (error) {
    const dead = ["AccessDenied", "ExpiredToken"];
    if (error instanceof S3ServiceException && dead.includes(error.name)) return false;
    throw error;
  }
}
