/** What a rule's target gets: the event, a part of it, a constant, or a template filled from it. */

/** The `Input…` members of a target, of which there is at most one. */
export interface TargetInput {
  readonly Input?: string | undefined;
  readonly InputPath?: string | undefined;
  readonly InputTransformer?:
    | {
        readonly InputPathsMap?: Readonly<Record<string, string>> | undefined;
        readonly InputTemplate: string;
      }
    | undefined;
}

export interface RuleFacts {
  readonly ruleArn: string;
  readonly ruleName: string;
  /** ISO 8601. */
  readonly ingestedAt: string;
}

type Event = Readonly<Record<string, unknown>>;

const placeholder = /<([^<>\s"]+)>/g;

const reserved = (event: Event, facts: RuleFacts): Readonly<Record<string, unknown>> => {
  const { detail: _, ...rest } = event;
  return {
    "aws.events.rule-arn": facts.ruleArn,
    "aws.events.rule-name": facts.ruleName,
    "aws.events.event.ingestion-time": facts.ingestedAt,
    "aws.events.event": rest,
    "aws.events.event.json": event,
  };
};

/** The payload for a target. */
export function renderInput(input: TargetInput, event: Event, facts: RuleFacts): string {
  if (input.Input !== undefined) return input.Input;
  if (input.InputPath !== undefined) {
    return JSON.stringify(valueAt(event, input.InputPath) ?? null);
  }
  if (input.InputTransformer === undefined) return JSON.stringify(event);
  const { InputPathsMap: paths = {}, InputTemplate: template } = input.InputTransformer;
  const values: Record<string, unknown> = { ...reserved(event, facts) };
  for (const [name, path] of Object.entries(paths)) values[name] = valueAt(event, path);
  return fill(template, values);
}

/** Outside quotes a value is JSON; inside a string it is the bare text. */
function fill(template: string, values: Readonly<Record<string, unknown>>): string {
  let quoted = false;
  let done = 0;
  let filled = "";
  for (const match of template.matchAll(placeholder)) {
    const before = template.slice(done, match.index);
    quoted = endsQuoted(before, quoted);
    const name = match[1] ?? "";
    filled += before + shown(values[name], quoted);
    done = match.index + match[0].length;
  }
  return filled + template.slice(done);
}

function shown(value: unknown, quoted: boolean): string {
  // A path that finds nothing leaves nothing: an empty string where a value has to stand.
  if (value === undefined) return quoted ? "" : '""';
  if (!quoted) return JSON.stringify(value);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return JSON.stringify(text).slice(1, -1);
}

function endsQuoted(text: string, start: boolean): boolean {
  let quoted = start;
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index);
    if (character === "\\" && quoted) index++;
    else if (character === '"') quoted = !quoted;
  }
  return quoted;
}

/** Why an input would be refused by PutTargets, if it would. */
export function inputProblem(input: TargetInput, id: string): string | undefined {
  const given = [input.Input, input.InputPath, input.InputTransformer].filter(
    (each) => each !== undefined,
  );
  if (given.length > 1) {
    return `Only one of Input, InputPath, or InputTransformer must be provided for target ${id}.`;
  }
  if (input.Input !== undefined && !isJson(input.Input)) {
    return `JSON syntax error in input for target ${id}`;
  }
  if (input.InputPath !== undefined && steps(input.InputPath) === undefined) {
    return `Invalid InputPath for target ${id}.`;
  }
  if (input.InputTransformer === undefined) return undefined;
  const { InputPathsMap: paths = {}, InputTemplate: template } = input.InputTransformer;
  for (const [name, path] of Object.entries(paths)) {
    if (name.startsWith("AWS") || !/^[A-Za-z0-9_-]{1,256}$/.test(name)) {
      return `Invalid InputPathsMap for target ${id}: ${name}`;
    }
    if (steps(path) === undefined) return `Invalid InputPath ${path} for target ${id}.`;
  }
  const known = reserved({}, { ruleArn: "", ruleName: "", ingestedAt: "" });
  for (const [, name = ""] of template.matchAll(placeholder)) {
    if (!Object.hasOwn(paths, name) && !Object.hasOwn(known, name)) {
      return `InputTemplate for target ${id} contains invalid placeholder ${name}.`;
    }
  }
  const sample = Object.fromEntries(
    [...Object.keys(paths), ...Object.keys(known)].map((name) => [name, 0]),
  );
  return isJson(fill(template, sample)) || isText(template)
    ? undefined
    : `Invalid InputTemplate for target ${id} : ${template}`;
}

/** Besides JSON a template may be plain text, each line of it in quotes. */
function isText(template: string): boolean {
  return template.split("\n").every((line) => /^\s*"[^"]*"\s*$/.test(line));
}

/** The steps of a JSON path: `$.detail.items[0].name`, `$.detail['odd key']`. No wildcards or filters, as in AWS. */
function steps(path: string): Array<string | number> | undefined {
  if (!path.startsWith("$")) return undefined;
  const found: Array<string | number> = [];
  const step = /\.([A-Za-z0-9_-]+)|\[(\d+)\]|\['([^']+)'\]|\["([^"]+)"\]/y;
  step.lastIndex = 1;
  while (step.lastIndex < path.length) {
    const match = step.exec(path);
    if (match === null) return undefined;
    const [, name, index, single, double] = match;
    found.push(index === undefined ? (name ?? single ?? double ?? "") : Number(index));
  }
  return found;
}

function valueAt(event: unknown, path: string): unknown {
  let value: unknown = event;
  for (const step of steps(path) ?? []) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) {
      return undefined;
    }
    value = Reflect.get(value, step);
  }
  return value;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
