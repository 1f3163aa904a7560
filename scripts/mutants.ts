/**
 * `npm run simulate:mutants [-- part-of-a-name …] [--seeds N]`: takes one safeguard after the other out of a copy of the
 * sources, and has the simulation look for the difference.
 */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { MUTANTS, type Mutant } from "../test/simulation/mutants.ts";
import type { Summary } from "../test/simulation/pool.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seeds: { type: "string", default: "400" }, threads: { type: "string", default: "2" } },
});

/** The sources, with dependencies by links: those to our own packages lead into the copy. */
async function copyInto(copy: string): Promise<void> {
  const skip = /node_modules|\/dist(\/|$)/;
  for (const part of ["packages", "functions", "test", "scripts", "package.json"])
    await cp(join(root, part), join(copy, part), {
      recursive: true,
      filter: (file) => !skip.test(file.slice(root.length)),
    });
  const modules = join(root, "node_modules");
  await mkdir(join(copy, "node_modules", "@stint"), { recursive: true });
  for (const name of await readdir(modules))
    if (name !== "@stint") await symlink(join(modules, name), join(copy, "node_modules", name));
  for (const name of await readdir(join(modules, "@stint")))
    await symlink(
      join(copy, name === "functions" ? name : join("packages", name)),
      join(copy, "node_modules", "@stint", name),
    );
}

/** A run in which somebody waits for ever. */
const ENDLESS: Summary = {
  played: 0,
  failed: [{ seed: 0, trace: "", broken: [], counts: {}, fault: "a run has no end" }],
  counts: {},
  seconds: 0,
};

function simulated(copy: string): Promise<Summary> {
  const { seeds, threads } = values;
  const args = ["scripts/simulate.ts", "--json", "--stop", "1", "--seed", "1"];
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [...args, "--seeds", seeds, "--threads", threads],
      { cwd: copy, maxBuffer: 2 ** 28 },
      (error, out, errors) => {
        const line = out.trim().split("\n").at(-1) ?? "";
        if (line.startsWith("{"))
          resolve(JSON.parse(line)); // a summary, as the script prints it
        else if (errors.includes("has not ended")) resolve(ENDLESS);
        else reject(new Error(errors.slice(-2000), { cause: error }));
      },
    );
  });
}

async function tryMutant(copy: string, { name, edits, unseen }: Mutant): Promise<boolean> {
  const before = new Map<string, string>();
  try {
    for (const { file, find, replace } of edits) {
      const path = join(copy, file);
      const text = await readFile(path, "utf8");
      if (!before.has(path)) before.set(path, text);
      if (text.split(find).length !== 2) throw new Error(`${name}: ${file} has not one\n${find}`);
      await writeFile(
        path,
        text.replace(find, () => replace),
      );
    }
    const { failed, played } = await simulated(copy);
    const [first] = failed;
    const by = first?.broken[0]?.invariant ?? (first?.fault === undefined ? undefined : "a fault");
    const says =
      by === undefined
        ? `survived ${played}${unseen === undefined ? "" : `: ${unseen}`}`
        : `${by} after ${played}`;
    console.log(
      `| ${name} | ${says} |${by === undefined ? "" : ` ${first?.broken[0]?.what ?? first?.fault?.slice(0, 200)}`}`,
    );
    return by !== undefined || unseen !== undefined;
  } finally {
    for (const [path, text] of before) await writeFile(path, text);
  }
}

const copy = await mkdtemp(join(tmpdir(), "stint-mutants-"));
try {
  await copyInto(copy);
  let survived = 0;
  for (const mutant of MUTANTS) {
    const wanted =
      positionals.length === 0 || positionals.some((part) => mutant.name.includes(part));
    if (wanted && !(await tryMutant(copy, mutant))) survived += 1;
  }
  process.exitCode = survived > 0 ? 1 : 0;
} finally {
  await rm(copy, { recursive: true, force: true });
}
