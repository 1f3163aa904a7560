import { AwsError, type Clock } from "../service.ts";

const rememberMs = 86_400_000;

/**
 * Client tokens: a repeated request with the same token is answered as the first was and does nothing.
 * Failures are not remembered, so that they can be tried again.
 */
export function createTokens(clock: Clock) {
  const seen = new Map<string, { request: string; answer: unknown; until: number }>();
  return <O>(
    operation: string,
    input: { readonly ClientToken?: string | undefined },
    run: () => O,
  ): O => {
    const { ClientToken: token, ...rest } = input;
    if (token === undefined) return run();
    const now = clock.now();
    for (const [old, { until }] of seen) {
      if (until > now) break; // in order of arrival
      seen.delete(old);
    }
    const key = `${operation} ${token}`;
    const request = JSON.stringify(rest);
    const earlier = seen.get(key);
    if (earlier !== undefined) {
      if (earlier.request === request) return earlier.answer as O; // the same operation's own answer
      throw new AwsError(
        "ConflictException",
        "The client token was used before with other parameters.",
        409,
      );
    }
    const answer = run();
    seen.set(key, { request, answer, until: now + rememberMs });
    return answer;
  };
}
