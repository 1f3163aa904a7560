import { grantIdOf } from "@stint/client/token";
import { type ConnectOptions, callerToken, connecting } from "../connect.ts";
import { usage } from "../failure.ts";
import { type FormatOptions, facts, formatOf, printJson, table } from "../format.ts";
import type { Io } from "../io.ts";
import { formatted, type Register } from "./context.ts";

type Options = ConnectOptions & FormatOptions;

export const registerWhoami: Register = (program, { io }) => {
  formatted(
    connecting(
      program
        .command("whoami")
        .description("show what the token says, without verifying it; never the token itself"),
    ),
    "table or json",
  ).action((options: Options) => whoami(io, options));
};

async function whoami(io: Io, options: Options): Promise<void> {
  const format = formatOf(io, options, ["table", "json"]);
  const { token, source } = await callerToken(io, options);
  const grant = grantIdOf(token);
  if (grant !== undefined) {
    if (format === "json") printJson(io, { verified: false, source, grant });
    else
      io.stdout.write(
        facts([
          ["source", source],
          ["the token of grant", grant],
        ]),
      );
    return;
  }
  // Loaded late, as it knows every pipeline.
  const { readClaims } = await import("../identity.ts");
  const claims = readClaims(token);
  if (claims === undefined)
    throw usage("the token is neither a JWT nor a grant's token", `it came from ${source}`);
  const { iss, sub, aud, exp } = claims;
  const expires = typeof exp === "number" ? exp * 1000 : undefined;
  const inDate = expires !== undefined && Math.abs(expires) <= 8.64e15;
  const identity = {
    verified: false,
    source,
    issuer: iss,
    subject: sub,
    audience: aud,
    ...(inDate ? { expiresAt: new Date(expires).toISOString(), expired: expires <= io.now() } : {}),
    claims,
    // What the rules would make of it is the server's to say: it alone verifies.
    decision: {
      method: "POST",
      path: "/v1/decisions",
      authorization: `the token from ${source}`,
      body: { profile: "PROFILE" },
    },
  };
  if (format === "json") return printJson(io, identity);
  io.stdout.write(
    facts([
      ["verified", "no: this is what the token says, read without checking its signature"],
      ["source", source],
      ["issuer", iss],
      ["subject", sub],
      ["audience", aud],
      [
        "expires",
        identity.expiresAt && `${identity.expiresAt}${identity.expired ? " (over)" : ""}`,
      ],
    ]),
  );
  const rows = Object.entries(claims).map(([name, value]) => [name, value]);
  io.stdout.write(`\n${table(io, io.stdout, ["claim", "value"], rows)}`);
  io.stdout.write(
    "\nwhat it may have: stint policy explain PROFILE --remote\n" +
      '(POST /v1/decisions with this token and the body {"profile": "PROFILE", "duration"?: "20m"})\n',
  );
}
