/** Postgres as a kind of target: the driver behind the broker's ports. Loaded by the first grant that needs it. */
import { randomBytes } from "node:crypto";
import type { Examined } from "@stint/aws/rehearsal";
import {
  type Clearing,
  type Inventory,
  type Minted,
  type Target,
  TargetGone,
} from "@stint/broker/ports";
import { GrantError } from "@stint/core/error";
import { sha256 } from "@stint/core/id";
import { once } from "@stint/core/once";
import type { AdminSecret, PostgresPlace } from "@stint/core/postgres";
import type { PostgresTarget, Profile } from "@stint/core/profile";
import type { PostgresTarget as Driver } from "@stint/targets/postgres";

export type AdminPassword = (secret: AdminSecret, place: PostgresPlace) => Promise<string>;

/** What servers are talked to by. A simulation has one of its own. */
export type PostgresDriver = Pick<Driver, "mint" | "dismantle" | "strays">;

/** Not at the start: most functions, and most grants, have nothing to do with it. */
const module = once(() => import("@stint/targets/postgres"));
const network = once(async (): Promise<Driver> => {
  const { network, postgresTarget } = await module();
  return postgresTarget({ connect: network(), random: randomBytes });
});

const loaded = async (given: PostgresDriver | undefined) => {
  const { isGone, PostgresError } = await module();
  return { isGone, PostgresError, target: given ?? (await network()) };
};

/** Of this lease alone: the mint's own id, and which target of the grant it is for. */
function suffixOf(key: string): string {
  const [mint = "", ...target] = key.split(".");
  return `${mint.toLowerCase()}${sha256(target.join(".")).slice(0, 6)}`;
}

export const mintPostgres =
  (password: AdminPassword, driver?: PostgresDriver) =>
  async (of: Parameters<Target["mint"]>[0], target: PostgresTarget): Promise<Minted> => {
    const { place, secret } = target;
    const { PostgresError, target: postgres } = await loaded(driver);
    try {
      const { credentials, role, hash } = await postgres.mint({
        place,
        adminPassword: await password(secret, place),
        grantId: of.grant.id,
        suffix: suffixOf(of.key),
        until: of.until,
      });
      return { credentials, lease: { user: role, hash } };
    } catch (error) {
      if (!(error instanceof PostgresError)) throw error;
      const { message, hint } = error;
      const told = { cause: error, ...(hint === undefined ? {} : { hint }) };
      if (error.fault === "grant_ending") throw new GrantError("grant_ended", message, told);
      if (error.fault === "database_gone") throw new TargetGone("target_refused", message, told);
      // A fault that passes is nobody's refusal: the caller may ask again.
      throw new GrantError(error.retryable ? "unavailable" : "target_refused", message, told);
    }
  };

export const clearPostgres = (
  password: AdminPassword,
  driver?: PostgresDriver,
): Clearing & Inventory => ({
  async clear(grantId, target) {
    if (target.kind !== "postgres") throw new Error(`${target.kind} is not cleared but denied`);
    const { isGone, PostgresError, target: postgres } = await loaded(driver);
    try {
      const remains = await postgres.dismantle({
        place: target.place,
        adminPassword: await password(target.secret, target.place),
        grantId,
      });
      if (isGone(remains)) return "cleared";
      const { roles, sessions, schemas, databases } = remains;
      throw new Error(
        `${roles.length} roles, ${sessions} sessions, ${schemas.length} schemas and ${databases.length} databases are left`,
      );
    } catch (error) {
      if (error instanceof PostgresError && error.fault === "database_gone") return "gone";
      throw error;
    }
  },
  async strays(target) {
    if (target.kind !== "postgres") return [];
    const { place, secret } = target;
    const { target: postgres } = await loaded(driver);
    return postgres.strays({ place, adminPassword: await password(secret, place) });
  },
});

type Found = Examined["findings"][number];

/** Each database of a profile, as its admin sees it. All at once: each may take its time not to answer. */
export const examinePostgres =
  (password: AdminPassword) =>
  ({ targets }: Profile): Promise<readonly Examined[]> =>
    Promise.all(
      Object.entries(targets).flatMap(([name, target]) =>
        target.kind === "postgres" ? [examined(password, name, target)] : [],
      ),
    );

async function examined(
  password: AdminPassword,
  name: string,
  { place, secret }: PostgresTarget,
): Promise<Examined> {
  const of = { target: name, server: `${place.host}:${place.port}/${place.database}` };
  let adminPassword: string;
  try {
    adminPassword = await password(secret, place);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { ...of, findings: [withoutSecret(error, secret)] };
  }
  const postgres = await network();
  return { ...of, findings: [...(await postgres.examine({ place, adminPassword }))] };
}

function withoutSecret(error: Error, secret: AdminSecret): Found {
  const says = `The admin's password: ${error.message.replace(/\.$/, "")}.`;
  const found = { severity: "error" as const, says };
  // It is there, and may not be read, or the place of secrets does not answer.
  if (!(error instanceof GrantError)) return { ...found, id: "secret_unreadable" };
  const missing = { ...found, id: "secret_missing" };
  if (secret.kind === "iam") return missing;
  return {
    ...missing,
    remedy:
      secret.kind === "parameter"
        ? `aws ssm put-parameter --type SecureString --name ${secret.name} --value '…'`
        : `aws secretsmanager create-secret --name ${secret.name} --secret-string '…'`,
  };
}
