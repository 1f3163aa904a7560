import {
  GetRolePolicyCommand,
  type IAMClient,
  NoSuchEntityException,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import type { DenyList } from "@stint/broker/ports";
import { GRANT_ID } from "@stint/core/id";
import * as z from "zod/mini";

export const POLICY_NAME = "StintRevoked";

/** All inline policies of a role together, without white space. A target role's permissions are managed ones. */
const INLINE_LIMIT = 10_240;
/** Room for the one further statement that denies by time of issue. */
const WATERMARK_RESERVE = 200;
const ID_LENGTH = '"g000000000000000",'.length;

const document = (ids: readonly string[]) =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      {
        Sid: POLICY_NAME,
        Effect: "Deny",
        Action: "*",
        Resource: "*",
        Condition: { StringEquals: { "aws:SourceIdentity": ids } },
      },
    ],
  });

const ours = z.strictObject({
  Version: z.literal("2012-10-17"),
  Statement: z.tuple([
    z.strictObject({
      Sid: z.literal(POLICY_NAME),
      Effect: z.literal("Deny"),
      Action: z.literal("*"),
      Resource: z.literal("*"),
      Condition: z.strictObject({
        StringEquals: z.strictObject({
          "aws:SourceIdentity": z.array(z.string().check(z.regex(GRANT_ID))),
        }),
      }),
    }),
  ]),
});

/** The inline policy that denies every session of the grants that it names. */
export const createDenyList = (iam: IAMClient): DenyList => ({
  capacity: Math.floor((INLINE_LIMIT - WATERMARK_RESERVE - document([]).length) / ID_LENGTH),

  async read(role) {
    try {
      const { PolicyDocument } = await iam.send(
        new GetRolePolicyCommand({ RoleName: roleName(role), PolicyName: POLICY_NAME }),
      );
      const parsed = ours.safeParse(json(decodeURIComponent(PolicyDocument ?? "")));
      return parsed.data?.Statement[0].Condition.StringEquals["aws:SourceIdentity"];
    } catch (error) {
      if (error instanceof NoSuchEntityException) return undefined;
      throw error;
    }
  },

  async write(role, grantIds) {
    await iam.send(
      new PutRolePolicyCommand({
        RoleName: roleName(role),
        PolicyName: POLICY_NAME,
        PolicyDocument: document(grantIds),
      }),
    );
  },
});

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
