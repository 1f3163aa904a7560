/**
 * Local AWS for tests: an account in this process, with every service that is built.
 *
 *     await using aws = await localAws();
 *     const s3 = new S3Client(aws.client);
 */
import { createLocalAws, type LocalAws, type LocalAwsOptions } from "./aws.ts";
import { dynamodb } from "./services/dynamodb.ts";
import { events } from "./services/events.ts";
import { s3 } from "./services/s3.ts";
import { scheduler } from "./services/scheduler.ts";
import { sqs } from "./services/sqs.ts";
import { keysAndParameters } from "./services/ssm.ts";

export type { CallRecord } from "./aws.ts";
export { type AdvancingClock, createVirtualClock } from "./clock.ts";
export type { Fault } from "./faults.ts";

const services = () => ({ dynamodb, events, s3, scheduler, sqs, ...keysAndParameters() });

/** Local AWS with all of its services. */
export type StandardAws = LocalAws<ReturnType<typeof services>>;

/**
 * An empty account. Its administrator's settings for SDK clients are `aws.client`.
 *
 * @param options.clock real time unless given; `createVirtualClock(epochMs)` moves by `aws.advance(ms)` alone
 * @param options.iamDelayMs how long IAM's changes take to be in force, on the clock: 1,000 ms, as they do in AWS
 * @param options.seed of all randomness (1)
 * @param options.account twelve digits (`000000000000`)
 * @param options.region the only one (`us-east-1`)
 */
export const localAws = (
  options: Omit<LocalAwsOptions<ReturnType<typeof services>>, "services"> = {},
): StandardAws => createLocalAws({ ...options, services: services() });
