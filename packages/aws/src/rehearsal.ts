/**
 * The sessions of a profile, tried: what `stint doctor` cannot try itself, since target roles let in the broker alone.
 * The same call as for a grant, with an end that is now: what STS answers is dead when it arrives, and goes no further.
 */
import { AssumeRoleCommand, type STSClient } from "@aws-sdk/client-sts";
import { grantId, namespaceOf } from "@stint/core/id";
import type { Profile } from "@stint/core/profile";
import * as z from "zod/mini";
import { type SessionInput, SHORTEST_SESSION_SECONDS, sessionOf } from "./sts-target.ts";

const outcome = z.discriminatedUnion("opened", [
  /** The share of a session token that policy and tags take, in percent. */
  z.object({ opened: z.literal(true), packedPercent: z.optional(z.number()) }),
  z.object({ opened: z.literal(false), error: z.string(), message: z.string() }),
]);

export const rehearsed = z.object({
  target: z.string(),
  role: z.string(),
  /** As a grant asks. */
  session: outcome,
  /** Without a source identity: this must be refused. */
  anonymous: outcome,
});

/** A target on a server, as its admin sees it. */
const examined = z.object({
  target: z.string(),
  /** `host:port/database`. */
  server: z.string(),
  findings: z.array(
    z.object({
      id: z.string(),
      /** `error`: a grant could not be made, or not be ended. `warning`: it can, with a consequence. */
      severity: z.enum(["error", "warning"]),
      says: z.string(),
      /** SQL, or a command line. */
      remedy: z.optional(z.string()),
    }),
  ),
});

/** What the function answers: no targets where its configuration has no such profile. */
export const rehearsal = z.object({
  /** Of the configuration that was deployed. */
  policyVersion: z.string(),
  /** Roles of AWS. */
  targets: z.optional(z.array(rehearsed)),
  databases: z.optional(z.array(examined)),
});

export type Outcome = z.output<typeof outcome>;
export type Rehearsed = z.output<typeof rehearsed>;
export type Examined = z.output<typeof examined>;
export type Rehearsal = z.output<typeof rehearsal>;

/** Tries each AWS target of a profile, the two calls of a target at once and one target after the other. */
export const createRehearsal =
  (sts: STSClient, now: () => number) =>
  async (profile: Profile): Promise<readonly Rehearsed[]> => {
    // As long as every grant's id, and as hard to pack. The time makes it nobody's.
    const id = grantId(`doctor:${profile.name}`, String(now()));
    const grant = { id, profile: profile.name, namespace: namespaceOf(id) };
    const tried: Rehearsed[] = [];
    for (const [name, target] of Object.entries(profile.targets)) {
      if (target.kind !== "aws") continue;
      const input = { grant, target, until: now(), seconds: SHORTEST_SESSION_SECONDS };
      const [session, anonymous] = await Promise.all([
        attempt(sts, input),
        attempt(sts, input, { SourceIdentity: undefined }),
      ]);
      tried.push({ target: name, role: target.role, session, anonymous });
    }
    return tried;
  };

async function attempt(
  sts: STSClient,
  input: SessionInput,
  instead: { readonly SourceIdentity?: undefined } = {},
): Promise<Outcome> {
  try {
    const { SessionTokenUtilization, PackedPolicySize } = await sts.send(
      new AssumeRoleCommand({ ...sessionOf(input), ...instead }),
    );
    // Since 2026-06-17 the first; before, and in other regions' good time, the second.
    const packedPercent = SessionTokenUtilization ?? PackedPolicySize;
    return { opened: true, ...(packedPercent === undefined ? {} : { packedPercent }) };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { opened: false, error: error.name, message: error.message };
  }
}
