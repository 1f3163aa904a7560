/** `npm run simulate -- --seeds N [--seed S] [--threads T] [--trace]`: stories from seeds, and what they break. */
import { parseArgs } from "node:util";
import { storyOf } from "../test/simulation/generate.ts";
import { playSeeds } from "../test/simulation/pool.ts";
import { playStory } from "../test/simulation/run.ts";
import { shrink, toldAs } from "../test/simulation/shrink.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1000" },
    seed: { type: "string" },
    threads: { type: "string", default: "2" },
    trace: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    stop: { type: "string", default: "3" },
    budget: { type: "string", default: "150" },
  },
});
const whole = (name: "seeds" | "seed" | "threads" | "stop" | "budget", least: number): number => {
  const number = Number(values[name] ?? 1);
  if (Number.isSafeInteger(number) && number >= least) return number;
  throw new Error(`--${name} is a whole number from ${least}`);
};

const first = whole("seed", 0);
// A seed alone is that one.
const seeds =
  values.seed !== undefined && !process.argv.includes("--seeds") ? 1 : whole("seeds", 1);

if (values.trace) {
  const { lines, trace } = await playStory(storyOf(first), true);
  console.log(`${lines.join("\n")}\ntrace ${trace}`);
}
let done = 0;
const summary = await playSeeds({
  first,
  seeds,
  threads: whole("threads", 1),
  stopAfter: whole("stop", 1),
  onPlayed: ({ seed, broken, fault }) => {
    done += 1;
    if (values.json) return;
    const [first] = broken;
    if (fault !== undefined) console.log(`seed ${seed}: ${fault}`);
    else if (first !== undefined) console.log(`seed ${seed}: ${first.invariant}: ${first.what}`);
    if (done % 100 === 0) console.log(`${done} of ${seeds}`);
  },
});
const { played, failed, counts, seconds } = summary;
if (values.json) console.log(JSON.stringify(summary));
else {
  console.log(
    `${played} seeds in ${seconds.toFixed(1)} s (${(played / seconds).toFixed(1)} a second): ` +
      `${counts.grants ?? 0} grants, ${counts.sessions ?? 0} sessions, ${counts.records ?? 0} records; ` +
      `${failed.length} failed`,
  );
  for (const { seed, broken, fault } of failed) {
    console.log(
      `\nseed ${seed}: ${fault ?? broken.map((one) => `${one.invariant}: ${one.what}`)[0]}`,
    );
    if (fault !== undefined) continue;
    const story = storyOf(seed);
    const found = await shrink(story, await playStory(story), { runs: whole("budget", 0) });
    console.log(`the shortest story found in ${found.runs} runs:\n${toldAs(found)}`);
    console.log(`rerun: npm run simulate -- --seed ${seed} --trace`);
  }
}
process.exitCode = failed.length > 0 ? 1 : 0;
