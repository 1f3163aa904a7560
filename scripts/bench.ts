/**
 * The budgets, measured: `npm run bench` prints a table, `--json` prints it for machines, `--only <name>` measures one.
 * Numbers of different machines do not compare; the ratios, taken in turns in one process, nearly do.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { bundles } from "./bench/bundles.ts";
import { bursts } from "./bench/burst.ts";
import { cpu } from "./bench/cpu.ts";
import { decisions } from "./bench/decisions.ts";
import { iam } from "./bench/iam.ts";
import { latency, roundTrips } from "./bench/issuing.ts";
import { localAwsCalls } from "./bench/local-aws.ts";
import { type Bench, met, type Row } from "./bench/row.ts";
import { start } from "./bench/start.ts";
import { sweeping } from "./bench/sweep.ts";
import { worker } from "./bench/worker.ts";

const BENCHES: Readonly<Record<string, Bench>> = {
  "round-trips": roundTrips,
  latency,
  cpu,
  decisions,
  start,
  sweep: sweeping,
  worker,
  burst: bursts,
  bundles,
  iam,
  "local-aws": localAwsCalls,
};

const { values } = parseArgs({
  options: { json: { type: "boolean", default: false }, only: { type: "string" } },
});
const { only, json } = values;
if (only !== undefined && !Object.hasOwn(BENCHES, only)) {
  console.error(`there is no ${only}; there are ${Object.keys(BENCHES).join(", ")}`);
  process.exit(2);
}

const machine = { node: process.version, cores: availableParallelism() };
if (!json) console.log(`node ${machine.node}, ${machine.cores} cores\n`);
const rows: Row[] = [];
for (const [name, bench] of Object.entries(BENCHES)) {
  if (only !== undefined && only !== name) continue;
  const told = await bench("full");
  rows.push(...told);
  if (!json) for (const row of told) console.log(lines(row));
}
const missed = rows.filter((row) => !met(row));
if (json) {
  const judged = rows.map((row) => ({ ...row, met: met(row) }));
  console.log(JSON.stringify({ ...machine, rows: judged }, undefined, 2));
} else console.log(missed.length === 0 ? "\nEvery budget is met." : `\n${missed.length} not met.`);

/** A row for people. A budget that is not met says by how much. */
function lines(row: Row): string {
  const { name, measured, unit, budget, parts = {}, note } = row;
  const of = (value: number) => `${value}${unit === "" ? "" : ` ${unit}`}`;
  const verdict =
    budget === undefined
      ? ""
      : met(row)
        ? `≤ ${of(budget)}   met`
        : `≤ ${of(budget)}   over by ${of(Number((measured - budget).toPrecision(2)))}`;
  const detail = Object.entries(parts).map(([part, value]) => `${part} ${value}`);
  return [
    `${name.padEnd(44)} ${of(measured).padStart(10)}   ${verdict}`,
    ...(detail.length === 0 ? [] : [`    ${detail.join(" · ")}`]),
    `    ${note}`,
  ].join("\n");
}
