/** What `sst.config.ts` declares for a stage, in a form that rules can be asked of. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** A configuration with everything that a deployment looks at. */
export const CONFIG = "test/infra/stint.yaml";

export interface Resource {
  /** As `aws:dynamodb/table:Table`. */
  readonly type: string;
  readonly name: string;
  /** Whether it stays in the account when its stage is removed. */
  readonly kept: boolean;
  // Each type has its own; a rule names what it looks at.
  // biome-ignore lint/suspicious/noExplicitAny: inputs of some forty types
  readonly inputs: any;
}

export interface Declared {
  readonly app: { readonly removal: string; readonly protect: boolean };
  readonly outputs: Readonly<Record<string, string>>;
  readonly resources: readonly Resource[];
  /** All of a type, by the end of its name: `Table`, `lambda/function:Function`. */
  of(type: string): readonly Resource[];
  /** The one of a type with this name. @throws Error where there is none */
  one(type: string, name: string): Resource;
}

export async function declared(
  stage: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Declared> {
  const { stdout } = await run(process.execPath, ["test/infra/evaluator.ts", stage], {
    cwd: ROOT,
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, STINT_CONFIG: CONFIG, ...env },
  });
  const told = JSON.parse(stdout) as Pick<Declared, "app" | "outputs" | "resources">; // the evaluator's own
  const of = (type: string) =>
    told.resources.filter((one) => one.type.endsWith(`/${type}`) || one.type.endsWith(`:${type}`));
  return {
    ...told,
    of,
    one(type, name) {
      const found = of(type).find((one) => one.name === name);
      if (found === undefined) throw new Error(`no ${type} is called ${name}`);
      return found;
    },
  };
}

export interface PolicyStatement {
  readonly Sid?: string;
  readonly Effect: "Allow" | "Deny";
  readonly Principal?: unknown;
  readonly Action: readonly string[];
  readonly Resource?: readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** A document's statements, with every list a list. */
export function statementsOf(document: string): readonly PolicyStatement[] {
  const list = (value: unknown) => (value === undefined ? undefined : [value].flat());
  return JSON.parse(document).Statement.map((one: Record<string, unknown>) => ({
    ...one,
    Action: list(one.Action),
    ...(one.Resource === undefined ? {} : { Resource: list(one.Resource) }),
  }));
}
