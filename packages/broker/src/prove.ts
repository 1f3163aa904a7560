import type { Actor } from "@stint/core/audit";
import { type Config, rolesOf } from "@stint/core/profile";
import type { Deps, Keeping } from "./deps.ts";
import { endProved, inTurns } from "./ending.ts";
import type { Denial, Denials, Grants, ProofRequest, Proofs } from "./ports.ts";

const PROVER: Actor = { kind: "prover", id: "prover" };
/** How long one run asks again and again; after it the message comes again. */
const PATIENCE_MS = 45_000;
const LOOK_MS = 500;

export type Proving = Keeping<Pick<Grants, "find" | "replace"> & Pick<Denials, "denial"> & Proofs> &
  Pick<Deps, "prober">;

/**
 * Sees that a deny list holds. A session with the source identity of one grant that the list has just come to name asks
 * until it is refused; it stands for all that the same write added. Only then is it said that they are dead.
 *
 * @returns whether it was proved; false where their leases were over before
 * @throws Error where the list does not hold yet
 */
export async function prove(deps: Proving, request: ProofRequest): Promise<boolean> {
  const { role, until, deniedAt, grants } = request;
  const [first] = grants;
  if (first === undefined || deps.ambient.now() >= until) return false;
  const refused = await deps.prober.open(role, first, regionsOf(deps.config, role));
  const patience = deps.ambient.now() + PATIENCE_MS;
  while (!(await refused())) {
    if (deps.ambient.now() >= until) return false;
    if (deps.ambient.now() >= patience)
      throw new Error(`the deny list of ${role} does not hold yet`);
    await deps.ambient.sleep(LOOK_MS);
  }
  // Taken after the answer: later than the moment at which it was true, never earlier.
  const provedAt = deps.ambient.now();
  await inTurns(grants, 8, async (grant) => {
    await deps.store.markProved(role, grant, deniedAt, provedAt);
    await settled(deps, grant);
  });
  return true;
}

async function settled(deps: Proving, id: string): Promise<void> {
  const stored = await deps.store.find(id);
  // One that is still ending is proved by whoever ends it.
  if (stored?.grant.state !== "ended") return;
  const roles = new Set(
    Object.values(stored.grant.targets).flatMap((target) =>
      target.kind === "aws" ? [target.role] : [],
    ),
  );
  const denials: Denial[] = [];
  for (const role of roles) {
    const denial = await deps.store.denial(role, id);
    if (denial !== undefined) denials.push(denial);
  }
  await endProved(deps, stored, denials, PROVER);
}

/** Where sessions of the role are used, as the profiles that have it say. Empty: where Stint is. */
const regionsOf = ({ profiles }: Config, role: string): string[] => [
  ...new Set(
    Object.values(profiles).flatMap((profile) =>
      rolesOf(profile).includes(role) ? (profile.regions ?? []) : [],
    ),
  ),
];
