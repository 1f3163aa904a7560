import { GrantError } from "./error.ts";

const UNITS = { s: 1, m: 60, h: 3600 } as const;

/**
 * Seconds of `90s`, `20m` or `2h`: one whole number above zero and one unit. Anything else is undefined, because
 * lenient parsers disagree about `90` and `-5m`, and this is a security bound.
 */
export function durationSeconds(text: string): number | undefined {
  const match = /^([1-9][0-9]{0,8})([smh])$/.exec(text);
  if (match === null) return undefined;
  const [, digits, unit] = match;
  // The expression admits only these units.
  return Number(digits) * UNITS[unit as keyof typeof UNITS];
}

/** Seconds of a duration in a request, at least `leastSeconds`. @throws GrantError invalid_request */
export function requestedSeconds(field: string, text: string, leastSeconds: number): number {
  const seconds = durationSeconds(text);
  if (seconds === undefined)
    throw new GrantError("invalid_request", `${field} is not a duration`, {
      hint: "write one whole number and one unit, s, m or h: 90s, 20m, 2h",
    });
  if (seconds < leastSeconds)
    throw new GrantError("invalid_request", `${field} is shorter than ${leastSeconds} s`);
  return seconds;
}

/** `2h`, `20m`, `90s`: the largest unit that divides it. */
export function durationText(seconds: number): string {
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  if (seconds % 60 === 0) return `${seconds / 60}m`;
  return `${seconds}s`;
}

/** ISO 8601 in UTC, as at every edge. */
export const iso = (ms: number): string => new Date(ms).toISOString();
