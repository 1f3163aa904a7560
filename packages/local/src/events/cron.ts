/** AWS's cron: six fields (minute, hour, day of month, month, day of week, year), with `?`, `L`, `W` and `#`. */
import { utcToWall, wallToUtc } from "./zone.ts";

export interface Cron {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly months: ReadonlySet<number>;
  readonly years: ReadonlySet<number>;
  /** Whether a day, given as wall time at its midnight, is one of the expression's. */
  readonly day: (midnight: number) => boolean;
}

const dayMs = 86_400_000;
const monthNames = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(" ");
const dayNames = "SUN MON TUE WED THU FRI SAT".split(" ");

/** Reads the six fields, or gives `undefined`. */
export function parseCron(text: string): Cron | undefined {
  const fields = text.trim().split(/ +/);
  if (fields.length !== 6) return undefined;
  const [minute = "", hour = "", dayOfMonth = "", month = "", dayOfWeek = "", year = ""] = fields;
  // Exactly one of the two ways to name days, the other is `?`.
  if ((dayOfMonth === "?") === (dayOfWeek === "?")) return undefined;
  const minutes = list(minute, 0, 59);
  const hours = list(hour, 0, 23);
  const months = list(month, 1, 12, monthNames);
  const years = list(year, 1970, 2199);
  const day = dayOfMonth === "?" ? weekdayTest(dayOfWeek) : monthdayTest(dayOfMonth);
  if (!minutes || !hours || !months || !years || !day) return undefined;
  return { minutes, hours, months: new Set(months), years: new Set(years), day };
}

/** The first minute strictly after `after` that the expression names. */
export function nextOfCron(cron: Cron, after: number, zone: string): number | undefined {
  const wall = utcToWall(after, zone);
  const lastYear = Math.max(...cron.years);
  // From the day before, since a change of the clocks can put the same wall time on both sides of `after`.
  for (let midnight = Math.floor(wall / dayMs) * dayMs - dayMs; ; midnight += dayMs) {
    const date = new Date(midnight);
    if (date.getUTCFullYear() > lastYear) return undefined;
    if (!cron.years.has(date.getUTCFullYear()) || !cron.months.has(date.getUTCMonth() + 1)) {
      continue;
    }
    if (!cron.day(midnight)) continue;
    for (const hour of cron.hours) {
      for (const minute of cron.minutes) {
        const shown = midnight + hour * 3_600_000 + minute * 60_000;
        const at = wallToUtc(shown, zone);
        // A time that the clocks skip in spring does not happen.
        if (at > after && utcToWall(at, zone) === shown) return at;
      }
    }
  }
}

function monthdayTest(field: string): ((midnight: number) => boolean) | undefined {
  if (field === "L") return (midnight) => new Date(midnight + dayMs).getUTCDate() === 1;
  const weekday = /^(\d{1,2})W$/.exec(field);
  if (weekday !== null) {
    const wanted = Number(weekday[1]);
    if (wanted < 1 || wanted > 31) return undefined;
    return (midnight) => new Date(midnight).getUTCDate() === nearestWeekday(midnight, wanted);
  }
  const days = list(field, 1, 31);
  if (!days) return undefined;
  const set = new Set(days);
  return (midnight) => set.has(new Date(midnight).getUTCDate());
}

/** The working day of this month that is nearest to a date, which never leaves the month. */
function nearestWeekday(midnight: number, wanted: number): number | undefined {
  const date = new Date(midnight);
  const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
  if (wanted > last) return undefined;
  const day = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), wanted)).getUTCDay();
  if (day === 6) return wanted === 1 ? 3 : wanted - 1;
  if (day === 0) return wanted === last ? wanted - 2 : wanted + 1;
  return wanted;
}

function weekdayTest(field: string): ((midnight: number) => boolean) | undefined {
  const of = (midnight: number) => new Date(midnight).getUTCDay() + 1;
  const last = /^([1-7])L$/.exec(field);
  if (last !== null) {
    return (midnight) =>
      of(midnight) === Number(last[1]) &&
      new Date(midnight + 7 * dayMs).getUTCMonth() !== new Date(midnight).getUTCMonth();
  }
  const nth = /^(\w{1,3})#([1-5])$/.exec(field);
  if (nth !== null) {
    const day = number(nth[1] ?? "", 1, 7, dayNames);
    if (day === undefined) return undefined;
    return (midnight) =>
      of(midnight) === day && Math.ceil(new Date(midnight).getUTCDate() / 7) === Number(nth[2]);
  }
  const days = list(field === "L" ? "7" : field, 1, 7, dayNames);
  if (!days) return undefined;
  const set = new Set(days);
  return (midnight) => set.has(of(midnight));
}

/** A field's values in order: `*`, `5`, `1-5`, `0/15`, `*`/`2`, and lists of those. */
function list(
  field: string,
  min: number,
  max: number,
  names: readonly string[] = [],
): readonly number[] | undefined {
  const values = new Set<number>();
  for (const part of field.split(",")) {
    const [range = "", step, ...rest] = part.split("/");
    const every = step === undefined ? 1 : number(step, 1, max);
    const [from = "", to, ...more] = range === "*" ? [`${min}`, `${max}`] : range.split("-");
    const start = number(from, min, max, names);
    const alone = step === undefined ? from : `${max}`;
    const end = number(to ?? alone, min, max, names);
    if (rest.length > 0 || more.length > 0) return undefined;
    if (every === undefined || start === undefined || end === undefined) return undefined;
    if (start > end) return undefined;
    for (let value = start; value <= end; value += every) values.add(value);
  }
  return [...values].sort((a, b) => a - b);
}

function number(
  text: string,
  min: number,
  max: number,
  names: readonly string[] = [],
): number | undefined {
  const named = names.indexOf(text.toUpperCase());
  const value = named !== -1 ? named + min : /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : undefined;
}
