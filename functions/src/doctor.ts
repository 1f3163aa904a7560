import type { Rehearsal } from "@stint/aws/rehearsal";
import type { Config } from "@stint/core/profile";
import * as z from "zod/mini";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";
import { rehearsalOf } from "./live.ts";

const input = z.strictObject({ profile: z.string() });

type DoctorApp = Pick<App, "rehearse"> & { readonly deps: { readonly config: Config } };

/**
 * Invoked by operators, and by Lambda's own API only: it is no part of the HTTP API. It runs under the broker's role,
 * since no other may open a session, and tells sizes and refusals, never a credential.
 */
export const doctor =
  ({ deps: { config }, rehearse }: DoctorApp) =>
  async (event: unknown): Promise<Rehearsal> => {
    const { profile: name } = input.parse(event);
    const profile = Object.hasOwn(config.profiles, name) ? config.profiles[name] : undefined;
    return {
      policyVersion: config.hash,
      ...(profile === undefined ? {} : { targets: [...(await rehearse(profile))] }),
    };
  };

export const handler = handlerOf(doctor, (outside) => ({
  deps: outside,
  rehearse: rehearsalOf(outside),
}));
