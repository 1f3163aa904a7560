/** What a group of actors brings: the events that it adds to a story, and how each is played. */
import type { Draw } from "../draw.ts";
import type { Stage } from "../stage.ts";
import type { Job, Wanted } from "../story.ts";

export interface Plot {
  readonly draw: Draw;
  /** When the last thing may begin. */
  readonly lengthMs: number;
  readonly jobs: ReadonlyArray<Job & { readonly startsAt: number; readonly endsAt: number }>;
  readonly wanted: ReadonlyArray<Wanted & { readonly askedAt: number }>;
  /** Moves a time to one at which other things happen as well, sometimes. */
  near(at: number): number;
}

interface Happening {
  readonly kind: string;
  readonly at: number;
}

export interface Actors<E extends Happening> {
  plan(plot: Plot): E[];
  readonly acts: {
    /** What came of it goes into the trace. */
    readonly [K in E["kind"]]: (event: Extract<E, { kind: K }>, stage: Stage) => Promise<string>;
  };
}
