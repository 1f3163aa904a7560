/** What a measurement tells: one number against its budget, and how it was taken. */

export interface Row {
  readonly name: string;
  readonly measured: number;
  /** Empty for plain counts and ratios. */
  readonly unit: string;
  /** The most that it may be. Without one the number is told and not judged. */
  readonly budget?: number;
  /** What the number is made of. */
  readonly parts?: Readonly<Record<string, number>>;
  /** How it was taken: enough to doubt it. */
  readonly note: string;
}

/** How much work a measurement does: `full` for people, `tiny` to see that it still runs. */
export type Size = "full" | "tiny";

/** A measurement by its name on the command line. It may tell several rows. */
export type Bench = (size: Size) => Promise<readonly Row[]>;

/** At least five runs of everything that is timed. */
export const RUNS: Readonly<Record<Size, number>> = { full: 7, tiny: 1 };

export const met = ({ measured, budget }: Row): boolean =>
  budget === undefined || measured <= budget;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)];
  const lower = sorted[Math.ceil(middle) - 1];
  if (upper === undefined || lower === undefined) throw new RangeError("a median of nothing");
  return (lower + upper) / 2;
}

/** Two or three decimals, whichever tell something. */
export const rounded = (value: number): number => Number(value.toPrecision(3));

/** Collects garbage where the process allows it, so that one side's does not count for the other. */
export const collect = (): void => globalThis.gc?.();
