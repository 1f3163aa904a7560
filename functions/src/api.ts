import type { ApiApp } from "./app.ts";
import { handlerOf } from "./door.ts";
import { http } from "./edge.ts";
import { routes } from "./endpoints.ts";
import { issuing, verifierOf } from "./live.ts";

/** The HTTP API. */
export const api = (app: ApiApp) => http(app, routes);

export const handler = handlerOf(api, (outside) => ({
  deps: issuing(outside),
  verifier: verifierOf(outside),
  log: outside.log,
}));
