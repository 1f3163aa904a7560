import type { Admin } from "./admin.ts";
import type { Leavings } from "./place.ts";

/** How many objects are dropped at a time: each takes several of the server's locks, of which 6,400 are usual. */
const BATCH = 200;

/**
 * Takes away the tables, routines and large objects of roles that own very many, a batch at a time: a single DROP of
 * all of them would run out of locks, for ever. What is left is for the single statements that come after.
 */
export async function thin(
  admin: Admin,
  oids: readonly string[],
  schema: string,
  leavings: Leavings,
): Promise<void> {
  const [owned] = await admin.run(
    "count what the grant made",
    `select count(*) as objects from pg_shdepend where deptype = 'o'
       and refclassid = 'pg_authid'::regclass and refobjid = any($1::oid[])
       and dbid = (select oid from pg_database where datname = current_database())`,
    [oids],
  );
  if (Number(owned?.objects) <= BATCH) return;
  const heir = leavings.kind === "reassign" ? leavings.to : null;
  for (;;) {
    // Partitions before what they are part of, since that would take the locks of them all. What belongs to another
    // object goes with it, and cannot go by itself.
    const batch = await admin.run(
      "list what the grant made",
      `with owned as (
         select coalesce(c.relnamespace, p.pronamespace) as schema,
           c.relispartition as part,
           case when p.oid is not null then 'ROUTINE'
                when d.classid = 'pg_largeobject'::regclass then 'LARGE OBJECT'
                when c.relkind in ('r', 'p') then 'TABLE'
                when c.relkind = 'v' then 'VIEW'
                when c.relkind = 'm' then 'MATERIALIZED VIEW'
                when c.relkind = 'f' then 'FOREIGN TABLE'
                when c.relkind = 'S' then 'SEQUENCE' end as kind,
           coalesce(c.oid::regclass::text, p.oid::regprocedure::text, d.objid::text) as object
         from pg_shdepend d
         left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
         left join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
         where d.deptype = 'o' and d.refclassid = 'pg_authid'::regclass and d.refobjid = any($1::oid[])
           and d.dbid = (select oid from pg_database where datname = current_database())
           and not exists (select from pg_depend o where o.classid = d.classid and o.objid = d.objid
                           and o.objsubid = 0 and o.deptype in ('a', 'i', 'e')
                           and o.refclassid in ('pg_class'::regclass, 'pg_extension'::regclass)
                           and not coalesce(c.relispartition, false)))
       select case
           when $2::text is not null
             and schema is distinct from (select oid from pg_namespace where nspname = $3)
             then format('ALTER %s %s OWNER TO %I', kind, object, $2)
           when kind = 'LARGE OBJECT' then format('SELECT lo_unlink(%s)', object)
           else format('DROP %s IF EXISTS %s CASCADE', kind, object) end as statement
       from owned where kind is not null order by part desc nulls last limit ${BATCH}`,
      [oids, heir, schema],
    );
    if (batch.length === 0) return;
    await admin.run(
      "take away what the grant made",
      batch.map(({ statement }) => statement).join(";\n"),
    );
  }
}
