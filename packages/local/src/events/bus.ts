/** Event buses, their rules, and how an event finds its targets. */
import { AwsError, type World } from "../service.ts";
import { uuid } from "../uuid.ts";
import { deliverWithRetries } from "./delivery.ts";
import { type Expression, nextTime } from "./expression.ts";
import { renderInput } from "./input.ts";
import { compilePattern, type Pattern } from "./pattern.ts";
import type { PutEventsEntry, Target } from "./shapes.ts";

export interface Bus {
  readonly name: string;
  readonly arn: string;
  readonly description?: string;
  readonly createdAt: number;
  readonly rules: Map<string, Rule>;
}

export interface Rule {
  readonly name: string;
  readonly arn: string;
  readonly busName: string;
  readonly createdAt: number;
  pattern?: { readonly text: string; readonly matches: Pattern };
  schedule?: { readonly text: string; readonly expression: Expression };
  enabled: boolean;
  description?: string;
  roleArn?: string;
  readonly targets: Map<string, Target>;
  /** Ends the wait for the schedule's next turn. */
  disarm: () => void;
}

/** AWS's envelope. */
export interface EventEnvelope {
  readonly version: "0";
  readonly id: string;
  readonly "detail-type": string;
  readonly source: string;
  readonly account: string;
  readonly time: string;
  readonly region: string;
  readonly resources: readonly string[];
  readonly detail: Readonly<Record<string, unknown>>;
}

export const sender = "events.amazonaws.com";

const entryLimitBytes = 1_048_576;

/** Errors after which EventBridge goes straight to the dead-letter queue. */
const hopelessCodes = new Set([
  "AccessDenied",
  "AccessDeniedException",
  "ResourceNotFoundException",
  "QueueDoesNotExist",
]);

/** Hands an event to every enabled rule of the bus that matches it. */
export function publish(world: World, bus: Bus, event: EventEnvelope): void {
  for (const rule of bus.rules.values()) {
    if (rule.enabled && rule.pattern?.matches(event)) trigger(world, rule, event);
  }
}

/** Sends an event to all targets of a rule. */
function trigger(world: World, rule: Rule, event: EventEnvelope): void {
  const facts = {
    ruleArn: rule.arn,
    ruleName: rule.name,
    ingestedAt: isoSeconds(world.clock.now()),
  };
  for (const target of rule.targets.values()) {
    const payload = renderInput(target, { ...event }, facts);
    const { RetryPolicy: retry = {}, SqsParameters, DeadLetterConfig } = target;
    // A target's own role, else the rule's.
    const roleArn = target.RoleArn ?? rule.roleArn;
    const group = SqsParameters?.MessageGroupId;
    deliverWithRetries(world, {
      delivery: () => ({
        arn: target.Arn,
        payload,
        sender,
        sourceArn: rule.arn,
        ...(roleArn !== undefined && { roleArn }),
        ...(group !== undefined && { messageGroupId: group }),
      }),
      maxRetries: retry.MaximumRetryAttempts ?? 185,
      maxAgeMs: (retry.MaximumEventAgeInSeconds ?? 86_400) * 1000,
      since: world.clock.now(),
      hopeless: (error) => error instanceof AwsError && hopelessCodes.has(error.code),
      ...(DeadLetterConfig?.Arn !== undefined && {
        deadLetter: { arn: DeadLetterConfig.Arn, attributes: { RULE_ARN: rule.arn } },
      }),
    });
  }
}

/** Waits for the rule's schedule, anew after every turn. Called again whenever the rule changes. */
export function arm(world: World, rule: Rule): void {
  rule.disarm();
  const { schedule } = rule;
  if (!rule.enabled || schedule === undefined) return;
  const anchor = world.clock.now();
  const wait = (after: number) => {
    const at = nextTime(schedule.expression, after, anchor);
    if (at === undefined) return;
    rule.disarm = world.clock.schedule(at, () => {
      wait(at);
      trigger(world, rule, {
        version: "0",
        id: uuid(world),
        "detail-type": "Scheduled Event",
        source: "aws.events",
        account: world.account,
        time: isoSeconds(at),
        region: world.region,
        resources: [rule.arn],
        detail: {},
      });
    });
  };
  wait(anchor);
}

/** What PutEvents makes of an entry: an event, or the reason why not. */
export function envelopeOf(
  world: World,
  entry: PutEventsEntry,
): EventEnvelope | { readonly ErrorCode: string; readonly ErrorMessage: string } {
  const failed = (ErrorCode: string, ErrorMessage: string) => ({ ErrorCode, ErrorMessage });
  const { Source: source, DetailType: detailType, Detail: text, Resources: resources = [] } = entry;
  if (!source)
    return failed(
      "InvalidArgument",
      "Parameter Source is not valid. Reason: Source is a required argument.",
    );
  if (!detailType)
    return failed(
      "InvalidArgument",
      "Parameter DetailType is not valid. Reason: DetailType is a required argument.",
    );
  if (!text)
    return failed(
      "InvalidArgument",
      "Parameter Detail is not valid. Reason: Detail is a required argument.",
    );
  if (source.length > 256 || detailType.length > 128) {
    const name = source.length > 256 ? "Source" : "DetailType";
    return failed("InvalidArgument", `Parameter ${name} is not valid. Reason: it is too long.`);
  }
  if (source.startsWith("aws.")) {
    return failed("NotAuthorizedForSourceException", "Not authorized for the source.");
  }
  const size = [source, detailType, text, ...resources]
    .map((part) => Buffer.byteLength(part))
    .reduce((sum, bytes) => sum + bytes, entry.Time === undefined ? 0 : 14);
  if (size >= entryLimitBytes) {
    return failed(
      "InvalidArgument",
      `Total size of the entry is over the limit of ${entryLimitBytes} bytes.`,
    );
  }
  let detail: unknown;
  try {
    detail = JSON.parse(text);
  } catch {
    return failed("MalformedDetail", "Detail is malformed.");
  }
  if (typeof detail !== "object" || detail === null || Array.isArray(detail)) {
    return failed("MalformedDetail", "Detail is malformed.");
  }
  return {
    version: "0",
    id: uuid(world),
    "detail-type": detailType,
    source,
    account: world.account,
    time: isoSeconds(entry.Time === undefined ? world.clock.now() : entry.Time * 1000),
    region: world.region,
    resources,
    detail: { ...detail },
  };
}

/** The pattern as a rule keeps it. @throws {AwsError} `InvalidEventPatternException` */
export function patternOf(text: string): NonNullable<Rule["pattern"]> {
  return { text, matches: compilePattern(text) };
}

function isoSeconds(at: number): string {
  return new Date(at).toISOString().replace(/\.\d{3}Z$/, "Z");
}
