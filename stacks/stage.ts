/** What every stack asks about the deployment that it is part of. */

/** The stage that is protected and kept. All others are somebody's own, and go without a trace. */
export const isProduction = (): boolean => $app.stage === "production";

/** The name of a part in the account: fixed, because trust policies and people refer to it. */
export const named = (part: string): string => `${$app.name}-${$app.stage}-${part}`;

/** Where the deployment's parameters lie: the short path is production's, so that a configuration can name it. */
export const parameterPath = (part: string): string =>
  isProduction() ? `/${$app.name}/${part}` : `/${$app.name}/${$app.stage}/${part}`;

/** How long logs are kept. */
export const logRetention = (): "1 year" | "1 week" => (isProduction() ? "1 year" : "1 week");

export const place = () => ({
  account: aws.getCallerIdentityOutput().accountId,
  region: aws.getRegionOutput().region,
});

/** A parameter of the deployment, from the environment of `sst deploy`. */
export function option(
  name:
    | "STINT_CONFIG"
    | "STINT_DOMAIN"
    | "STINT_ALARM_EMAIL"
    | "STINT_TARGET_ROLES"
    | "STINT_VPC_SUBNETS"
    | "STINT_VPC_SECURITY_GROUPS",
): string | undefined {
  const value = process.env[name];
  return value === "" ? undefined : value;
}
