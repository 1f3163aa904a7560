/** Runs many seeds on a few threads. Which thread plays a seed changes nothing about it. */
import { Worker } from "node:worker_threads";
import type { Broken } from "./run.ts";

export interface Played {
  readonly seed: number;
  readonly trace: string;
  readonly broken: readonly Broken[];
  readonly counts: Readonly<Record<string, number>>;
  /** What was thrown out of the run itself. */
  readonly fault?: string;
}

export interface Summary {
  readonly played: number;
  readonly failed: readonly Played[];
  readonly counts: Readonly<Record<string, number>>;
  readonly seconds: number;
}

export interface Runs {
  readonly first: number;
  readonly seeds: number;
  readonly threads: number;
  /** Ends at so many seeds that failed; at all of them when left out. */
  readonly stopAfter?: number;
  readonly onPlayed?: (played: Played) => void;
}

/** Of real time. What takes longer waits for something that never comes. */
const LONGEST_MS = 60_000;

export async function playSeeds({ first, seeds, threads, ...of }: Runs): Promise<Summary> {
  const started = performance.now();
  const failed: Played[] = [];
  const counts: Record<string, number> = {};
  let next = first;
  let played = 0;
  const enough = () => of.stopAfter !== undefined && failed.length >= of.stopAfter;
  const file = new URL("./worker.ts", import.meta.url);
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(file);
      let watchdog: NodeJS.Timeout | undefined;
      const give = () => {
        clearTimeout(watchdog);
        if (next >= first + seeds || enough()) return void worker.terminate().then(() => resolve());
        const seed = next;
        next += 1;
        worker.postMessage(seed);
        watchdog = setTimeout(
          () => reject(new Error(`seed ${seed} has not ended in ${LONGEST_MS / 1000} s`)),
          LONGEST_MS,
        );
      };
      worker.on("error", reject);
      worker.on("message", (one: Played) => {
        played += 1;
        for (const [name, count] of Object.entries(one.counts))
          counts[name] = (counts[name] ?? 0) + count;
        if (one.broken.length > 0 || one.fault !== undefined) failed.push(one);
        of.onPlayed?.(one);
        give();
      });
      give();
    });
  await Promise.all(Array.from({ length: Math.min(threads, seeds) }, work));
  failed.sort((a, b) => a.seed - b.seed);
  return { played, failed, counts, seconds: (performance.now() - started) / 1000 };
}
