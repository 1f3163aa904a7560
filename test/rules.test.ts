import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Which packages each may import: the house's walls. */
const INWARD: Readonly<Record<string, readonly string[]>> = {
  core: [],
  broker: ["core"],
  pipelines: ["core"],
  aws: ["core", "broker"],
  targets: ["core"],
  client: [],
  functions: ["core", "broker", "pipelines", "aws", "targets"],
  local: ["core", "broker", "pipelines", "aws", "targets", "functions"],
  cli: ["core", "broker", "pipelines", "aws", "targets", "client", "functions", "local"],
};

/** Beside its own SDK clients; `core` has none of these. */
const TALKS =
  /^(@aws-sdk\/|@aws-lambda-powertools\/|@middy\/|node:(fs|net|http|https|dns|child_process))/;

const folderOf = (name: string) => (name === "functions" ? name : join("packages", name));

function filesIn(folder: string): string[] {
  const at = join(root, folder);
  if (!existsSync(at)) return [];
  return readdirSync(at, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.includes("node_modules"))
    .map((file) => join(folder, file));
}

const sources = Object.keys(INWARD).flatMap((name) =>
  filesIn(join(folderOf(name), "src")).map((file) => ({
    name,
    file,
    text: readFileSync(join(root, file), "utf8"),
  })),
);

const importsOf = (text: string): string[] =>
  [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map(([, specifier]) => specifier ?? "");

describe("the house", () => {
  test("has sources to look at in every room", () => {
    for (const name of Object.keys(INWARD))
      expect(
        sources.some((source) => source.name === name),
        name,
      ).toBe(true);
  });

  test("imports point inward", () => {
    const wrong = sources.flatMap(({ name, file, text }) =>
      importsOf(text).flatMap((specifier) => {
        const [, other] = /^@stint\/([^/]+)/.exec(specifier) ?? [];
        if (other === undefined || other === name || INWARD[name]?.includes(other)) return [];
        return [`${file} imports ${specifier}`];
      }),
    );
    expect(wrong).toEqual([]);
  });

  test("no relative import leaves its package", () => {
    const wrong = sources.flatMap(({ name, file, text }) =>
      importsOf(text)
        .filter((specifier) => specifier.startsWith("."))
        .filter((specifier) =>
          relative(join(root, folderOf(name)), resolve(root, dirname(file), specifier)).startsWith(
            "..",
          ),
        )
        .map((specifier) => `${file} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  test("core and broker talk to nobody", () => {
    const wrong = sources
      .filter(({ name }) => name === "core" || name === "broker")
      // The engine of decisions is a file, and is read when it is first needed.
      .filter(({ file }) => !file.endsWith("core/src/policy/cedar.ts"))
      .flatMap(({ file, text }) =>
        importsOf(text)
          .filter((one) => TALKS.test(one))
          .map((one) => `${file} imports ${one}`),
      );
    expect(wrong).toEqual([]);
  });

  test("time and chance come from outside", () => {
    const inside = new Set(["core", "broker", "pipelines", "aws", "targets"]);
    const wrong = sources
      .filter(({ name }) => inside.has(name))
      .filter(({ text }) =>
        /\b(Date\.now\(|new Date\(\)|Math\.random\(|setTimeout\(|randomUUID\()/.test(text),
      )
      .map(({ file }) => file);
    expect(wrong).toEqual([]);
  });

  test("clients are made in one place", () => {
    const wrong = sources
      .filter(({ name }) =>
        ["core", "broker", "pipelines", "aws", "targets", "functions"].includes(name),
      )
      .filter(({ file }) => !file.endsWith("functions/src/live.ts"))
      .filter(({ text }) => /new [A-Za-z0-9]+Client\(/.test(text))
      .map(({ file }) => file);
    expect(wrong).toEqual([]);
  });

  test("only live.ts reads the environment of a function", () => {
    const wrong = sources
      .filter(({ name }) =>
        ["core", "broker", "pipelines", "aws", "targets", "functions"].includes(name),
      )
      .filter(({ file, text }) => text.includes("process.env") && !file.endsWith("live.ts"))
      .map(({ file }) => file);
    expect(wrong).toEqual([]);
  });
});

describe("error codes", () => {
  const problems = readFileSync(join(root, "functions/src/problem.ts"), "utf8");
  const codes = [...problems.matchAll(/^ {2}([a-z_]+): \{ status/gm)].map(([, code]) => code ?? "");
  const tests = filesIn("test")
    .filter((file) => file.endsWith(".test.ts") && !file.endsWith("rules.test.ts"))
    .map((file) => readFileSync(join(root, file), "utf8"))
    .join("\n");

  test("are known to this test", () => expect(codes.length).toBeGreaterThan(10));

  test.each(codes)("%s is provoked by a journey", (code) => {
    expect(tests.includes(`"${code}"`)).toBe(true);
  });
});
