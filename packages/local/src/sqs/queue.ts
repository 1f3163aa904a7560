/**
 * One queue: its messages, who may see them and when. Time is the world's clock; nothing is removed by a timer,
 * everything is decided when somebody looks.
 */
import { createHash } from "node:crypto";
import { AwsError, type World } from "../service.ts";
import { uuid } from "../uuid.ts";
import {
  attributesSize,
  checkMessageAttributes,
  type MessageAttributes,
  md5,
  md5OfAttributes,
  parameterError,
  parseRedrivePolicy,
} from "./attributes.ts";

export interface Message {
  readonly id: string;
  readonly body: string;
  readonly md5: string;
  readonly attributes: MessageAttributes;
  readonly senderId: string;
  readonly sentAt: number;
  readonly groupId?: string;
  readonly deduplicationId?: string;
  readonly sequence?: string;
  readonly traceHeader?: string;
  /** ARN of the queue that gave the message up. */
  readonly deadLetterSource?: string;
  visibleAt: number;
  receives: number;
  firstReceivedAt?: number;
  lastReceivedAt: number;
  /** Of the latest receipt handle: only that one counts. */
  nonce: string;
}

/** A message as somebody received it. */
export interface Received {
  readonly message: Message;
  readonly handle: string;
}

export interface Sending {
  readonly body: string;
  readonly attributes: MessageAttributes;
  readonly senderId: string;
  readonly delaySeconds?: number | undefined;
  readonly groupId?: string | undefined;
  readonly deduplicationId?: string | undefined;
  readonly traceHeader?: string | undefined;
}

/** What the sender learns. */
export interface Sent {
  readonly MessageId: string;
  readonly MD5OfMessageBody: string;
  readonly MD5OfMessageAttributes?: string;
  readonly SequenceNumber?: string;
}

export interface Queue {
  readonly name: string;
  readonly arn: string;
  readonly fifo: boolean;
  readonly createdAt: number;
  modifiedAt: number;
  purgedAt: number;
  /** As set, without defaults. */
  readonly attributes: Map<string, string>;
  readonly number: (attribute: string) => number;
  readonly send: (sending: Sending) => Sent;
  /** Takes in a message that another queue gave up, under its own id. */
  readonly adopt: (message: Message, from: string) => void;
  readonly receive: (max: number, visibilitySeconds?: number) => Received[];
  readonly remove: (handle: string) => void;
  readonly changeVisibility: (handle: string, seconds: number) => void;
  readonly purge: () => void;
  readonly counts: () => { visible: number; inFlight: number; delayed: number };
  /** Calls `look` whenever there may be something to receive. Returns the end of that. */
  readonly watch: (look: () => void) => () => void;
}

/** What SQS leaves open about standard queues, and how much of a queue may be in flight. */
export interface Deliveries {
  /** How likely a message is to be delivered once more than it had to be, a moment after its first time; 0 to 1. */
  readonly redeliver: number;
  /** Whether messages come in any order. */
  readonly shuffle: boolean;
  /** Most messages that are received and not deleted. SQS's own is 120,000. */
  readonly inFlight: number;
}

/** As SQS is nearly always. */
export const usual: Deliveries = { redeliver: 0, shuffle: false, inFlight: 120_000 };

const deduplicationMs = 300_000;
const longestVisibilityMs = 43_200_000;
const firstSequence = 18_849_496_460_467_696_128n;

/** Makes an empty queue. `queueByArn` finds the one for dead letters. */
export function createQueue(
  world: World,
  of: {
    readonly name: string;
    readonly arn: string;
    readonly attributes: ReadonlyMap<string, string>;
    readonly defaults: Readonly<Record<string, string>>;
    readonly queueByArn: (arn: string) => Queue | undefined;
    readonly deliveries: () => Deliveries;
  },
): Queue {
  const fifo = of.name.endsWith(".fifo");
  const attributes = new Map(of.attributes);
  const messages = new Map<string, Message>();
  const duplicates = new Map<string, { readonly sent: Sent; readonly until: number }>();
  const watchers = new Set<() => void>();
  let sequence = firstSequence;
  let alarm: { readonly at: number; readonly cancel: () => void } | undefined;
  const now = () => world.clock.now();
  const number = (name: string) => Number(attributes.get(name) ?? of.defaults[name] ?? 0);

  const dropExpired = () => {
    const oldest = now() - number("MessageRetentionPeriod") * 1000;
    for (const message of messages.values()) {
      if (message.sentAt <= oldest) messages.delete(message.id);
    }
  };

  /** With somebody watching, the next message to become visible has to wake them. */
  const arm = () => {
    let next = Number.POSITIVE_INFINITY;
    if (watchers.size > 0) {
      for (const { visibleAt } of messages.values()) {
        if (visibleAt > now() && visibleAt < next) next = visibleAt;
      }
    }
    if (alarm?.at === next) return;
    alarm?.cancel();
    alarm = undefined;
    if (next === Number.POSITIVE_INFINITY) return;
    const cancel = world.clock.schedule(next, () => {
      alarm = undefined;
      changed();
    });
    alarm = { at: next, cancel };
  };

  const changed = () => {
    for (const look of [...watchers]) look();
    arm();
  };

  const check = (sending: Sending) => {
    if (sending.body === "") {
      throw new AwsError("MissingParameter", "The request must contain the parameter MessageBody.");
    }
    if (!isXmlText(sending.body)) {
      throw new AwsError("InvalidMessageContents", "Invalid characters found in message body.");
    }
    checkMessageAttributes(sending.attributes);
    const size = Buffer.byteLength(sending.body) + attributesSize(sending.attributes);
    if (size > number("MaximumMessageSize")) {
      throw parameterError(
        `One or more parameters are invalid. Reason: Message must be shorter than ${number("MaximumMessageSize")} bytes.`,
      );
    }
    for (const [name, value] of [
      ["MessageGroupId", sending.groupId],
      ["MessageDeduplicationId", sending.deduplicationId],
    ]) {
      if (value !== undefined && !/^[\x21-\x7e]{1,128}$/.test(value)) {
        throw parameterError(
          `Value ${value} for parameter ${name} is invalid. Reason: ${name} can only include alphanumeric and punctuation characters. 1 to 128 in length.`,
        );
      }
    }
    if (!fifo) {
      if (sending.deduplicationId === undefined) return;
      throw parameterError(
        `Value ${sending.deduplicationId} for parameter MessageDeduplicationId is invalid. Reason: The request include parameter that is not valid for this queue type.`,
      );
    }
    if (sending.groupId === undefined) {
      throw new AwsError(
        "MissingParameter",
        "The request must contain the parameter MessageGroupId.",
      );
    }
    if (sending.delaySeconds !== undefined && sending.delaySeconds !== 0) {
      throw parameterError(
        `Value ${sending.delaySeconds} for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type.`,
      );
    }
  };

  const deduplicationOf = (sending: Sending): string | undefined => {
    if (!fifo) return undefined;
    if (sending.deduplicationId !== undefined) return sending.deduplicationId;
    if (attributes.get("ContentBasedDeduplication") === "true") {
      return createHash("sha256").update(sending.body).digest("hex");
    }
    throw parameterError(
      "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
    );
  };

  const queue: Queue = {
    name: of.name,
    arn: of.arn,
    fifo,
    createdAt: now(),
    modifiedAt: now(),
    purgedAt: Number.NEGATIVE_INFINITY,
    attributes,
    number,

    send(sending) {
      check(sending);
      const deduplicationId = deduplicationOf(sending);
      const perGroup = attributes.get("DeduplicationScope") === "messageGroup";
      const key = perGroup ? `${sending.groupId} ${deduplicationId}` : `${deduplicationId}`;
      for (const [old, { until }] of duplicates) {
        if (until > now()) break; // in order of sending, so the rest is younger
        duplicates.delete(old);
      }
      const earlier = fifo ? duplicates.get(key) : undefined;
      if (earlier !== undefined) return earlier.sent;
      const delaySeconds = sending.delaySeconds ?? number("DelaySeconds");
      if (fifo) sequence += 256n;
      const message: Message = {
        id: uuid(world),
        body: sending.body,
        md5: md5(sending.body),
        attributes: sending.attributes,
        senderId: sending.senderId,
        sentAt: now(),
        ...(sending.groupId !== undefined && { groupId: sending.groupId }),
        ...(deduplicationId !== undefined && { deduplicationId }),
        ...(fifo && { sequence: sequence.toString() }),
        ...(sending.traceHeader !== undefined && { traceHeader: sending.traceHeader }),
        visibleAt: now() + delaySeconds * 1000,
        receives: 0,
        lastReceivedAt: 0,
        nonce: "",
      };
      messages.set(message.id, message);
      const sent: Sent = {
        MessageId: message.id,
        MD5OfMessageBody: message.md5,
        ...(Object.keys(message.attributes).length > 0 && {
          MD5OfMessageAttributes: md5OfAttributes(message.attributes),
        }),
        ...(message.sequence !== undefined && { SequenceNumber: message.sequence }),
      };
      if (fifo) duplicates.set(key, { sent, until: now() + deduplicationMs });
      changed();
      return sent;
    },

    adopt(message, from) {
      if (fifo) sequence += 256n;
      messages.set(message.id, {
        ...message,
        // In FIFO queues retention starts anew with the move, in standard ones it runs on.
        ...(fifo && { sequence: sequence.toString(), sentAt: now() }),
        deadLetterSource: from,
        visibleAt: now(),
        nonce: "",
      });
      changed();
    },

    receive(max, visibilitySeconds = number("VisibilityTimeout")) {
      dropExpired();
      const redrive = parseRedrivePolicy(attributes.get("RedrivePolicy") ?? "");
      const deadLetters = redrive && of.queueByArn(redrive.deadLetterTargetArn);
      const blocked = new Set<string | undefined>();
      const received: Received[] = [];
      const givenUp: Message[] = [];
      const { redeliver, shuffle, inFlight } = of.deliveries();
      if (messages.size >= inFlight && queue.counts().inFlight >= inFlight) {
        if (fifo) return [];
        throw new AwsError(
          "OverLimit",
          "Too many messages are in flight: delete some, or wait until their visibility timeout is over.",
          403,
        );
      }
      const order =
        shuffle && !fifo ? shuffled([...messages.values()], world.random) : messages.values();
      for (const message of order) {
        if (received.length === max) break;
        if (message.visibleAt > now()) {
          if (fifo) blocked.add(message.groupId); // order: nothing overtakes within a group
          continue;
        }
        if (fifo && blocked.has(message.groupId)) continue;
        if (redrive && deadLetters && message.receives >= redrive.maxReceiveCount) {
          givenUp.push(message);
          messages.delete(message.id);
          continue;
        }
        message.receives += 1;
        message.firstReceivedAt ??= now();
        message.lastReceivedAt = now();
        message.nonce = world.hex(8);
        const again =
          !fifo && redeliver > 0 && message.receives === 1 && world.random() < redeliver;
        message.visibleAt = now() + (again ? 1 : visibilitySeconds * 1000);
        received.push({ message, handle: handleOf(of.arn, message) });
      }
      for (const message of givenUp) deadLetters?.adopt(message, of.arn);
      arm();
      return received;
    },

    remove(handle) {
      const { message, latest } = open(handle);
      if (message === undefined) return; // deleted already: SQS calls that success
      if (fifo && (!latest || message.visibleAt <= now())) throw expired(handle);
      // A stale handle of a standard queue is accepted and does nothing: the latest receiver holds the message.
      if (!latest) return;
      messages.delete(message.id);
      changed(); // in a FIFO queue its group is free again
    },

    changeVisibility(handle, seconds) {
      const { message, latest } = open(handle);
      if (message === undefined) {
        throw parameterError(
          `Value ${handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.`,
        );
      }
      if (!latest) throw expired(handle);
      if (message.visibleAt <= now()) {
        throw new AwsError("MessageNotInflight", `Message ${message.id} is not in flight.`);
      }
      if (now() - message.lastReceivedAt + seconds * 1000 > longestVisibilityMs) {
        throw parameterError(
          `Value ${seconds} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].`,
        );
      }
      message.visibleAt = now() + seconds * 1000;
      if (seconds === 0) changed();
      else arm();
    },

    purge() {
      messages.clear();
      queue.purgedAt = now();
      arm();
    },

    counts() {
      dropExpired();
      const counts = { visible: 0, inFlight: 0, delayed: 0 };
      for (const { visibleAt, nonce } of messages.values()) {
        if (visibleAt <= now()) counts.visible += 1;
        else if (nonce === "") counts.delayed += 1;
        else counts.inFlight += 1;
      }
      return counts;
    },

    watch(look) {
      watchers.add(look);
      arm();
      return () => {
        watchers.delete(look);
        arm();
      };
    },
  };

  const open = (handle: string) => {
    const [arn, id = "", nonce] = Buffer.from(handle, "base64url").toString().split(" ");
    if (arn !== of.arn || nonce === undefined) {
      throw new AwsError(
        "ReceiptHandleIsInvalid",
        `The input receipt handle "${handle}" is not a valid receipt handle.`,
        404,
      );
    }
    const message = messages.get(id);
    return { message, latest: message?.nonce === nonce };
  };

  return queue;
}

function shuffled<T>(list: T[], random: () => number): T[] {
  for (let at = list.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    const [a, b] = [list[at], list[other]];
    // Both places are within the list.
    if (a !== undefined && b !== undefined) [list[at], list[other]] = [b, a];
  }
  return list;
}

/** Says by itself which receipt it is, so that old ones need not be kept. */
function handleOf(arn: string, message: Message): string {
  return Buffer.from(`${arn} ${message.id} ${message.nonce}`).toString("base64url");
}

function expired(handle: string): AwsError {
  return parameterError(
    `Value ${handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.`,
  );
}

/** XML 1.0's characters, the only ones that SQS carries. */
function isXmlText(text: string): boolean {
  return /^[\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]*$/u.test(text);
}
