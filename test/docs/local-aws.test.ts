import { execFile } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PAGE, withOperations } from "../../scripts/operations.ts";
import { buildLocal } from "../../scripts/pack-local.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const page = readFileSync(PAGE, "utf8");
const examples = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = ""]) => code);
const title = (code: string) => /test\("([^"]+)"/.exec(code)?.[1] ?? "untitled";

/** A stranger's project: the package as npm would put it there, and beside it what they have already. */
let project = "";

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "stint-local-"));
  const modules = join(project, "node_modules");
  mkdirSync(join(modules, "@stint"), { recursive: true });
  buildLocal(join(project, "built"));
  cpSync(join(project, "built"), join(modules, "@stint", "local"), { recursive: true });
  for (const name of ["@aws-sdk", "@smithy", "@types", "zod", "sorted-btree"])
    symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
  writeFileSync(join(project, "package.json"), '{"type":"module"}');
  for (const [at, code] of examples.entries())
    writeFileSync(join(project, `example-${at}.ts`), code);
  // It builds the package, types and all.
}, 60_000);
afterAll(() => rmSync(project, { recursive: true, force: true }));

/** Everything that a command said, and how it ended. */
const outcome = async (command: string, args: readonly string[]) => {
  try {
    const { stdout } = await run(command, args, { cwd: project });
    return { code: 0, text: stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }; // as execFile rejects
    return { code, text: stdout + stderr };
  }
};

describe("docs/local-aws.md", () => {
  test("has examples", () => {
    expect(examples.length).toBeGreaterThan(5);
  });

  test.each(examples.map((code, at) => [title(code), at] as const))(
    "its example passes on the packed package: %s",
    async (_, at) => {
      const { code, text } = await outcome(process.execPath, ["--test", `example-${at}.ts`]);
      expect(text).toContain("pass 1");
      expect(code, text).toBe(0);
    },
  );

  test("its examples have the types that the package brings", async () => {
    const files = examples.map((_, at) => `example-${at}.ts`);
    const options = [
      "--module",
      "nodenext",
      "--target",
      "es2024",
      "--lib",
      "es2024,esnext.disposable",
      "--types",
      "node",
    ];
    const tsc = join(ROOT, "node_modules", ".bin", "tsc");
    expect(await outcome(tsc, ["--noEmit", "--strict", ...options, ...files])).toEqual({
      code: 0,
      text: "",
    });
  });

  test("lists the operations that there are; else run npm run operations", () => {
    expect(page).toBe(withOperations(page));
  });

  test("tells of every setting that local AWS offers", () => {
    for (const setting of ["setReadLag", "setTtlLag", "setLimits", "splitShards", "configure"])
      expect(page).toContain(setting);
  });
});
