import * as a from "./issuing.ts";
import * as b from "./cpu.ts";
import * as e from "./sweep.ts";
import * as c from "./decisions.ts"; import * as d from "./start.ts";
const all: any = {...a, ...b, ...c, ...d, ...e};
for (const n of process.argv.slice(2)) console.log(await all[n]("full"));
