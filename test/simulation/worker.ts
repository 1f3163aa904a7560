/** One thread of the pool: plays the seeds that it is given, one after the other. */
import { parentPort } from "node:worker_threads";
import { storyOf } from "./generate.ts";
import type { Played } from "./pool.ts";
import { playStory } from "./run.ts";

async function played(seed: number): Promise<Played> {
  try {
    const { broken, trace, counts } = await playStory(storyOf(seed));
    return { seed, trace, broken, counts };
  } catch (error) {
    const fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { seed, trace: "", broken: [], counts: {}, fault };
  }
}

parentPort?.on("message", (seed: number) => {
  void played(seed).then((one) => parentPort?.postMessage(one));
});
