const OURS = new Set(["namespace", "grant"]);
// IAM's escapes for a literal *, ? and $.
const LITERALS = new Set(["*", "?", "$"]);
/** `aws:username`, `aws:PrincipalTag/team, 'none'` */
const IAM = /^[A-Za-z0-9-]+:[^,'{}]+(, ?'[^'{}]*')?$/;

/** The first `${…}` that neither Stint nor IAM would replace: a typo there would match nothing, or a literal. */
export function unknownVariable(text: string): string | undefined {
  for (let at = text.indexOf("${"); at !== -1; at = text.indexOf("${", at + 2)) {
    const end = text.indexOf("}", at);
    if (end === -1) return text.slice(at);
    const name = text.slice(at + 2, end);
    if (!OURS.has(name) && !LITERALS.has(name) && !IAM.test(name)) return text.slice(at, end + 1);
  }
  return undefined;
}
