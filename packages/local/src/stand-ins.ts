/** Which name of the local issuer stands in for which issuer of the configuration. */
import type { Config } from "@stint/core/profile";
import { type TrustedIssuer, trustedIssuers } from "@stint/pipelines/issuers";

export interface StandIn {
  /** Under the local issuer: the pipeline's or login's own; `github.2` where a second issuer is github's too. */
  readonly name: string;
  readonly trusted: TrustedIssuer;
}

/** In the configuration's order, public issuers that it does not list behind. */
export function standIns(config: Config): readonly StandIn[] {
  const met = new Map<string, number>();
  return trustedIssuers(config.issuers).map((trusted) => {
    if (trusted.kind === "login") return { name: trusted.login, trusted };
    const { name } = trusted.pipeline;
    const place = (met.get(name) ?? 0) + 1;
    met.set(name, place);
    return { name: place === 1 ? name : `${name}.${place}`, trusted };
  });
}
