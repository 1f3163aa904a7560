/** Grants that end: how many writes a burst of them costs, and how long each lives on. */
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { deadBy } from "@stint/core/grant";
import { createVirtualClock, type VirtualClock } from "@stint/local/clock";
import type { SdkRequestHandler } from "@stint/local/transport";
import { serviceOf } from "./canned.ts";
import { type Credential, credentialIn, opened, works } from "./credential.ts";
import { type IamWrites, iamWrites } from "./iam-writes.ts";
import { type Bench, median, type Row, rounded, type Size } from "./row.ts";
import { createSystem, type System } from "./system.ts";

const NOW = Date.parse("2026-11-22T12:00:00Z");
const BUCKET = "orders-it";
const SECOND = 1_000;
const GRANTS: Readonly<Record<Size, number>> = { full: 1_000, tiny: 20 };
/** As AWS takes: without them a worker would be back for each single denial. */
const DELAYS: Readonly<Record<string, number>> = {
  dynamodb: 5,
  iam: 50,
  scheduler: 30,
  sqs: 10,
  sts: 40,
};
/** How long a change of IAM takes to be in force. AWS's is seconds. */
const PROPAGATIONS: Readonly<Record<Size, readonly number[]>> = {
  full: [1_000, 2_000, 5_000, 10_000],
  tiny: [1_000],
};
/** Longer than a prover's patience: then the queue's time counts. Told, and not judged. */
const SLOW_MS = 20_000;

interface Held {
  readonly token: string;
  readonly credential: Credential;
}

interface Made {
  readonly system: System;
  readonly clock: VirtualClock;
  readonly writes: IamWrites;
  readonly timesToDead: number[];
  /** From now on calls take their time. */
  slow: boolean;
}

async function make(iamDelayMs: number): Promise<Made> {
  const clock = createVirtualClock(NOW);
  const writes = iamWrites();
  const timesToDead: number[] = [];
  const late = (inner: SdkRequestHandler): SdkRequestHandler => ({
    ...inner,
    handle: async (...args) => {
      const wait = DELAYS[serviceOf(args[0].headers.authorization)] ?? 0;
      if (made?.slow === true) await clock.sleep(wait);
      return inner.handle(...args);
    },
  });
  let made: Made | undefined;
  const system = await createSystem({
    clock,
    iamDelayMs,
    through: (inner) => late(writes.through(inner)),
    log: {
      info: (message, { metric, value }) => {
        if (message === "measured" && metric === "timeToDeadMs") timesToDead.push(Number(value));
      },
      error: () => {},
    },
  });
  const s3 = new S3Client({ ...system.client(), forcePathStyle: true });
  await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  made = { system, clock, writes, timesToDead, slow: false };
  return made;
}

/** Work takes no time here but what its calls take. */
async function passing<T>(clock: VirtualClock, work: Promise<T>): Promise<T> {
  let done = false;
  const finish = () => {
    done = true;
  };
  work.then(finish, finish);
  await clock.quiet(work);
  while (!done) {
    await clock.advance(5);
    // What waited for this moment goes on to where it waits again.
    await clock.quiet(work);
  }
  return work;
}

/** Before calls take their time: tokens are verified by other threads, from which a moving clock would run away. */
async function open({ system }: Made): Promise<Held> {
  const token = await system.issuer.mint("github");
  const answer = await system.call("POST", "/v1/grants", { token, body: BODY });
  return { token: opened.parse(answer.body).token, credential: credentialIn(answer.body) };
}

const BODY = JSON.stringify({ profile: "orders-integration" });

async function release({ system }: Made, { token, credential }: Held): Promise<void> {
  const { status } = await system.call("DELETE", `/v1/grants/${credential.grant}`, { token });
  if (status !== 202) throw new Error(`a release was answered ${status}`);
}

/** Says what it should not of a grant, and whether it was left to lapse; nothing where all is right. */
async function judged(
  { system, clock }: Made,
  { credential }: Held,
): Promise<"wrong" | "lapses" | "dead"> {
  const stored = await system.stint.app("api").deps.store.find(credential.grant);
  const at = stored === undefined ? undefined : deadBy(stored.grant);
  if (at === undefined || at > credential.until) return "wrong";
  if (at <= clock.now()) return (await works(system, BUCKET, credential)) ? "wrong" : "dead";
  // Nothing was proved: then it says no less than the lease's own end.
  return at === credential.until ? "lapses" : "wrong";
}

async function burst(size: Size): Promise<Row[]> {
  const made = await make(SECOND);
  const { clock, writes, timesToDead } = made;
  const count = GRANTS[size];
  const held: Held[] = [];
  for (let i = 0; i < count; i++) held.push(await open(made));
  await clock.advance(SECOND);
  made.slow = true;
  const before = total(writes);
  const releases: Promise<void>[] = [];
  for (const one of held) {
    releases.push(release(made, one));
    await clock.advance(SECOND / count);
    await clock.quiet(Promise.all(releases));
  }
  await passing(clock, Promise.all(releases));
  await clock.advance(20 * SECOND);
  made.slow = false;
  const verdicts: string[] = [];
  for (const one of held) verdicts.push(await judged(made, one));
  const of = (verdict: string) => verdicts.filter((each) => each === verdict).length;
  return [
    {
      name: `IAM writes for ${count} grants ended in a second`,
      measured: total(writes) - before,
      unit: "",
      budget: 10,
      parts: {
        "longest list": writes.longest,
        "ms to dead": timesToDead.length === 0 ? 0 : median(timesToDead),
        "ms to dead at most": Math.max(0, ...timesToDead),
        dead: of("dead"),
        lapsing: of("lapses"),
      },
      note: "one role, real grants, released evenly within one second; local time goes by calls (table 5 ms, SQS 10 ms, Scheduler 30 ms, STS 40 ms, IAM 50 ms), IAM's changes are in force after 1 s. What finds no room while others live lapses",
    },
    {
      name: "grants of the burst whose deadBy is wrong",
      measured: of("wrong"),
      unit: "",
      budget: 0,
      note: "each credential is tried once its grant says that it is dead; what is not proved must say its lease's own end",
    },
  ];
}

const total = ({ lists }: IamWrites): number =>
  [...lists.values()].reduce((sum, count) => sum + count, 0);

/** One grant released while its lease has long to run. */
async function timeToDead(iamDelayMs: number): Promise<number> {
  const made = await make(iamDelayMs);
  const one = await open(made);
  await made.clock.advance(SECOND);
  made.slow = true;
  await passing(made.clock, release(made, one));
  for (let waited = 0; made.timesToDead.length === 0; waited += SECOND) {
    if (waited > 10 * 60 * SECOND) throw new Error("nothing was proved in ten minutes");
    await made.clock.advance(SECOND);
  }
  return median(made.timesToDead);
}

export const bursts: Bench = async (size) => {
  const told = await burst(size);
  const ratios: number[] = [];
  const parts: Record<string, number> = {};
  for (const delay of [...PROPAGATIONS[size], ...(size === "full" ? [SLOW_MS] : [])]) {
    const ms = await timeToDead(delay);
    parts[`ms at ${delay / SECOND} s`] = ms;
    if (delay !== SLOW_MS) ratios.push(ms / delay);
  }
  return [
    ...told,
    {
      name: "time to dead / IAM's propagation",
      measured: rounded(Math.max(...ratios)),
      unit: "×",
      budget: 2,
      parts,
      note: `from the fact that ended a grant to the proof, by local time that goes by calls as above; the worst of ${PROPAGATIONS[size].map((ms) => ms / SECOND).join(", ")} s. Beyond 15 s the prover's message comes again after a minute, which is told and not judged`,
    },
  ];
};
