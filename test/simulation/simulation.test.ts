import { describe, expect, test } from "vitest";
import { drawFrom } from "./draw.ts";
import { storyOf } from "./generate.ts";
import { type Played, playSeeds } from "./pool.ts";
import { type Outcome, playStory } from "./run.ts";
import { shrink, toldAs } from "./shrink.ts";
import { MINUTE, type Story } from "./story.ts";

const { STINT_SIMULATION_SEEDS = "200" } = process.env;
const SEEDS = Number(STINT_SIMULATION_SEEDS);
const MS_FOR_EACH = 2_000;

describe("the simulation", () => {
  test(
    `holds its invariants in ${SEEDS} stories`,
    async () => {
      const { failed, counts, played } = await playSeeds({
        first: 1,
        seeds: SEEDS,
        threads: 2,
        stopAfter: 1,
      });
      const [first] = failed;
      if (first?.fault !== undefined) throw new Error(`seed ${first.seed}: ${first.fault}`);
      if (first !== undefined) {
        const story = storyOf(first.seed);
        throw new Error(toldAs(await shrink(story, await playStory(story), { runs: 60 })));
      }
      expect(played).toBe(SEEDS);
      // It is about something: credentials were handed out and came to every kind of end.
      for (const what of ["handed", "ended expired", "ended job_ended", "ended released"])
        expect(counts[what], what).toBeGreaterThan(SEEDS / 20);
      for (const what of ["ended revoked", "ended withdrawn", "ended unclaimed", "ended failed"])
        expect(counts[what], what).toBeGreaterThan(0);
    },
    SEEDS * MS_FOR_EACH,
  );

  test("plays the same seed in the same way, whatever was played before", async () => {
    const seeds = [3, 84, 7];
    const first: string[] = [];
    for (const seed of seeds) first.push((await playStory(storyOf(seed), true)).trace);
    const again: string[] = [];
    for (const seed of seeds.toReversed()) again.unshift((await playStory(storyOf(seed))).trace);
    expect(again).toEqual(first);
    expect(new Set(first).size).toBe(seeds.length);
    // On another thread as well.
    const elsewhere = new Map<number, string>();
    const onPlayed = ({ seed, trace }: Played) => void elsewhere.set(seed, trace);
    await playSeeds({ first: 84, seeds: 1, threads: 1, onPlayed });
    expect(elsewhere.get(84)).toBe(first[1]);
  }, 90_000);

  test("makes the same story of the same seed, and another of another", () => {
    expect(storyOf(5)).toEqual(storyOf(5));
    expect(storyOf(5)).not.toEqual(storyOf(6));
    // A story is data: it can be written down and read back.
    expect(JSON.parse(JSON.stringify(storyOf(5)))).toEqual(storyOf(5));
  });

  test("draws within its bounds", () => {
    const { int, pick, chance } = drawFrom(9);
    const drawn = Array.from({ length: 500 }, () => int(2, 4));
    expect([...new Set(drawn)].sort()).toEqual([2, 3, 4]);
    expect(pick(["only"])).toBe("only");
    expect([chance(0), chance(1)]).toEqual([false, true]);
  });
});

describe("a story that fails", () => {
  const story: Story = {
    ...storyOf(1),
    troubles: [1, 2, 3].map((at) => ({
      at: at * MINUTE,
      service: "sts",
      operation: "AssumeRole",
      kind: "refuse",
    })),
    events: Array.from({ length: 12 }, (_, i) => ({ kind: "look", at: i * MINUTE, grant: i })),
  };
  const outcome = (broken: Outcome["broken"]): Outcome => ({
    broken,
    trace: "",
    lines: [],
    counts: {},
  });
  const one = { invariant: "dead", what: "a credential lives", at: 5 };

  test("is told by no more than what it needs", async () => {
    const play = async (candidate: Story) => {
      const has = (grant: number) =>
        candidate.events.some((event) => event.kind === "look" && event.grant === grant);
      const fails = has(3) && has(9) && candidate.troubles.some(({ at }) => at === 2 * MINUTE);
      return outcome(fails ? [one] : []);
    };
    const found = await shrink(story, outcome([one]), { runs: 200, play });
    expect(found.story.events.map((event) => "grant" in event && event.grant)).toEqual([3, 9]);
    expect(found.story.troubles.map(({ at }) => at)).toEqual([2 * MINUTE]);
    expect(found.story.surroundings).toMatchObject({ latencyMs: 0, skewMs: 0 });
    expect(toldAs(found)).toContain("a credential lives");
  });

  test("is shortened within a budget, and for the same invariant alone", async () => {
    let runs = 0;
    const play = async () => {
      runs += 1;
      return outcome([{ ...one, invariant: "told" }]);
    };
    const found = await shrink(story, outcome([one]), { runs: 7, play });
    expect(runs).toBe(7);
    expect(found.story).toEqual(story);
  });
});
