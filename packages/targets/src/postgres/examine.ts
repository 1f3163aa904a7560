import { type Access, type Admin, asAdmin, inTransaction, literal, name, names } from "./admin.ts";
import type { Connect } from "./connection.ts";
import { PostgresError, type PostgresFault } from "./error.ts";
import { makeLease, makeOwner } from "./mint.ts";
import { grantOf, leaseRoleOf, ownerOf, type PostgresPlace } from "./place.ts";

/** A PostgresFault where a login or the rehearsal of a mint fails; the others are found by asking. */
export type FindingId =
  | PostgresFault
  | "admin_is_superuser"
  | "admin_cannot_create_roles"
  | "admin_cannot_create_schemas"
  | "admin_cannot_create_databases"
  | "admin_cannot_manage"
  | "group_not_grantable"
  | "group_is_strong"
  | "group_holds_admin"
  | "group_owns"
  | "group_can_be_set"
  | "heir_missing"
  | "heir_out_of_reach"
  | "heir_is_strong"
  | "public_connects"
  | "template_open";

export interface Finding {
  readonly id: FindingId;
  /** `error`: a mint or an end would fail. `warning`: it works, with a consequence that somebody should know. */
  readonly severity: "error" | "warning";
  /** One sentence. */
  readonly says: string;
  /** SQL that somebody with the rights for it can run. */
  readonly remedy?: string;
}

/** Shaped like a grant's id, and of no grant: what is made under it is rolled back. */
const REHEARSAL = "g000000000000000";

export async function examine(connect: Connect, access: Access): Promise<readonly Finding[]> {
  const { place } = access;
  try {
    return await asAdmin(connect, access, place.database, async (admin) => {
      const found = [
        ...(await adminFindings(admin, place)),
        ...(await groupFindings(admin, place)),
        ...(await ownFindings(admin, place)),
        ...(await heirFindings(admin, place)),
        ...(await publicFindings(admin, place)),
      ];
      // What was found already is why a rehearsal would fail.
      if (found.some(({ severity }) => severity === "error")) return found;
      return [...found, ...(await rehearse(admin, place))];
    });
  } catch (error) {
    return [findingOf(error)];
  }
}

function findingOf(error: unknown): Finding {
  if (!(error instanceof PostgresError)) throw error;
  const says = error.hint === undefined ? error.message : `${error.message} ${error.hint}`;
  return { id: error.fault, severity: "error", says };
}

async function adminFindings(admin: Admin, { user }: PostgresPlace): Promise<Finding[]> {
  const [me] = await admin.run(
    "ask for the admin's rights",
    `select rolcreaterole as creates from pg_roles where rolname = current_user`,
  );
  // Before 16 CREATEROLE reaches every role that is no superuser.
  const foreign = await admin.run(
    "list the roles",
    `select rolname, ${!admin.setIsAnOption} or pg_has_role(oid, 'MEMBER WITH ADMIN OPTION') as manages
     from pg_roles where starts_with(rolname::text, 'stint_') and rolname <> current_user`,
  );
  const lost = foreign
    .filter((row) => row.manages !== "t" && grantOf(row.rolname ?? "") !== undefined)
    .map((row) => row.rolname ?? "");
  const findings: Finding[] = [];
  if (admin.superuser)
    findings.push({
      id: "admin_is_superuser",
      severity: "warning",
      says: `"${user}" is a superuser; a role with CREATEROLE is enough.`,
      remedy: `ALTER ROLE ${name(user)} NOSUPERUSER CREATEROLE;`,
    });
  else if (me?.creates !== "t")
    findings.push({
      id: "admin_cannot_create_roles",
      severity: "error",
      says: `"${user}" may not create roles.`,
      remedy: `ALTER ROLE ${name(user)} CREATEROLE;`,
    });
  if (lost.length > 0)
    findings.push({
      id: "admin_cannot_manage",
      severity: "warning",
      says: `${lost.length} roles of grants were made by another admin, and "${user}" cannot end them.`,
      remedy: `GRANT ${names(lost)} TO ${name(user)} WITH ADMIN OPTION;`,
    });
  return findings;
}

const DEFAULT_STRONG = "pg_execute_server_program pg_write_server_files pg_read_server_files".split(
  " ",
);

async function groupFindings(admin: Admin, { groups, user }: PostgresPlace): Promise<Finding[]> {
  const rows = await admin.run(
    "ask about the group roles",
    `select g.name, r.oid is not null as there, r.rolsuper as super,
            r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls as strong,
            pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') as grantable,
            exists (select from pg_roles a where a.rolname = current_user
                    and not r.rolsuper and pg_has_role(r.oid, a.oid, 'MEMBER')) as holds_admin,
            exists (select from pg_roles p where p.rolname = any($2::text[])
                    and pg_has_role(r.oid, p.oid, 'MEMBER')) as reaches_server,
            exists (select from pg_shdepend d where d.refclassid = 'pg_authid'::regclass
                    and d.refobjid = r.oid and d.deptype = 'o') as owns
     from unnest($1::text[]) as g(name) left join pg_roles r on r.rolname = g.name`,
    [groups, DEFAULT_STRONG],
  );
  return rows.flatMap((row): Finding[] => {
    const group = row.name ?? "";
    if (row.there !== "t")
      return [
        {
          id: "group_missing",
          severity: "error",
          says: `The server has no role "${group}".`,
          remedy: `CREATE ROLE ${name(group)} NOLOGIN;`,
        },
      ];
    const findings: Finding[] = [];
    if (row.holds_admin === "t")
      findings.push({
        id: "group_holds_admin",
        severity: "error",
        says: `"${group}" is a member of "${user}", so each lease would have the admin's rights.`,
        remedy: `REVOKE ${name(user)} FROM ${name(group)};`,
      });
    // Until 15 CREATEROLE was enough to grant any role but a superuser.
    const grantable = admin.setIsAnOption
      ? row.grantable === "t"
      : row.super !== "t" || admin.superuser;
    if (!grantable)
      findings.push({
        id: "group_not_grantable",
        severity: "error",
        says: `"${user}" may not grant "${group}" to leases.`,
        ...(admin.setIsAnOption
          ? {
              remedy: `GRANT ${name(group)} TO ${name(user)} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;`,
            }
          : {}),
      });
    if (row.super === "t" || row.strong === "t" || row.reaches_server === "t")
      findings.push({
        id: "group_is_strong",
        severity: row.super === "t" ? "error" : "warning",
        says:
          row.reaches_server === "t"
            ? `"${group}" reaches the server's files or programs.`
            : `"${group}" has attributes of an administrator, such as CREATEROLE or SUPERUSER.`,
      });
    if (row.owns === "t")
      findings.push({
        id: "group_owns",
        severity: "warning",
        says: `"${group}" owns objects: a lease may alter or drop them, and grant rights on them that outlive it.`,
        remedy: `REASSIGN OWNED BY ${name(group)} TO another_role; -- then grant the group what it needs`,
      });
    if (!admin.setIsAnOption)
      findings.push({
        id: "group_can_be_set",
        severity: "warning",
        says: `Before PostgreSQL 16 a lease can SET ROLE "${group}", and what it then makes is left to the group.`,
      });
    return findings;
  });
}

async function ownFindings(admin: Admin, { own, user }: PostgresPlace): Promise<Finding[]> {
  if (own.kind === "nothing") return [];
  const [may] = await admin.run(
    "ask for the admin's rights",
    `select has_database_privilege(current_database(), 'CREATE') as schemas,
            rolcreatedb or rolsuper as databases from pg_roles where rolname = current_user`,
  );
  if (own.kind === "schema")
    return may?.schemas === "t"
      ? []
      : [
          {
            id: "admin_cannot_create_schemas",
            severity: "error",
            says: `"${user}" may not create schemas in "${admin.database}".`,
            remedy: `GRANT CREATE ON DATABASE ${name(admin.database)} TO ${name(user)};`,
          },
        ];
  const findings: Finding[] = [];
  if (may?.databases !== "t")
    findings.push({
      id: "admin_cannot_create_databases",
      severity: "error",
      says: `"${user}" may not create databases.`,
      remedy: `ALTER ROLE ${name(user)} CREATEDB;`,
    });
  const [template] = await admin.run(
    "ask about the template",
    `select datistemplate or pg_has_role(datdba, 'USAGE') as usable, datallowconn as open
     from pg_database where datname = $1`,
    [own.template],
  );
  if (template === undefined)
    findings.push({
      id: "template_unusable",
      severity: "error",
      says: `The template database "${own.template}" does not exist.`,
    });
  else if (template.usable !== "t")
    findings.push({
      id: "template_unusable",
      severity: "error",
      says: `"${own.template}" is neither marked as a template nor owned by "${user}".`,
      remedy: `ALTER DATABASE ${name(own.template)} IS_TEMPLATE true;`,
    });
  else if (template.open === "t" && own.template !== "template1")
    findings.push({
      id: "template_open",
      severity: "warning",
      says: `"${own.template}" takes connections, and nothing can be made from it while somebody is connected.`,
      remedy: `ALTER DATABASE ${name(own.template)} ALLOW_CONNECTIONS false;`,
    });
  return findings;
}

async function heirFindings(admin: Admin, { leavings, user }: PostgresPlace): Promise<Finding[]> {
  if (leavings.kind === "drop") return [];
  const { to } = leavings;
  const [heir] = await admin.run(
    "ask about the role that is given what leases made",
    `select pg_has_role(oid, 'USAGE') as reached, rolsuper or rolcreaterole as strong
     from pg_roles where rolname = $1`,
    [to],
  );
  if (heir === undefined)
    return [
      {
        id: "heir_missing",
        severity: "error",
        says: `The server has no role "${to}" to give things to.`,
      },
    ];
  const findings: Finding[] = [];
  if (heir.reached !== "t")
    findings.push({
      id: "heir_out_of_reach",
      severity: "error",
      says: `"${user}" has not the rights of "${to}", so it can give nothing to it.`,
      remedy: `GRANT ${name(to)} TO ${name(user)}${admin.setIsAnOption ? " WITH INHERIT TRUE, SET TRUE" : ""};`,
    });
  if (heir.strong === "t")
    findings.push({
      id: "heir_is_strong",
      severity: "warning",
      says: `"${to}" is an administrator, and a SECURITY DEFINER function that a lease made would run as it.`,
    });
  return findings;
}

/** A lease is a role of the server: it comes in wherever PUBLIC does, `postgres` aside, which is open everywhere. */
async function publicFindings(admin: Admin, { own }: PostgresPlace): Promise<Finding[]> {
  const rows = await admin.run(
    "ask who may connect",
    `select datname from pg_database d where datallowconn and not datistemplate
       and datname <> $1 and datname <> 'postgres'
       and has_database_privilege('public', d.oid, 'CONNECT')`,
    [own.kind === "database" ? "" : admin.database],
  );
  const open = rows.map((row) => row.datname ?? "").filter((one) => grantOf(one) === undefined);
  if (open.length === 0) return [];
  return [
    {
      id: "public_connects",
      severity: "warning",
      says: `Leases can connect to other databases too, since PUBLIC may: ${open.join(", ")}.`,
      remedy: open.map((one) => `REVOKE CONNECT ON DATABASE ${name(one)} FROM PUBLIC;`).join("\n"),
    },
  ];
}

/** Makes a lease and ends it, as a mint and a dismantling would, and rolls all of it back. */
async function rehearse(admin: Admin, place: PostgresPlace): Promise<Finding[]> {
  const owner = ownerOf(REHEARSAL);
  const role = leaseRoleOf(REHEARSAL, "doctor");
  const done = new Error("rolled back");
  try {
    await inTransaction(admin, async () => {
      await makeOwner(admin, place, owner);
      // No password: even inside the transaction nobody could log in.
      await makeLease(admin, place, owner, { role, verifier: "", until: 0 });
      await admin.run("bar leases from logging in", `ALTER ROLE ${name(role)} NOLOGIN`);
      const [may] = await admin.run(
        "ask whether sessions could be ended",
        `select pg_has_role(${literal(role)}, 'USAGE') as ends`,
      );
      if (may?.ends !== "t")
        throw new PostgresError(
          "admin_lacks_rights",
          "The admin could not end a lease's sessions.",
        );
      if (place.own.kind === "schema")
        await admin.run("drop schemas", `DROP SCHEMA ${name(owner)} CASCADE`);
      const both = names([role, owner]);
      if (place.leavings.kind === "reassign")
        await admin.run("reassign", `REASSIGN OWNED BY ${both} TO ${name(place.leavings.to)}`);
      await admin.run("drop what leases made", `DROP OWNED BY ${both} CASCADE`);
      await admin.run("drop roles", `DROP ROLE ${both}`);
      throw done;
    });
  } catch (error) {
    if (error !== done) return [findingOf(error)];
  }
  return [];
}
