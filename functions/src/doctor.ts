import type { Rehearsal } from "@stint/aws/rehearsal";
import type { Config } from "@stint/core/profile";
import * as z from "zod/mini";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";
import { examinationOf, rehearsalOf } from "./live.ts";

const input = z.strictObject({ profile: z.string() });

type DoctorApp = Pick<App, "rehearse" | "examine"> & { readonly deps: { readonly config: Config } };

/**
 * Invoked by operators, and by Lambda's own API only: it is no part of the HTTP API. It runs under the broker's role,
 * since no other may open a session or read an admin's password, and tells sizes, refusals and rights, never a credential.
 */
export const doctor =
  ({ deps: { config }, rehearse, examine }: DoctorApp) =>
  async (event: unknown): Promise<Rehearsal> => {
    const { profile: name } = input.parse(event);
    const profile = Object.hasOwn(config.profiles, name) ? config.profiles[name] : undefined;
    if (profile === undefined) return { policyVersion: config.hash };
    const [targets, databases] = await Promise.all([rehearse(profile), examine(profile)]);
    return { policyVersion: config.hash, targets: [...targets], databases: [...databases] };
  };

export const handler = handlerOf(doctor, (outside) => ({
  deps: outside,
  rehearse: rehearsalOf(outside),
  examine: examinationOf(outside),
}));
