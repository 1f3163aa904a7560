import { type ConnectOptions, connect, connecting } from "../connect.ts";
import { type FormatOptions, formatOf, printJson } from "../format.ts";
import { grantFacts } from "../show.ts";
import { formatted, type Register } from "./context.ts";

type Options = ConnectOptions & FormatOptions & { readonly reason: string };

const WORDS = {
  approve: "approve a request that waits; nobody approves their own",
  refuse: "refuse a request that waits for approval",
} as const;

export const registerApprovals: Register = (program, { io }) => {
  for (const decision of ["approve", "refuse"] as const) {
    formatted(
      connecting(
        program
          .command(decision)
          .description(WORDS[decision])
          .argument("<grant>", "its id")
          .requiredOption("--reason <reason>", "why: it goes to the audit log"),
      ),
      "table or json",
    ).action(async (id: string, options: Options) => {
      const format = formatOf(io, options, ["table", "json"]);
      const grant = await connect(io, options)[decision](id, options.reason);
      if (format === "json") printJson(io, { grant });
      else io.stdout.write(grantFacts(grant));
    });
  }
};
