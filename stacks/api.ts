/** The way in: an HTTP API, because it throttles before a function is paid for (docs/decisions/0014-http-api.md). */
import type { Declare } from "./functions.ts";
import { kept, named, option } from "./stage.ts";
import type { Storage } from "./storage.ts";

/** Requests a second, and at once. STS mints 600 sessions a second in an account, for everybody. */
const ALL = { throttlingRateLimit: 200, throttlingBurstLimit: 400 };
/** Anybody can post here: strangers must not use up what jobs need. */
const WEBHOOKS = { throttlingRateLimit: 50, throttlingBurstLimit: 100 };
const WEBHOOK_ROUTE = "POST /v1/webhooks/{pipeline}";

export function api(
  declare: Declare,
  settings: Parameters<Declare>[1]["settings"],
  { table }: Storage,
) {
  const domain = option("STINT_DOMAIN");
  // The stage comes with the API, and AWS refuses one that names a route before there is that route: it waits for it.
  let known: (route: { readonly key: $util.Input<string> }) => void = () => {};
  const webhookRoute = $util.output(
    new Promise<{ readonly key: $util.Input<string> }>((resolve) => {
      known = resolve;
    }),
  );
  const gateway = new sst.aws.ApiGatewayV2("Gateway", {
    cors: false,
    ...(domain === undefined ? {} : { domain }),
    // Paths and outcomes; no header and no body is ever in it.
    accessLog: { retention: kept().retention },
    transform: {
      api: {
        name: named("api"),
        // One name to trust: with a domain of our own, AWS's does not answer.
        disableExecuteApiEndpoint: domain !== undefined,
      },
      stage: {
        defaultRouteSettings: { ...ALL, detailedMetricsEnabled: true },
        routeSettings: [{ routeKey: webhookRoute.key, ...WEBHOOKS, detailedMetricsEnabled: true }],
      },
    },
  });
  const own = { ...settings, STINT_TABLE: table.name };
  const broker = declare("api", { settings: own });
  const webhook = declare("webhook", { settings: own });
  // No route leads to it: operators invoke it by Lambda's own API, and IAM says who they are.
  const doctor = declare("doctor", { settings: {} });
  // Everything else is the API's: it knows its routes, and says in its own words what it does not know.
  gateway.route("$default", broker.arn);
  known({ key: gateway.route(WEBHOOK_ROUTE, webhook.arn).nodes.route.routeKey });
  return { gateway, broker, webhook, doctor };
}
