/** Whatever arrives, what leaves is an answer or a GrantError. `refusal` fails on anything else. */
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { github } from "../src/github.ts";
import type { Verifier } from "../src/verify.ts";
import {
  base64url,
  DOCUMENTED,
  GITHUB,
  type Key,
  makeKey,
  NOON,
  net,
  refusal,
  sign,
  verifierOf,
} from "./support.ts";

let key: Key;
let verifier: Verifier;

beforeAll(async () => {
  key = await makeKey("one");
  const issuer = { kind: "pipeline", url: GITHUB, pipeline: github } as const;
  verifier = verifierOf([issuer], net(GITHUB, [key.jwk]), { now: NOON });
});

const segment = fc.oneof(fc.string(), fc.base64String(), fc.json().map(base64url));

test("no text is ever taken for a token", async () => {
  const texts = fc.oneof(
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.array(segment, { minLength: 3, maxLength: 3 }).map((parts) => parts.join(".")),
    fc
      .record({ alg: fc.constantFrom("RS256", "ES256"), kid: fc.constantFrom("one", "two") })
      .chain((header) => fc.json().map((body) => `${base64url(header)}.${base64url(body)}.AAAA`)),
  );
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      expect((await refusal(verifier.verify(text))).code).toBe("unauthenticated");
    }),
    { numRuns: 500 },
  );
});

test("no change of one character leaves a token that says something else", async () => {
  const token = await sign(key, DOCUMENTED);
  const honest = (await verifier.verify(token)).principal;
  const signatureAt = token.lastIndexOf(".");
  await fc.assert(
    fc.asyncProperty(
      fc.nat(token.length - 1),
      fc.string({ minLength: 1, maxLength: 1 }),
      async (at, by) => {
        const changed = token.slice(0, at) + by + token.slice(at + 1);
        if (changed === token) return;
        const result = await verifier.verify(changed).catch((error: unknown) => error);
        // The last character of a signature has bits that mean nothing.
        if (at > signatureAt && result && typeof result === "object" && "principal" in result)
          expect(result.principal).toEqual(honest);
        else expect((await refusal(Promise.reject(result))).code).toBe("unauthenticated");
      },
    ),
    { numRuns: 300 },
  );
});

test("no signed claims, however odd, are anything but a job or a refusal", async () => {
  const names = fc.constantFrom(...Object.keys(DOCUMENTED), "groups", "__proto__", "toString");
  const odd = fc.dictionary(names, fc.jsonValue(), { maxKeys: 3 });
  await fc.assert(
    fc.asyncProperty(odd, async (changes) => {
      const claims = { ...DOCUMENTED, ...changes };
      const result = await verifier
        .verify(await sign(key, claims))
        .catch((error: unknown) => error);
      if (result && typeof result === "object" && "principal" in result)
        expect(result.principal).toMatchObject({ kind: "job" });
      else expect((await refusal(Promise.reject(result))).code).toBe("unauthenticated");
    }),
    { numRuns: 300 },
  );
});

test("no payload of any event is anything but facts or an invalid request", async () => {
  const events = fc.constantFrom("workflow_job", "workflow_run", "push", undefined);
  const inner = fc.dictionary(
    fc.constantFrom("id", "run_id", "run_attempt", "check_run_url", "other"),
    fc.oneof(
      fc.jsonValue(),
      fc.nat(),
      fc.webUrl(),
      fc.nat().map((n) => `/check-runs/${n}`),
    ),
  );
  const bodies = fc.oneof(
    fc.jsonValue(),
    fc.record(
      {
        action: fc.oneof(fc.constant("completed"), fc.jsonValue()),
        workflow_job: fc.oneof(inner, fc.jsonValue()),
        workflow_run: fc.oneof(inner, fc.jsonValue()),
      },
      { requiredKeys: [] },
    ),
  );
  await fc.assert(
    fc.asyncProperty(events, bodies, async (event, body) => {
      try {
        const found = github.webhook.facts({ "x-github-event": event }, body, GITHUB);
        expect(found.length).toBeLessThanOrEqual(1);
      } catch (error) {
        expect((await refusal(Promise.reject(error))).code).toBe("invalid_request");
      }
    }),
    { numRuns: 2000 },
  );
});
