/** Where goes what could not be delivered or worked off: kept for a fortnight, and an alarm hangs on each. */
import { named } from "./stage.ts";

/** Messages name roles and grants, no secrets: SQS's own key will do, which every service may send under. */
const encrypted = { sqsManagedSseEnabled: true } as const;
const FORTNIGHT_SECONDS = 14 * 24 * 60 * 60;

export const deadLetters = (name: string, part: string, fifo = false) =>
  new sst.aws.Queue(name, {
    fifo,
    transform: {
      queue: {
        name: `${named(part)}${fifo ? ".fifo" : ""}`,
        messageRetentionSeconds: FORTNIGHT_SECONDS,
        ...encrypted,
      },
    },
  });

export const workQueue = (
  name: string,
  part: string,
  of: { readonly dead: sst.aws.Queue; readonly tries: number; readonly visibilitySeconds: number },
  fifo = false,
) =>
  new sst.aws.Queue(name, {
    fifo,
    visibilityTimeout: `${of.visibilitySeconds} seconds`,
    dlq: { queue: of.dead.arn, retry: of.tries },
    transform: { queue: { name: `${named(part)}${fifo ? ".fifo" : ""}`, ...encrypted } },
  });
