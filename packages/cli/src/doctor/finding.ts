/** One thing that is wrong with a deployment, and what exactly to change. */
export interface Finding {
  /** What it is about and what is wrong there, for scripts: `trust.others`. */
  readonly code: string;
  /** ARN of the role, or of the policy; a database as `host:port/database`. */
  readonly subject: string;
  readonly message: string;
  /** A command line or SQL, or where there is none for it, what to do. */
  readonly fix: string;
}

/** A command of AWS's own command line; documents as one word of JSON. */
export function aws(
  command: string,
  options: Readonly<Record<string, string | number | object | true>>,
): string {
  const words = Object.entries(options).flatMap(([name, value]) => [
    `--${name}`,
    ...(value === true ? [] : [word(typeof value === "object" ? JSON.stringify(value) : value)]),
  ]);
  return ["aws iam", command, ...words].join(" ");
}

/** For a shell that reads it as it is. */
const word = (value: string | number): string => {
  const text = String(value);
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
};

export const inOrder = (...commands: readonly string[]): string => commands.join(" && ");
