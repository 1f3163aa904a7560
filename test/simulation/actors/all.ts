/** Every group of actors. A new group is a file of its own and a line in each of these three. */
import type { Stage } from "../stage.ts";
import type { Plot } from "./actor.ts";
import { type HolderEvent, holders } from "./holders.ts";
import { type PeopleEvent, people } from "./people.ts";
import { type PipelineEvent, pipelines } from "./pipelines.ts";

export type ActorEvent = HolderEvent | PipelineEvent | PeopleEvent;

export const planAll = (plot: Plot): ActorEvent[] =>
  [...holders.plan(plot), ...pipelines.plan(plot), ...people.plan(plot)].sort(
    (a, b) => a.at - b.at,
  );

const acts = { ...holders.acts, ...pipelines.acts, ...people.acts };

export const play = (event: ActorEvent, stage: Stage): Promise<string> => {
  // The compiler cannot see that an event and its act have one kind.
  const act = acts[event.kind] as (event: ActorEvent, stage: Stage) => Promise<string>;
  return act(event, stage);
};
