/** The objects of the audit log as they lie in their bucket. */
import { NAMES } from "@stint/local/roles";
import type { Sim } from "./stage.ts";

interface Answer {
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Uint8Array;
}

export interface Found {
  readonly key: string;
  readonly metadata: string;
  readonly body: ArrayBuffer;
}

/** Read from local S3 without a client: a run writes some twenty, and each call of a client costs as much as the run. */
export function objectsOf({ aws, seen }: Pick<Sim, "aws" | "seen">): readonly Found[] {
  const get = aws.services.s3.operations.GetObject;
  if (get === undefined) throw new Error("S3 has no GetObject");
  return seen.objects.map((Key) => {
    // It looks at its input alone, and answers at once.
    const answer = get.run({ Bucket: NAMES.auditBucket, Key }, undefined as never) as Answer;
    return {
      key: Key,
      metadata: JSON.stringify(answer.headers),
      body: new Uint8Array(answer.body).buffer,
    };
  });
}
