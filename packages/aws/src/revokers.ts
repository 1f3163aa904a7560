/** Who writes on a role: Stint itself in its own account, in others the revoker role that the account has for it. */
import type { IAMClient } from "@aws-sdk/client-iam";
import { AssumeRoleCommand, type STSClient } from "@aws-sdk/client-sts";
import type { IamOf } from "./deny-list.ts";
import { sessionIn } from "./sts-target.ts";
import { REVOKER_NAME } from "./target-role.ts";

type Session = ReturnType<typeof sessionIn> & { readonly expiration: Date };

interface Revokers {
  /** Stint's own account. */
  readonly account: string;
  readonly sts: STSClient;
  /** A client under a session that is asked for when it is needed, or under Stint's own role. */
  readonly iam: (session?: () => Promise<Session>) => IAMClient;
}

const SESSION_SECONDS = 900;

/** One client for each account, made when its first role is written on. */
export function createRevokers({ account, sts, iam }: Revokers): IamOf {
  const clients = new Map<string, IAMClient>();
  return (role) => {
    const of = role.split(":")[4] ?? "";
    const client = clients.get(of) ?? (of === account ? iam() : iam(() => open(sts, of)));
    clients.set(of, client);
    return client;
  };
}

async function open(sts: STSClient, account: string): Promise<Session> {
  const { Credentials } = await sts.send(
    new AssumeRoleCommand({
      RoleArn: `arn:aws:iam::${account}:role/${REVOKER_NAME}`,
      RoleSessionName: "stint-revoke",
      DurationSeconds: SESSION_SECONDS,
    }),
  );
  if (Credentials?.Expiration === undefined) throw new Error("STS answered without an end");
  return { ...sessionIn(Credentials), expiration: Credentials.Expiration };
}
