/** Plays one story and says what it broke. */
import { createHash } from "node:crypto";
import { isLive } from "@stint/core/grant";
import { play } from "./actors/all.ts";
import { INVARIANTS } from "./invariants/all.ts";
import { inWorld, type Sim } from "./stage.ts";
import { MINUTE, START, type Story } from "./story.ts";
import { WARM_UP } from "./warm.ts";

export interface Broken {
  readonly invariant: string;
  readonly what: string;
  /** Ms from the start. */
  readonly at: number;
}

export interface Outcome {
  readonly broken: readonly Broken[];
  /** SHA-256 over everything that happened, in its order. */
  readonly trace: string;
  readonly lines: readonly string[];
  /** What the run was about, so that nobody mistakes an empty one for a good one. */
  readonly counts: Readonly<Record<string, number>>;
}

/** After faults have stopped and every grant's end is past: what still goes on now goes on for ever. */
const ENDLESS_MS = 30 * MINUTE;
const AFTERMATH_MINUTES = 5;

let warm: Promise<Outcome> | undefined;

/** @param keepLines for who wants to read what happened */
export async function playStory(story: Story, keepLines = false): Promise<Outcome> {
  warm ??= played(WARM_UP, false);
  await warm;
  return played(story, keepLines);
}

async function played(story: Story, keepLines: boolean): Promise<Outcome> {
  const hash = createHash("sha256");
  const lines: string[] = [];
  const note = (line: string) => {
    hash.update(`${line}\n`);
    if (keepLines) lines.push(line);
  };
  const broken: Broken[] = [];
  const counts: Record<string, number> = {};
  const count = (what: string, by = 1) => {
    counts[what] = (counts[what] ?? 0) + by;
  };
  await inWorld(story, note, async (sim) => {
    const watching = INVARIANTS.map(({ name, watch }) =>
      watch(sim, (what) => {
        const at = sim.now() - START;
        note(`${at} BROKEN ${name}: ${what}`);
        broken.push({ invariant: name, what, at });
      }),
    );
    const look = () => {
      for (const each of watching) each.look?.();
    };
    tellOf(sim, note);
    for (const event of story.events)
      sim.aws.clock.schedule(START + event.at, async () => {
        const came = await play(event, sim.stage);
        note(`${sim.now() - START} ${JSON.stringify(event)} -> ${came}`);
        count(`${event.kind} ${came.split(" ")[0]}`);
        look();
      });
    await sim.aws.advance(story.calmAt);
    sim.calm();
    look();
    const last = () => lastMoment(sim);
    // Some minutes more, in which what is left behind is seen.
    for (let after = AFTERMATH_MINUTES; after > 0; ) {
      await sim.aws.advance(MINUTE);
      look();
      if (isOver(sim) || sim.now() > last() + ENDLESS_MS) after -= 1;
    }
    // Credentials that are still in somebody's hands are tried at their ends.
    await sim.aws.advance(Math.max(0, last() - sim.now()) + MINUTE);
    look();
    for (const each of watching) await each.end?.();
    count("sessions", sim.seen.sessions.length);
    count("handed", sim.seen.sessions.filter(({ handed }) => handed).length);
    count("grants", sim.seen.grants.size);
    count("records", sim.seen.records.length);
    for (const grant of sim.seen.grants.values())
      count("why" in grant ? `ended ${grant.why}` : `left ${grant.state}`);
  });
  return { broken, trace: hash.digest("hex"), lines, counts };
}

function tellOf({ seen, now }: Sim, note: (line: string) => void): void {
  seen.on("grant", ({ before, after }) =>
    note(`${now() - START} ${after.id} ${before?.state ?? "none"} -> ${after.state}`),
  );
  seen.on("record", ({ id, fact }) => note(`${now() - START} record ${id} ${fact}`));
  seen.on("session", ({ grant, accessKeyId }) =>
    note(`${now() - START} session ${accessKeyId} of ${grant}`),
  );
  seen.on("denyList", ({ role, ids }) => note(`${now() - START} list ${role} ${ids.join(" ")}`));
}

/** The last end that anything in the table has. */
function lastMoment({ seen, story }: Sim): number {
  let last = START + story.calmAt;
  for (const grant of seen.grants.values()) {
    if (grant.state === "pending") last = Math.max(last, grant.decideBy);
    if (grant.state === "ready") last = Math.max(last, grant.claimBy);
    if ("endsAt" in grant && grant.endsAt !== undefined) last = Math.max(last, grant.endsAt);
  }
  return last;
}

const isOver = ({ seen }: Sim): boolean =>
  [...seen.grants.values()].every((grant) => !isLive(grant) && grant.state !== "ending");
