import { createHash } from "node:crypto";
import {
  AssumeRoleCommand,
  type AssumeRoleCommandInput,
  type Credentials,
  type STSClient,
} from "@aws-sdk/client-sts";
import type { Target } from "@stint/broker/ports";
import { GrantError } from "@stint/core/error";
import type { AwsTarget, TargetConfig } from "@stint/core/profile";
import { sessionPolicy } from "@stint/core/session-policy";

export const SHORTEST_SESSION_SECONDS = 900;
/** A Lambda's own credentials are a session, so each session that it mints is chained: an hour at most. */
const LONGEST_SESSION_SECONDS = 3600;

/** Errors by which STS says that it will never mint this; anything else may pass with a retry. */
const REFUSALS = new Set([
  "AccessDenied",
  "AccessDeniedException",
  "MalformedPolicyDocument",
  "MalformedPolicyDocumentException",
  "RegionDisabledException",
  "ValidationError",
]);

export interface SessionInput {
  readonly grant: { readonly id: string; readonly profile: string; readonly namespace: string };
  readonly target: AwsTarget;
  /** The lease's end, epoch ms. */
  readonly until: number;
  readonly seconds: number;
}

/** What STS is asked for: who it is for, what it is narrowed to, until when. */
export const sessionOf = ({ grant, target, until, seconds }: SessionInput) =>
  ({
    RoleArn: target.role,
    RoleSessionName: grant.id, // CloudTrail joins to our audit log on this
    SourceIdentity: grant.id, // what the deny list names; a session cannot change it
    Tags: [
      { Key: "stint:profile", Value: grant.profile },
      { Key: "stint:namespace", Value: grant.namespace },
    ],
    Policy: sessionPolicy({ target, namespace: grant.namespace, grantId: grant.id, until }),
    DurationSeconds: seconds,
  }) satisfies AssumeRoleCommandInput;

/**
 * Sessions of the profile's role, each narrowed to its grant. STS knows no session under 900 s; the lease's exact end
 * is inside the session policy, so that the end needs nothing from us.
 */
export const stsTarget = (sts: STSClient): Target => ({
  // In other accounts the deny list is written through the account's own revoker role.
  planned: (target) => ({ kind: "aws", role: awsOf(target).role, revocability: "next-request" }),

  async mint({ grant, target: of, until, now }) {
    const target = awsOf(of);
    try {
      const seconds = sessionSeconds(until, now);
      const { Credentials: minted } = await sts.send(
        new AssumeRoleCommand(sessionOf({ grant, target, until, seconds })),
      );
      const session = sessionIn(minted);
      return {
        credentials: { ...session, expiration: until },
        lease: {
          accessKeyId: session.accessKeyId,
          ...(minted?.Expiration === undefined
            ? {}
            : { issuedAt: minted.Expiration.getTime() - seconds * 1000 }),
          hash: createHash("sha256").update(session.secretAccessKey).digest("hex"),
        },
      };
    } catch (error) {
      throw refusal(error, target.role);
    }
  },
});

function awsOf(target: TargetConfig): AwsTarget {
  if (target.kind !== "aws") throw new Error(`STS mints nothing of kind ${target.kind}`);
  return target;
}

/** What a session is used by. @throws Error where STS left a part of it out */
export function sessionIn(minted: Credentials | undefined) {
  if (
    minted?.AccessKeyId === undefined ||
    minted.SecretAccessKey === undefined ||
    minted.SessionToken === undefined
  )
    throw new Error("STS answered without credentials");
  return {
    accessKeyId: minted.AccessKeyId,
    secretAccessKey: minted.SecretAccessKey,
    sessionToken: minted.SessionToken,
  };
}

const sessionSeconds = (until: number, now: number): number =>
  Math.min(
    LONGEST_SESSION_SECONDS,
    Math.max(SHORTEST_SESSION_SECONDS, Math.ceil((until - now) / 1000)),
  );

function refusal(error: unknown, role: string): unknown {
  if (!(error instanceof Error)) return error;
  if (error.name.startsWith("PackedPolicyTooLarge"))
    return new GrantError("policy_too_large", "the session policy and tags are too large for STS", {
      hint: "shorten the profile's statements: fewer resources, wildcards instead of lists",
      cause: error,
    });
  if (REFUSALS.has(error.name))
    return new GrantError("target_refused", `AWS refused a session of ${role}: ${error.name}`, {
      hint: "the role must exist, and its trust policy must let Stint's broker assume it",
      cause: error,
    });
  return error;
}
