import { createSecretKey } from "node:crypto";
import { GetParameterCommand, ParameterNotFound, type SSMClient } from "@aws-sdk/client-ssm";
import type { TokenKeys } from "@stint/broker/ports";
import * as z from "zod/mini";

/** How long a secret is kept in memory: also how long a rotated one goes on being used. */
const CACHE_MS = 5 * 60_000;

export interface Secrets {
  /** The parameter's value, or undefined where there is none. */
  get(name: string): Promise<string | undefined>;
}

/** SecureStrings, each fetched once in a while however many ask for it. */
export function createSecrets(ssm: SSMClient, now: () => number): Secrets {
  const cached = new Map<string, { at: number; value: Promise<string | undefined> }>();
  const fetch = async (name: string) => {
    try {
      const { Parameter } = await ssm.send(
        new GetParameterCommand({ Name: name, WithDecryption: true }),
      );
      return Parameter?.Value;
    } catch (error) {
      if (error instanceof ParameterNotFound) return undefined;
      throw error;
    }
  };
  return {
    get(name) {
      const hit = cached.get(name);
      if (hit !== undefined && now() - hit.at < CACHE_MS) return hit.value;
      const value = fetch(name);
      cached.set(name, { at: now(), value });
      value.catch(() => cached.delete(name)); // a failure is not remembered
      return value;
    },
  };
}

const keysParameter = z.strictObject({
  keys: z
    .array(
      z.strictObject({
        version: z.string().check(z.minLength(1)),
        // Prepared once: a key that comes as bytes is set up anew for each token.
        key: z.pipe(
          z.base64(),
          z.transform((text) => createSecretKey(text, "base64")),
        ),
      }),
    )
    .check(z.minLength(1), z.maxLength(2)),
});

const SHORTEST_KEY = 32;

/** Keys for grant tokens: `{"keys": [{"version", "key"}, …]}` in one parameter, newest first. */
export function createTokenKeys(secrets: Secrets, parameter: string): TokenKeys {
  let parsed: { from: string; keys: z.output<typeof keysParameter>["keys"] } | undefined;
  return {
    async current() {
      const value = await secrets.get(parameter);
      if (value === undefined) throw new Error(`there is no parameter ${parameter}`);
      if (parsed?.from !== value) {
        const { keys } = keysParameter.parse(JSON.parse(value));
        if (keys.some(({ key: { symmetricKeySize = 0 } }) => symmetricKeySize < SHORTEST_KEY))
          throw new Error(`a key in ${parameter} is shorter than ${SHORTEST_KEY} bytes`);
        parsed = { from: value, keys };
      }
      return parsed.keys;
    },
  };
}
