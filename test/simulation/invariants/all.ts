/** Every invariant. A new one is a file of its own and a line here. */
import { dead } from "./dead.ts";
import { denied } from "./denied.ts";
import type { Invariant } from "./invariant.ts";
import { leftovers } from "./leftovers.ts";
import { logins } from "./logins.ts";
import { prompt } from "./prompt.ts";
import { proved } from "./proved.ts";
import { pruned } from "./pruned.ts";
import { recorded } from "./recorded.ts";
import { secret } from "./secret.ts";
import { terminal } from "./terminal.ts";
import { told } from "./told.ts";
import { transitions } from "./transitions.ts";

export const INVARIANTS: readonly Invariant[] = [
  dead,
  denied,
  proved,
  logins,
  recorded,
  terminal,
  transitions,
  told,
  secret,
  leftovers,
  pruned,
  prompt,
];
