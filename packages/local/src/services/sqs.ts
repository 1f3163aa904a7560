/** SQS: standard and FIFO queues, dead letters, and Lambda's event source mapping. */
import { jsonProtocol } from "../protocols.ts";
import { AwsError, type Check, operation, type Service, type World } from "../service.ts";
import {
  attributeNames,
  attributesSize,
  checkName,
  checkQueueAttributes,
  defaultAttributes,
  parameterError,
  parseRedrivePolicy,
  type QueueDelivery,
} from "../sqs/attributes.ts";
import { batch, batchLimit, checkBatch, inRange } from "../sqs/batch.ts";
import { type Mapping, startMapping } from "../sqs/mapping.ts";
import { describe, record, show, systemNames, urlOf } from "../sqs/present.ts";
import {
  createQueue,
  type Deliveries,
  type Queue,
  type Received,
  type Sent,
  usual,
} from "../sqs/queue.ts";
import { type Shape, shapes } from "../sqs/shapes.ts";

export interface Sqs extends Service {
  /** Changes how queues deliver; at first each message once and in order. @throws {RangeError} for no probability */
  readonly configure: (deliveries: Partial<Deliveries>) => void;
  /**
   * Connects a function to a queue, as Lambda's event source mapping does. Returns the end of it.
   * @param to.queue the queue's name or ARN
   * @throws {AwsError} `QueueDoesNotExist`
   */
  readonly connect: (to: Mapping & { readonly queue: string }) => () => void;
}

/** The codes of the older query protocol that SDKs still compare with. */
const queryCodes: Readonly<Record<string, string>> = {
  QueueDoesNotExist: "AWS.SimpleQueueService.NonExistentQueue",
  QueueNameExists: "QueueAlreadyExists",
  ...Object.fromEntries(
    [
      "BatchEntryIdsNotDistinct",
      "BatchRequestTooLong",
      "EmptyBatchRequest",
      "InvalidBatchEntryId",
      "MessageNotInflight",
      "PurgeQueueInProgress",
      "QueueDeletedRecently",
      "TooManyEntriesInBatchRequest",
      "UnsupportedOperation",
    ].map((code) => [code, `AWS.SimpleQueueService.${code}`]),
  ),
};

const sizeLimit = 1_048_576;
const oncePerMs = 60_000;

/** SQS in `world`. Queue URLs carry the host that the caller used, so that SDKs come back to where they were. */
export const sqs = (world: World): Sqs => {
  const queues = new Map<string, Queue>();
  let deliveries = usual;
  const deletedAt = new Map<string, number>();
  const arnOf = (name: string) => `arn:aws:sqs:${world.region}:${world.account}:${name}`;
  const queueByArn = (arn: string) => {
    const queue = queues.get(arn.slice(arn.lastIndexOf(":") + 1));
    return queue?.arn === arn ? queue : undefined;
  };

  const missing = () => new AwsError("QueueDoesNotExist", "The specified queue does not exist.");
  const byName = (name: string): Queue => {
    const queue = queues.get(name);
    if (queue === undefined) throw missing();
    return queue;
  };
  const nameIn = (url: string): string => {
    const path = URL.canParse(url) ? new URL(url).pathname : "";
    const [, account, name, ...rest] = path.split("/");
    if (account !== world.account || name === undefined || name === "" || rest.length > 0) {
      throw new AwsError(
        "InvalidAddress",
        `The address ${url} is not valid for this endpoint.`,
        404,
      );
    }
    return name;
  };
  const at = (input: { readonly QueueUrl: string }) => byName(nameIn(input.QueueUrl));
  const check = (action: string, name: string): Check => {
    const policy = queues.get(name)?.attributes.get("Policy");
    return {
      action: `sqs:${action}`,
      resource: arnOf(name),
      ...(policy !== undefined && policy !== "" && { resourcePolicy: policy }),
    };
  };
  const needs = (action: string) => (input: { readonly QueueUrl: string }) => [
    check(action, nameIn(input.QueueUrl)),
  ];

  const apply = (queue: Queue, attributes: Readonly<Record<string, string>>) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (value === "") queue.attributes.delete(name);
      else queue.attributes.set(name, value);
    }
    queue.modifiedAt = world.clock.now();
  };
  const checkRedrive = (attributes: Readonly<Record<string, string>>, fifo: boolean) => {
    const text = attributes.RedrivePolicy;
    const redrive = text === undefined ? undefined : parseRedrivePolicy(text);
    if (redrive === undefined) return;
    const target = queueByArn(redrive.deadLetterTargetArn);
    if (target?.fifo === fifo) return;
    throw parameterError(
      `Value ${text} for parameter RedrivePolicy is invalid. Reason: ${target ? "Dead-letter queue must be the same type of queue as the source." : "Dead letter target does not exist."}`,
    );
  };

  const send = (queue: Queue, entry: Omit<Shape<"SendMessage">, "QueueUrl">, by: string): Sent => {
    inRange("DelaySeconds", entry.DelaySeconds, 0, 900);
    return queue.send({
      body: entry.MessageBody,
      attributes: entry.MessageAttributes ?? {},
      senderId: by,
      delaySeconds: entry.DelaySeconds,
      groupId: entry.MessageGroupId,
      deduplicationId: entry.MessageDeduplicationId,
      traceHeader: entry.MessageSystemAttributes?.AWSTraceHeader?.StringValue,
    });
  };

  const changeVisibility = (queue: Queue, handle: string, visibilitySeconds: number) => {
    inRange("VisibilityTimeout", visibilitySeconds, 0, 43_200);
    queue.changeVisibility(handle, visibilitySeconds);
  };

  /** Long polling: whoever waits looks again whenever the queue changes, until the time is over. */
  const receive = async (input: Shape<"ReceiveMessage">): Promise<Received[]> => {
    const max = input.MaxNumberOfMessages ?? 1;
    inRange("MaxNumberOfMessages", max, 1, batchLimit);
    inRange("VisibilityTimeout", input.VisibilityTimeout, 0, 43_200);
    inRange("WaitTimeSeconds", input.WaitTimeSeconds, 0, 20);
    const queue = at(input);
    const waitSeconds = input.WaitTimeSeconds ?? queue.number("ReceiveMessageWaitTimeSeconds");
    const take = () => queue.receive(max, input.VisibilityTimeout);
    const found = take();
    if (found.length > 0 || waitSeconds === 0) return found;
    return new Promise((resolve) => {
      let waiting = true;
      const done = (received: Received[]) => {
        waiting = false;
        unwatch();
        resolve(received);
      };
      const unwatch = queue.watch(() => {
        const received = waiting ? take() : [];
        if (received.length > 0) done(received);
      });
      world.clock.sleep(waitSeconds * 1000).then(() => {
        if (waiting) done([]);
      });
    });
  };

  const operations: Service["operations"] = {
    CreateQueue: operation<Shape<"CreateQueue">, unknown>({
      input: shapes.CreateQueue,
      authorize: ({ QueueName }) => [check("CreateQueue", QueueName)],
      run({ QueueName, Attributes = {} }, { request }) {
        const { FifoQueue, ...attributes } = Attributes;
        const fifo = checkName(QueueName, FifoQueue);
        checkQueueAttributes(attributes, fifo);
        checkRedrive(attributes, fifo);
        const existing = queues.get(QueueName);
        if (existing !== undefined) {
          for (const [name, value] of Object.entries(attributes)) {
            if ((existing.attributes.get(name) ?? defaultAttributes[name]) === value) continue;
            throw new AwsError(
              "QueueNameExists",
              `A queue already exists with the same name and a different value for attribute ${name}`,
            );
          }
        } else {
          const gone = deletedAt.get(QueueName);
          if (gone !== undefined && world.clock.now() < gone + oncePerMs) {
            throw new AwsError(
              "QueueDeletedRecently",
              "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            );
          }
          deletedAt.delete(QueueName);
          const queue = createQueue(world, {
            name: QueueName,
            arn: arnOf(QueueName),
            attributes: new Map(),
            defaults: defaultAttributes,
            queueByArn,
            deliveries: () => deliveries,
          });
          apply(queue, attributes);
          queues.set(QueueName, queue);
        }
        return { QueueUrl: urlOf(request, world.account, QueueName) };
      },
    }),

    GetQueueUrl: operation<Shape<"GetQueueUrl">, unknown>({
      input: shapes.GetQueueUrl,
      authorize: ({ QueueName }) => [check("GetQueueUrl", QueueName)],
      run({ QueueName, QueueOwnerAWSAccountId: owner = world.account }, { request }) {
        if (owner !== world.account) throw missing();
        byName(QueueName);
        return { QueueUrl: urlOf(request, world.account, QueueName) };
      },
    }),

    GetQueueAttributes: operation<Shape<"GetQueueAttributes">, unknown>({
      input: shapes.GetQueueAttributes,
      authorize: needs("GetQueueAttributes"),
      run(input) {
        const asked = input.AttributeNames ?? [];
        for (const name of asked) {
          if (!attributeNames.has(name)) {
            throw new AwsError("InvalidAttributeName", `Unknown Attribute ${name}.`);
          }
        }
        const all = describe(at(input));
        if (asked.includes("All")) return { Attributes: all };
        const picked = Object.entries(all).filter(([name]) => asked.includes(name));
        return picked.length === 0 ? {} : { Attributes: Object.fromEntries(picked) };
      },
    }),

    SetQueueAttributes: operation<Shape<"SetQueueAttributes">, unknown>({
      input: shapes.SetQueueAttributes,
      authorize: needs("SetQueueAttributes"),
      run(input) {
        const queue = at(input);
        checkQueueAttributes(input.Attributes, queue.fifo);
        checkRedrive(input.Attributes, queue.fifo);
        apply(queue, input.Attributes);
        return {};
      },
    }),

    ListQueues: operation<Shape<"ListQueues">, unknown>({
      input: shapes.ListQueues,
      authorize: () => [{ action: "sqs:ListQueues", resource: "*" }],
      run({ QueueNamePrefix: prefix = "", MaxResults, NextToken = "" }, { request }) {
        const after = Buffer.from(NextToken, "base64url").toString();
        const names = [...queues.keys()].filter((name) => name.startsWith(prefix) && name > after);
        const page = names.sort().slice(0, MaxResults ?? 1000);
        return {
          ...(page.length > 0 && {
            QueueUrls: page.map((name) => urlOf(request, world.account, name)),
          }),
          // Without MaxResults SQS gives no token, however many there are.
          ...(MaxResults !== undefined &&
            page.length < names.length && {
              NextToken: Buffer.from(page.at(-1) ?? "").toString("base64url"),
            }),
        };
      },
    }),

    DeleteQueue: operation<Shape<"DeleteQueue">, unknown>({
      input: shapes.DeleteQueue,
      authorize: needs("DeleteQueue"),
      run(input) {
        const { name } = at(input);
        queues.get(name)?.purge();
        queues.delete(name);
        deletedAt.set(name, world.clock.now());
        return {};
      },
    }),

    PurgeQueue: operation<Shape<"PurgeQueue">, unknown>({
      input: shapes.PurgeQueue,
      authorize: needs("PurgeQueue"),
      run(input) {
        const queue = at(input);
        if (world.clock.now() < queue.purgedAt + oncePerMs) {
          throw new AwsError(
            "PurgeQueueInProgress",
            `Only one PurgeQueue operation on ${queue.name} is allowed every 60 seconds.`,
            403,
          );
        }
        queue.purge();
        return {};
      },
    }),

    SendMessage: operation<Shape<"SendMessage">, unknown>({
      input: shapes.SendMessage,
      authorize: needs("SendMessage"),
      run: (input, { caller }) => send(at(input), input, caller.userId),
    }),

    SendMessageBatch: operation<Shape<"SendMessageBatch">, unknown>({
      input: shapes.SendMessageBatch,
      authorize: needs("SendMessage"),
      run(input, { caller }) {
        const queue = at(input);
        checkBatch("SendMessageBatchRequestEntry", input.Entries);
        let size = 0;
        for (const { MessageBody, MessageAttributes = {} } of input.Entries) {
          size += Buffer.byteLength(MessageBody) + attributesSize(MessageAttributes);
        }
        if (size > sizeLimit) {
          throw new AwsError(
            "BatchRequestTooLong",
            `Batch requests cannot be longer than ${sizeLimit} bytes. You have sent ${size} bytes.`,
          );
        }
        return batch(input.Entries, (entry) => send(queue, entry, caller.userId));
      },
    }),

    ReceiveMessage: operation<Shape<"ReceiveMessage">, unknown>({
      input: shapes.ReceiveMessage,
      authorize: needs("ReceiveMessage"),
      async run(input) {
        const system = [
          ...(input.AttributeNames ?? []),
          ...(input.MessageSystemAttributeNames ?? []),
        ];
        const unknown = system.find((name) => name !== "All" && !systemNames.has(name));
        if (unknown !== undefined) {
          throw new AwsError("InvalidAttributeName", `Unknown Attribute ${unknown}.`);
        }
        const received = await receive(input);
        if (received.length === 0) return {};
        return {
          Messages: received.map((each) => show(each, system, input.MessageAttributeNames ?? [])),
        };
      },
    }),

    DeleteMessage: operation<Shape<"DeleteMessage">, unknown>({
      input: shapes.DeleteMessage,
      authorize: needs("DeleteMessage"),
      run(input) {
        at(input).remove(input.ReceiptHandle);
        return {};
      },
    }),

    DeleteMessageBatch: operation<Shape<"DeleteMessageBatch">, unknown>({
      input: shapes.DeleteMessageBatch,
      authorize: needs("DeleteMessage"),
      run(input) {
        const queue = at(input);
        checkBatch("DeleteMessageBatchRequestEntry", input.Entries);
        return batch(input.Entries, (entry) => {
          queue.remove(entry.ReceiptHandle);
          return undefined;
        });
      },
    }),

    ChangeMessageVisibility: operation<Shape<"ChangeMessageVisibility">, unknown>({
      input: shapes.ChangeMessageVisibility,
      authorize: needs("ChangeMessageVisibility"),
      run(input) {
        changeVisibility(at(input), input.ReceiptHandle, input.VisibilityTimeout);
        return {};
      },
    }),

    ChangeMessageVisibilityBatch: operation<Shape<"ChangeMessageVisibilityBatch">, unknown>({
      input: shapes.ChangeMessageVisibilityBatch,
      authorize: needs("ChangeMessageVisibility"),
      run(input) {
        const queue = at(input);
        checkBatch("ChangeMessageVisibilityBatchRequestEntry", input.Entries);
        return batch(input.Entries, ({ ReceiptHandle, VisibilityTimeout: asked }) => {
          changeVisibility(queue, ReceiptHandle, asked ?? queue.number("VisibilityTimeout"));
          return undefined;
        });
      },
    }),
  };

  const receiver = (arn: string): Queue => {
    const queue = queueByArn(arn);
    if (queue === undefined) throw missing();
    return queue;
  };
  world.onDeliver("sqs", {
    policyOf: (arn) => receiver(arn).attributes.get("Policy"),
    async receive(delivery: QueueDelivery) {
      receiver(delivery.arn).send({
        body: delivery.payload,
        attributes: delivery.messageAttributes ?? {},
        senderId: delivery.sender,
        groupId: delivery.messageGroupId,
        deduplicationId: delivery.messageDeduplicationId,
      });
    },
  });

  return {
    name: "sqs",
    protocol: jsonProtocol({
      version: "1.0",
      target: "AmazonSQS",
      validationCode: "InvalidParameterValue",
      errorNamespace: "com.amazonaws.sqs",
      queryErrors: (code) => queryCodes[code],
    }),
    operations,
    configure(changes) {
      const next = { ...deliveries, ...changes };
      if (!(next.redeliver >= 0 && next.redeliver <= 1))
        throw new RangeError(`redeliver is 0 to 1, not ${next.redeliver}`);
      deliveries = next;
    },
    connect(to) {
      const queue = to.queue.startsWith("arn:") ? queueByArn(to.queue) : queues.get(to.queue);
      if (queue === undefined) throw missing();
      return startMapping(world, queue, to, (received) => record(received, queue, world.region));
    },
  };
};
