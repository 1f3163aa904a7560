/** What Stint's own work costs beside the AWS calls that it cannot do without. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import {
  DynamoDBClient,
  TransactWriteItemsCommand,
  type TransactWriteItemsCommandInput,
} from "@aws-sdk/client-dynamodb";
import {
  CreateScheduleCommand,
  type CreateScheduleCommandInput,
  SchedulerClient,
} from "@aws-sdk/client-scheduler";
import { AssumeRoleCommand, type AssumeRoleCommandInput, STSClient } from "@aws-sdk/client-sts";
import { api } from "@stint/functions/api";
import { type ClientSettings, compose } from "@stint/functions/live";
import { canned } from "./canned.ts";
import { type Bench, collect, median, RUNS, rounded, type Size } from "./row.ts";
import { assertIssued, CONTEXT, createSystem, type System } from "./system.ts";

type Transport = Pick<ClientSettings, "endpoint" | "requestHandler">;

/** The same answers over loopback, from a process whose CPU is not counted. */
async function cannedServer(): Promise<{ url: string; stop(): void }> {
  const child = fork(fileURLToPath(new URL("./canned.ts", import.meta.url)), { execArgv: [] });
  const [port] = await once(child, "message");
  return { url: `http://127.0.0.1:${port}`, stop: () => void child.kill() };
}

interface Inputs {
  readonly open: TransactWriteItemsCommandInput;
  readonly schedule: CreateScheduleCommandInput;
  readonly session: AssumeRoleCommandInput;
  readonly lease: TransactWriteItemsCommandInput;
}

/** What one request asks of AWS, taken down where its clients are asked to send it. */
async function inputsOf(request: () => Promise<unknown>): Promise<Inputs> {
  const writes: TransactWriteItemsCommandInput[] = [];
  const schedules: CreateScheduleCommandInput[] = [];
  const sessions: AssumeRoleCommandInput[] = [];
  const classes = [DynamoDBClient, SchedulerClient, STSClient];
  for (const { prototype } of classes) {
    const { send } = prototype;
    Object.assign(prototype, {
      send(this: unknown, command: unknown, ...rest: unknown[]) {
        if (command instanceof TransactWriteItemsCommand) writes.push(command.input);
        if (command instanceof CreateScheduleCommand) schedules.push(command.input);
        if (command instanceof AssumeRoleCommand) sessions.push(command.input);
        return Reflect.apply(send, this, [command, ...rest]);
      },
    });
  }
  try {
    await request();
  } finally {
    // Its own is inherited.
    for (const { prototype } of classes) Reflect.deleteProperty(prototype, "send");
  }
  const [open, lease, ...more] = writes;
  const [schedule] = schedules;
  const [session] = sessions;
  if (!open || !lease || !schedule || !session || more.length > 0)
    throw new Error("a request makes other calls than it did");
  return { open, schedule, session, lease };
}

/** The same four calls in the same three steps, by clients made the same way, and nothing else. */
function bare(aws: ClientSettings, { open, schedule, session, lease }: Inputs) {
  const db = new DynamoDBClient(aws);
  const scheduler = new SchedulerClient(aws);
  const sts = new STSClient(aws);
  return async () => {
    await db.send(new TransactWriteItemsCommand(open));
    await Promise.all([
      scheduler.send(new CreateScheduleCommand(schedule)),
      sts.send(new AssumeRoleCommand(session)),
    ]);
    await db.send(new TransactWriteItemsCommand(lease));
  };
}

/** CPU of the whole process in ms, per run: garbage collection and the crypto threads count too. */
async function cpuOf<T>(work: readonly T[], run: (item: T) => Promise<unknown>): Promise<number> {
  collect();
  const before = process.cpuUsage();
  for (const item of work) await run(item);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / work.length;
}

interface Cost {
  readonly ratio: number;
  readonly request: number;
  readonly bare: number;
}

/** Both sides over one transport, in turns, so that a busy neighbour hits both. */
async function compare(system: System, transport: Transport, size: Size): Promise<Cost> {
  const outside = system.outside(system.aws.requestHandler);
  const aws = { ...outside.aws, ...transport };
  const log = (message: string, details: object) => void JSON.stringify({ message, ...details });
  const app = compose({ ...outside, aws, log: { info: log, error: log } });
  // Secrets come from local AWS; they are asked for once.
  const deps = { ...app.deps, keys: compose(outside).deps.keys };
  const handler = api({ ...app, deps });
  const many = size === "full" ? 300 : 2;
  const request = async (event: unknown) => assertIssued(await call(handler, event));
  const calls = bare(aws, await inputsOf(async () => request(await system.requestEvent())));

  const costs: Cost[] = [];
  const warmUp = size === "full" ? 4 : 0;
  for (let round = -warmUp; round < RUNS[size]; round++) {
    const work = await Promise.all(Array.from({ length: many }, system.requestEvent));
    const own = await cpuOf(work, request);
    const theirs = await cpuOf(work, calls);
    if (round >= 0) costs.push({ ratio: own / theirs, request: own, bare: theirs });
  }
  const middle = (key: keyof Cost) => rounded(median(costs.map((cost) => cost[key])));
  return { ratio: middle("ratio"), request: middle("request"), bare: middle("bare") };
}

/**
 * Stint's side is the API's real handler: middy and its router, the token's verification (each request has a fresh
 * one, signed beforehand), zod, Cedar under the demo's rules, both audit records, marshalling, the session policy, the
 * log line as JSON, the answer; and its four calls. The bare side is these four calls alone, made of inputs that lie
 * ready, by clients configured the same way. What answers them is constant and, over HTTP, in another process: local
 * AWS's own work is on neither side.
 */
export const cpu: Bench = async (size) => {
  const system = await createSystem();
  const server = await cannedServer();
  try {
    const overHttp = await compare(system, { endpoint: server.url, requestHandler: {} }, size);
    const handler = canned(system.aws.requestHandler);
    const inProcess = await compare(system, { requestHandler: handler }, size);
    return [
      {
        name: "CPU of a request / its calls bare",
        measured: overHttp.ratio,
        unit: "×",
        budget: 1.3,
        parts: {
          "request ms": overHttp.request,
          "bare ms": overHttp.bare,
          "without HTTP ×": inProcess.ratio,
          "without HTTP request ms": inProcess.request,
          "without HTTP bare ms": inProcess.bare,
        },
        note: `${RUNS[size]} rounds in turns. Request: the API's handler with a fresh token each (middy, RS256, zod, Cedar, records, marshalling, log line). Bare: TransactWriteItems, CreateSchedule with AssumeRole, TransactWriteItems of ready inputs. Both through the SDK's own HTTP client, unencrypted, to a process that answers at once; beside it the same with calls that end before HTTP`,
      },
    ];
  } finally {
    server.stop();
  }
};

const call = (handler: ReturnType<typeof api>, event: unknown) =>
  handler(event as never, CONTEXT as never); // events of ours have no more than the door reads
