/** A witness beside a world: what it saw made, changed and handed out, whatever Stint says of it. */
import { setTimeout } from "node:timers/promises";
import { GetRolePolicyCommand, IAMClient, NoSuchEntityException } from "@aws-sdk/client-iam";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import {
  GetScheduleCommand,
  ListSchedulesCommand,
  SchedulerClient,
} from "@aws-sdk/client-scheduler";
import { auditRecords, type StreamEvent } from "@stint/aws/audit/record";

import type { Stored } from "@stint/broker/ports";
import type { AuditRecord } from "@stint/core/audit";
import { deadBy } from "@stint/core/grant";
import { expect } from "vitest";
import { type Answer, grantIn, s3Of, type World } from "./world.ts";

export const ROLE = "arn:aws:iam::000000000000:role/stint/orders-integration";

/** One session that STS made for a grant, also where the answer never arrived. */
export interface Session {
  readonly grant: string;
  readonly role: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

export interface Witness {
  readonly world: World;
  readonly sessions: readonly Session[];
  /** The audit records of the table's changes, in order. */
  readonly records: readonly AuditRecord[];
  /** Whole images of every change. */
  readonly images: readonly unknown[];
  /** Runs inside AssumeRole, when the session exists and its caller does not know yet. */
  onMint: (session: Session) => Promise<void> | void;
  /** Keys that an answer of the API contained. */
  readonly handed: ReadonlySet<string>;
  /** The only way in which these journeys take credentials: it looks whether they could be handed out. */
  take(answer: Answer): Promise<Answer>;
}

interface Minted {
  readonly Credentials: {
    readonly AccessKeyId: string;
    readonly SecretAccessKey: string;
    readonly SessionToken: string;
  };
  readonly SourceIdentity?: string;
}

type Run = (input: never, call: never) => unknown;

/** Puts `around` between an operation of local AWS and whoever calls it: what a fault plan has no word for. */
export function intercept(
  operations: Readonly<Record<string, { readonly run: unknown }>>,
  name: string,
  around: (next: () => Promise<unknown>, input: unknown) => Promise<unknown>,
): void {
  // Casts: the tables are frozen to the compiler only, and each operation has types of its own.
  const table = operations as Record<string, { readonly run: Run }>;
  const operation = table[name];
  if (operation === undefined) throw new Error(`no operation ${name}`);
  table[name] = {
    ...operation,
    run: (input, call) => around(async () => operation.run(input, call), input),
  };
}

/** Scheduler fires within the minute. */
export const LATEST_FIRING_MS = 59_000;

/** Every rule of the account, for the policies of what listens to the bus. */
export const RULES = "arn:aws:events:us-east-1:000000000000:rule/*";

export async function watch(world: World): Promise<Witness> {
  const sessions: Session[] = [];
  const records: AuditRecord[] = [];
  const images: unknown[] = [];
  const handed = new Set<string>();
  await new S3Client({ ...world.administrator, forcePathStyle: true }).send(
    new CreateBucketCommand({ Bucket: "orders-it" }),
  );
  const witness: Witness = {
    world,
    sessions,
    records,
    images,
    handed,
    onMint: () => {},
    async take(answer) {
      if (answer.body?.credentials === undefined) return answer;
      for (const of of Object.values<Session>(answer.body.credentials)) handed.add(of.accessKeyId);
      await expectDurable(world, answer);
      return answer;
    },
  };
  intercept(world.aws.sts.operations, "AssumeRole", async (next, input) => {
    const made = (await next()) as Minted; // what this operation answers
    // One that only asks whether it is denied is nobody's, and can do nothing else.
    if (JSON.stringify(input).includes("parameter/stint/probe")) return made;
    const session = {
      grant: made.SourceIdentity ?? "",
      role: (input as { readonly RoleArn: string }).RoleArn, // parsed by the operation's own schema
      accessKeyId: made.Credentials.AccessKeyId,
      secretAccessKey: made.Credentials.SecretAccessKey,
      sessionToken: made.Credentials.SessionToken,
    };
    sessions.push(session);
    await witness.onMint(session);
    return made;
  });
  world.aws.services.dynamodb.connect({
    table: "stint",
    function: async (event) => {
      const batch = event as StreamEvent; // the stream's own records, as Lambda gets them
      images.push(...batch.Records);
      records.push(...auditRecords(batch).map(({ record }) => record));
    },
  });
  return witness;
}

const PACE_MS = 5;

/** Moves time in small steps until the work is done: for callers that wait on the clock. */
export async function drive<T>(world: World, work: Promise<T>, stepMs = 200): Promise<T> {
  let done = false;
  const finish = () => {
    done = true;
  };
  work.then(finish, finish);
  await world.aws.clock.quiet(work);
  while (!done) {
    // Signatures are made on other threads: without a turn of theirs, time would run away from them.
    await setTimeout(PACE_MS);
    if (!done) await world.advance(stepMs);
  }
  return work;
}

/** Promise 2: what is in this answer was durable before it left. */
async function expectDurable(world: World, answer: Answer): Promise<void> {
  const { id } = grantIn(answer);
  const stored = await storedOf(world, id);
  if (!("endsAt" in stored.grant)) throw new Error(`grant ${id} has no end`);
  const leases = Object.values(stored.grant.leases);
  const keys = Object.values<Session>(answer.body.credentials).map((of) => of.accessKeyId);
  expect(leases.map((lease) => lease.accessKeyId)).toEqual(expect.arrayContaining(keys));
  const at = await scheduleOf(world, id);
  // It may be gone again only because the grant has ended meanwhile.
  if (at === undefined) expect((await storedOf(world, id)).grant.state).toMatch(/^end/);
  else expect(at).toBe(stored.grant.endsAt);
}

export async function storedOf(world: World, id: string): Promise<Stored> {
  const stored = await world.stint.app("sweep").deps.store.find(id);
  if (stored === undefined) throw new Error(`no grant ${id}`);
  return stored;
}

/** When the grant's schedule fires, or undefined where there is none. */
export async function scheduleOf(world: World, id: string): Promise<number | undefined> {
  const scheduler = new SchedulerClient(world.administrator);
  const { ScheduleExpression = "" } = await scheduler
    .send(new GetScheduleCommand({ Name: id, GroupName: "stint" }))
    .catch(() => ({}) as { ScheduleExpression?: string });
  const at = /^at\((.+)\)$/.exec(ScheduleExpression)?.[1];
  return at === undefined ? undefined : Date.parse(`${at}Z`);
}

export async function schedules(world: World): Promise<string[]> {
  const { Schedules = [] } = await new SchedulerClient(world.administrator).send(
    new ListSchedulesCommand({ GroupName: "stint" }),
  );
  return Schedules.flatMap(({ Name }) => Name ?? []);
}

/** The role's deny list as its account's administrator sees it. */
export async function denyList(world: World, role = ROLE): Promise<string | undefined> {
  try {
    const { PolicyDocument = "" } = await new IAMClient(world.administrator).send(
      new GetRolePolicyCommand({
        RoleName: role.split("/").at(-1) ?? "",
        PolicyName: "StintRevoked",
      }),
    );
    return decodeURIComponent(PolicyDocument);
  } catch (error) {
    if (error instanceof NoSuchEntityException) return undefined;
    throw error;
  }
}

export async function deniedIds(world: World, role = ROLE): Promise<string[]> {
  const text = await denyList(world, role);
  if (text === undefined) return [];
  return JSON.parse(text).Statement[0].Condition.StringEquals["aws:SourceIdentity"];
}

/** Whether a credential still does what its grant is for. */
export async function works(world: World, session: Session): Promise<boolean> {
  try {
    await s3Of(world, session).send(
      new PutObjectCommand({ Bucket: "orders-it", Key: `it-${session.grant}/x`, Body: "x" }),
    );
    return true;
  } catch (error) {
    if (error instanceof Error && ["AccessDenied", "ExpiredToken"].includes(error.name))
      return false;
    throw error;
  }
}

export async function liveSessions(witness: Witness): Promise<string[]> {
  const live: string[] = [];
  for (const session of witness.sessions)
    if (await works(witness.world, session)) live.push(`${session.grant} ${session.accessKeyId}`);
  return live;
}

const IAM_SPREADS_MS = 1_000;

/** The grant has come to its end, and none of its sessions does anything, whether it was handed out or lost. */
export async function expectOver(witness: Witness, id: string, why?: string): Promise<void> {
  const { world } = witness;
  await world.aws.settle();
  const { grant } = await storedOf(world, id);
  expect(grant).toMatchObject({ state: "ended", ...(why === undefined ? {} : { why }) });
  await world.advance(IAM_SPREADS_MS);
  for (const session of witness.sessions.filter((one) => one.grant === id))
    expect(await works(world, session), `a session of ${id}`).toBe(false);
  await expectOneEnd(witness, id);
}

/** Promise 4: one end, one reason, told once. */
export async function expectOneEnd(witness: Witness, id: string): Promise<void> {
  await witness.world.aws.settle();
  const of = witness.records.filter((record) => record.grant === id);
  const ended = of.filter(({ fact }) => fact === "grant.ended");
  expect(ended).toHaveLength(1);
  const reasons = of.flatMap(({ fact, why }) =>
    fact.startsWith("grant.end") || fact === "grant.proved" ? why : [],
  );
  expect(new Set(reasons).size).toBe(1);
  expect(of.filter(({ fact }) => fact === "grant.ending").length).toBeLessThanOrEqual(1);
  expect(of.filter(({ fact }) => fact === "grant.proved").length).toBeLessThanOrEqual(1);
}

/** Promise 1 and 5, for everything that happened in a world: run it as the end of every story. */
export async function assertNothingLives(witness: Witness): Promise<void> {
  const { world } = witness;
  await world.aws.settle();
  const now = world.aws.clock.now();
  const ids = [...new Set(witness.sessions.map(({ grant }) => grant))];
  const ends = await Promise.all(ids.map(async (id) => deadBy((await storedOf(world, id)).grant)));
  const last = Math.max(now, ...ends.map((end) => end ?? now));
  // Ten minutes more than any of them: what retries has had its time; and what fires late has fired.
  await world.advance(last - now + 10 * 60_000 + LATEST_FIRING_MS);
  expect(await liveSessions(witness)).toEqual([]);
  for (const item of await world.items()) {
    if (item.sk !== "GRANT") continue;
    const { id, state } = item.grant as { id: string; state: string }; // a grant's item has these
    if (state === "pending" || state === "ready") continue;
    expect(state, id).toBe("ended");
    await expectOneEnd(witness, id);
    expect(item.due, `${id} is due no more`).toBeUndefined();
  }
  // What a slow issuer left fires at its time, at the latest two hours from now, and is gone.
  if ((await schedules(world)).length > 0) await world.advance(2 * 3_600_000);
  expect(await schedules(world)).toEqual([]);
  // And each key that was handed out is in the record of who got what.
  const recorded = new Set(
    witness.records.flatMap(({ leases = [] }) => leases.map((lease) => lease.accessKeyId)),
  );
  for (const key of witness.handed) expect(recorded.has(key), key).toBe(true);
  const told = witness.records.map(({ id }) => id);
  expect(new Set(told).size).toBe(told.length);
}
