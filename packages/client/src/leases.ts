/** Credentials that renew themselves for as long as their grant lasts, so that each can be short. */
import type { StintClient } from "./client.ts";
import { StintError } from "./error.ts";
import { awsOnly } from "./kinds.ts";
import type { CredentialsAnswer, GrantAnswer } from "./types.ts";

export interface LeaseOptions {
  readonly client: StintClient;
  /** The grant's id. */
  readonly grant: string;
  /** The grant's token; who the client asks as unless given. */
  readonly token?: string;
  /** How long each credential lasts, `60s` to `1h`. The profile's default unless given: short, since it is renewed. */
  readonly lease?: string;
  /** The answer that brought the grant, so that its credentials are used up before new ones are minted. */
  readonly held?: GrantAnswer | CredentialsAnswer;
  /** Stops the retries of a renewal. */
  readonly signal?: AbortSignal;
  /** Epoch ms; this machine's clock unless given. */
  readonly now?: () => number;
}

/**
 * Asks for what is valid now: the credentials held, or new ones when these come near their end. Callers that ask at
 * the same time share one renewal, of all targets of the grant.
 * @throws StintError `grant_ended` or `job_ended` from the grant's end on, without asking the API again; what the
 *   client throws where a renewal fails and nothing held is still valid
 */
export type Leases = () => Promise<CredentialsAnswer>;

/** As the AWS SDK for JavaScript takes it for `credentials`. */
export interface AwsIdentity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** The lease's end. */
  readonly expiration: Date;
}

/** An `AwsCredentialIdentityProvider` by its shape, so that nothing of the SDK is needed here. */
export type AwsIdentityProvider = () => Promise<AwsIdentity>;

/** AWS's SDKs begin to ask for new credentials when theirs have less left than this. */
const EARLY_MS = 5 * 60_000;

/** No two renewals sooner than this: to a machine whose clock is wrong, all that it is given looks over. */
const LEAST_APART_MS = 20_000;

/** After a renewal that failed, with something still valid in hand. */
const AGAIN_MS = 10_000;

/** From these on the grant mints nothing, whatever one does. */
const OVER: ReadonlySet<string> = new Set(["grant_ended", "job_ended"]);

interface Held {
  readonly answer: CredentialsAnswer;
  /** From when on it is renewed, and when the first of its credentials ends. Epoch ms. */
  readonly dueAt: number;
  readonly until: number;
}

/**
 * The leases of one grant, renewed when somebody asks. For several AWS targets: one of these, and `awsIdentity` for
 * each target, since a renewal mints for all of them.
 *
 * @example
 * const leases = grantLeases({ client, grant: grant.id, token });
 * const orders = new S3Client({ credentials: awsIdentity(leases, "orders") });
 * const lake = new S3Client({ credentials: awsIdentity(leases, "lake") });
 */
export function grantLeases(options: LeaseOptions): Leases {
  const { client, grant, token, lease, signal, now = Date.now } = options;
  const asked = {
    ...(token === undefined ? {} : { token }),
    ...(lease === undefined ? {} : { lease }),
    ...(signal === undefined ? {} : { signal }),
  };
  let held = holding(options.held, now());
  let over: StintError | undefined;
  let renewal: Promise<CredentialsAnswer> | undefined;

  const renew = async (): Promise<CredentialsAnswer> => {
    try {
      const answer = await client.credentials(grant, asked);
      const minted = hold(answer, now());
      held = { ...minted, dueAt: Math.max(minted.dueAt, now() + LEAST_APART_MS) };
      return answer;
    } catch (error) {
      if (error instanceof StintError && OVER.has(error.code)) {
        over = error;
        throw error;
      }
      // An API that is away for a while is no reason to stop: what is held works until its own end.
      if (held === undefined || now() >= held.until) throw error;
      held = { ...held, dueAt: Math.min(now() + AGAIN_MS, held.until) };
      return held.answer;
    }
  };

  return async () => {
    if (over !== undefined) throw over;
    if (held !== undefined && now() < held.dueAt) return held.answer;
    renewal ??= renew().finally(() => {
      renewal = undefined;
    });
    return renewal;
  };
}

const holding = (given: LeaseOptions["held"], now: number): Held | undefined =>
  given?.credentials === undefined
    ? undefined
    : hold({ grant: given.grant, credentials: given.credentials }, now);

function hold(answer: CredentialsAnswer, now: number): Held {
  const ends = Object.values(answer.credentials).map(({ expiration }) => Date.parse(expiration));
  const until = Math.min(...ends);
  // One that ends with its grant (to the second) is the last: another would end no later.
  const last = until > Date.parse(answer.grant.endsAt) - 1_000;
  return { answer, until, dueAt: last ? until : until - Math.min(EARLY_MS, (until - now) / 2) };
}

/**
 * One AWS target's credentials out of a grant's leases; the first target's unless named.
 * @throws StintError `no_target`, and what {@link Leases} throws
 */
export const awsIdentity =
  (leases: Leases, target?: string): AwsIdentityProvider =>
  async () => {
    const credentials = awsOnly((await leases()).credentials);
    const name = target ?? Object.keys(credentials)[0] ?? "";
    const found = Object.hasOwn(credentials, name) ? credentials[name] : undefined;
    if (found === undefined)
      throw new StintError({
        code: "no_target",
        detail: `the grant has no AWS target ${name}`.trimEnd(),
        hint: `targets: ${Object.keys(credentials).join(", ")}`,
      });
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = found;
    return { accessKeyId, secretAccessKey, sessionToken, expiration: new Date(expiration) };
  };

/**
 * Credentials of a grant for an AWS SDK client. They are asked for with short leases (the profile's own unless `lease`
 * says otherwise), renewed when less than five minutes or half of a lease are left, and shared by everyone who has
 * this provider. From the grant's end on it throws `grant_ended` and asks nobody any more.
 *
 * @example
 * const stint = createClient({ url: "https://stint.acme.dev", token: process.env.STINT_TOKEN ?? "" });
 * const held = await stint.request("orders-integration", { duration: "2h" });
 * const { grant, token } = held;
 * const s3 = new S3Client({
 *   credentials: grantCredentials({ client: stint, grant: grant.id, token, held }),
 * });
 */
export const grantCredentials = ({
  target,
  ...options
}: LeaseOptions & {
  /** Of several AWS targets, this one; the first unless given. */
  readonly target?: string;
}): AwsIdentityProvider => awsIdentity(grantLeases(options), target);
