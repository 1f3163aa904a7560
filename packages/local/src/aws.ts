/** Local AWS: one handler behind which services live, and the pipeline that every request passes. */
import type { z } from "zod";
import { createAuthorizer } from "./authorize.ts";
import { type AdvancingClock, createClock } from "./clock.ts";
import { createFaults, type FaultPlan, under } from "./faults.ts";
import { createFunctions, type Functions } from "./functions.ts";
import {
  AwsError,
  type AwsRequest,
  type AwsResponse,
  type Call,
  type Operation,
  type Service,
  type World,
} from "./service.ts";
import { createIam, type Iam } from "./services/iam.ts";
import { createSts, type Sts } from "./services/sts.ts";
import {
  administrator,
  type Credentials,
  createSessions,
  type Identity,
  type SessionCredentials,
  sameSecret,
} from "./sessions.ts";
import { familyOf, signatureError } from "./signature-errors.ts";
import { type Claims, createVerifier, readSignature } from "./sigv4.ts";
import { listen, NoAnswer, type SdkRequestHandler, sdkRequestHandler } from "./transport.ts";
import { uuid } from "./uuid.ts";
import { createBackground, createWorld, hexOf, seededRandom } from "./world.ts";

export type ServiceFactories = Readonly<Record<string, (world: World) => Service>>;

/** What a call was and how it went; the input stays out, as it may hold secrets. */
export interface CallRecord {
  /** Epoch ms on the local clock. */
  readonly at: number;
  readonly service: string;
  readonly operation: string;
  /** The caller's ARN; empty where nobody was recognized. */
  readonly caller: string;
  readonly status: number;
  /** The error's code. */
  readonly code?: string;
  /** Real time that it took. */
  readonly ms: number;
}

export interface LocalAwsOptions<S extends ServiceFactories> {
  readonly clock?: AdvancingClock;
  /** Seed of all randomness; by default the same in every run. */
  readonly seed?: number;
  /** Real time, for signatures' dates and the `Date` header. Default `Date.now`. */
  readonly wall?: () => number;
  readonly account?: string;
  readonly region?: string;
  /** How long an IAM change takes to be in force. Default 1,000. */
  readonly iamDelayMs?: number;
  /** Services beside IAM and STS, by any name. */
  readonly services?: S;
  readonly faults?: FaultPlan;
}

export interface LocalAws<S extends ServiceFactories> {
  handle(request: AwsRequest): Promise<AwsResponse>;
  readonly requestHandler: SdkRequestHandler;
  /** What any SDK client takes to call this account as its administrator, without a socket. */
  readonly client: {
    readonly region: string;
    readonly credentials: Credentials;
    readonly requestHandler: SdkRequestHandler;
    /** For S3 alone; the others pay it no attention. */
    readonly forcePathStyle: true;
  };
  /** Serves over HTTP on loopback, until it is closed or local AWS is disposed of. Port 0 (the default) takes a free one. */
  listen(port?: number, host?: string): Promise<Listening>;
  readonly world: World;
  readonly clock: AdvancingClock;
  readonly iam: Iam;
  readonly sts: Sts;
  /** The services as their factories made them, with whatever these offer beside the API. */
  readonly services: { readonly [K in keyof S]: ReturnType<S[K]> };
  readonly functions: Functions;
  readonly faults: FaultPlan;
  /** The last thousand calls, oldest first. */
  calls(): readonly CallRecord[];
  /** What went wrong inside: unexpected exceptions, failed background work and function attempts. */
  readonly errors: unknown[];
  readonly administrator: Credentials;
  /**
   * Credentials of a role as an AWS service gets them for what runs under the role (a function's execution role):
   * its trust policy must name that service.
   */
  credentialsFor(roleArn: string, sessionName: string, service?: string): SessionCredentials;
  /** What it answers, by service. */
  operations(): readonly { readonly service: string; readonly operations: readonly string[] }[];
  /** Closes what it serves over HTTP; everything else ends with the process. */
  [Symbol.asyncDispose](): Promise<void>;
  /** Resolves when no background work is under way. */
  settle(): Promise<void>;
  /** Moves the clock, running what becomes due. */
  advance(ms: number): Promise<void>;
}

export interface Listening {
  readonly url: string;
  /** For the environment of another process, where SDKs and the CLI of any language look. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

const KEPT_CALLS = 1_000;

const unknownOperation = (service: Service, request: AwsRequest): AwsError => {
  const family = familyOf(service.name, request);
  const code = service.protocol.unknownOperationCode;
  if (code !== undefined) return new AwsError(code, "The operation is not known.");
  if (family === "query") return new AwsError("InvalidAction", "Could not find that operation.");
  if (family === "s3") return new AwsError("NotImplemented", "Not implemented here.", 501);
  return new AwsError("UnknownOperationException", "");
};

/** The first thing that is wrong with an input, in AWS's words as far as it has any. */
const invalidInput = (error: z.ZodError, protocol: Service["protocol"]): AwsError => {
  const code = protocol.validationCode ?? "ValidationException";
  const texts = error.issues.map((issue) => {
    const path = issue.path.map(String).join(".");
    if (issue.code === "unrecognized_keys")
      return `Unknown parameter in input: ${issue.keys.map((key) => [path, key].filter(Boolean).join(".")).join(", ")}`;
    return `Value at '${path}' failed to satisfy constraint: ${issue.message}`;
  });
  const count = `${texts.length} validation error${texts.length === 1 ? "" : "s"} detected`;
  return new AwsError(code, `${count}: ${texts.join("; ")}`);
};

/** One AWS account in this process. */
export const createLocalAws = <S extends ServiceFactories = Record<never, never>>(
  options: LocalAwsOptions<S> = {},
): LocalAws<S> => {
  const wall = options.wall ?? Date.now;
  const clock = options.clock ?? createClock({ wall });
  const account = options.account ?? "000000000000";
  const region = options.region ?? "us-east-1";
  const seed = options.seed ?? 1;
  const faults = options.faults ?? createFaults();
  const errors: unknown[] = [];
  const calls: CallRecord[] = [];
  const report = (error: unknown) => void errors.push(error);

  const background = createBackground(clock, report);
  clock.onSettle(background.idle);
  clock.onError(report);
  const world = createWorld({
    account,
    region,
    clock,
    random: seededRandom(seed),
    background: background.start,
    mayDeliver: (target, policy) => sts.assertMayDeliver(target, policy),
    trusts: (roleArn, service) => sts.trusts(roleArn, service),
    faults,
  });
  // Request ids have randomness of their own: a retry more must not change what services draw.
  const requestRandom = seededRandom(seed ^ 0x5bd1e995);
  const requestIds = { hex: (bytes: number) => hexOf(requestRandom, bytes) };

  const sessions = createSessions(world);
  const iam = createIam(world, { delayMs: options.iamDelayMs ?? 1_000 });
  const authorizer = createAuthorizer({ world, iam });
  const { authorize } = authorizer;
  const sts = createSts(world, { iam, sessions, authorizer });
  const functions = createFunctions(world, { failed: report, faults });
  const made: Record<string, Service> = {};
  for (const [name, factory] of Object.entries(options.services ?? {})) made[name] = factory(world);
  const services = new Map<string, Service>();
  for (const service of [iam, sts, ...Object.values(made)]) services.set(service.name, service);
  const verifier = createVerifier({ region, wall });

  const identify = (request: AwsRequest, claims: Claims): Identity => {
    const family = familyOf(claims.service, request);
    const identity = sessions.find(claims.accessKeyId);
    if (identity === undefined)
      throw signatureError(
        "unknownKey",
        family,
        family === "s3"
          ? "The AWS Access Key Id you provided does not exist in our records."
          : "The security token included in the request is invalid.",
      );
    const { sessionToken = "" } = identity;
    if (!sameSecret(sessionToken, claims.sessionToken ?? ""))
      throw signatureError(
        "badToken",
        family,
        "The security token included in the request is invalid.",
      );
    verifier.verify(request, claims, identity.secret);
    return identity;
  };

  /** A session that is over, or whose role is gone, is refused whatever it asks for. */
  const assertAlive = ({ caller }: Identity, request: AwsRequest, service: string) => {
    if (caller.session === undefined) return;
    const family = familyOf(service, request);
    if (caller.session.expiresAt <= clock.now())
      throw signatureError(
        "expiredToken",
        family,
        "The security token included in the request is expired",
      );
    if (iam.roleInForce(caller.session.roleId) === undefined)
      throw signatureError(
        "badToken",
        family,
        "The security token included in the request is invalid.",
      );
  };

  interface Progress {
    service: string;
    operation: string;
    caller: string;
    protocol: Service["protocol"] | undefined;
  }

  const serve = async (
    request: AwsRequest,
    requestId: string,
    at: Progress,
  ): Promise<AwsResponse> => {
    const claims = readSignature(request);
    at.service = claims.service;
    const service = services.get(claims.service);
    at.protocol = service?.protocol;
    if (service === undefined)
      throw signatureError(
        "wrongScope",
        familyOf(claims.service, request),
        `Credential should be scoped to a service that is known here: '${claims.service}' is not.`,
      );
    const identity = identify(request, claims);
    const { caller } = identity;
    at.caller = caller.arn;
    assertAlive(identity, request, service.name);

    const { operation: name, input: given } = service.protocol.parse(request);
    at.operation = name;
    // Own properties only: `constructor` is no operation.
    const operation: Operation | undefined = Object.hasOwn(service.operations, name)
      ? service.operations[name]
      : undefined;
    if (operation === undefined) throw unknownOperation(service, request);
    const parsed = operation.input.safeParse(given);
    if (!parsed.success) throw invalidInput(parsed.error, service.protocol);
    const input = parsed.data;

    const call: Call = { caller, request, requestId };
    const strike = faults.strike(service.name, name, input);
    const admit = () => {
      if (strike.delayMs > 0) assertAlive(identity, request, service.name);
      authorize(service.name, operation.authorize(input, call), call);
    };
    const output = await under(strike, clock, admit, () => operation.run(input, call));
    return service.protocol.render(output, name, { requestId, request });
  };

  const handle = (request: AwsRequest): Promise<AwsResponse> =>
    functions.calling(() => answer(request));

  const answer = async (request: AwsRequest): Promise<AwsResponse> => {
    const started = wall();
    const requestId = uuid(requestIds);
    const progress: Progress = { service: "", operation: "", caller: "", protocol: undefined };
    clock.stir();
    const record = (status: number, code?: string) => {
      clock.stir();
      calls.push({
        at: clock.now(),
        service: progress.service,
        operation: progress.operation,
        caller: progress.caller,
        status,
        ...(code === undefined ? {} : { code }),
        ms: wall() - started,
      });
      if (calls.length >= 2 * KEPT_CALLS) calls.splice(0, KEPT_CALLS);
    };
    let given: AwsResponse;
    try {
      given = await serve(request, requestId, progress);
      record(given.status);
    } catch (error) {
      if (error instanceof NoAnswer) {
        record(0, error.name);
        throw error;
      }
      if (!(error instanceof AwsError)) report(error);
      const shown =
        error instanceof AwsError
          ? error
          : new AwsError(
              "InternalFailure",
              "The request processing has failed because of an unknown error, exception or failure.",
              500,
            );
      const protocol = progress.protocol ?? fallbackProtocol(request);
      given = protocol.renderError(shown, requestId);
      record(given.status, shown.code);
    }
    return { ...given, headers: { date: new Date(wall()).toUTCString(), ...given.headers } };
  };

  /** For requests that name no service of ours: answered in the form that they came in. */
  const fallbackProtocol = (request: AwsRequest): Service["protocol"] => {
    const family = familyOf(undefined, request);
    const s3 = services.get("s3")?.protocol;
    if (family === "s3" && s3 !== undefined) return s3;
    return family === "json" ? jsonFallback : sts.protocol;
  };
  const jsonFallback: Service["protocol"] = {
    parse: () => {
      throw new AwsError("UnknownOperationException", "");
    },
    render: () => ({ status: 200, headers: {}, body: "" }),
    renderError: (error, requestId) => ({
      status: error.status,
      headers: {
        "content-type": "application/x-amz-json-1.1",
        "x-amzn-requestid": requestId,
        "x-amzn-errortype": error.code,
      },
      body: JSON.stringify({ __type: error.code, message: error.message }),
    }),
  };

  const requestHandler = sdkRequestHandler(handle);
  const served = new Set<Listening>();
  return {
    handle,
    requestHandler,
    client: { region, credentials: administrator, requestHandler, forcePathStyle: true },
    async listen(port = 0, host) {
      const server = await listen(handle, port, host);
      const listening: Listening = {
        url: server.url,
        env: {
          AWS_ENDPOINT_URL: server.url,
          AWS_REGION: region,
          AWS_ACCESS_KEY_ID: administrator.accessKeyId,
          AWS_SECRET_ACCESS_KEY: administrator.secretAccessKey,
        },
        async close() {
          if (served.delete(listening)) await server.close();
        },
      };
      served.add(listening);
      return listening;
    },
    operations: () =>
      [...services.values()].map(({ name, operations }) => ({
        service: name,
        operations: Object.keys(operations),
      })),
    async [Symbol.asyncDispose]() {
      await Promise.all([...served].map((each) => each.close()));
    },
    world,
    clock,
    iam,
    sts,
    services: made as { [K in keyof S]: ReturnType<S[K]> }, // filled from S, name by name
    functions,
    faults,
    calls: () => calls.slice(-KEPT_CALLS),
    errors,
    administrator,
    credentialsFor: (roleArn, sessionName, service = "lambda.amazonaws.com") =>
      sts.assumeForService(roleArn, sessionName, service),
    settle: () => clock.quiet(background.idle()),
    advance: (ms) => clock.advance(ms),
  };
};
