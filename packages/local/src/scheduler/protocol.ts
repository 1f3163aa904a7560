/** Scheduler's REST-JSON: the operation is in method and path, the input in path, query and body. */
import { AwsError, type AwsRequest, type Protocol } from "../service.ts";

interface Route {
  readonly operation: string;
  readonly method: string;
  readonly collection: "schedules" | "schedule-groups";
  /** Whether the path ends with a name. */
  readonly named: boolean;
  /** Query parameters by their name on the wire; no other is known. */
  readonly query: Readonly<Record<string, string>>;
}

const deleting = { clientToken: "ClientToken" };
const listing = { NamePrefix: "NamePrefix", NextToken: "NextToken", MaxResults: "MaxResults" };

const schedule = { collection: "schedules", named: true } as const;
const group = { collection: "schedule-groups", named: true } as const;

const routes: readonly Route[] = [
  { operation: "CreateSchedule", method: "POST", ...schedule, query: {} },
  { operation: "GetSchedule", method: "GET", ...schedule, query: { groupName: "GroupName" } },
  { operation: "UpdateSchedule", method: "PUT", ...schedule, query: {} },
  {
    operation: "DeleteSchedule",
    method: "DELETE",
    ...schedule,
    query: { groupName: "GroupName", ...deleting },
  },
  {
    operation: "ListSchedules",
    method: "GET",
    ...schedule,
    named: false,
    query: { ScheduleGroup: "GroupName", State: "State", ...listing },
  },
  { operation: "CreateScheduleGroup", method: "POST", ...group, query: {} },
  { operation: "GetScheduleGroup", method: "GET", ...group, query: {} },
  { operation: "DeleteScheduleGroup", method: "DELETE", ...group, query: deleting },
  { operation: "ListScheduleGroups", method: "GET", ...group, named: false, query: listing },
];

const headers = (requestId: string) => ({
  "content-type": "application/json",
  "x-amzn-requestid": requestId,
});

export const schedulerProtocol: Protocol = {
  parse(request) {
    const [, collection, name, ...rest] = request.path.replace(/(?<=.)\/$/, "").split("/");
    const route = routes.find(
      (each) =>
        each.method === request.method &&
        each.collection === collection &&
        each.named === (name !== undefined) &&
        rest.length === 0,
    );
    if (route === undefined) {
      throw new AwsError("UnknownOperationException", "Unknown operation.", 404);
    }
    const body = bodyOf(request);
    // Where each member is bound to one place, the same member in another is unknown there.
    if (Object.hasOwn(body, "Name")) throw unknown("Name");
    const input: Record<string, unknown> = { ...body };
    for (const [key, value] of request.query) {
      const member = Object.hasOwn(route.query, key) ? route.query[key] : undefined;
      if (member === undefined || Object.hasOwn(input, member)) throw unknown(key);
      input[member] = member === "MaxResults" && /^\d+$/.test(value) ? Number(value) : value;
    }
    if (name !== undefined) input.Name = decoded(name);
    return { operation: route.operation, input };
  },

  render: (output, _operation, { requestId }) => ({
    status: 200,
    headers: headers(requestId),
    body: JSON.stringify(output ?? {}),
  }),

  renderError: (error, requestId) => ({
    status: error.status,
    headers: { ...headers(requestId), "x-amzn-errortype": error.code },
    body: JSON.stringify({ Message: error.message, ...error.details }),
  }),
};

function bodyOf(request: AwsRequest): Readonly<Record<string, unknown>> {
  if (request.body.length === 0) return {};
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(request.body));
  } catch {
    throw new AwsError("SerializationException", "The request body is not valid JSON.");
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new AwsError("SerializationException", "The request body is not a JSON object.");
  }
  // GET and DELETE read nothing from a body.
  if (request.method === "GET" || request.method === "DELETE") {
    const [name] = Object.keys(body);
    if (name !== undefined) throw unknown(name);
  }
  return { ...body };
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    throw new AwsError("ValidationException", "The path is not valid.");
  }
}

function unknown(name: string): AwsError {
  return new AwsError("ValidationException", `Unknown parameter: ${name}`);
}
