import { CreateRoleCommand, IAMClient, PutRolePolicyCommand } from "@aws-sdk/client-iam";
import { createLocalAws, type ServiceFactories } from "../src/aws.ts";
import { createVirtualClock } from "../src/clock.ts";

/** Where the virtual clock begins. */
export const start = Date.UTC(2026, 0, 5, 12, 0, 0);
export const DAY = 86_400_000;

/** Local AWS with some services, and what an SDK client needs to be one of its callers. */
export const account = <S extends ServiceFactories>(services: S, region = "us-east-1") => {
  const aws = createLocalAws({ clock: createVirtualClock(start), iamDelayMs: 0, region, services });
  const config = { region, requestHandler: aws.requestHandler, maxAttempts: 1 };
  const administrator = { ...config, credentials: aws.administrator };
  const iam = new IAMClient(administrator);
  /** The client configuration of a new role that may do what these statements say. */
  const role = async (RoleName: string, statements: readonly object[]) => {
    const document = (Statement: readonly object[]) =>
      JSON.stringify({ Version: "2012-10-17", Statement });
    const trust = {
      Effect: "Allow",
      Principal: { Service: "lambda.amazonaws.com" },
      Action: "sts:AssumeRole",
    };
    await iam.send(
      new CreateRoleCommand({ RoleName, AssumeRolePolicyDocument: document([trust]) }),
    );
    if (statements.length > 0)
      await iam.send(
        new PutRolePolicyCommand({
          RoleName,
          PolicyName: "own",
          PolicyDocument: document(statements),
        }),
      );
    const arn = `arn:aws:iam::000000000000:role/${RoleName}`;
    return { ...config, credentials: aws.credentialsFor(arn, "test") };
  };
  return { aws, administrator, role };
};

/** Statements of one effect, in short. */
export const allow = (
  Action: string | string[],
  Resource: string | string[],
  Condition?: object,
) => ({
  Effect: "Allow",
  Action,
  Resource,
  ...(Condition && { Condition }),
});

/** The error that a call ends with, as a caller tells it: its name and HTTP status. */
export const failure = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call;
  } catch (error) {
    if (error instanceof Error && "$metadata" in error) {
      const { httpStatusCode } = error.$metadata as { httpStatusCode?: number }; // the SDK's own
      return `${error.name} ${httpStatusCode}`;
    }
    throw error;
  }
  return "no error";
};
