/** What goes wrong: one fault of some kind somewhere, an outage, or a function that dies between two of its calls. */
import type { FaultError } from "@stint/local/faults";
import type { Draw } from "./draw.ts";
import { MINUTE, SECOND, type Trouble } from "./story.ts";

type Where = readonly [service: string, operation: string];

/** The calls that Stint makes. */
const CALLS: readonly [Where, ...Where[]] = [
  ["dynamodb", "TransactWriteItems"],
  ["dynamodb", "TransactWriteItems"],
  ["dynamodb", "TransactWriteItems"],
  ["dynamodb", "UpdateItem"],
  ["dynamodb", "UpdateItem"],
  ["dynamodb", "GetItem"],
  ["dynamodb", "Query"],
  ["dynamodb", "PutItem"],
  ["sts", "AssumeRole"],
  ["sts", "AssumeRole"],
  ["scheduler", "CreateSchedule"],
  ["scheduler", "CreateSchedule"],
  ["scheduler", "GetSchedule"],
  ["scheduler", "DeleteSchedule"],
  ["sqs", "SendMessage"],
  ["iam", "GetRolePolicy"],
  ["iam", "PutRolePolicy"],
  ["events", "PutEvents"],
  ["s3", "PutObject"],
  ["s3", "HeadObject"],
  ["ssm", "GetParameter"],
  ["postgres", "Mint"],
  ["postgres", "Dismantle"],
  ["postgres", "Dismantle"],
];

const DOORS = [
  "api",
  "webhook",
  "expire",
  "sweep",
  "relay",
  "audit",
  "revoke",
  "prove",
  "clear",
] as const;

const THROTTLED: Readonly<Record<string, FaultError>> = {
  dynamodb: { code: "ProvisionedThroughputExceededException", status: 400 },
  sts: { code: "Throttling", status: 400 },
  iam: { code: "Throttling", status: 400 },
  s3: { code: "SlowDown", status: 503 },
};

/**
 * IAM orders nothing: a write that hangs for longer than its worker lives would undo a later one. Stint relies on no
 * call outliving its function's time-out and the message's invisibility.
 */
const LONGEST_HANG_MS: Readonly<Record<string, number>> = { iam: 20 * SECOND };

function onCall(draw: Draw, at: number): Trouble {
  const [service, operation] = draw.pick(CALLS);
  const where = { at, service, operation, skip: draw.pick([0, 0, 0, 1, 2, 5]) };
  const times = draw.pick([1, 1, 1, 2, 4]);
  switch (draw.pick(["refuse", "refuse", "fail-after", "fail-after", "delay", "duplicate"])) {
    case "refuse": {
      const throttled = THROTTLED[service] ?? { code: "ThrottlingException", status: 400 };
      const error = draw.pick<FaultError | undefined>([undefined, throttled, "timeout"]);
      return { ...where, times, kind: "refuse", ...(error === undefined ? {} : { error }) };
    }
    case "fail-after":
      return draw.chance(0.5)
        ? { ...where, times, kind: "fail-after", error: "timeout" }
        : { ...where, times, kind: "fail-after" };
    case "delay": {
      const delayMs = draw.pick([300, 4 * SECOND, 20 * SECOND, 70 * SECOND, 130 * SECOND]);
      const most = LONGEST_HANG_MS[service] ?? Number.POSITIVE_INFINITY;
      return { ...where, times, kind: "delay", delayMs: Math.min(delayMs, most) };
    }
    default:
      return { ...where, times, kind: "duplicate" };
  }
}

/** A service, or one operation of it, is down for a while. */
function outage(draw: Draw, at: number): Trouble {
  const [service, operation] = draw.pick(CALLS);
  const until = at + draw.pick([20 * SECOND, 2 * MINUTE, 10 * MINUTE]);
  return { at, until, service, operation, kind: "refuse" };
}

function onRun(draw: Draw, at: number): Trouble {
  const door = draw.pick(DOORS);
  const where = { at, service: "lambda", operation: "Run", door, skip: draw.pick([0, 0, 1, 3]) };
  const times = draw.pick([1, 1, 2]);
  switch (draw.pick(["crash", "crash", "crash", "crash", "refuse", "fail-after", "duplicate"])) {
    case "crash":
      return { ...where, times, kind: "crash", atCall: draw.int(1, draw.pick([3, 6, 12])) };
    case "refuse":
      return { ...where, times, kind: "refuse" };
    case "fail-after":
      return { ...where, times, kind: "fail-after" };
    default:
      return { ...where, times, kind: "duplicate" };
  }
}

/** Schedules that never fire, fire twice or far too late; a sweeper that is not called. */
function onDelivery(draw: Draw, at: number): Trouble {
  const deliver = { at, operation: "Deliver" };
  switch (draw.pick(["never", "never", "twice", "late", "no sweep"])) {
    case "never":
      // Half of the time from the beginning: a grant that ends by itself is rare while much is going on.
      return {
        ...deliver,
        at: draw.chance(0.5) ? 0 : at,
        service: "scheduler",
        kind: "lose",
        ...oftenOrAlways(draw),
      };
    case "twice":
      return { ...deliver, service: "scheduler", kind: "duplicate", ...oftenOrAlways(draw) };
    case "late":
      return {
        ...deliver,
        service: "scheduler",
        kind: "delay",
        delayMs: draw.pick([5 * SECOND, 3 * MINUTE]),
        ...oftenOrAlways(draw),
      };
    default: {
      const until = at + draw.pick([3 * MINUTE, 15 * MINUTE, 60 * MINUTE]);
      return { ...deliver, until, service: "events", kind: "lose" };
    }
  }
}

const oftenOrAlways = (draw: Draw) => (draw.chance(0.4) ? {} : { times: draw.int(1, 3) });

/** @param moments when something happens: faults that strike nothing tell nothing */
export function planTroubles(draw: Draw, moments: readonly number[]): Trouble[] {
  const count = draw.pick([0, 0, 1, 2, 3, 4, 6, 9]);
  const troubles: Trouble[] = [];
  for (let i = 0; i < count; i++) {
    const moment = moments[draw.int(0, moments.length - 1)] ?? 0;
    const at = draw.chance(0.7) ? moment : Math.max(0, moment - draw.int(0, 2 * MINUTE));
    const make = draw.pick([onCall, onCall, onCall, outage, onRun, onRun, onDelivery, onDelivery]);
    troubles.push(make(draw, at));
  }
  return troubles.sort((a, b) => a.at - b.at);
}
