/** Functions: each under a role of its own that may do exactly what the function's bundle calls. */
import {
  type Door,
  FUNCTION_PATH,
  type Permission,
  permissions,
  type Resources,
  type Role,
  roleOf,
  SETTINGS,
  SIZES,
} from "@stint/functions/deployment";
import type { Settings } from "@stint/functions/live";
import type { Bundles } from "./bundles.ts";
import { chosen, isProduction, kept, logGroup, named, option } from "./stage.ts";

type Arn = $util.Input<string>;

/** What AWS does in a function's name: it reads events for it and puts away those that failed. */
const READING = {
  stream: ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
  queue: ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
} as const;

const TRACING = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"] as const;

interface Source {
  readonly kind: keyof typeof READING;
  readonly arn: Arn;
}

export interface Wiring {
  readonly settings: Partial<Readonly<Record<keyof Settings, Arn>>>;
  readonly source?: Source;
  /** Where the event goes of an invocation that failed for good. */
  readonly failures?: Arn;
}

export const policyOf = (allowed: readonly Permission<Arn>[]) =>
  aws.iam.getPolicyDocumentOutput({
    statements: allowed.map(({ actions, resources, condition = {} }) => ({
      actions: [...actions],
      resources: [...resources],
      conditions: Object.entries(condition).flatMap(([test, keys]) =>
        Object.entries(keys).map(([variable, value]) => ({ test, variable, values: [value] })),
      ),
    })),
  }).json;

export const serviceTrust = (
  service: string,
  conditions: aws.types.input.iam.GetPolicyDocumentStatementConditionArgs[] = [],
) =>
  aws.iam.getPolicyDocumentOutput({
    statements: [
      {
        actions: ["sts:AssumeRole"],
        principals: [{ type: "Service", identifiers: [service] }],
        conditions,
      },
    ],
  }).json;

/** Functions that talk to servers of somebody's: they join the network in which these are, where one is named. */
const REACH_SERVERS: ReadonlySet<Door> = new Set(["api", "clear", "reconcile", "doctor"]);

/** What Lambda does in a function's name to join a network. AWS knows no narrower resource before it is made. */
const NETWORKING: Permission<Arn> = {
  actions: [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
  ],
  resources: ["*"],
};

function ownNetwork() {
  const list = (text: string | undefined) => text?.split(",").map((one) => one.trim());
  const privateSubnets = list(option("STINT_VPC_SUBNETS"));
  const securityGroups = list(option("STINT_VPC_SECURITY_GROUPS"));
  if (privateSubnets === undefined && securityGroups === undefined) return undefined;
  if (privateSubnets === undefined || securityGroups === undefined)
    throw new Error("STINT_VPC_SUBNETS and STINT_VPC_SECURITY_GROUPS go together");
  return { privateSubnets, securityGroups };
}

/** A part's name with a capital, as the deployment's own names have. */
const logical = (door: string) => `${door.charAt(0).toUpperCase()}${door.slice(1)}`;

export function functions(resources: Resources<Arn>, bundles: Bundles) {
  const allowed = permissions(resources);
  const traced = chosen("STINT_TRACES", "on");
  const roles = new Map<Role, aws.iam.Role>();

  /** Made by the function that the role is of, which is declared before whoever shares it. */
  const make = (door: Door) => {
    const role = new aws.iam.Role(`${logical(door)}Role`, {
      name: named(door),
      path: FUNCTION_PATH,
      assumeRolePolicy: serviceTrust("lambda.amazonaws.com"),
    });
    roles.set(roleOf(door), role);
    return role;
  };

  return function declare(door: Door, { settings, source, failures }: Wiring): sst.aws.Function {
    const name = logical(door);
    const { seconds, megabytes, atOnce } = SIZES[door];
    const network = REACH_SERVERS.has(door) ? ownNetwork() : undefined;
    const logs = new aws.cloudwatch.LogGroup(`${name}Logs`, {
      name: logGroup(door),
      retentionInDays: kept().days,
    });
    const shared = roles.get(roleOf(door));
    const role = shared ?? make(door);
    const granted = new aws.iam.RolePolicy(`${name}Policy`, {
      name: shared === undefined ? "own" : door,
      role: role.name,
      policy: policyOf([
        ...(shared === undefined ? allowed[roleOf(door)] : []),
        {
          actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
          resources: [$interpolate`${logs.arn}:*`],
        },
        ...(source === undefined
          ? []
          : [{ actions: READING[source.kind], resources: [source.arn] }]),
        ...(failures === undefined
          ? []
          : [{ actions: ["sqs:SendMessage"], resources: [failures] }]),
        ...(network === undefined ? [] : [NETWORKING]),
        // X-Ray knows no resources.
        ...(traced ? [{ actions: TRACING, resources: ["*"] }] : []),
      ]),
    });
    const made = new sst.aws.Function(
      name,
      {
        name: named(door),
        bundle: bundles.directory(door),
        handler: "index.handler",
        runtime: "nodejs24.x",
        architecture: "arm64",
        memory: `${megabytes} MB`,
        timeout: `${seconds} seconds`,
        role: role.arn,
        logging: { logGroup: logs.name },
        ...(traced ? { transform: { function: { tracingConfig: { mode: "Active" } } } } : {}),
        // Taken from what all functions share, and new accounts share little: for production alone.
        ...(atOnce === undefined || !isProduction() ? {} : { concurrency: { reserved: atOnce } }),
        ...(network === undefined ? {} : { vpc: network }),
        environment: {
          ...Object.fromEntries(
            SETTINGS[door].map((setting) => {
              const value = settings[setting];
              if (value === undefined) throw new Error(`${door} asks for ${setting}`);
              return [setting, value];
            }),
          ),
          // Where Lambda keeps the authorities of RDS, which Node does not know by itself.
          ...(network === undefined ? {} : { NODE_EXTRA_CA_CERTS: "/var/runtime/ca-cert.pem" }),
        },
      },
      { dependsOn: [granted] },
    );
    if (failures !== undefined && source === undefined)
      new aws.lambda.FunctionEventInvokeConfig(`${name}Failures`, {
        functionName: made.name,
        maximumRetryAttempts: 2,
        destinationConfig: { onFailure: { destination: failures } },
      });
    return made;
  };
}

export type Declare = ReturnType<typeof functions>;
