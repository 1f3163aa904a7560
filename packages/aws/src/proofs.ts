/** That a deny list holds: asked for by a queue, and seen by a session that the list names. */
import { SendMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";
import { GetParameterCommand, type SSMClient } from "@aws-sdk/client-ssm";
import { AssumeRoleCommand, type STSClient } from "@aws-sdk/client-sts";
import type { Prober, ProofRequest, ProofRequests } from "@stint/broker/ports";
import { GRANT_ID } from "@stint/core/id";
import * as z from "zod/mini";
import { SHORTEST_SESSION_SECONDS, sessionIn } from "./sts-target.ts";
import { PROBE_PARAMETER } from "./target-role.ts";

export const proofMessage = z.strictObject({
  role: z.string().check(z.minLength(1)),
  deniedAt: z.int(),
  until: z.int(),
  grants: z.array(z.string().check(z.regex(GRANT_ID))),
}) satisfies z.ZodMiniType<ProofRequest>;

export const createProofRequests = (sqs: SQSClient, queueUrl: string): ProofRequests => ({
  async ask(request) {
    await sqs.send(
      new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: JSON.stringify(request) }),
    );
  },
});

const probePolicy = JSON.stringify({
  Version: "2012-10-17",
  Statement: [
    {
      Effect: "Allow",
      Action: "ssm:GetParameter",
      Resource: `arn:aws:ssm:*:*:parameter${PROBE_PARAMETER}`,
    },
  ],
});

/** A client of a session's own, in a region; without one, where Stint is. */
export type SsmOf = (
  credentials: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken: string;
  },
  region: string | undefined,
) => SSMClient;

/**
 * Sessions that may do the one harmless thing that every target role allows for this. Only the refusal that names an
 * explicit deny of the role's own policies is a proof: a new session, a missing permission or an outage refuse too.
 */
export const createProber = (sts: STSClient, ssmOf: SsmOf): Prober => ({
  async open(role, grant, regions) {
    const { Credentials: minted } = await sts.send(
      new AssumeRoleCommand({
        RoleArn: role,
        RoleSessionName: grant,
        SourceIdentity: grant,
        Policy: probePolicy,
        DurationSeconds: SHORTEST_SESSION_SECONDS,
      }),
    );
    const session = sessionIn(minted);
    const everywhere = regions.length === 0 ? [undefined] : regions;
    const clients = everywhere.map((region) => ssmOf(session, region));
    return async () => (await Promise.all(clients.map(refuses))).every(Boolean);
  },
});

async function refuses(ssm: SSMClient): Promise<boolean> {
  try {
    await ssm.send(new GetParameterCommand({ Name: PROBE_PARAMETER }));
    return false;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (error.name === "ParameterNotFound") return false;
    if (!error.name.startsWith("AccessDenied")) throw error;
    return error.message.includes("explicit deny in an identity-based policy");
  }
}
