/**
 * The contract of one CI system. A pipeline is one file that knows its tokens' claims, its webhook and which facts
 * about jobs the webhook tells; everything else about identity is the same for all of them.
 */
import type { PipelineClaims } from "@stint/core/config/pipelines";
import { GrantError } from "@stint/core/error";
import type { JobKey, JobPrincipal } from "@stint/core/principal";

/** The verified payload of a token: what its issuer signed, of whatever shape. */
export type TokenClaims = Readonly<Record<string, unknown>>;

/** Request headers with lower-case names. */
export type Headers = Readonly<Record<string, string | undefined>>;

/** What a webhook may tell. Both only end things: a webhook never hands anything out. */
export type Fact =
  | { readonly kind: "job.ended"; readonly job: JobKey }
  | {
      readonly kind: "run.ended";
      readonly pipeline: string;
      readonly issuer: string;
      readonly run: string;
      readonly attempt: string;
    };

export interface Webhook {
  /** Lower-case name of the header that carries the signature. */
  readonly signatureHeader: string;
  /** Whether the sender knew the secret. Takes the bytes as they arrived, before any decoding. */
  verify(rawBody: Uint8Array, headers: Headers, secret: string): boolean | Promise<boolean>;
  /** Names the delivery, the same for each redelivery. @throws GrantError invalid_request */
  deliveryId(headers: Headers, body: unknown): string;
  /**
   * What the delivery says has ended; nothing for events that end nothing. `issuer` is the token issuer that the
   * configuration pairs with the secret, never something the payload says. @throws GrantError invalid_request
   */
  facts(headers: Headers, body: unknown, issuer: string): readonly Fact[];
}

export interface Pipeline {
  /** As in rules, principal ids and `/v1/webhooks/<name>`. */
  readonly name: string;
  /** Issuers that are trusted without an entry in the configuration. */
  readonly publicIssuers: readonly string[];
  /** What rules may match on. Personal claims are not among them. */
  readonly claims: Omit<PipelineClaims, "publicIssuers">;
  /** Claims that name a human being: they go to `principal.personal`, and no rule may match on them. */
  readonly personalClaims: readonly string[];
  /** True where a job can have as many tokens as it likes, so that each opens one grant only. */
  readonly tokensOnDemand: boolean;
  /** Which of the optional times and ids the issuer documents, and a token therefore must have. */
  readonly documents: { readonly jti: boolean; readonly nbf: boolean };
  /** Who a verified token is for. @throws GrantError unauthenticated, where a claim that this needs is missing or misshapen */
  principal(claims: TokenClaims, issuer: string): JobPrincipal;
  readonly webhook: Webhook;
}

/** The one way to turn a token away. `detail` names the check that failed and never quotes the token. */
export const unauthenticated = (detail: string, hint?: string): GrantError =>
  new GrantError("unauthenticated", detail, hint === undefined ? {} : { hint });

/**
 * A claim as text: rules compare strings, and issuers differ in whether an id or a flag is quoted.
 * @throws GrantError unauthenticated
 */
export function claimText(claims: TokenClaims, name: string): string | undefined {
  const value = claims[name];
  if (value === undefined || typeof value === "string") return value;
  if (typeof value === "boolean") return String(value);
  // A larger number has already lost digits, and would name somebody else's job.
  if (typeof value === "number" && Number.isSafeInteger(value)) return String(value);
  // Dropping it would let a token past a rule that forbids one of its values.
  throw unauthenticated(`the token's claim ${name} is neither text, a whole number nor a flag`);
}
