/**
 * What a role that grants are of must look like, in whatever way it is declared: the stacks' own component, the
 * CloudFormation template and the Terraform module say the same, `stint doctor` checks a role against it, and local
 * AWS makes its roles of it. `A` is an ARN: text, or a deployment's promise of one.
 */

import type { AllowStatement } from "@stint/core/profile";

interface Statement<A> {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
  readonly Principal?: { readonly AWS: A };
  readonly Action: string | readonly string[];
  readonly Resource?: A | string | readonly string[];
  readonly Condition?: Readonly<
    Record<string, Readonly<Record<string, A | string | readonly string[]>>>
  >;
}

export interface Document<A = string> {
  readonly Version: "2012-10-17";
  readonly Statement: readonly Statement<A>[];
}

const document = <A>(...statements: readonly Statement<A>[]): Document<A> => ({
  Version: "2012-10-17",
  Statement: statements,
});

/** Target roles lie under it: the broker may assume nothing else, the revoker write on nothing else. */
export const TARGET_PATH = "/stint/";

/** Sessions are chained, so an hour is the most that STS gives. */
export const SESSION_SECONDS = 3600;

/** The parameter that every target role may read: the one call by which the revoker learns that a session is dead. */
export const PROBE_PARAMETER = "/stint/probe";

/** All that `AssumeRole` with a source identity and tags takes. */
export const TRUSTED_ACTIONS = [
  "sts:AssumeRole",
  "sts:TagSession",
  "sts:SetSourceIdentity",
] as const;

/** The tags that a session carries, and no others. */
export const SESSION_TAGS = ["stint:profile", "stint:namespace"] as const;

/**
 * The broker alone, and only with a grant's id as source identity: without one a session could not be denied. Tags are
 * a statement of their own, because AWS lists no source identity among the keys that `sts:TagSession` is asked with.
 * Nobody passes tags that are not ours, since policies of the role may trust them.
 */
export const trustDocument = <A>(broker: A): Document<A> =>
  document<A>(
    {
      Sid: "StintBroker",
      Effect: "Allow",
      Principal: { AWS: broker },
      Action: ["sts:AssumeRole", "sts:SetSourceIdentity"],
      Condition: { StringLike: { "sts:SourceIdentity": "g*" } },
    },
    {
      Sid: "StintTags",
      Effect: "Allow",
      Principal: { AWS: broker },
      Action: "sts:TagSession",
      Condition: { "ForAllValues:StringEquals": { "aws:TagKeys": SESSION_TAGS } },
    },
  );

/** The boundary's name in an account that is not Stint's own. */
export const BOUNDARY_NAME = "stint-target";

/**
 * What no target role can do, whatever its policies say: nothing by which it would free itself. It changes no identity,
 * its own least of all. And it touches no part of Stint's: who can write the broker's code, the table or the queue of
 * deny lists need not care for a policy, and who can read the token keys makes grants of its own.
 */
export const boundaryDocument = (): Document =>
  document<string>(
    { Sid: "Everything", Effect: "Allow", Action: "*", Resource: "*" },
    {
      Sid: "ButIdentities",
      Effect: "Deny",
      Action: [
        "iam:*",
        "organizations:*",
        "account:*",
        "sso:*",
        "sso-directory:*",
        "identitystore:*",
        "rolesanywhere:*",
      ],
      Resource: "*",
    },
    {
      Sid: "ButStint",
      Effect: "Deny",
      Action: "*",
      Resource: [
        "arn:aws:dynamodb:*:*:table/stint*",
        "arn:aws:lambda:*:*:function:stint-*",
        "arn:aws:scheduler:*:*:schedule/stint*",
        "arn:aws:sqs:*:*:stint-*",
        // Reading a path shows all that lies under it, whatever is denied there; `/stint/probe` stays readable.
        "arn:aws:ssm:*:*:parameter/",
        "arn:aws:ssm:*:*:parameter/stint",
        "arn:aws:ssm:*:*:parameter/stint/",
        "arn:aws:ssm:*:*:parameter/stint/*token-keys",
        "arn:aws:ssm:*:*:parameter/stint/*webhooks*",
      ],
    },
  );

/** The probe's one harmless call, in every region. */
export const probeDocument = (account: string): Document =>
  document({
    Sid: "StintProbe",
    Effect: "Allow",
    Action: "ssm:GetParameter",
    Resource: `arn:aws:ssm:*:${account}:parameter${PROBE_PARAMETER}`,
  });

/** What a grant's own parts are before there is a grant. */
const ANY_GRANT: ReadonlyArray<readonly [string, string]> = [
  ["${namespace}", "it-*"],
  ["${grant}", "g*"],
];

/**
 * What the role may do for the profiles that name it: the most that a grant can have of it. A condition that is about
 * one grant is left to the session policy, which has that grant's own.
 */
export const permissionsDocument = (allow: readonly AllowStatement[]): Document =>
  document(
    ...allow.map(({ actions, resources, condition = {} }, at): Statement<string> => {
      const general = Object.entries(condition).filter(
        ([, keys]) => !ANY_GRANT.some(([part]) => JSON.stringify(keys).includes(part)),
      );
      return {
        Sid: `Profile${at}`,
        Effect: "Allow",
        Action: actions,
        Resource: resources.map((arn) =>
          ANY_GRANT.reduce((text, [part, any]) => text.replaceAll(part, any), arn),
        ),
        ...(general.length === 0 ? {} : { Condition: Object.fromEntries(general) }),
      };
    }),
  );

/** The role, in another account, that writes deny lists there. Its path is not the targets': the broker may not try it. */
export const REVOKER_NAME = "stint-revoker";

/**
 * What the revoker may do in an account: read and write inline policies of target roles that carry the boundary, and see
 * whether a role is there at all, which IAM tells by the name alone.
 */
export const revokerDocument = <A>(of: {
  readonly account: string;
  readonly boundary: A;
}): Document<A> =>
  document<A>(
    {
      Sid: "ReadDenyLists",
      Effect: "Allow",
      Action: "iam:GetRolePolicy",
      Resource: `arn:aws:iam::${of.account}:role${TARGET_PATH}*`,
    },
    {
      Sid: "SeeWhichAreGone",
      Effect: "Allow",
      Action: "iam:GetRole",
      Resource: `arn:aws:iam::${of.account}:role/*`,
    },
    {
      Sid: "WriteDenyLists",
      Effect: "Allow",
      Action: "iam:PutRolePolicy",
      Resource: `arn:aws:iam::${of.account}:role${TARGET_PATH}*`,
      // Without it the revoker could write itself a way out of any role that lies under the path.
      Condition: { StringEquals: { "iam:PermissionsBoundary": of.boundary } },
    },
  );

/** Who may be the revoker of another account: Stint's own revoke function. */
export const revokerTrustDocument = <A>(revoker: A): Document<A> =>
  document<A>({
    Sid: "StintRevoker",
    Effect: "Allow",
    Principal: { AWS: revoker },
    Action: "sts:AssumeRole",
  });
