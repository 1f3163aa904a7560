/** Attributes of messages (what they look like, their MD5) and of queues (names, ranges, defaults). */
import { createHash } from "node:crypto";
import { AwsError, type Delivery } from "../service.ts";

export interface MessageAttribute {
  readonly DataType: string;
  readonly StringValue?: string | undefined;
  /** Base64, as on the wire. */
  readonly BinaryValue?: string | undefined;
}

export type MessageAttributes = Readonly<Record<string, MessageAttribute>>;

/** A delivery to a queue by a service that also sets message attributes, as dead letters have them. */
export interface QueueDelivery extends Delivery {
  readonly messageAttributes?: MessageAttributes;
}

/** Texts as string attributes. */
export function messageAttributesOf(texts: Readonly<Record<string, string>>): MessageAttributes {
  return Object.fromEntries(
    Object.entries(texts).map(([name, text]) => [name, { DataType: "String", StringValue: text }]),
  );
}

export function md5(text: string | Uint8Array): string {
  return createHash("md5").update(text).digest("hex");
}

/** SQS's digest of attributes: sorted by name, each part with its length before it. */
export function md5OfAttributes(attributes: MessageAttributes): string {
  const hash = createHash("md5");
  const add = (bytes: Uint8Array) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    hash.update(length).update(bytes);
  };
  for (const name of Object.keys(attributes).sort()) {
    const attribute = attributes[name];
    if (attribute === undefined) continue;
    add(Buffer.from(name));
    add(Buffer.from(attribute.DataType));
    const binary = attribute.BinaryValue !== undefined;
    hash.update(Uint8Array.of(binary ? 2 : 1));
    add(valueBytes(attribute));
  }
  return hash.digest("hex");
}

function valueBytes(attribute: MessageAttribute): Uint8Array {
  return attribute.BinaryValue === undefined
    ? Buffer.from(attribute.StringValue ?? "")
    : Buffer.from(attribute.BinaryValue, "base64");
}

/** Bytes that count against the size limit of a message. */
export function attributesSize(attributes: MessageAttributes): number {
  let size = 0;
  for (const [name, attribute] of Object.entries(attributes)) {
    size += Buffer.byteLength(name) + Buffer.byteLength(attribute.DataType);
    size += valueBytes(attribute).length;
  }
  return size;
}

/** @throws {AwsError} `InvalidParameterValue` as SQS words it. */
export function checkMessageAttributes(attributes: MessageAttributes): void {
  const names = Object.keys(attributes);
  if (names.length > 10) {
    throw parameterError(
      `Number of message attributes [${names.length}] exceeds the allowed maximum [10].`,
    );
  }
  for (const name of names) {
    const { DataType, StringValue, BinaryValue } = attributes[name] ?? { DataType: "" };
    const plain = /^[A-Za-z0-9_.-]{1,256}$/.test(name) && !/^\.|\.$|\.\./.test(name);
    if (!plain || /^(aws|amazon)\./i.test(name)) {
      throw parameterError(`Message (user) attribute name '${name}' is invalid.`);
    }
    if (!/^(String|Number|Binary)(\..+)?$/.test(DataType)) {
      throw parameterError(
        `The message (user) attribute '${name}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.`,
      );
    }
    const value = DataType.startsWith("Binary") ? BinaryValue : StringValue;
    const other = DataType.startsWith("Binary") ? StringValue : BinaryValue;
    if (value === undefined || value === "" || other !== undefined) {
      throw parameterError(
        `The message (user) attribute '${name}' must contain a non-empty value of type '${DataType}'.`,
      );
    }
    if (DataType.startsWith("Number") && (value.trim() === "" || Number.isNaN(Number(value)))) {
      throw parameterError(
        `Can't cast the value of message (user) attribute '${name}' to a number.`,
      );
    }
  }
}

/** Those of a message's attributes that a receiver asked for: exact names, `All`, `.*` or `prefix.*`. */
export function pickAttributes(
  attributes: MessageAttributes,
  asked: readonly string[],
): MessageAttributes {
  const wanted = (name: string) =>
    asked.some(
      (ask) =>
        ask === "All" ||
        ask === ".*" ||
        ask === name ||
        (ask.endsWith(".*") && name.startsWith(ask.slice(0, -1))),
    );
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => wanted(name)));
}

export interface RedrivePolicy {
  readonly deadLetterTargetArn: string;
  readonly maxReceiveCount: number;
}

/** Reads a RedrivePolicy, or gives `undefined` where it is none. */
export function parseRedrivePolicy(text: string): RedrivePolicy | undefined {
  const parsed = parseJson(text);
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const { deadLetterTargetArn, maxReceiveCount, ...others } = {
    deadLetterTargetArn: undefined,
    maxReceiveCount: undefined,
    ...parsed,
  } as Record<string, unknown>; // spread of an object: its members are unknown, not its shape
  const count = Number(maxReceiveCount);
  if (typeof deadLetterTargetArn !== "string" || Object.keys(others).length > 0) return undefined;
  if (!Number.isInteger(count) || count < 1 || count > 1000) return undefined;
  return { deadLetterTargetArn, maxReceiveCount: count };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const between = (min: number, max: number) => (value: string) =>
  /^\d+$/.test(value) && Number(value) >= min && Number(value) <= max;
const oneOf =
  (...values: string[]) =>
  (value: string) =>
    values.includes(value);
const jsonObject = (value: string) => value === "" || typeof parseJson(value) === "object";

/** What may be set, and which values are valid. */
const settable: Readonly<Record<string, (value: string) => boolean>> = {
  DelaySeconds: between(0, 900),
  MaximumMessageSize: between(1024, 1_048_576),
  MessageRetentionPeriod: between(60, 1_209_600),
  ReceiveMessageWaitTimeSeconds: between(0, 20),
  VisibilityTimeout: between(0, 43_200),
  Policy: jsonObject,
  RedrivePolicy: (value) => value === "" || parseRedrivePolicy(value) !== undefined,
  RedriveAllowPolicy: jsonObject,
  KmsMasterKeyId: () => true,
  KmsDataKeyReusePeriodSeconds: between(60, 86_400),
  SqsManagedSseEnabled: oneOf("true", "false"),
  ContentBasedDeduplication: oneOf("true", "false"),
  DeduplicationScope: oneOf("messageGroup", "queue"),
  FifoThroughputLimit: oneOf("perQueue", "perMessageGroupId"),
};

const fifoOnly = ["ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"];

export const defaultAttributes: Readonly<Record<string, string>> = {
  DelaySeconds: "0",
  MaximumMessageSize: "1048576",
  MessageRetentionPeriod: "345600",
  ReceiveMessageWaitTimeSeconds: "0",
  VisibilityTimeout: "30",
  SqsManagedSseEnabled: "true",
};

/** Every name that GetQueueAttributes knows. */
export const attributeNames: ReadonlySet<string> = new Set([
  ...Object.keys(settable),
  "All",
  "ApproximateNumberOfMessages",
  "ApproximateNumberOfMessagesDelayed",
  "ApproximateNumberOfMessagesNotVisible",
  "CreatedTimestamp",
  "LastModifiedTimestamp",
  "QueueArn",
  "FifoQueue",
]);

/** @throws {AwsError} where an attribute does not exist, is not for this kind of queue, or has a wrong value. */
export function checkQueueAttributes(
  attributes: Readonly<Record<string, string>>,
  fifo: boolean,
): void {
  for (const [name, value] of Object.entries(attributes)) {
    const valid = Object.hasOwn(settable, name) ? settable[name] : undefined;
    if (valid === undefined || (!fifo && fifoOnly.includes(name))) {
      throw new AwsError("InvalidAttributeName", `Unknown Attribute ${name}.`);
    }
    if (!valid(value)) {
      throw new AwsError("InvalidAttributeValue", `Invalid value for the parameter ${name}.`);
    }
  }
}

/** Whether a new queue is to be FIFO, which its name and its attribute must both say. @throws {AwsError} */
export function checkName(name: string, fifoQueue: string | undefined): boolean {
  const fifo = name.endsWith(".fifo");
  if (name.length > 80 || !/^[A-Za-z0-9_-]+(\.fifo)?$/.test(name)) {
    throw parameterError(
      "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
    );
  }
  // FIFO queues say `true`; a standard queue leaves it out, `false` is no value.
  if (fifoQueue !== undefined && fifoQueue !== "true") {
    throw new AwsError("InvalidAttributeValue", "Invalid value for the parameter FifoQueue.");
  }
  if (fifo !== (fifoQueue === "true")) {
    throw parameterError(
      "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.",
    );
  }
  return fifo;
}

export function parameterError(message: string): AwsError {
  return new AwsError("InvalidParameterValue", message);
}
