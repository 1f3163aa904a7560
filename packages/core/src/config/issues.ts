import type * as z from "zod";
import type { Finding, Path } from "./problem.ts";
import { nearest } from "./problem.ts";

type Issue = z.core.$ZodIssue;

/** What zod found, as findings in the words of the configuration. `raw` is the data that it looked at. */
export function findingsOf(issues: readonly Issue[], raw: unknown, at: Path = []): Finding[] {
  return issues.flatMap((issue) => {
    // Paths of data that came from YAML hold no symbols.
    const path = [...at, ...(issue.path as Path)];
    return findingOf(issue, valueAt(raw, issue.path as Path), path);
  });
}

function findingOf(issue: Issue, value: unknown, path: Path): Finding[] {
  if (value === undefined && issue.code !== "custom") return [{ at: path, message: "is missing" }];
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = issue.message.replace(/^known: /, "");
      return issue.keys.map((key) => {
        const meant = nearest(key, known.split(", "));
        return {
          at: [...path, key],
          message: "is not a known key",
          hint: meant === undefined ? `known: ${known}` : `did you mean ${meant}? Known: ${known}`,
        };
      });
    }
    case "invalid_union":
      return unionFindings(issue, value, path);
    case "invalid_key":
      return issue.issues.map((inner) => split(path, inner.message));
    case "invalid_value":
      return [{ at: path, message: `must be ${issue.values.map(String).join(" or ")}` }];
    case "invalid_type": {
      // Custom messages know better than "expected string".
      if (!issue.message.startsWith("Invalid input")) return [split(path, issue.message)];
      const quote = issue.expected === "string" && ["number", "boolean"].includes(typeof value);
      return [
        {
          at: path,
          message: `must be ${NAMES[issue.expected] ?? issue.expected}, not ${kindOf(value)}`,
          ...(quote ? { hint: `quote it: "${String(value)}"` } : {}),
        },
      ];
    }
    default:
      return [split(path, issue.message)];
  }
}

const NAMES: Readonly<Record<string, string>> = {
  string: "text",
  object: "a mapping",
  record: "a mapping",
  array: "a list",
};

function kindOf(value: unknown): string {
  if (value === null) return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a mapping";
  return typeof value === "string" ? "text" : `a ${typeof value}`;
}

/** Of a union's alternatives, the complaints of the one that was most likely meant. */
function unionFindings(issue: z.core.$ZodIssueInvalidUnion, value: unknown, path: Path): Finding[] {
  const branches = issue.errors.map((errors) => ({
    findings: findingsOf(errors, value, path),
    // An alternative whose own key is not even there was not meant.
    meant: !errors.some(
      (error) =>
        error.path.length === (error.code === "unrecognized_keys" ? -1 : 1) &&
        valueAt(value, error.path as Path) === undefined,
    ),
  }));
  const meant = branches.filter((branch) => branch.meant && typeof value === "object");
  const best = meant.toSorted((a, b) => a.findings.length - b.findings.length)[0];
  if (best !== undefined) return best.findings;
  return issue.message.startsWith("Invalid input")
    ? (branches[0]?.findings ?? [])
    : [split(path, issue.message)];
}

function valueAt(raw: unknown, path: Path): unknown {
  let value = raw;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part))
      return undefined;
    // Just checked: an own key of an object.
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

function split(at: Path, text: string): Finding {
  const [message = "", hint] = text.split("\n");
  return { at, message, hint };
}
