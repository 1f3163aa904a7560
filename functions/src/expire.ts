import type { Keeping } from "@stint/broker/deps";
import { endIfDue } from "@stint/broker/ending";
import { GRANT_ID } from "@stint/core/id";
import * as z from "zod/mini";
import { handlerOf } from "./door.ts";
import { ending } from "./live.ts";

const input = z.strictObject({ grant: z.string().check(z.regex(GRANT_ID)) });

/** The Scheduler's target. Whether the grant's time has come is read from the table, not from the schedule. */
export const expire = (app: { readonly deps: Keeping }) => async (event: unknown) => {
  const { grant } = input.parse(event);
  await endIfDue(app.deps, grant, { kind: "schedule", id: grant });
};

export const handler = handlerOf(expire, (outside) => ({ deps: ending(outside) }));
