/** A local account with SDK clients for the kernel's tests, and shorthands for roles in it. */
import {
  CreateRoleCommand,
  type CreateRoleCommandInput,
  IAMClient,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import { AssumeRoleCommand, type AssumeRoleCommandInput, STSClient } from "@aws-sdk/client-sts";
import { createLocalAws, type LocalAwsOptions, type ServiceFactories } from "../src/aws.ts";
import { type AdvancingClock, createVirtualClock } from "../src/clock.ts";
import type { Credentials } from "../src/sessions.ts";

export const START = Date.parse("2026-01-01T00:00:00Z");
export const ACCOUNT = "000000000000";
export const arnOf = (role: string) => `arn:aws:iam::${ACCOUNT}:role/${role}`;
export const ROOT = `arn:aws:iam::${ACCOUNT}:root`;

export const document = (...statements: readonly object[]): string =>
  JSON.stringify({ Version: "2012-10-17", Statement: statements });

/** Trust in the account, for everything that assuming a role can ask. */
export const trust = (principal: unknown = { AWS: ROOT }, more: object = {}): string =>
  document({
    Effect: "Allow",
    Principal: principal,
    Action: ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
    ...more,
  });

export const allowAll = document({ Effect: "Allow", Action: "*", Resource: "*" });

export const createAccount = <S extends ServiceFactories = Record<never, never>>(
  options: LocalAwsOptions<S> = {},
) => {
  const clock: AdvancingClock = options.clock ?? createVirtualClock(START);
  const aws = createLocalAws<S>({ iamDelayMs: 0, ...options, clock });
  const client = (credentials: Credentials) => ({
    region: "us-east-1",
    credentials,
    requestHandler: aws.requestHandler,
    maxAttempts: 1,
  });
  const iam = new IAMClient(client(aws.administrator));
  const stsAs = (credentials: Credentials) => new STSClient(client(credentials));
  return {
    aws,
    clock,
    client,
    iam,
    iamAs: (credentials: Credentials) => new IAMClient(client(credentials)),
    stsAs,
    /** Creates a role, by default trusting the account and with no policy. */
    async role(name: string, more: Partial<CreateRoleCommandInput> & { policy?: string } = {}) {
      const { policy, ...input } = more;
      await iam.send(
        new CreateRoleCommand({ RoleName: name, AssumeRolePolicyDocument: trust(), ...input }),
      );
      if (policy !== undefined)
        await iam.send(
          new PutRolePolicyCommand({ RoleName: name, PolicyName: "own", PolicyDocument: policy }),
        );
      return arnOf(name);
    },
    async assume(
      role: string,
      more: Partial<AssumeRoleCommandInput> = {},
      by: Credentials = aws.administrator,
    ): Promise<Credentials & { expiration: Date; answer: object }> {
      const answer = await stsAs(by).send(
        new AssumeRoleCommand({ RoleArn: arnOf(role), RoleSessionName: "one", ...more }),
      );
      const keys = answer.Credentials;
      if (!keys?.AccessKeyId || !keys.SecretAccessKey || !keys.SessionToken || !keys.Expiration)
        throw new Error("no credentials in the answer");
      return {
        accessKeyId: keys.AccessKeyId,
        secretAccessKey: keys.SecretAccessKey,
        sessionToken: keys.SessionToken,
        expiration: keys.Expiration,
        answer,
      };
    },
  };
};

/** The name of the error that `work` ends with; "none" when it does not fail. */
export const errorName = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "none",
    (error: unknown) => (error instanceof Error ? error.name : String(error)),
  );
