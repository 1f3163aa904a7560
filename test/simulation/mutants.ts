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
        find: "        ...livesNow(context, after),\n        ...jobGoesOn(context, after),",
        replace: "        ...livesNow(context, after),",
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
        find: 'const denials = fact === "state" ? denialsOf(after, now) : [];',
        replace: 'const denials = fact === "state" ? denialsOf(before0(after), now) : [];',
      },
      {
        file: ENDING,
        find: "export async function settle(",
        replace: `const before0 = (grant: Grant): Grant => ({ ...grant, leases: {} }) as Grant;

export async function settle(`,
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
        find: `      if (denial?.deniedAt === undefined && denial?.spared === undefined) return false;
      denials.push(denial);`,
        replace: "      if (denial !== undefined) denials.push({ deniedAt: now, ...denial });",
      },
    ],
  },
  {
    name: "the list is in IAM before its denials are marked",
    edits: [
      {
        file: DENY,
        find: "    if (!done) {\n",
        replace:
          "    await deniedNow(deps, role, plan.denied.filter(isNew), plan.listed.ids);\n    if (!done) {\n",
      },
    ],
  },
  {
    name: "a list names everybody who is still denied",
    edits: [
      {
        file: DENY,
        find: "    const plan = await planOf(deps, role, denials, state, now);",
        replace: "    const plan = await planOf(deps, role, denials.filter(isNew), state, now);",
      },
    ],
  },
  {
    name: "ids whose leases are over leave the list",
    edits: [
      {
        file: DENY,
        find: '({ until, spared }) => until > now && spared !== "gone",',
        replace: '({ spared }) => spared !== "gone",',
      },
    ],
  },
  {
    name: "a role is read again after its list was written",
    unseen: "each denial has a message of its own, sent after its write, so another run follows",
    edits: [
      {
        file: DENY,
        find: "    if (done) return;",
        replace: "    if (done || round >= 0) return;",
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
        find: "follow(id, deps.schedules.remove(ended))",
        replace: "follow(id, Promise.resolve(ended))",
      },
    ],
  },
  {
    name: "a change that could not be acted on comes again",
    unseen:
      "sweeper and schedules take over, and only a fault of the reader itself at the right moment shows it",
    edits: [
      {
        file: "functions/src/relay.ts",
        find: "first === undefined ? [] : [{ itemIdentifier: first.id }]",
        replace: "first === undefined ? [] : []",
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
        find: 'hash: createHash("sha256").update(session.secretAccessKey).digest("hex"),',
        replace: "hash: session.secretAccessKey,",
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
  {
    name: "a proof is a refusal that was seen",
    edits: [
      {
        file: "packages/broker/src/prove.ts",
        find: "  while (!(await refused())) {",
        replace: "  while (!(await refused()) && deps.ambient.now() > until) {",
      },
    ],
  },
  {
    name: "a proof is a refusal of that very grant",
    edits: [
      {
        file: "packages/aws/src/proofs.ts",
        find: 'return error.message.includes("explicit deny in an identity-based policy");',
        replace: "return true;",
      },
    ],
    unseen: "in these stories nothing else refuses the one call that every role may make",
  },
  {
    name: "roles with running denials are looked at each minute",
    edits: [
      {
        file: ENDING,
        find: "  await inBatches(deps.store.deniedRoles(deps.ambient.now()), (role) =>",
        replace: "  await inBatches(deps.store.deniedRoles(Number.MAX_SAFE_INTEGER), (role) =>",
      },
    ],
    unseen: "nobody else writes on a role in these stories: journeys/revocation has those who do",
  },
  {
    name: "the note of a life goes with it",
    edits: [
      {
        file: "packages/aws/src/store/grants.ts",
        find: "...(isRunning(before.grant) && !isRunning(after) ? livesNoMore(context, after) : []),",
        replace:
          "...(isRunning(before.grant) && !isRunning(after) ? livesNoMore(context, after).slice(1) : []),",
      },
    ],
  },
  {
    name: "a database is cleared once more when nobody can be minting",
    edits: [
      {
        file: "packages/broker/src/clear.ts",
        find: 'done === "cleared" && at < quietAt(first.grant, name)',
        replace: 'done === "cleared" && at < quietAt(first.grant, "")',
      },
    ],
  },
  {
    name: "a grant is ended when its databases are cleared",
    edits: [
      {
        file: GRANT,
        find: 'if (grant.state !== "ending" || uncleared(grant).length > 0) return grant;',
        replace: 'if (grant.state !== "ending") return grant;',
      },
    ],
  },
  {
    name: "the stream asks for what must be cleared",
    edits: [
      {
        file: "packages/aws/src/relay.ts",
        find: 'if (stateOf(image) === "ending" && stateOf(before) !== "ending" && mustBeCleared(image))',
        replace:
          'if (stateOf(image) === "none" && stateOf(before) !== "ending" && mustBeCleared(image))',
      },
    ],
  },
  {
    name: "the sweeper asks again for what is not cleared",
    unseen:
      "an outage that outlasts a message's eight tries is rare here: journeys/postgres has one",
    edits: [
      {
        file: ENDING,
        find: "if (uncleared(stored.grant).length > 0) await deps.clears.ask(id);",
        replace: "if (uncleared(stored.grant).length > 9) await deps.clears.ask(id);",
      },
    ],
  },
];
