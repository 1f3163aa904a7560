/** The pipelines that Stint knows. A new one is one file, and one line here. */
import type { PipelineClaims } from "@stint/core/config/pipelines";
import { github } from "./github.ts";
import type { Pipeline } from "./pipeline.ts";

export const pipelines: Readonly<Record<string, Pipeline>> = { github };

/** What the configuration needs to check rules: which claims exist, which of them are ids, and who vouches for them. */
export const pipelineClaims = (): Readonly<Record<string, PipelineClaims>> =>
  Object.fromEntries(
    Object.values(pipelines).map(({ name, claims, publicIssuers }) => [
      name,
      { ...claims, publicIssuers },
    ]),
  );
