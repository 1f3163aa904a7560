/** Toy services for the kernel's tests: what the real ones bring, with an effect that can be counted. */
import { z } from "zod";
import { jsonProtocol } from "../src/protocols.ts";
import { AwsError, operation, type Service, type World } from "../src/service.ts";

export interface Toy extends Service {
  /** Every effect so far, as the table's name. */
  readonly effects: string[];
}

/** A DynamoDB with four operations that keep nothing. */
export const toyDynamodb = (_: World): Toy => {
  const effects: string[] = [];
  const input = z.strictObject({ TableName: z.string().min(3) });
  const on = (action: string) => (given: { TableName: string }) => [
    {
      action: `dynamodb:${action}`,
      resource: `arn:aws:dynamodb:us-east-1:000000000000:table/${given.TableName}`,
      context: { "dynamodb:LeadingKeys": ["a", "b"] },
    },
  ];
  return {
    effects,
    name: "dynamodb",
    protocol: jsonProtocol({ version: "1.0", target: "DynamoDB_20120810" }),
    operations: {
      DescribeTable: operation({
        input,
        authorize: on("DescribeTable"),
        run(given) {
          effects.push(given.TableName);
          return { Table: { TableName: given.TableName, ItemCount: effects.length } };
        },
      }),
      DeleteTable: operation({
        input,
        authorize: on("DeleteTable"),
        run: () => {
          throw new TypeError("a mistake of ours");
        },
      }),
      TransactWriteItems: operation({
        input: z.looseObject({}),
        authorize: () => [],
        run: () => {
          throw new AwsError("TransactionCanceledException", "cancelled", 400, {
            CancellationReasons: [{ Code: "ConditionalCheckFailed" }],
          });
        },
      }),
    },
  };
};
