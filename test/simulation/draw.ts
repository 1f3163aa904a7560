/** Chance, all of it from a seed. */
import { seededRandom } from "@stint/local/world";

export interface Draw {
  /** A whole number, both ends included. */
  int(from: number, to: number): number;
  chance(probability: number): boolean;
  pick<T>(among: readonly [T, ...T[]]): T;
  /** Uniform in [0, 1). */
  fraction(): number;
}

export function drawFrom(seed: number): Draw {
  const fraction = seededRandom(seed);
  const int = (from: number, to: number) => from + Math.floor(fraction() * (to - from + 1));
  return {
    fraction,
    int,
    chance: (probability) => fraction() < probability,
    pick: (among) => among[int(0, among.length - 1)] ?? among[0],
  };
}
