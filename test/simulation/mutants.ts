/** Safeguards, each with what its loss looks like in the sources: `npm run simulate:mutants` takes them out one by one. */
export interface Mutant {
  readonly name: string;
  readonly edits: ReadonlyArray<{
    readonly file: string;
    readonly find: string;
    readonly replace: string;
  }>;
  /** Why no story tells it from the original. */
  readonly unseen?: string;
}

const GRANT = "packages/core/src/grant.ts";
const OPENINGS = "packages/aws/src/store/openings.ts";
const CONTEXT = "packages/aws/src/store/context.ts";
const ENDING = "packages/broker/src/ending.ts";
const DENY = "packages/broker/src/deny.ts";
const ISSUE = "packages/broker/src/issue.ts";
const JOBS = "packages/aws/src/store/jobs.ts";

export const MUTANTS: readonly Mutant[] = [
  {
    name: "open is written before anything is minted",
    edits: [
      {
        file: "packages/broker/src/request.ts",
        find: "  const opened = await deps.store.open(grant, token, record);",
        replace: `  const ahead = "leases" in grant ? Object.values(grant.leases) : [];
  const [opened] = await Promise.all([
    deps.store.open(grant, token, record),
    ...ahead.map((lease) =>
      deps.target.mint({ grant, target: profile.targets[lease.target], until: lease.until, now }),
    ),
  ]);`,
      },
    ],
  },
  {
    name: "a refresh is planned before it is minted",
    edits: [
      {
        file: "packages/broker/src/holder.ts",
        find: "const changed = await deps.store.plan(after, planned, over);",
        replace:
          "const changed = over.length < 0 ? await deps.store.plan(after, planned, over) : undefined;",
      },
      { file: OPENINGS, find: 'AND ${there.join(" AND ")}`', replace: "`" },
    ],
  },
  {
    name: "a credential leaves after its lease is durable",
    edits: [
      {
        file: ISSUE,
        find: "  const result = await deps.store.lease(after, minted.leases, record);",
        replace: `  if (fact === "grant.refreshed") return { grant: after, credentials: minted.credentials };
  const result = await deps.store.lease(after, minted.leases, record);`,
      },
    ],
  },
  {
    name: "a credential leaves after its schedule exists",
    edits: [
      {
        file: ISSUE,
        find: "const failure = [scheduled, minted].find",
        replace: "const failure = [minted].find",
      },
    ],
  },
  {
    name: "an end is conditioned on the version that was read",
    edits: [
      {
        file: CONTEXT,
        find: 'ConditionExpression: "version = :version"',
        replace: 'ConditionExpression: "attribute_exists(version) OR version = :version"',
      },
    ],
  },
  {
    name: "an end happens once",
    edits: [
      {
        file: GRANT,
        find: `export function end(grant: Grant, why: EndReason, now: number): Grant {
  if (!isLive(grant)) return grant;`,
        replace: `export function end(grant: Grant, why: EndReason, now: number): Grant {
  if (grant.state === "refused") return grant;`,
      },
    ],
  },
  {
    name: "no lease is written for a job that has ended",
    edits: [
      {
        file: OPENINGS,
        find: "[update, ...jobGoesOn(context, grant)]",
        replace: "[update]",
      },
    ],
  },
  {
    name: "no grant opens for a job that has ended",
    edits: [
      {
        file: OPENINGS,
        find: `            ConditionExpression: NO_TOMBSTONE,
            ExpressionAttributeNames: { "#ttl": "ttl" },`,
        replace: `            ExpressionAttributeNames: { "#ttl": "ttl" },`,
      },
    ],
  },
  {
    name: "no grant is claimed for a job that has ended",
    edits: [
      {
        file: OPENINGS,
        find: "[putOver(context, before, after, record), ...jobGoesOn(context, after)]",
        replace: "[putOver(context, before, after, record)]",
      },
    ],
  },
  {
    name: "no lease is written for a grant that is over",
    edits: [
      {
        file: OPENINGS,
        find: "`#grant.#state IN (:opening, :active) AND attribute_not_exists(closing) AND ${there",
        replace: "`(#grant.#state <> :opening OR #grant.#state <> :active) AND ${there",
      },
    ],
  },
  {
    name: "the sweeper finds what crashed while it was issued",
    edits: [
      {
        file: GRANT,
        find: `    case "opening":
      return grant.openBy;
    case "active":`,
        replace: `    case "opening":
      return undefined;
    case "active":`,
      },
    ],
  },
  {
    name: "the sweeper finds what its schedule forgot",
    edits: [
      {
        file: OPENINGS,
        find: "REMOVE #grant.openBy ADD",
        replace: "REMOVE #grant.openBy, due ADD",
      },
    ],
  },
  {
    name: "the sweeper looks after an end until it is done",
    edits: [
      {
        file: GRANT,
        find: `    case "ending":
      return grant.retryAt;`,
        replace: `    case "ending":
      return undefined;`,
      },
    ],
  },
  {
    name: "denials are written with the end that they are for",
    edits: [
      {
        file: ENDING,
        find: "const denials = same ? [] : denialsOf(after, now);",
        replace: "const denials = same ? [] : denialsOf(before0(after), now);",
      },
      {
        file: ENDING,
        find: "async function settle(",
        replace: `const before0 = (grant: Grant): Grant => ({ ...grant, leases: {} }) as Grant;

async function settle(`,
      },
    ],
  },
  {
    name: "denials are read consistently",
    edits: [{ file: CONTEXT, find: "ConsistentRead: true,", replace: "ConsistentRead: false," }],
  },
  {
    name: "a job's grants are read consistently",
    edits: [
      {
        file: JOBS,
        find: "new GetItemCommand({ ...keyed(context, jobKey(end.job)), ConsistentRead: true })",
        replace:
          "new GetItemCommand({ ...keyed(context, jobKey(end.job)), ConsistentRead: false })",
      },
    ],
  },
  {
    name: "nothing is called denied before IAM has it",
    edits: [
      {
        file: ENDING,
        find: `      if (deniedAt === undefined) return false;
      times.push(deniedAt);`,
        replace: "      times.push(deniedAt ?? now);",
      },
    ],
  },
  {
    name: "the list is in IAM before its denials are marked",
    edits: [
      {
        file: DENY,
        find: "    if (!covered && (wanted.length > 0 || listed !== undefined))\n      await deps.denyList.write(",
        replace:
          "    const marking = wanted.filter((denial) => denial.deniedAt === undefined);\n    await inTurns(marking, 8, (denial) => settled(deps, denial, now));\n    if (!covered && (wanted.length > 0 || listed !== undefined))\n      await deps.denyList.write(",
      },
    ],
  },
  {
    name: "a list names everybody who is still denied",
    edits: [
      {
        file: DENY,
        find: `        role,
        wanted.map((denial) => denial.grant),`,
        replace: `        role,
        wanted.flatMap((denial) => (denial.deniedAt === undefined ? denial.grant : [])),`,
      },
    ],
  },
  {
    name: "ids whose leases are over leave the list",
    edits: [{ file: DENY, find: ".filter((denial) => denial.until > now)", replace: "" }],
  },
  {
    name: "a role is read again after its list was written",
    unseen: "each denial has a message of its own, sent after its write, so another run follows",
    edits: [
      {
        file: DENY,
        find: "    if (!missing || wanted.length === deps.denyList.capacity) return;",
        replace: "    if (!missing || wanted.length >= 0) return;",
      },
    ],
  },
  {
    name: "an end is not done while a lease of it runs",
    edits: [
      {
        file: GRANT,
        find: "  if (waiting.length > 0) return grant;",
        replace: "  if (waiting.length > 99) return grant;",
      },
    ],
  },
  {
    name: "the lease's end is inside the credential",
    edits: [
      {
        file: "packages/core/src/session-policy.ts",
        find: 'Condition: { DateGreaterThanEquals: { "aws:CurrentTime": end } }',
        replace:
          'Condition: { DateGreaterThanEquals: { "aws:CurrentTime": "2099-01-01T00:00:00Z" } }',
      },
    ],
  },
  {
    name: "a lease is never longer than its grant",
    edits: [
      {
        file: GRANT,
        find: "  Math.min(floorSecond(now + leaseSeconds * 1000), endsAt);",
        replace: "  Math.max(floorSecond(now + leaseSeconds * 1000), endsAt - endsAt);",
      },
    ],
  },
  {
    name: "an ended grant's schedule is removed",
    edits: [
      {
        file: "packages/broker/src/relay.ts",
        find: "  if (ended !== undefined) await deps.schedules.remove(ended);",
        replace: "",
      },
    ],
  },
  {
    name: "a change that could not be acted on comes again",
    edits: [
      {
        file: "functions/src/relay.ts",
        find: "        return { batchItemFailures: [{ itemIdentifier: sequenceNumber }] };",
        replace: "",
      },
    ],
  },
  {
    name: "a batch that could not be logged comes again",
    edits: [
      {
        file: "functions/src/audit.ts",
        find: '  await app.auditLog.append("stream", rows);',
        replace: '  await app.auditLog.append("stream", rows).catch(() => {});',
      },
    ],
  },
  {
    name: "a secret is kept as its hash alone",
    edits: [
      {
        file: "packages/aws/src/sts-target.ts",
        find: 'hash: createHash("sha256").update(minted.SecretAccessKey).digest("hex"),',
        replace: "hash: minted.SecretAccessKey,",
      },
    ],
  },
  {
    name: "a job's first reported end is its end",
    edits: [
      { file: JOBS, find: "endedAt = if_not_exists(endedAt, :now)", replace: "endedAt = :now" },
    ],
  },
  {
    name: "a delivery is acted on once",
    unseen: "the tombstone's own `if_not_exists` keeps the first end and its record",
    edits: [
      {
        file: JOBS,
        find: `            ttl: now + DELIVERY_SECONDS,
          }),
          ConditionExpression: NOT_THERE,`,
        replace: `            ttl: now + DELIVERY_SECONDS,
          }),`,
      },
    ],
  },
  {
    name: "an end that loses against refreshes stops them",
    unseen: "bursts end, and then the end wins; `journeys/races` has the endless one",
    edits: [
      {
        file: ENDING,
        find: "    if (lost === PATIENCE) await deps.store.close(id);\n",
        replace: "",
      },
    ],
  },
];
