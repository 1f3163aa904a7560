/** SSM Parameter Store: versioned parameters by name and path, the secret ones encrypted by KMS. */
import { z } from "zod";
import { pageOf } from "../page.ts";
import { jsonProtocol } from "../protocols.ts";
import { AwsError, type Check, operation, type Service, type World } from "../service.ts";
import { checkName, checkPath, checkValue, nameOf, type Tier, tierOf } from "../ssm/names.ts";
import { type KmsService, kms as ownKms } from "./kms.ts";

interface ParameterVersion {
  readonly version: number;
  readonly modifiedAt: number;
  readonly modifiedBy: string;
  /** For a SecureString base64 of its ciphertext. */
  readonly value: string;
  readonly keyId?: string;
  readonly description?: string;
}

type ParameterType = "String" | "StringList" | "SecureString";

interface Parameter {
  readonly name: string;
  readonly type: ParameterType;
  readonly tier: Tier;
  /** Oldest first, a hundred at most; there is always one. */
  readonly versions: readonly [ParameterVersion, ...ParameterVersion[]];
}

const MAX_VERSIONS = 100;
const DEFAULT_KEY = "alias/aws/ssm";

const nameInput = z.string().min(1).max(2048);
const decryption = z.boolean().optional();
const nextToken = z.string().min(1).optional();

const latest = ({ versions }: Parameter): ParameterVersion => versions.at(-1) ?? versions[0];

const notFound = (name: string) =>
  new AwsError("ParameterNotFound", `Parameter ${name} not found.`);

/** `name`, `name:3`, or the parameter's ARN with either. */
const selectorOf = (given: string): { readonly base: string; readonly selector?: string } => {
  const colon = given.startsWith("arn:")
    ? given.indexOf(":", given.indexOf(":parameter/") + 1)
    : given.indexOf(":");
  if (colon === -1) return { base: given };
  return { base: given.slice(0, colon), selector: given.slice(colon + 1) };
};

/**
 * One account's parameters.
 * @param kms the KMS whose keys encrypt SecureStrings. Without it there are keys that nobody else can use.
 */
export const ssm = (world: World, kms: KmsService = ownKms(world)): Service => {
  const parameters = new Map<string, Parameter>();
  const arnPrefix = `arn:aws:ssm:${world.region}:${world.account}:parameter/`;
  const arnOf = (name: string) => `${arnPrefix}${name.replace(/^\//, "")}`;

  const resolve = (given: string) => {
    const { base, selector } = selectorOf(given);
    const name = nameOf(base, arnPrefix, (of) => parameters.has(of));
    return { name, ...(selector === undefined ? {} : { selector }) };
  };

  const find = (
    given: string,
  ): { parameter: Parameter; version: ParameterVersion; selector?: string } => {
    const { name, selector } = resolve(given);
    const parameter = parameters.get(name);
    if (parameter === undefined) throw notFound(given);
    if (selector === undefined) return { parameter, version: latest(parameter) };
    const version = parameter.versions.find((of) => String(of.version) === selector);
    if (version === undefined)
      throw new AwsError(
        "ParameterVersionNotFound",
        `Systems Manager could not find version ${selector} of ${name}. Verify the version and try again.`,
      );
    return { parameter, version, selector };
  };

  /** Binds a ciphertext to its parameter, as AWS does: it cannot be moved to another. */
  const contextOf = (name: string) => ({ PARAMETER_ARN: arnOf(name) });

  const decrypted = (parameter: Parameter, { value }: ParameterVersion): string =>
    Buffer.from(kms.decrypt(Buffer.from(value, "base64"), contextOf(parameter.name))).toString(
      "utf8",
    );

  const show = (
    found: { parameter: Parameter; version: ParameterVersion; selector?: string },
    decrypts: boolean,
  ) => {
    const { parameter, version, selector } = found;
    const { name, type } = parameter;
    return {
      Name: name,
      Type: type,
      Value: type === "SecureString" && decrypts ? decrypted(parameter, version) : version.value,
      Version: version.version,
      Selector: selector === undefined ? undefined : `:${selector}`,
      LastModifiedDate: new Date(version.modifiedAt),
      ARN: arnOf(name),
      DataType: "text",
    };
  };

  const permission = (action: string, name: string, context: Check["context"] = {}): Check => ({
    action: `ssm:${action}`,
    resource: arnOf(name),
    context,
  });

  /** Who wants the clear text of a SecureString needs the key as well. */
  const keyChecks = (names: readonly string[], decrypts: boolean | undefined): readonly Check[] =>
    names.flatMap((given) => {
      const { name, selector } = resolve(given);
      const parameter = parameters.get(name);
      if (!decrypts || parameter?.type !== "SecureString") return [];
      const version = parameter.versions.find((of) => String(of.version) === selector);
      const { value } = version ?? latest(parameter);
      return [kms.checkVia("ssm", { decrypt: Buffer.from(value, "base64") }, contextOf(name))];
    });

  /** Parameters go as a whole: a name with a version names nothing that could be deleted. */
  const remove = (given: string): boolean => {
    const { name, selector } = resolve(given);
    return selector === undefined && parameters.delete(name);
  };

  const below = (path: string, recursive: boolean): readonly Parameter[] => {
    const start = path.endsWith("/") ? path : `${path}/`;
    return [...parameters.values()].filter(({ name }) => {
      const full = name.startsWith("/") ? name : `/${name}`;
      return full.startsWith(start) && (recursive || !full.slice(start.length).includes("/"));
    });
  };

  const putInput = z.strictObject({
    Name: nameInput,
    Value: z.string().min(1),
    Type: z.enum(["String", "StringList", "SecureString"]).optional(),
    Description: z.string().max(1024).optional(),
    KeyId: z.string().min(1).max(256).optional(),
    Overwrite: z.boolean().optional(),
    Tier: z.enum(["Standard", "Advanced", "Intelligent-Tiering"]).optional(),
    DataType: z.literal("text").optional(),
  });

  const operations = {
    PutParameter: operation({
      input: putInput,
      authorize(input) {
        const { name } = resolve(input.Name);
        const type = parameters.get(name)?.type ?? input.Type;
        return [
          permission("PutParameter", name, { "ssm:Overwrite": String(input.Overwrite ?? false) }),
          ...(type === "SecureString"
            ? [kms.checkVia("ssm", { encryptUnder: input.KeyId }, contextOf(name))]
            : []),
        ];
      },
      run(input, { caller }) {
        const { name, selector } = resolve(input.Name);
        checkName(selector === undefined ? name : input.Name);
        const before = parameters.get(name);
        if (before !== undefined && input.Overwrite !== true)
          throw new AwsError(
            "ParameterAlreadyExists",
            "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
          );
        const type = input.Type ?? before?.type;
        if (type === undefined)
          throw new AwsError(
            "ValidationException",
            "A parameter type is required when you create a parameter.",
          );
        if (before !== undefined && before.type !== type)
          throw new AwsError(
            "HierarchyTypeMismatchException",
            "Parameter Store does not support changing a parameter type in a hierarchy. You must create a new, unique parameter.",
          );
        if (input.KeyId !== undefined && type !== "SecureString")
          throw new AwsError(
            "ValidationException",
            "KeyId is not required for String type parameter.",
          );
        const tier = tierOf(input.Tier, input.Value, before?.tier);
        checkValue(input.Value, tier);
        const sealed =
          type === "SecureString"
            ? kms.encryptVia("ssm", input.KeyId, Buffer.from(input.Value), contextOf(name))
            : undefined;
        const version: ParameterVersion = {
          version: before === undefined ? 1 : latest(before).version + 1,
          modifiedAt: world.clock.now(),
          modifiedBy: caller.arn,
          value: sealed === undefined ? input.Value : Buffer.from(sealed.blob).toString("base64"),
          ...(sealed === undefined ? {} : { keyId: input.KeyId ?? DEFAULT_KEY }),
          ...(input.Description === undefined ? {} : { description: input.Description }),
        };
        const [first = version, ...rest] = [...(before?.versions ?? []), version].slice(
          -MAX_VERSIONS,
        );
        parameters.set(name, { name, type, tier, versions: [first, ...rest] });
        return { Version: version.version, Tier: tier };
      },
    }),
    GetParameter: operation({
      input: z.strictObject({ Name: nameInput, WithDecryption: decryption }),
      authorize: ({ Name, WithDecryption }) => [
        permission("GetParameter", resolve(Name).name),
        ...keyChecks([Name], WithDecryption),
      ],
      run: ({ Name, WithDecryption }) => ({ Parameter: show(find(Name), WithDecryption ?? false) }),
    }),
    GetParameters: operation({
      input: z.strictObject({
        Names: z.array(nameInput).min(1).max(10),
        WithDecryption: decryption,
      }),
      authorize: ({ Names, WithDecryption }) => [
        ...Names.map((name) => permission("GetParameters", resolve(name).name)),
        ...keyChecks(Names, WithDecryption),
      ],
      run({ Names, WithDecryption }) {
        const Parameters: object[] = [];
        const InvalidParameters: string[] = [];
        for (const name of new Set(Names)) {
          try {
            Parameters.push(show(find(name), WithDecryption ?? false));
          } catch (error) {
            // A key that cannot be used fails the call; a name that leads nowhere is listed.
            if (!(error instanceof AwsError) || !error.code.endsWith("NotFound")) throw error;
            InvalidParameters.push(name);
          }
        }
        return { Parameters, InvalidParameters };
      },
    }),
    GetParametersByPath: operation({
      input: z.strictObject({
        Path: nameInput,
        Recursive: z.boolean().optional(),
        WithDecryption: decryption,
        MaxResults: z.int().min(1).max(10).default(10),
        NextToken: nextToken,
      }),
      authorize: ({ Path, Recursive, WithDecryption }) => [
        permission("GetParametersByPath", Path, { "ssm:Recursive": String(Recursive ?? false) }),
        ...keyChecks(
          below(Path, Recursive ?? false).map(({ name }) => name),
          WithDecryption,
        ),
      ],
      run({ Path, Recursive, WithDecryption, MaxResults, NextToken }) {
        checkPath(Path);
        const { page, nextToken: next } = pageOf(
          below(Path, Recursive ?? false),
          ({ name }) => name,
          NextToken,
          MaxResults,
        );
        return {
          Parameters: page.map((parameter) =>
            show({ parameter, version: latest(parameter) }, WithDecryption ?? false),
          ),
          NextToken: next,
        };
      },
    }),
    DescribeParameters: operation({
      input: z.strictObject({
        MaxResults: z.int().min(1).max(50).default(50),
        NextToken: nextToken,
      }),
      authorize: () => [
        {
          action: "ssm:DescribeParameters",
          resource: `arn:aws:ssm:${world.region}:${world.account}:*`,
        },
      ],
      run({ MaxResults, NextToken }) {
        const all = [...parameters.values()];
        const { page, nextToken: next } = pageOf(all, ({ name }) => name, NextToken, MaxResults);
        return {
          Parameters: page.map((parameter) => {
            const { version, modifiedAt, modifiedBy, keyId, description } = latest(parameter);
            return {
              Name: parameter.name,
              ARN: arnOf(parameter.name),
              Type: parameter.type,
              KeyId: keyId,
              LastModifiedDate: new Date(modifiedAt),
              LastModifiedUser: modifiedBy,
              Description: description,
              Version: version,
              Tier: parameter.tier,
              Policies: [],
              DataType: "text",
            };
          }),
          NextToken: next,
        };
      },
    }),
    DeleteParameter: operation({
      input: z.strictObject({ Name: nameInput }),
      authorize: ({ Name }) => [permission("DeleteParameter", resolve(Name).name)],
      run({ Name }) {
        if (!remove(Name)) throw notFound(Name);
        return {};
      },
    }),
    DeleteParameters: operation({
      input: z.strictObject({ Names: z.array(nameInput).min(1).max(10) }),
      authorize: ({ Names }) =>
        Names.map((name) => permission("DeleteParameters", resolve(name).name)),
      run({ Names }) {
        const DeletedParameters: string[] = [];
        const InvalidParameters: string[] = [];
        for (const name of new Set(Names))
          (remove(name) ? DeletedParameters : InvalidParameters).push(name);
        return { DeletedParameters, InvalidParameters };
      },
    }),
  };
  return {
    name: "ssm",
    protocol: jsonProtocol({ version: "1.1", target: "AmazonSSM" }),
    operations,
  };
};

/** Factories of KMS and Parameter Store for one account, the second using the first one's keys. */
export const keysAndParameters = () => {
  let keys: KmsService | undefined;
  return {
    kms: (world: World): KmsService => {
      keys = ownKms(world);
      return keys;
    },
    ssm: (world: World): Service => ssm(world, keys),
  };
};
