/** Everything that the table is asked, at once: for the local server and for tests. Functions take the parts they use. */
import type { Store } from "@stint/broker/ports";
import type { Context } from "./context.ts";
import { denial, proofs, roleDenials } from "./denials.ts";
import { grants } from "./grants.ts";
import { due, lists } from "./indexes.ts";
import { jobGrants, tombstones } from "./jobs.ts";
import { notes } from "./notes.ts";
import { openings } from "./openings.ts";
import { deniedRoles, hardOrders, knownRoles, liveGrants, lives, roles } from "./roles.ts";

export const createStore = (context: Context): Store => ({
  ...grants(context),
  ...openings(context),
  ...notes(context),
  ...lists(context),
  ...tombstones(context),
  ...jobGrants(context),
  ...due(context),
  ...denial(context),
  ...roleDenials(context),
  ...proofs(context),
  ...roles(context),
  ...hardOrders(context),
  ...liveGrants(context),
  ...deniedRoles(context),
  ...knownRoles(context),
  ...lives(context),
});
