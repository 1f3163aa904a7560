/** One run's world: Stint deployed into local AWS under a virtual clock, and what its actors know and can do. */
import { createHmac } from "node:crypto";
import type { GrantView } from "@stint/broker/view";
import type { Door } from "@stint/functions/deployment";
import { createVirtualClock } from "@stint/local/clock";
import { localAws, type StandardAws } from "@stint/local/local-aws";
import { NAMES } from "@stint/local/roles";
import { deployStint, webhookSecret } from "@stint/local/stint";
import { seededRandom } from "@stint/local/world";
import { createDatabase, type Database } from "./database.ts";
import { createPlan } from "./plan.ts";
import { createSeen, type Seen } from "./seen.ts";
import { clientsOf, type Here, ISSUER, type Shared, share, within } from "./shared.ts";
import { type Job, MINUTE, START, type Story, type Wanted } from "./story.ts";
import { watch } from "./watch.ts";

const SLOWEST_STATEMENTS_MS = 4_000;

interface Answer {
  /** 0 where the function died or ran out of time. */
  readonly status: number;
  readonly askedAt: number;
  readonly code: string | undefined;
  readonly body: Body;
}

/** What answers may have of that which actors look at. */
interface Body {
  readonly grant?: GrantView;
  readonly token?: string;
  readonly code?: string;
  readonly credentials?: Readonly<
    Record<
      string,
      | { readonly accessKeyId: string; readonly expiration: string }
      | { readonly user: string; readonly password: string; readonly expiration: string }
    >
  >;
}

interface CallOptions {
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What actors have. */
export interface Stage {
  wantedBy(grant: number): Wanted;
  job(index: number): Job;
  /** What the grant's holder has learnt. */
  known(grant: number): { readonly id?: string; readonly token?: string };
  /** A token of the grant's owner; the one of the last time unless it has to be fresh. */
  tokenFor(grant: number, fresh: boolean): Promise<string>;
  ownerToken(owner: number): Promise<string>;
  call(method: string, path: string, options: CallOptions): Promise<Answer>;
  webhook(event: string, delivery: string, payload: object): Promise<string>;
  /** What a caller takes from an answer: what it learns, and credentials. */
  take(grant: number, answer: Answer): string;
  /** Tells onlookers that somebody asks for an end. */
  asked(grant: string, what: "release" | "revoke"): void;
}

export interface Sim {
  readonly story: Story;
  readonly aws: StandardAws;
  readonly database: Database;
  readonly seen: Seen;
  readonly stage: Stage;
  readonly now: () => number;
  /** Writes a line of the trace. */
  note(line: string): void;
  /** Faults stop. */
  calm(): void;
  /** What is done each night. */
  reconcile(): Promise<void>;
}

/** Sets the world up and does `work` in it. */
export async function inWorld<T>(
  story: Story,
  note: (line: string) => void,
  work: (sim: Sim) => Promise<T>,
): Promise<T> {
  const shared = await share();
  const { surroundings, seed } = story;
  const clock = createVirtualClock(START);
  const seen = createSeen();
  const plan = createPlan(story, seen, clock, note);
  const aws = localAws({ clock, seed, iamDelayMs: surroundings.iamDelayMs, faults: plan.faults });
  const run: Here = {
    aws,
    settings: new Map(),
    issuerNow: () => clock.now() + surroundings.skewMs,
    issuerRandom: seededRandom(seed ^ 0x1f123bb5),
    trying: undefined,
  };
  return within(run, async () => {
    const random = seededRandom(seed ^ 0x2545f491);
    const database = createDatabase(
      clock,
      plan.faults,
      random,
      seen,
      surroundings.latencyMs === 0 ? 0 : SLOWEST_STATEMENTS_MS,
    );
    const { invoke } = await deployed(aws, shared, seen, database);
    aws.services.dynamodb.setReadLag(surroundings.readLagMs);
    aws.services.dynamodb.setStreamLag(surroundings.streamLagMs);
    aws.services.scheduler.configure({ fireLateMs: surroundings.fireLateMs });
    aws.services.sqs.configure({ redeliver: surroundings.redeliver });
    if (surroundings.splitShards) aws.services.dynamodb.splitShards(NAMES.table);
    plan.begin();
    const stage = stageOf(story, shared, seen, clock.now, invoke);
    return work({
      story,
      aws,
      database,
      seen,
      stage,
      note,
      now: clock.now,
      calm: () => plan.calm(aws),
      reconcile: async () => {
        // As a task of the clock's, which waits for it: it waits on the clock itself.
        aws.clock.schedule(clock.now(), async () => void (await invoke("reconcile", {})));
        await aws.advance(2 * MINUTE);
      },
    });
  });
}

async function deployed(
  aws: StandardAws,
  { config, issuer }: Shared,
  seen: Seen,
  postgres: Database,
) {
  const log = (message: string, details: Readonly<Record<string, unknown>>) =>
    seen.tell("text", { where: "logs", text: `${message} ${JSON.stringify(details)}` });
  const stint = await deployStint({
    aws,
    config,
    issuer,
    maxAttempts: 1, // the SDK waits between attempts in real time
    direct: true,
    postgres,
    clients: clientsOf,
    fetch: async (url) => {
      const path = url.slice(ISSUER.length);
      const { status, body, headers } = issuer.handle({ method: "GET", path });
      return new Response(body, { status, headers: { ...headers } });
    },
    log: { info: log, error: log },
  });
  watch(aws, seen);
  return stint;
}

const ok = (status: number): boolean => status >= 200 && status < 300;

function stageOf(
  story: Story,
  { issuer }: Shared,
  seen: Seen,
  now: () => number,
  invoke: (door: Door, event: unknown) => Promise<unknown>,
): Stage {
  const known = new Map<number, { id?: string; token?: string }>();
  const tokens = new Map<number, string>();
  const at = <T>(all: readonly T[], index: number): T => {
    const found = all[index];
    if (found === undefined) throw new Error(`the story has no number ${index}`);
    return found;
  };
  const secret = (text: string): string => {
    seen.tell("secret", text);
    return text;
  };
  const send = async (
    method: string,
    path: string,
    raw: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<Answer> => {
    const door: Door = path.startsWith("/v1/webhooks/") ? "webhook" : "api";
    const askedAt = now();
    try {
      const answer = (await invoke(door, {
        version: "2.0",
        rawPath: path,
        rawQueryString: "",
        headers,
        requestContext: { requestId: "sim", http: { method, path } },
        body: raw,
        isBase64Encoded: false,
      })) as { readonly statusCode: number; readonly body: string }; // an answer as Lambda's HTTP API takes it
      const body: Body = answer.body === "" ? {} : JSON.parse(answer.body);
      return { status: answer.statusCode, askedAt, code: body.code, body };
    } catch (error) {
      const code = error instanceof Error ? error.name : String(error);
      return { status: 0, askedAt, code, body: {} };
    }
  };

  const stage: Stage = {
    wantedBy: (grant) => at(story.wanted, grant),
    job: (index) => at(story.jobs, index),
    known: (grant) => known.get(grant) ?? {},
    async tokenFor(grant, fresh) {
      const before = tokens.get(grant);
      if (before !== undefined && !fresh) return before;
      const { owner } = stage.wantedBy(grant);
      const token = await ("person" in owner
        ? issuer.mint("local", { sub: `dev-${owner.person}`, groups: ["developers"] })
        : issuer.mint("github", jobClaims(stage.job(owner.job))));
      tokens.set(grant, token);
      return secret(token);
    },
    ownerToken: async (owner) =>
      secret(await issuer.mint("local", { sub: `owner-${owner}`, groups: ["owners"] })),
    call: (method, path, { token, body, headers = {} }) =>
      send(method, path, body === undefined ? "" : JSON.stringify(body), {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      }),
    async webhook(event, delivery, payload) {
      const raw = JSON.stringify(payload);
      const signature = createHmac("sha256", webhookSecret("github")).update(raw).digest("hex");
      const { status, code } = await send("POST", "/v1/webhooks/github", raw, {
        "x-github-event": event,
        "x-github-delivery": delivery,
        "x-hub-signature-256": `sha256=${signature}`,
      });
      return `${status} ${code ?? ""}`;
    },
    take(grant, { status, askedAt, code, body }) {
      if (!ok(status) || body.grant === undefined) return `${status} ${code ?? ""}`;
      const { grant: view, token, credentials = {} } = body;
      const before = known.get(grant) ?? {};
      known.set(grant, {
        ...before,
        id: view.id,
        ...(token === undefined ? {} : { token: secret(token) }),
      });
      seen.tell("view", { view, askedAt });
      for (const of of Object.values(credentials)) {
        const until = Date.parse(of.expiration);
        if ("user" in of) {
          seen.tell("login", { ...of, grant: view.id, until, view });
          continue;
        }
        const session = seen.sessions.find((one) => one.accessKeyId === of.accessKeyId);
        if (session === undefined) throw new Error(`nobody minted ${of.accessKeyId}`);
        session.handed = true;
        seen.tell("handed", { session, until, view });
      }
      return `${status} ${view.state} ${Object.keys(credentials).length}`;
    },
    asked: (grant, what) => seen.tell("asked", { grant, what }),
  };
  return stage;
}

const jobClaims = ({ run, attempt, job }: Job) => ({
  run_id: String(run),
  run_attempt: String(attempt),
  check_run_id: String(job),
});
