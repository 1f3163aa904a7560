/** What a team would have on a server for Stint: an admin, a group, a database with something in it. */
import { PutParameterCommand, SSMClient, type SSMClientConfig } from "@aws-sdk/client-ssm";
import { missing, postgres, type TestServer, VERSIONS, type Version } from "./server.ts";

export const ADMIN = "boss";
export const SECRET = "the-admins-own-secret";
const PARAMETER = "/stint/postgres/shop";

/** The newest that is here, for those who try Stint: the driver's own tests ask them all. */
export const newest = (): Version | undefined => VERSIONS.toReversed().find((one) => !missing(one));

export async function openShop(version: Version): Promise<TestServer> {
  const server = await postgres({ version });
  await server.as(
    {},
    `CREATE ROLE ${ADMIN} LOGIN CREATEROLE CREATEDB PASSWORD '${SECRET}'`,
    "CREATE ROLE app NOLOGIN",
    version >= 16 ? `GRANT app TO ${ADMIN} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE` : "SELECT 1",
    "CREATE DATABASE shop",
    `GRANT CREATE, CONNECT ON DATABASE shop TO ${ADMIN}`,
    "GRANT CONNECT, TEMPORARY ON DATABASE shop TO app",
    "REVOKE CONNECT ON DATABASE shop FROM PUBLIC",
  );
  await server.as(
    { database: "shop" },
    "CREATE TABLE orders (id int)",
    "GRANT SELECT, INSERT ON orders TO app",
    "GRANT CREATE ON SCHEMA public TO app",
  );
  return server;
}

/** The target as a configuration has it. */
export const shopAt = ({ host, port }: Pick<TestServer, "host" | "port">, more: object = {}) => ({
  kind: "postgres",
  host,
  port,
  database: "shop",
  admin: { user: ADMIN, password: PARAMETER },
  roles: ["app"],
  tls: "off",
  ...more,
});

/** Where Stint looks for it. */
export const putSecret = (aws: SSMClientConfig, Value: string = SECRET) =>
  new SSMClient(aws).send(
    new PutParameterCommand({ Name: PARAMETER, Value, Type: "SecureString", Overwrite: true }),
  );
