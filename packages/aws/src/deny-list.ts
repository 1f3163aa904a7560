import {
  GetRoleCommand,
  GetRolePolicyCommand,
  type IAMClient,
  NoSuchEntityException,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import type { DenyList } from "@stint/broker/ports";
import type { Listed } from "@stint/core/deny-list";
import { GRANT_ID } from "@stint/core/id";
import * as z from "zod/mini";

export const POLICY_NAME = "StintRevoked";
const WATERMARK = "StintWatermark";

/** All inline policies of a role together, without white space. A target role's permissions are managed ones. */
const INLINE_LIMIT = 10_240;
/** Room for the one further statement that denies by time of issue. */
const WATERMARK_RESERVE = 200;
const ID_LENGTH = '"g000000000000000",'.length;
/** IAM takes no empty list, and no grant has this id. */
export const NOBODY = "g000000000000000";

const denyAll = (Sid: string, Condition: object) => ({
  Sid,
  Effect: "Deny",
  Action: "*",
  Resource: "*",
  Condition,
});

/** Exported for tests, which hold it to IAM's limits. */
export const document = ({ ids, watermark }: Listed): string =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      denyAll(POLICY_NAME, {
        StringEquals: { "aws:SourceIdentity": ids.length === 0 ? [NOBODY] : ids },
      }),
      ...(watermark === undefined
        ? []
        : [
            denyAll(WATERMARK, { DateLessThanEquals: { "aws:TokenIssueTime": dateOf(watermark) } }),
          ]),
    ],
  });

/** IAM's words for a role, where it may also mean the policy. In doubt it is the policy: that is looked at further. */
const NO_ROLE = /^The role with name .+ cannot be found/i;

const dateOf = (ms: number): string => new Date(ms).toISOString().replace(".000Z", "Z");

const statement = <S extends string, C extends z.ZodMiniType>(sid: S, condition: C) =>
  z.strictObject({
    Sid: z.literal(sid),
    Effect: z.literal("Deny"),
    Action: z.literal("*"),
    Resource: z.literal("*"),
    Condition: condition,
  });

const byId = statement(
  POLICY_NAME,
  z.strictObject({
    StringEquals: z.strictObject({
      "aws:SourceIdentity": z.array(z.string().check(z.regex(GRANT_ID))),
    }),
  }),
);
const byTime = statement(
  WATERMARK,
  z.strictObject({
    DateLessThanEquals: z.strictObject({ "aws:TokenIssueTime": z.iso.datetime() }),
  }),
);
const ours = z.strictObject({
  Version: z.literal("2012-10-17"),
  Statement: z.union([z.tuple([byId]), z.tuple([byId, byTime])]),
});

/** How a role's account lets its inline policies be written. */
export type IamOf = (role: string) => IAMClient;

/** The inline policy that denies every session of the grants that it names. */
export const createDenyList = (iamOf: IamOf): DenyList => {
  /**
   * Whether a call failed for want of the role. IAM knows no path of a role that is not there, so who may touch those
   * under ours alone is denied: then the name is looked up, which may be another's by now.
   */
  const isGone = async (role: string, error: unknown): Promise<boolean> => {
    if (error instanceof NoSuchEntityException) return NO_ROLE.test(error.message);
    if (!(error instanceof Error) || error.name !== "AccessDenied") return false;
    try {
      const { Role } = await iamOf(role).send(new GetRoleCommand({ RoleName: roleName(role) }));
      return Role?.Arn !== undefined && Role.Arn !== role;
    } catch (failure) {
      // Where this is not allowed either, the first error says what is wrong.
      return failure instanceof NoSuchEntityException;
    }
  };

  const read: DenyList["read"] = async (role) => {
    try {
      const { PolicyDocument } = await iamOf(role).send(
        new GetRolePolicyCommand({ RoleName: roleName(role), PolicyName: POLICY_NAME }),
      );
      const parsed = ours.safeParse(json(decodeURIComponent(PolicyDocument ?? "")));
      if (!parsed.success) return undefined;
      const [{ Condition: list }, watermark] = parsed.data.Statement;
      const at = watermark?.Condition.DateLessThanEquals["aws:TokenIssueTime"];
      return {
        ids: list.StringEquals["aws:SourceIdentity"].filter((id) => id !== NOBODY),
        ...(at === undefined ? {} : { watermark: Date.parse(at) }),
      };
    } catch (error) {
      if (await isGone(role, error)) return "gone";
      if (error instanceof NoSuchEntityException) return undefined;
      throw error;
    }
  };

  return {
    // An empty list has one id, nobody's: so there is room for one more than beside it.
    capacity:
      1 + Math.floor((INLINE_LIMIT - WATERMARK_RESERVE - document({ ids: [] }).length) / ID_LENGTH),

    read,

    async write(role, list) {
      try {
        await iamOf(role).send(
          new PutRolePolicyCommand({
            RoleName: roleName(role),
            PolicyName: POLICY_NAME,
            PolicyDocument: document(list),
          }),
        );
        return true;
      } catch (error) {
        // Of what is named here only the role can be missing.
        if (error instanceof NoSuchEntityException || (await isGone(role, error))) return false;
        throw error;
      }
    },
  };
};

/** IAM takes the name alone, without the path. */
function roleName(arn: string): string {
  const name = arn.split("/").at(-1);
  if (name === undefined || !arn.includes(":role/stint/")) throw new Error("not a target role");
  return name;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
