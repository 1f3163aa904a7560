/** Wall time in an IANA zone and back. Wall times are epoch ms as if the wall showed UTC. */

export function isTimeZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

/** What the wall shows at an instant. */
export function utcToWall(at: number, zone: string): number {
  if (zone === "UTC") return at;
  const parts: Record<string, number> = {};
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  for (const { type, value } of format.formatToParts(at)) parts[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) + (at % 1000);
}

/** The instant at which the wall shows a time: the first of two in autumn, after the gap in spring. */
export function wallToUtc(wall: number, zone: string): number {
  if (zone === "UTC") return wall;
  const offset = (at: number) => utcToWall(at, zone) - at;
  const day = 86_400_000;
  // A change of the clocks lies between these two, if one is near at all.
  const before = offset(wall - day);
  const after = offset(wall + day);
  const early = wall - before;
  return utcToWall(early, zone) === wall ? early : wall - after;
}
