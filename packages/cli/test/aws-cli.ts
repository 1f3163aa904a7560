/** The commands that the doctor says, run as a shell and AWS's own command line would run them. */
import * as iam from "@aws-sdk/client-iam";

/** The commands between `&&`, each as its words. */
export function commandsIn(line: string): string[][] {
  const commands: string[][] = [[]];
  for (const [, quoted, plain] of line.matchAll(/((?:'[^']*'|\\')+)|([^\s']+)/g)) {
    if (plain === "&&") commands.push([]);
    else
      commands
        .at(-1)
        ?.push(
          plain ?? (quoted ?? "").replaceAll(/'([^']*)'|\\'/g, (_, text?: string) => text ?? "'"),
        );
  }
  return commands;
}

const pascal = (text: string): string =>
  text.replaceAll(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** @throws Error for what is no command of `aws iam` */
export async function runAws(client: iam.IAMClient, line: string): Promise<void> {
  for (const [program, service, name = "", ...rest] of commandsIn(line)) {
    if (program !== "aws" || service !== "iam") throw new Error(`not a command: ${line}`);
    const input: Record<string, unknown> = {};
    for (let at = 0; at < rest.length; at += 1) {
      const word = rest[at] ?? "";
      if (!word.startsWith("--")) throw new Error(`${word} is no option`);
      const key = pascal(word.slice(2));
      const value = rest[at + 1];
      if (value === undefined || value.startsWith("--")) input[key] = true;
      else {
        input[key] = key === "MaxSessionDuration" ? Number(value) : value;
        at += 1;
      }
    }
    const Command = Object.entries(iam).find(([key]) => key === `${pascal(name)}Command`)?.[1];
    if (typeof Command !== "function") throw new Error(`there is no aws iam ${name}`);
    // Its input has the names of the options, which is what is tried here.
    const Made = Command as unknown as new (of: typeof input) => iam.GetRoleCommand;
    await client.send(new Made(input));
  }
}
