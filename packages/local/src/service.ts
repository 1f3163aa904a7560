/**
 * The contract between local AWS's kernel and its services: what a service brings, what it is given.
 * A service is one file: a protocol, a table of operations, and its state. It never looks at a signature or a
 * policy itself: the kernel verifies the signature, asks the operation which permissions it needs, has them
 * evaluated, and only then runs it.
 */
import type { z } from "zod";

/** One HTTP request as it arrived, whether over loopback or from an SDK's `requestHandler`. Header names are lower case. */
export interface AwsRequest {
  readonly method: string;
  /** Percent-encoded path as sent, without the query. */
  readonly path: string;
  /** Decoded query parameters in the order sent. */
  readonly query: ReadonlyArray<readonly [name: string, value: string]>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Whether it came over TLS (in the same process: was meant for it), for `aws:SecureTransport`. Default true. */
  readonly secure?: boolean;
  /** For `aws:SourceIp`. Default `127.0.0.1`. */
  readonly sourceIp?: string;
}

export interface AwsResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

/** AWS's own error: `code` is the name that the SDK shows (`ConditionalCheckFailedException`). */
export class AwsError extends Error {
  readonly code: string;
  readonly status: number;
  /** Further members of the error's shape, as `CancellationReasons` of a cancelled transaction. */
  readonly details: Readonly<Record<string, unknown>>;
  constructor(
    code: string,
    message: string,
    status = 400,
    details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
    this.name = code;
    this.code = code;
    this.status = status;
    this.details = details;
  }
}

/** Who signed a request: the account's root or a user, or a session of a role. */
export interface Caller {
  /** `arn:aws:iam::…:user/…`, or `arn:aws:sts::…:assumed-role/<role>/<session>`. */
  readonly arn: string;
  readonly account: string;
  /** `AIDA…`, or `AROA…:<session>`. */
  readonly userId: string;
  readonly accessKeyId: string;
  /** Present for sessions of a role. */
  readonly session?: RoleSession;
}

export interface RoleSession {
  readonly roleArn: string;
  readonly roleId: string;
  readonly sessionName: string;
  readonly sourceIdentity?: string;
  /** Session tags by key. */
  readonly tags: Readonly<Record<string, string>>;
  readonly transitiveTagKeys: readonly string[];
  /** The inline session policy as sent, and managed policies given by ARN. */
  readonly policy?: string;
  readonly policyArns: readonly string[];
  /** Epoch ms on the local clock. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** True when the session was itself minted by a session (role chaining). */
  readonly chained: boolean;
}

/** One permission that an operation needs before it runs. */
export interface Check {
  /** `dynamodb:PutItem`. */
  readonly action: string;
  /** ARN of the resource, or `*` where the action has none. */
  readonly resource: string;
  /** Condition keys that the service sets, by their full name (`dynamodb:LeadingKeys`). */
  readonly context?: Readonly<Record<string, string | readonly string[]>>;
  /** The policy that rests on the resource itself (bucket, key, queue), as JSON text. */
  readonly resourcePolicy?: string;
  /**
   * True where that policy has the last word, as a key's or a role's: a caller's own policies count only as far as it
   * names the account (`arn:…:root`). Default: true for `kms:` actions.
   */
  readonly resourcePolicyDecides?: boolean;
}

/** What an operation learns about the call that it serves. */
export interface Call {
  readonly caller: Caller;
  readonly request: AwsRequest;
  readonly requestId: string;
}

/**
 * One operation. `input` is strict: a parameter that is not in it is answered with the service's validation error,
 * never ignored, so that nothing passes here that AWS would have read and acted on.
 */
export interface Operation<I = unknown, O = unknown> {
  readonly input: z.ZodType<I>;
  readonly authorize: (input: I, call: Call) => readonly Check[];
  readonly run: (input: I, call: Call) => O | Promise<O>;
}

/** Ties an operation's types together where it is declared, and forgets them for the table. */
export const operation = <I, O>(of: Operation<I, O>): Operation => of as unknown as Operation;

/** How a service reads requests and writes answers. `protocols.ts` has the common ones. */
export interface Protocol {
  /** @throws {AwsError} where the request names no operation of this service or cannot be read. */
  readonly parse: (request: AwsRequest) => { readonly operation: string; readonly input: unknown };
  readonly render: (
    output: unknown,
    operation: string,
    call: { readonly requestId: string; readonly request: AwsRequest },
  ) => AwsResponse;
  readonly renderError: (error: AwsError, requestId: string) => AwsResponse;
  /** The error code for a parameter that an operation does not know. Default `ValidationException`. */
  readonly validationCode?: string;
  /** The error code for an operation that the service does not know. Default by the service's family. */
  readonly unknownOperationCode?: string;
}

export interface Service {
  /** The name in the signature's scope: `dynamodb`, `sts`, `iam`, `scheduler`, `events`, `sqs`, `s3`, `kms`, `ssm`. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly operations: Readonly<Record<string, Operation>>;
}

/** Time as services and handlers see it. Only signatures' dates and the HTTP `Date` header use the wall clock. */
export interface Clock {
  /** Epoch ms. */
  now(): number;
  /** Runs `task` once when the clock reaches `at` (at once when it is past). Returns its cancellation. */
  schedule(at: number, task: () => void | Promise<void>): () => void;
  /** Resolves when `ms` have passed on this clock. */
  sleep(ms: number): Promise<void>;
}

/** What a service may use of the world around it. */
export interface World {
  readonly account: string;
  readonly region: string;
  readonly clock: Clock;
  /** Uniform in [0, 1), seeded. The only source of randomness. */
  readonly random: () => number;
  /** `n` random bytes from `random`, as lower-case hex. */
  readonly hex: (bytes: number) => string;
  /**
   * Sends one payload to a target by its ARN (a function: asynchronous invocation; a queue: a message), as an AWS
   * service does on a rule's or schedule's behalf. With `roleArn`, that role's policies must allow it; an event without
   * one needs the target's own policy.
   * Rejects with AwsError when it was refused or the target failed.
   */
  readonly deliver: (target: Delivery) => Promise<void>;
  /** Services announce what they can receive: `onDeliver("sqs", …)`. */
  readonly onDeliver: (
    service: string,
    receiver: {
      readonly receive: (target: Delivery) => Promise<void>;
      /** The policy that rests on the target itself. @throws {AwsError} for a target that is not there */
      readonly policyOf: (arn: string) => string | undefined;
    },
  ) => void;
  /** Whether a role's trust policy lets a service assume it. */
  readonly trusts: (roleArn: string, service: string) => boolean;
  /**
   * Background work that an answer does not wait for (stream pumps, async invocations), tracked so that
   * `settle()` can wait until nothing is under way.
   */
  readonly background: (work: () => Promise<void>) => void;
}

export interface Delivery {
  readonly arn: string;
  /** JSON text, or whatever the sender sends. */
  readonly payload: string;
  readonly roleArn?: string;
  /** What it is sent for (a rule's ARN), for the target's policy. */
  readonly sourceArn?: string;
  /** Which service sends it: `scheduler.amazonaws.com`, `events.amazonaws.com`. */
  readonly sender: string;
  /** For FIFO queues. */
  readonly messageGroupId?: string;
  readonly messageDeduplicationId?: string;
}
