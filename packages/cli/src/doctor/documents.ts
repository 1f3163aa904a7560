/** Policy documents as anybody may have written them. */

export interface Statement {
  readonly allows: boolean;
  /** As written; `*` stands for a `NotAction`, which allows what nobody has listed. */
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  /** `AWS:arn…`, `Service:…`; `*` where anybody is meant, also by leaving somebody out. */
  readonly principals: readonly string[];
  readonly conditions: ReadonlyArray<{
    readonly operator: string;
    /** In lower case, as IAM compares it. */
    readonly key: string;
    readonly values: readonly string[];
  }>;
}

/** @returns undefined for what is no policy document */
export function statementsOf(document: string): readonly Statement[] | undefined {
  const parsed = json(document);
  if (!isRecord(parsed)) return undefined;
  const statements = [parsed.Statement].flat();
  return statements.every(isRecord) ? statements.map(statement) : undefined;
}

const statement = (of: Readonly<Record<string, unknown>>): Statement => ({
  allows: of.Effect === "Allow",
  actions: of.Action === undefined ? ["*"] : texts(of.Action),
  resources: of.Resource === undefined ? ["*"] : texts(of.Resource),
  principals: principals(of.Principal),
  conditions: Object.entries(isRecord(of.Condition) ? of.Condition : {}).flatMap(
    ([operator, keys]) =>
      Object.entries(isRecord(keys) ? keys : {}).map(([key, values]) => ({
        operator,
        key: key.toLowerCase(),
        values: texts(values),
      })),
  ),
});

function principals(of: unknown): readonly string[] {
  if (!isRecord(of)) return ["*"];
  return Object.entries(of).flatMap(([kind, values]) =>
    texts(values).map((value) => (value === "*" ? "*" : `${kind}:${value}`)),
  );
}

const texts = (value: unknown): readonly string[] => [value].flat().map(String);

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether an IAM pattern covers all that another one, or a plain text, covers. Case is not heeded. */
export function covers(pattern: string, text: string): boolean {
  const source = pattern.replaceAll(/[\\^$+.()|[\]{}]/g, "\\$&").replaceAll("*", ".*");
  return new RegExp(`^${source.replaceAll("?", ".")}$`, "is").test(text);
}

/** Whether the statements deny an action on a resource, either of which may be a pattern, without a condition. */
export const deniesAllOf = (
  statements: readonly Statement[],
  action: string,
  resource: string,
): boolean =>
  statements.some(
    ({ allows, conditions, actions, resources }) =>
      !allows &&
      conditions.length === 0 &&
      actions.some((pattern) => covers(pattern, action)) &&
      resources.some((pattern) => covers(pattern, resource)),
  );
