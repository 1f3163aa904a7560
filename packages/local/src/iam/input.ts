/** Shapes of the query protocol's inputs, which arrive as text, and limits that IAM and STS share. */
import { z } from "zod";
import { AwsError } from "../service.ts";

/** A list; the SDK sends an empty one as an empty value. */
export const list = <T extends z.ZodType>(item: T) =>
  z.union([z.array(item), z.literal("").transform((): z.output<T>[] => [])]);

export const integer = z
  .string()
  .regex(/^\d{1,9}$/, "Member must be a whole number")
  .transform(Number);

export const tag = z.strictObject({
  Key: z
    .string()
    .min(1)
    .max(128)
    .regex(/^[\p{L}\p{Z}\p{N}_.:/=+\-@]+$/u),
  Value: z
    .string()
    .max(256)
    .regex(/^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u),
});

export type Tag = z.output<typeof tag>;

/** @throws {AwsError} for two keys that differ in case only, for reserved keys, and for more than 50. */
export const tagRecord = (tags: readonly Tag[]): Record<string, string> => {
  if (tags.length > 50)
    throw new AwsError(
      "ValidationError",
      "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50",
    );
  const seen = new Set<string>();
  for (const { Key } of tags) {
    const key = Key.toLowerCase();
    if (seen.has(key))
      throw new AwsError(
        "InvalidInput",
        "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
      );
    if (key.startsWith("aws:"))
      throw new AwsError("InvalidInput", "Tag keys that start with aws: are reserved.");
    seen.add(key);
  }
  return Object.fromEntries(tags.map(({ Key, Value }) => [Key, Value]));
};

/** `given` over `old`: a key replaces one that differs in case only. */
export const mergeTags = (
  old: Readonly<Record<string, string>>,
  given: Readonly<Record<string, string>>,
): Record<string, string> => {
  const replaced = new Set(Object.keys(given).map((key) => key.toLowerCase()));
  const kept = Object.entries(old).filter(([key]) => !replaced.has(key.toLowerCase()));
  return Object.fromEntries([...kept, ...Object.entries(given)]);
};

/** Condition keys of the tags in a request. */
export const requestTags = (
  tags: Readonly<Record<string, string>>,
): Record<string, string | string[]> => {
  const keys = Object.keys(tags);
  return {
    ...Object.fromEntries(keys.map((key) => [`aws:RequestTag/${key}`, tags[key] ?? ""])),
    ...(keys.length > 0 ? { "aws:TagKeys": keys } : {}),
  };
};
