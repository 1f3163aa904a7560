/** The deployment as a whole: parts first, then the functions that work on them, then what watches them. */
import { REVOKER_NAME, TARGET_PATH } from "@stint/aws/target-role";
import type { Resources } from "@stint/functions/deployment";
import { alarms } from "./alarms.ts";
import { api } from "./api.ts";
import { AUDIT_PREFIX, audit, auditBucket } from "./audit.ts";
import { bundles } from "./bundles.ts";
import { events } from "./events.ts";
import { functions } from "./functions.ts";
import { proofs, revocation, revocationParts } from "./revocation.ts";
import { adminSecrets, secrets } from "./secrets.ts";
import { checkStage, functionRole, place } from "./stage.ts";
import { storage } from "./storage.ts";
import { targets } from "./targets.ts";

export function deploy() {
  checkStage();
  const built = bundles();
  const stored = storage();
  const { bus } = events();
  const parts = revocationParts();
  const buckets = auditBucket(stored);
  const kept = secrets(stored, built.config);
  const { account, region } = place();

  const { table } = stored;
  const resources: Resources<$util.Input<string>> = {
    table: table.arn,
    index: (name) => $interpolate`${table.arn}/index/${name}`,
    bus: bus.arn,
    dirtyQueue: parts.dirty.arn,
    proofQueue: parts.proofs.arn,
    clearQueue: parts.clears.arn,
    adminSecrets: adminSecrets(built.config),
    schedulerRole: parts.schedulerRole.arn,
    schedules: $interpolate`arn:aws:scheduler:${region}:${account}:schedule/${parts.group.name}/*`,
    anything: "*",
    targets: $interpolate`arn:aws:iam::${account}:role${TARGET_PATH}*`,
    roles: $interpolate`arn:aws:iam::${account}:role/*`,
    targetsAnywhere: `arn:aws:iam::*:role${TARGET_PATH}*`,
    revokersAnywhere: `arn:aws:iam::*:role/${REVOKER_NAME}`,
    boundary: parts.boundary.arn,
    auditObjects: $interpolate`${buckets.bucket.arn}/${AUDIT_PREFIX}*`,
    tokenKeys: kept.tokenKeys.arn,
    webhookSecrets: kept.webhooks,
  };
  const declare = functions(resources, built);

  const ends = revocation(declare, stored, parts);
  const told = audit(declare, stored, buckets, bus);
  const doors = api(
    declare,
    {
      STINT_SCHEDULE_GROUP: parts.group.name,
      STINT_EXPIRE_ARN: ends.expire.arn,
      STINT_SCHEDULER_ROLE_ARN: parts.schedulerRole.arn,
      STINT_SCHEDULE_DLQ_ARN: parts.schedulesDead.arn,
      STINT_TOKEN_KEYS: kept.tokenKeys.name,
      STINT_WEBHOOK_SECRETS: kept.prefix,
    },
    stored,
  );
  // Under the broker's role, which the broker is declared with.
  const proves = proofs(declare, stored, parts);
  alarms({ parts, ends: { ...ends, prove: proves }, told, doors, stored });
  targets(built.config, {
    broker: functionRole("api"),
    boundary: parts.boundary.arn,
    after: doors.broker,
  });
  return {
    url: doors.gateway.url,
    broker: functionRole("api"),
    revoker: functionRole("revoke"),
    doctor: doors.doctor.name,
    auditBucket: buckets.bucket.name,
    workgroup: told.workgroup.name,
    configuration: built.config.hash,
  };
}
