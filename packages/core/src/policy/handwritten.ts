import type { Problem } from "../config/problem.ts";
import {
  type ActionConstraint,
  cedar,
  type DetailedError,
  type PrincipalConstraint,
} from "./cedar.ts";

/** A policy from a `.cedar` file beside the configuration. */
export interface HandWritten {
  /** Its `@id`, or `<file>#<n>`, n from 1. */
  readonly id: string;
  readonly file: string;
  readonly text: string;
  /** Where its text begins in its file, in bytes. */
  readonly offset: number;
  readonly effect: "permit" | "forbid";
  /** Untrusted events that its `@events` admits, by name. */
  readonly events: readonly string[];
  /** A permit for everyone and everything: surely a mistake, since anyone may get a token. */
  readonly unconditional: boolean;
  /** A permit by which a job may get a grant, whichever issuer of its pipeline says who it is. */
  readonly anyIssuer: boolean;
}

interface ReadCedar {
  readonly policies: readonly HandWritten[];
  readonly problems: readonly Problem[];
}

// No slash: `<rule>/may` and `<rule>/approval` are the compiler's.
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Reads every file, in the order of their names. */
export function readCedarFiles(files: Readonly<Record<string, string>>): ReadCedar {
  const policies: HandWritten[] = [];
  const problems: Problem[] = [];
  for (const file of Object.keys(files).toSorted()) {
    const found = readCedarFile(file, files[file] ?? "");
    policies.push(...found.policies);
    problems.push(...found.problems);
  }
  return { policies, problems };
}

function readCedarFile(file: string, text: string): ReadCedar {
  const parts = cedar().policySetTextToParts(text);
  if (parts.type === "failure")
    return { policies: [], problems: cedarProblems(parts.errors, file, text) };

  const problems: Problem[] = parts.policy_templates.map((template) => ({
    path: file,
    message: "holds a template, which nothing would fill",
    ...place(text, bytes(text.slice(0, Math.max(0, text.indexOf(template))))),
  }));
  const policies: HandWritten[] = [];
  let from = 0;
  for (const [index, policy] of inFileOrder(parts.policies).entries()) {
    // Parts are slices of the file, so each is found after the one before it.
    const at = text.indexOf(policy, from);
    const start = at === -1 ? from : at;
    from = start + policy.length;
    const offset = bytes(text.slice(0, start));
    const path = `${file}#${index + 1}`;
    const json = cedar().policyToJson(policy);
    if (json.type === "failure") {
      problems.push(...cedarProblems(json.errors, path, text, offset));
      continue;
    }
    const { annotations = {}, effect, principal, action, conditions } = json.json;
    const id = annotations.id;
    if (id !== undefined && !ID.test(id))
      problems.push({
        path,
        message: `@id(${JSON.stringify(id)}) is not an id`,
        hint: "letters, digits, dot, dash and underscore, at most 128",
        ...place(text, offset),
      });
    policies.push({
      id: id ?? path,
      file,
      text: policy,
      offset,
      effect,
      events: (annotations.events ?? "").split(/[\s,]+/).filter((event) => event !== ""),
      unconditional: effect === "permit" && principal.op === "All" && conditions.length === 0,
      anyIssuer:
        effect === "permit" &&
        forJobs(principal) &&
        forRequests(action) &&
        !conditions.some(({ body }) => readsIssuer(body)),
    });
  }
  return { policies, problems };
}

/** A job that is named by its id is named with its issuer. */
const forJobs = (principal: PrincipalConstraint): boolean =>
  principal.op === "All" || (principal.op === "is" && principal.entity_type === "Stint::Job");

const forRequests = (action: ActionConstraint): boolean =>
  action.op === "All" || JSON.stringify(action).includes('"request"');

/** Whether `principal.issuer` is read anywhere in an expression. */
function readsIssuer(expression: unknown): boolean {
  if (typeof expression !== "object" || expression === null) return false;
  const { ".": access } = expression as { readonly "."?: unknown }; // looked at before it is believed
  if (isIssuer(access)) return true;
  return Object.values(expression).some(readsIssuer);
}

const isIssuer = (access: unknown): boolean =>
  JSON.stringify(access) === JSON.stringify({ left: { Var: "principal" }, attr: "issuer" });

/** Cedar names the parts policy0, policy1, … and sorts them by that name as text: policy10 before policy2. */
function inFileOrder(parts: readonly string[]): readonly string[] {
  const names = parts.map((_, index) => `policy${index}`).toSorted();
  return parts
    .map((part, index) => ({ part, number: Number(names[index]?.slice("policy".length)) }))
    .toSorted((a, b) => a.number - b.number)
    .map(({ part }) => part);
}

/** Cedar's own errors as problems, with places in the file that the text comes from. */
export function cedarProblems(
  errors: readonly DetailedError[],
  path: string,
  fileText: string,
  offset = 0,
): Problem[] {
  return errors.flatMap((error) => {
    const at = error.sourceLocations?.[0]?.start;
    const hint = error.help ?? error.sourceLocations?.[0]?.label;
    return [
      {
        path,
        message: error.message,
        ...(hint === null || hint === undefined ? {} : { hint }),
        ...(at === undefined ? {} : place(fileText, offset + at)),
      },
      ...cedarProblems(error.related ?? [], path, fileText, offset),
    ];
  });
}

/** Line and column of an offset in bytes, which is how Cedar counts. */
export function place(
  text: string,
  offset: number,
): { readonly line: number; readonly column: number } {
  const before = Buffer.from(text).subarray(0, offset).toString();
  const start = before.lastIndexOf("\n") + 1;
  return { line: before.split("\n").length, column: before.length - start + 1 };
}

const bytes = (text: string): number => Buffer.byteLength(text);
