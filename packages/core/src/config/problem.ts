/** One thing that is wrong with the configuration, and where. */
export interface Problem {
  /** `rules[2].duration`, or `freeze.cedar#1` for a hand-written policy. */
  readonly path: string;
  readonly message: string;
  readonly hint?: string;
  /** From 1, in stint.yaml or in the Cedar file that `path` names. */
  readonly line?: number;
  readonly column?: number;
}

export type Path = readonly (string | number)[];

/** A finding before its place in the text is known. */
export interface Finding {
  readonly at: Path;
  readonly message: string;
  readonly hint?: string | undefined;
}

/** `rules[2].duration`; keys that would read wrongly are quoted. */
export function pathText(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[A-Za-z0-9_-]+$/.test(part)) text += text === "" ? part : `.${part}`;
    else text += `[${JSON.stringify(part)}]`;
  }
  return text;
}

/** The candidate closest to a misspelt word, if any is close enough to be meant. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.ceil(word.length / 2)) + 1;
  for (const candidate of candidates) {
    const distance = edits(word, candidate, least);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** Levenshtein distance; anything from `limit` on is `limit`. */
function edits(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return Math.min(row[b.length] ?? limit, limit);
}
