/** `at(…)`, `rate(…)` and `cron(…)`, as EventBridge's rules and its Scheduler read them, in any IANA time zone. */
import { type Cron, nextOfCron, parseCron } from "./cron.ts";
import { isTimeZone, wallToUtc } from "./zone.ts";

export type Expression =
  | { readonly kind: "at"; readonly at: number }
  | { readonly kind: "rate"; readonly everyMs: number }
  | { readonly kind: "cron"; readonly cron: Cron; readonly zone: string };

const units: Readonly<Record<string, number>> = {
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
};

/** Reads an expression, or gives `undefined` where it is none that AWS accepts. */
export function parseExpression(text: string, zone = "UTC"): Expression | undefined {
  if (!isTimeZone(zone)) return undefined;
  const [, kind, inner = ""] = /^(at|rate|cron)\((.+)\)$/.exec(text) ?? [];
  switch (kind) {
    case "at":
      return parseAt(inner, zone);
    case "rate":
      return parseRate(inner);
    case "cron": {
      const cron = parseCron(inner);
      return cron && { kind: "cron", cron, zone };
    }
    default:
      return undefined;
  }
}

function parseAt(inner: string, zone: string): Expression | undefined {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)$/.exec(inner);
  if (match === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1)
    .map(Number);
  const wall = Date.UTC(year, month - 1, day, hour, minute, second);
  // Date.UTC rolls 31 February over into March; AWS refuses it.
  if (Number.isNaN(wall) || new Date(wall).toISOString().slice(0, 19) !== inner) return undefined;
  return { kind: "at", at: wallToUtc(wall, zone) };
}

function parseRate(inner: string): Expression | undefined {
  const [, count = "", unit = "", plural] = /^(\d+) +(minute|hour|day)(s?)$/.exec(inner) ?? [];
  const value = Number(count);
  // One of them is singular and all else plural: `rate(1 minutes)` and `rate(5 minute)` are refused.
  if (!(value > 0) || (value === 1) !== (plural === "")) return undefined;
  return { kind: "rate", everyMs: value * (units[unit] ?? 0) };
}

/**
 * The first time strictly after `after`, or `undefined` when there is none. A rate counts from `anchor`, so that
 * it does not drift by how late each turn ran.
 */
export function nextTime(of: Expression, after: number, anchor: number): number | undefined {
  switch (of.kind) {
    case "at":
      return of.at > after ? of.at : undefined;
    case "rate":
      return anchor > after
        ? anchor
        : anchor + (Math.floor((after - anchor) / of.everyMs) + 1) * of.everyMs;
    case "cron":
      return nextOfCron(of.cron, after, of.zone);
  }
}
