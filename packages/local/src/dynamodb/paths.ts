/** Reading and cutting out parts of items by document path. Paths here have their placeholders resolved. */
import { invalid } from "./errors.ts";
import { showPath } from "./parser.ts";
import type { Path } from "./syntax.ts";
import { type AttributeValue, attributeOf, type Item, setAttribute } from "./values.ts";

/** Puts the names that the request gave in place of `#placeholders`. They have been checked to exist. */
export function resolvePath(path: Path, names: Readonly<Record<string, string>>): Path {
  let plain = true;
  for (const part of path) if (typeof part === "string" && part.startsWith("#")) plain = false;
  if (plain) return path;
  return path.map((part) =>
    typeof part === "string" && part.startsWith("#") ? (names[part] ?? part) : part,
  );
}

export function valueAt(item: Item, path: Path): AttributeValue | undefined {
  let value: AttributeValue | undefined = attributeOf(item, String(path[0]));
  for (let at = 1; at < path.length && value !== undefined; at++) {
    const part = path[at];
    if (typeof part === "number") value = "L" in value ? value.L[part] : undefined;
    else if (part !== undefined) value = "M" in value ? attributeOf(value.M, part) : undefined;
  }
  return value;
}

/** @throws ValidationException when one path contains another, or takes a list for a map. */
export function checkOverlap(kind: string, paths: readonly Path[]): void {
  for (let i = 0; i < paths.length; i++)
    for (let j = i + 1; j < paths.length; j++) {
      const a = paths[i] ?? [];
      const b = paths[j] ?? [];
      let at = 0;
      while (at < a.length && at < b.length && a[at] === b[at]) at++;
      const shared = `${showPath(a)}, path two: ${showPath(b)}`;
      if (at === a.length || at === b.length)
        throw invalid(
          `Invalid ${kind}: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: ${shared}`,
        );
      if (at > 0 && typeof a[at] !== typeof b[at])
        throw invalid(
          `Invalid ${kind}: Two document paths conflict with each other; must remove or rewrite one of these paths; path one: ${shared}`,
        );
    }
}

type Node = Map<string | number, Node | true>;

/** The parts of an item that the paths name, in its shape; list elements close ranks. */
export function project(item: Item, paths: readonly Path[]): Item {
  if (paths.every((path) => path.length === 1)) {
    const flat: { [name: string]: AttributeValue } = {};
    for (const path of paths) {
      const name = String(path[0]);
      const value = attributeOf(item, name);
      if (value !== undefined) setAttribute(flat, name, value);
    }
    return flat;
  }
  const root: Node = new Map();
  for (const path of paths) {
    let node = root;
    path.forEach((part, at) => {
      if (at === path.length - 1) {
        node.set(part, true);
        return;
      }
      let next = node.get(part);
      if (next === undefined || next === true) {
        next = new Map();
        node.set(part, next);
      }
      node = next;
    });
  }
  return cutMap(item, root);
}

function cutMap(item: Item, node: Node): Item {
  const cutOut: { [name: string]: AttributeValue } = {};
  for (const [name, below] of node) {
    const value = attributeOf(item, String(name));
    const part = value === undefined ? undefined : cut(value, below);
    if (part !== undefined) setAttribute(cutOut, String(name), part);
  }
  return cutOut;
}

function cut(value: AttributeValue, node: Node | true): AttributeValue | undefined {
  if (node === true) return value;
  if ("M" in value) {
    const inner = cutMap(value.M, node);
    return Object.keys(inner).length > 0 ? { M: inner } : undefined;
  }
  if (!("L" in value)) return undefined;
  const elements: AttributeValue[] = [];
  const positions = [...node.keys()]
    .filter((part) => typeof part === "number")
    .sort((a, b) => a - b);
  for (const at of positions) {
    const element = value.L[at];
    const below = node.get(at);
    const part = element === undefined || below === undefined ? undefined : cut(element, below);
    if (part !== undefined) elements.push(part);
  }
  return elements.length > 0 ? { L: elements } : undefined;
}
