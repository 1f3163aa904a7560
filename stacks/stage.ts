/** What every stack asks about the deployment that it is part of. */
import { FUNCTION_PATH } from "@stint/functions/deployment";

/** With the account and the longest region's name, what is left for it in the name of a bucket. */
const STAGE = /^[a-z][a-z0-9-]{0,13}[a-z0-9]$/;

/** @throws Error for a stage whose name AWS would refuse, halfway through, in that of a bucket */
export function checkStage(): void {
  if (!STAGE.test($app.stage))
    throw new Error(
      `the stage ${$app.stage} needs another name: 2 to 15 lower-case letters, digits and hyphens`,
    );
}

/** The stage that is protected and kept. All others are somebody's own, and go without a trace. */
export const isProduction = (): boolean => $app.stage === "production";

/** The name of a part in the account: fixed, because trust policies and people refer to it. */
export const named = (part: string): string => `${$app.name}-${$app.stage}-${part}`;

/** Where a function's log is. */
export const logGroup = (door: string): string => `/aws/lambda/${named(door)}`;

/** The ARN of the role that a function runs under; of all of them for `*`. */
export const functionRole = (door: string) =>
  $interpolate`arn:aws:iam::${place().account}:role${FUNCTION_PATH}${named(door)}`;

/** Where the deployment's parameters lie: the short path is production's, so that a configuration can name it. */
export const parameterPath = (part: string): string =>
  isProduction() ? `/${$app.name}/${part}` : `/${$app.name}/${$app.stage}/${part}`;

/** How long logs and events are kept, in days and as SST says it. */
export const kept = (): { readonly days: number; readonly retention: "1 year" | "1 week" } =>
  isProduction() ? { days: 365, retention: "1 year" } : { days: 7, retention: "1 week" };

export const place = () => ({
  account: aws.getCallerIdentityOutput().accountId,
  region: aws.getRegionOutput().region,
});

type Option =
  | "STINT_CONFIG"
  | "STINT_DOMAIN"
  | "STINT_ALARM_EMAIL"
  | "STINT_VPC_SUBNETS"
  | "STINT_VPC_SECURITY_GROUPS"
  | Switch;
type Switch = "STINT_TARGET_ROLES" | "STINT_TRACES";

/** A parameter of the deployment, from the environment of `sst deploy`. */
export function option(name: Option): string | undefined {
  const value = process.env[name];
  return value === "" ? undefined : value;
}

/** Whether a parameter has its one value. @throws Error for another: what is misspelt shall not pass for unset. */
export function chosen(name: Switch, value: string): boolean {
  const given = option(name);
  if (given === undefined || given === value) return given === value;
  throw new Error(`${name} is ${value} or not set, and not ${given}`);
}
