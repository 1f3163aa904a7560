/**
 * `npm run load`: opens, refreshes and ends many grants over many roles through the real handlers on local AWS, and
 * sees that nothing is lost. `--grants`, `--roles` and `--in-flight` say how many, `--json` prints it for machines.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { type Load, load } from "./load/run.ts";

const { values } = parseArgs({
  options: {
    grants: { type: "string", default: "10000" },
    roles: { type: "string", default: "20" },
    "in-flight": { type: "string", default: "200" },
    json: { type: "boolean", default: false },
  },
});

const machine = { node: process.version, cores: availableParallelism() };
const run = await load({
  grants: count("grants"),
  roles: count("roles"),
  inFlight: count("in-flight"),
});
const { options, told, checks } = run;
if (values.json) console.log(JSON.stringify({ ...machine, ...options, ...told, checks }, null, 2));
else console.log(text(run));
if (checks.some(({ against }) => against.length > 0)) process.exitCode = 1;

function count(name: "grants" | "roles" | "in-flight"): number {
  const text = values[name];
  if (/^[1-9][0-9]{0,6}$/.test(text)) return Number(text);
  console.error(`--${name} is no whole number above zero: ${text}`);
  process.exit(2);
}

/** For people. A check that does not hold says how often, and shows a few. */
function text({ options, told, checks }: Load): string {
  const { rates, callMs, timeToDeniedMs, timeToDeadMs, iamWrites } = told;
  const line = (name: string, { count, p50, p99, max }: typeof timeToDeadMs, unit: string) =>
    `${name.padEnd(34)} ${`${count}`.padStart(7)}   p50 ${p50} ${unit}   p99 ${p99} ${unit}   most ${max} ${unit}`;
  return [
    `node ${machine.node}, ${machine.cores} cores: ${options.grants} grants, ${options.roles} roles, ${options.inFlight} in flight`,
    `${told.seconds} s of traffic, ${told.secondsInAll} s in all, ${told.megabytes} MB`,
    `per second: ${rates.opens} opens, ${rates.refreshes} refreshes, ${rates.ends} ends asked for`,
    "",
    "real time of the handlers, all of them in this process",
    ...Object.entries(callMs).map(([kind, of]) => line(`  ${kind}`, of, "ms")),
    "local time",
    line("  from a webhook to its grant's end", told.webhookToEndMs, "ms"),
    line("  from an end to the denial", timeToDeniedMs, "ms"),
    line("  from an end to its proof", timeToDeadMs, "ms"),
    line("IAM writes of a role", iamWrites, ""),
    ...(told.overBefore === 0 ? [] : [`${told.overBefore} ended after their leases were over`]),
    ...(told.lapsed === 0 ? [] : [`${told.lapsed} left to lapse: their roles' lists were full`]),
    "",
    ...checks.flatMap(({ name, of, against }) => [
      `${against.length === 0 ? "holds" : "FAILS"}   ${name} (${of})`,
      ...against.slice(0, 5).map((what) => `          ${what}`),
      ...(against.length > 5 ? [`          and ${against.length - 5} more`] : []),
    ]),
  ].join("\n");
}
