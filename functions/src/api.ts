import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";
import { http } from "./edge.ts";
import { routes } from "./endpoints.ts";

/** The HTTP API. */
export const api = (app: App) => http(app, routes);

export const handler = handlerOf(api);
