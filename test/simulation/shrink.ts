/** The shortest story that still breaks the same invariant, as far as a budget goes. */
import { type Outcome, playStory } from "./run.ts";
import type { Story } from "./story.ts";

export interface Shrunk {
  readonly story: Story;
  readonly outcome: Outcome;
  readonly runs: number;
}

type Part = "events" | "troubles";

/** Drops ever smaller pieces of events and faults, then makes the surroundings as plain as they may be. */
export async function shrink(
  story: Story,
  outcome: Outcome,
  budget: { readonly runs: number; readonly play?: (story: Story) => Promise<Outcome> },
): Promise<Shrunk> {
  const { play = playStory } = budget;
  const invariant = outcome.broken[0]?.invariant;
  let best = { story, outcome };
  let runs = 0;
  const better = async (candidate: Story): Promise<boolean> => {
    if (runs >= budget.runs) return false;
    runs += 1;
    const came = await play(candidate);
    if (!came.broken.some((one) => one.invariant === invariant)) return false;
    best = { story: candidate, outcome: came };
    return true;
  };
  const without = (part: Part, from: number, count: number): Story => ({
    ...best.story,
    // A list of either kind without some of its members.
    [part]: best.story[part].filter((_, i) => i < from || i >= from + count),
  });
  const pass = async (part: Part): Promise<void> => {
    for (let size = Math.ceil(best.story[part].length / 2); size >= 1; size = Math.floor(size / 2))
      for (let from = 0; from < best.story[part].length && runs < budget.runs; )
        if (!(await better(without(part, from, size)))) from += size;
  };
  for (let length = -1; length !== best.story.events.length + best.story.troubles.length; ) {
    length = best.story.events.length + best.story.troubles.length;
    await pass("troubles");
    await pass("events");
  }
  const plain = {
    readLagMs: 0,
    streamLagMs: 0,
    splitShards: false,
    fireLateMs: 0,
    redeliver: 0,
    latencyMs: 0,
  };
  for (const [name, value] of Object.entries({ ...plain, skewMs: 0, iamDelayMs: 0 }))
    if (best.story.surroundings[name as keyof typeof plain] !== value)
      await better({
        ...best.story,
        surroundings: { ...best.story.surroundings, [name]: value },
      });
  return { ...best, runs };
}

/** A story in lines that people read. */
export function toldAs({ story, outcome }: Pick<Shrunk, "story" | "outcome">): string {
  const line = (value: unknown) => JSON.stringify(value);
  const of = (one: { readonly at: number }) => ({ at: one.at, text: `  ${line(one)}` });
  const things = [
    ...story.events.map(of),
    ...story.troubles.map((one) => ({ ...of(one), text: `  trouble ${line(one)}` })),
    ...outcome.broken.map((one) => ({ ...of(one), text: `  BROKEN  ${line(one)}` })),
  ].sort((a, b) => a.at - b.at);
  return [
    `seed ${story.seed}, surroundings ${line(story.surroundings)}`,
    ...story.jobs.map((job, i) => `  job ${i}: ${line(job)}`),
    ...story.wanted.map((one, i) => `  grant ${i}: ${line(one)}`),
    ...things.map(({ text }) => text),
    `  faults stop at ${story.calmAt}; trace ${outcome.trace}`,
  ].join("\n");
}
