/** A whole configuration against what is deployed, as far as the operator's account shows it. */
import type { LambdaClient } from "@aws-sdk/client-lambda";
import { BOUNDARY_NAME } from "@stint/aws/target-role";
import { type Config, rolesOf } from "@stint/core/profile";
import type { Account } from "./account.ts";
import { judgeDatabase } from "./databases.ts";
import type { Finding } from "./finding.ts";
import { boundaryIn, examineBoundary, examineRevoker, mayRevoke, revokerIn } from "./revoker.ts";
import { accountIn, examineRole } from "./role.ts";
import { judgeSession, rehearse } from "./sessions.ts";
import { nameOf } from "./trust.ts";

export interface Question {
  readonly config: Config;
  /** All of the configuration's unless one is named. */
  readonly profile?: string;
  /** The account that the credentials are of. */
  readonly accountId: string;
  readonly account: Account;
  readonly broker: string;
  readonly revoker?: string;
  /** The doctor of the deployment. */
  readonly doctor?: { readonly lambda: LambdaClient; readonly name: string };
}

export interface Examined {
  readonly findings: readonly Finding[];
  /** Roles that were read. */
  readonly roles: readonly string[];
  readonly sessions: ReadonlyArray<{
    readonly profile: string;
    readonly target: string;
    readonly role: string;
    /** Of what STS has for policy and tags. */
    readonly packedPercent?: number;
  }>;
  readonly databases: ReadonlyArray<{
    readonly profile: string;
    readonly target: string;
    /** `host:port/database`. */
    readonly server: string;
  }>;
  /** What works, with a consequence that somebody should know. */
  readonly warnings: readonly Finding[];
  /** What was not looked at, and how to. */
  readonly skipped: readonly string[];
}

export async function examine(question: Question): Promise<Examined> {
  const { config, accountId, doctor, revoker } = question;
  const profiles = Object.values(config.profiles).filter(
    ({ name }) => question.profile === undefined || name === question.profile,
  );
  const all = new Set(profiles.flatMap(rolesOf));
  const roles = [...all].filter((role) => accountIn(role) === accountId);
  const skipped = [...all]
    .filter((role) => !roles.includes(role))
    .map((role) => `${role} is not in ${accountId}: run this with credentials of its account too`);

  const findings: Finding[] = [];
  if (roles.length > 0) findings.push(...(await examineAccount(question, roles)));
  if (revoker === undefined)
    skipped.push("the revoker: name its role with --revoker, as the deployment prints it");

  const sessions: Array<Examined["sessions"][number]> = [];
  const databases: Array<Examined["databases"][number]> = [];
  const warnings: Finding[] = [];
  if (doctor === undefined)
    skipped.push(
      "the sessions and databases: name the deployment's doctor with --function, with credentials of its account",
    );
  else
    for (const { name } of profiles) {
      const answer = await rehearse(doctor.lambda, doctor.name, name);
      const { policyVersion, targets } = answer;
      if (policyVersion !== config.hash)
        skipped.push(
          `${name} as it is here: ${doctor.name} was deployed with another configuration`,
        );
      if (targets === undefined)
        skipped.push(`the sessions and databases of ${name}: it is not deployed`);
      for (const tried of targets ?? []) {
        findings.push(...judgeSession(name, tried, question.broker));
        const { role, target, session } = tried;
        if (!session.opened) continue;
        const { packedPercent } = session;
        sessions.push({
          profile: name,
          target,
          role,
          ...(packedPercent === undefined ? {} : { packedPercent }),
        });
      }
      for (const examined of answer.databases ?? []) {
        const judged = judgeDatabase(name, examined);
        findings.push(...judged.errors);
        warnings.push(...judged.warnings);
        databases.push({ profile: name, target: examined.target, server: examined.server });
      }
    }
  return { findings, warnings, roles, sessions, databases, skipped: [...new Set(skipped)] };
}

async function examineAccount(question: Question, roles: readonly string[]): Promise<Finding[]> {
  const { account, accountId, broker } = question;
  const revoker =
    question.revoker === undefined ? undefined : revokerIn(accountId, question.revoker);
  const findings: Finding[] = [];
  let writes = false;
  if (revoker !== undefined && question.revoker !== undefined) {
    const wrong = await examineRevoker(account, { revoker, function: question.revoker });
    findings.push(...wrong);
    writes = wrong.every(({ code }) => code !== "revoker.missing");
  }
  // Without a revoker's word for it, the boundary is whichever a role has.
  const named = revoker === undefined ? undefined : await boundaryIn(account, revoker);
  const boundaries = new Set<string>();
  for (const role of roles) {
    const boundary = named ?? (await account.role(nameOf(role)))?.boundary;
    const expected = boundary ?? `arn:aws:iam::${accountId}:policy/${BOUNDARY_NAME}`;
    boundaries.add(expected);
    const found = await examineRole(account, { role, broker, boundary: expected });
    findings.push(...found);
    const there = found.every(({ code }) => code !== "role.missing" && code !== "role.path");
    if (revoker !== undefined && writes && there)
      findings.push(...(await mayRevoke(account, { revoker, role, boundary: expected })));
  }
  for (const boundary of boundaries)
    findings.unshift(...(await examineBoundary(account, boundary)));
  return findings;
}
