/** What Parameter Store takes as a name, a path, and a value of a tier. */
import { AwsError } from "../service.ts";

export type Tier = "Standard" | "Advanced";

const LIMITS: Readonly<Record<Tier, number>> = { Standard: 4096, Advanced: 8192 };
const MAX_LEVELS = 15;
const MAX_NAME = 1011;

const invalid = (message: string) => new AwsError("ValidationException", message);

/**
 * The name that is meant by a name or an ARN. An ARN leaves out the leading slash, so that what exists decides
 * which of both spellings it stands for.
 */
export const nameOf = (
  given: string,
  arnPrefix: string,
  exists: (name: string) => boolean,
): string => {
  if (!given.startsWith("arn:")) return given;
  if (!given.startsWith(arnPrefix)) throw invalid(`Invalid parameter ARN: ${given}`);
  const bare = given.slice(arnPrefix.length);
  if (exists(bare)) return bare;
  return bare.includes("/") || exists(`/${bare}`) ? `/${bare}` : bare;
};

/** @throws {AwsError} ValidationException, AccessDeniedException, or HierarchyLevelLimitExceededException. */
export function checkName(name: string): void {
  if (!/^[a-zA-Z0-9_.\-/]+$/.test(name) || name.includes("//") || name.endsWith("/"))
    throw invalid(
      'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_',
    );
  if (name.length > MAX_NAME)
    throw invalid(`Parameter name must be at most ${MAX_NAME} characters.`);
  if (name.includes("/") && !name.startsWith("/"))
    throw invalid("Parameter name must be a fully qualified name.");
  if (/^\/?aws/i.test(name))
    throw new AwsError("AccessDeniedException", `No access to reserved parameter name: ${name}.`);
  if (/^\/?ssm/i.test(name))
    throw invalid('Parameter name: can\'t be prefixed with "ssm" (case-insensitive).');
  if (name.split("/").filter((part) => part !== "").length > MAX_LEVELS)
    throw new AwsError(
      "HierarchyLevelLimitExceededException",
      `A hierarchy can have a maximum of ${MAX_LEVELS} levels.`,
    );
}

/** @throws {AwsError} ValidationException */
export function checkPath(path: string): void {
  if (!/^\/([a-zA-Z0-9_.-]+(\/[a-zA-Z0-9_.-]+)*\/?)?$/.test(path))
    throw invalid(
      "The parameter path must begin with a slash (/), can consist of sub-paths divided by slash symbol, each of letters, numbers and .-_",
    );
}

/** The tier of a new version: what was advanced stays so, and what is asked for as standard must be. */
export function tierOf(
  asked: Tier | "Intelligent-Tiering" | undefined,
  value: string,
  before: Tier | undefined,
): Tier {
  if (before === "Advanced") {
    if (asked === "Standard")
      throw invalid(
        "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the standard-parameter tier.",
      );
    return before;
  }
  if (asked === "Intelligent-Tiering")
    return Buffer.byteLength(value) > LIMITS.Standard ? "Advanced" : "Standard";
  return asked ?? "Standard";
}

/** @throws {AwsError} ValidationException for what is too large for the tier. */
export function checkValue(value: string, tier: Tier): void {
  if (Buffer.byteLength(value) <= LIMITS[tier]) return;
  throw invalid(
    tier === "Standard"
      ? `Standard tier parameters support a maximum parameter value of ${LIMITS.Standard} characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier.`
      : `Advanced tier parameters support a maximum parameter value of ${LIMITS.Advanced} characters.`,
  );
}
