/** How much a table and each of its partitions can take in a second, and the refusal of what is more. */
import { AwsError } from "../service.ts";
import type { Index, Row, Table } from "./table.ts";
import { attributeOf, type Item } from "./values.ts";

/** Units per second; what is left out is not limited. */
export interface Units {
  readonly read?: number;
  readonly write?: number;
}

/** The limits of each table without provisioned capacity, and of every partition. */
export interface Limits {
  /** All of a table. DynamoDB's own quota is 40,000 of each. */
  readonly table?: Units;
  /** All items of one partition key, in the table and in each index. DynamoDB's own limit is 3,000 and 1,000. */
  readonly partition?: Units;
}

type Direction = "read" | "write";

/** What a caller is refused with, and how a transaction or batch tells it. */
export class Throttled extends AwsError {
  /** The code in a transaction's reasons. */
  readonly reason: "ProvisionedThroughputExceeded" | "ThrottlingError";

  constructor(provisioned: boolean, reason: string, resource: string) {
    const reasons = [{ reason, resource }];
    if (provisioned)
      super(
        "ProvisionedThroughputExceededException",
        "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.",
        400,
        { ThrottlingReasons: reasons },
      );
    else
      super(
        "ThrottlingException",
        "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or index so please try again shortly.",
        400,
        { throttlingReasons: reasons },
      );
    this.reason = provisioned ? "ProvisionedThroughputExceeded" : "ThrottlingError";
  }
}

interface Bucket {
  left: number;
  at: number;
}

export interface Meter {
  /** Counts a read of `item`'s partition; of no partition in particular where it is undefined. @throws {Throttled} */
  read(units: number, item: Item | undefined, index?: Index): void;
  /** Counts a write, also in the indexes that it reaches. @throws {Throttled} with nothing counted */
  write(units: number, item: Item, after?: Row): void;
}

/** Provisioned capacity that was not used is kept for so long. */
const BURST_SECONDS = 300;

/**
 * @param of.provisioned undefined for a table that is paid by request
 * @param of.limits looked up each time, so that they can change
 */
export function meterOf(of: {
  readonly arn: string;
  readonly table: Table;
  readonly now: () => number;
  readonly provisioned: () => Required<Units> | undefined;
  readonly limits: () => Limits;
}): Meter {
  const buckets = new Map<string, Bucket>();

  /** One limit that a request has to pass: where it is exhausted, and what is taken from it. */
  interface Toll {
    readonly key: string;
    readonly perSecond: number;
    readonly most: number;
    readonly reason: string;
    readonly resource: string;
  }

  const filled = ({ key, perSecond, most }: Toll): Bucket => {
    const now = of.now();
    const bucket = buckets.get(key) ?? { left: most, at: now };
    bucket.left = Math.min(most, bucket.left + ((now - bucket.at) / 1000) * perSecond);
    bucket.at = now;
    buckets.set(key, bucket);
    return bucket;
  };

  /** A request is let in while anything is left, as its cost may be known only afterwards. */
  const pay = (tolls: readonly Toll[], units: number): void => {
    for (const toll of tolls)
      if (filled(toll).left <= 0)
        throw new Throttled(of.provisioned() !== undefined, toll.reason, toll.resource);
    for (const toll of tolls) filled(toll).left -= units;
  };

  const tollsOf = (direction: Direction, item: Item | undefined, index?: Index): Toll[] => {
    const { table, partition } = of.limits();
    const provisioned = of.provisioned();
    const kind = `${index === undefined ? "Table" : "Index"}${direction === "read" ? "Read" : "Write"}`;
    const resource = index === undefined ? of.arn : `${of.arn}/index/${index.name}`;
    const tolls: Toll[] = [];
    const add = (key: string, perSecond: number | undefined, seconds: number, why: string) => {
      if (perSecond === undefined) return;
      const most = perSecond * seconds;
      tolls.push({
        key: `${kind} ${index?.name} ${key}`,
        perSecond,
        most,
        reason: kind + why,
        resource,
      });
    };
    if (provisioned !== undefined)
      add("", provisioned[direction], BURST_SECONDS, "ProvisionedThroughputExceeded");
    else add("", table?.[direction], 1, "AccountLimitExceeded");
    const { name } = (index ?? of.table).keys.partition;
    const value = item === undefined ? undefined : attributeOf(item, name);
    if (value !== undefined)
      add(JSON.stringify(value), partition?.[direction], 1, "KeyRangeThroughputExceeded");
    return tolls;
  };

  const unlimited = () => {
    const { table, partition } = of.limits();
    return table === undefined && partition === undefined && of.provisioned() === undefined;
  };

  return {
    read(units, item, index) {
      if (!unlimited()) pay(tollsOf("read", item, index), units);
    },
    write(units, item, after) {
      if (unlimited()) return;
      const reached = of.table.indexes.filter((_, at) => after?.indexKeys[at] !== undefined);
      const tolls = [
        ...tollsOf("write", item),
        ...reached.flatMap((index) => tollsOf("write", after?.item, index)),
      ];
      pay(tolls, units);
    },
  };
}
