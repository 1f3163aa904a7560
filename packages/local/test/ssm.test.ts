import {
  CreateAliasCommand,
  CreateKeyCommand,
  DisableKeyCommand,
  KMSClient,
} from "@aws-sdk/client-kms";
import {
  DeleteParameterCommand,
  DeleteParametersCommand,
  DescribeParametersCommand,
  GetParameterCommand,
  GetParametersByPathCommand,
  type GetParametersByPathCommandOutput,
  GetParametersCommand,
  PutParameterCommand,
  type PutParameterCommandInput,
  SSMClient,
} from "@aws-sdk/client-ssm";
import { expect, test } from "vitest";
import { keysAndParameters } from "../src/services/ssm.ts";
import { account, allow, failure, start } from "./account.ts";

const local = () => {
  const { aws, administrator, role } = account(keysAndParameters());
  const ssm = new SSMClient(administrator);
  const kms = new KMSClient(administrator);
  const put = (Name: string, Value: string, more: Partial<PutParameterCommandInput> = {}) =>
    ssm.send(new PutParameterCommand({ Name, Value, Type: "String", ...more }));
  const get = async (Name: string, WithDecryption?: boolean) => {
    const input = { Name, ...(WithDecryption === undefined ? {} : { WithDecryption }) };
    return (await ssm.send(new GetParameterCommand(input))).Parameter;
  };
  const as = async (name: string, statements: readonly object[]) =>
    new SSMClient(await role(name, statements));
  return { aws, ssm, kms, put, get, as };
};

const arn = (path: string) => `arn:aws:ssm:us-east-1:000000000000:parameter/${path}`;

test("a parameter comes back as it was put, with every version of it", async () => {
  const { aws, put, get } = local();
  expect(await put("/app/one", "1")).toMatchObject({ Version: 1, Tier: "Standard" });
  await aws.advance(60_000);
  expect(await put("/app/one", "zwei ünï 🎉\n", { Overwrite: true })).toMatchObject({ Version: 2 });
  expect(await get("/app/one")).toEqual({
    Name: "/app/one",
    Type: "String",
    Value: "zwei ünï 🎉\n",
    Version: 2,
    LastModifiedDate: new Date(start + 60_000),
    ARN: arn("app/one"),
    DataType: "text",
  });
  expect(await get("/app/one:1")).toMatchObject({ Value: "1", Version: 1, Selector: ":1" });
  expect(await get(arn("app/one"))).toMatchObject({ Version: 2 });
  expect(await get(`${arn("app/one")}:1`)).toMatchObject({ Version: 1 });
  expect(await failure(get("/app/one:3"))).toBe("ParameterVersionNotFound 400");
  expect(await failure(get("/app/one:label"))).toBe("ParameterVersionNotFound 400");
  expect(await failure(get("/app/two"))).toBe("ParameterNotFound 400");
});

test("a parameter is overwritten only by who says so, and keeps its type", async () => {
  const { ssm, put, get } = local();
  await put("a", "1,2", { Type: "StringList" });
  expect(await failure(put("a", "2"))).toBe("ParameterAlreadyExists 400");
  expect(await failure(put("a", "2", { Overwrite: true, Type: "SecureString" }))).toBe(
    "HierarchyTypeMismatchException 400",
  );
  await ssm.send(new PutParameterCommand({ Name: "a", Value: "3", Overwrite: true }));
  expect(await get("a")).toMatchObject({ Value: "3", Type: "StringList", Version: 2 });
  expect(await failure(ssm.send(new PutParameterCommand({ Name: "b", Value: "3" })))).toBe(
    "ValidationException 400",
  );
});

test("the last hundred versions are kept", async () => {
  const { put, get } = local();
  for (let version = 1; version <= 101; version += 1)
    await put("a", String(version), { Overwrite: true });
  expect(await failure(get("a:1"))).toBe("ParameterVersionNotFound 400");
  expect(await get("a:2")).toMatchObject({ Value: "2" });
});

test("names follow the rules of hierarchies", async () => {
  const { put } = local();
  for (const good of ["a", "a.b-c_D9", "/a", `/${Array.from({ length: 15 }, () => "a").join("/")}`])
    expect(await failure(put(good, "1"))).toBe("no error");
  for (const bad of [
    "a/b",
    "/a/",
    "/a//b",
    "a b",
    "ü",
    "a:1",
    "ssm-x",
    "/SSM/x",
    "$",
    "n".repeat(1012),
  ])
    expect(await failure(put(bad, "1"))).toBe("ValidationException 400");
  expect(await failure(put("/aws/x", "1"))).toBe("AccessDeniedException 400");
  const deep = `/${Array.from({ length: 16 }, () => "a").join("/")}`;
  expect(await failure(put(deep, "1"))).toBe("HierarchyLevelLimitExceededException 400");
});

test("tiers bound the size of a value", async () => {
  const { put } = local();
  expect(await failure(put("a", "x".repeat(4096)))).toBe("no error");
  expect(await failure(put("b", "x".repeat(4097)))).toBe("ValidationException 400");
  expect(await failure(put("b", ""))).toBe("ValidationException 400");
  expect(await put("b", "x".repeat(8192), { Tier: "Advanced" })).toMatchObject({
    Tier: "Advanced",
  });
  expect(await failure(put("c", "x".repeat(8193), { Tier: "Advanced" }))).toBe(
    "ValidationException 400",
  );
  expect(await put("d", "x".repeat(4097), { Tier: "Intelligent-Tiering" })).toMatchObject({
    Tier: "Advanced",
  });
  expect(await put("e", "x", { Tier: "Intelligent-Tiering" })).toMatchObject({ Tier: "Standard" });
  expect(await failure(put("b", "x", { Tier: "Standard", Overwrite: true }))).toBe(
    "ValidationException 400",
  );
});

test("a SecureString is in the clear only for who asks, and its ciphertext belongs to its name", async () => {
  const { aws, kms, put, get } = local();
  await put("/s/one", "secret", { Type: "SecureString" });
  const sealed = await get("/s/one");
  expect(sealed?.Value).not.toContain("secret");
  expect(Buffer.from(sealed?.Value ?? "", "base64").includes("secret")).toBe(false);
  expect(await get("/s/one", true)).toMatchObject({ Value: "secret", Type: "SecureString" });
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
  await kms.send(
    new CreateAliasCommand({ AliasName: "alias/app", TargetKeyId: KeyMetadata?.KeyId }),
  );
  await put("/s/two", "other", { Type: "SecureString", KeyId: "alias/app" });
  expect(await get("/s/two", true)).toMatchObject({ Value: "other" });
  await kms.send(new DisableKeyCommand({ KeyId: KeyMetadata?.KeyId }));
  expect(await failure(get("/s/two", true))).toBe("DisabledException 400");
  expect(await failure(get("/s/two"))).toBe("no error");
  expect(await failure(put("/s/three", "x", { KeyId: "alias/app" }))).toBe(
    "ValidationException 400",
  );
  expect(aws.errors).toEqual([]);
});

test("several are read at once, and those that are not there are named", async () => {
  const { ssm, put } = local();
  await put("a", "1");
  await put("/b", "2", { Type: "SecureString" });
  const answer = await ssm.send(
    new GetParametersCommand({ Names: ["a", "/b", "none", "a:9"], WithDecryption: true }),
  );
  expect(answer.Parameters?.map(({ Name, Value }) => [Name, Value])).toEqual([
    ["a", "1"],
    ["/b", "2"],
  ]);
  expect(answer.InvalidParameters).toEqual(["none", "a:9"]);
  const many = Array.from({ length: 11 }, (_, index) => String(index));
  expect(await failure(ssm.send(new GetParametersCommand({ Names: many })))).toBe(
    "ValidationException 400",
  );
});

test("a path lists what is right below it, or all below it, page by page", async () => {
  const { ssm, put } = local();
  const names = Array.from({ length: 25 }, (_, index) => `/app/x${String(index).padStart(2, "0")}`);
  for (const name of [...names, "/app/deep/one", "/application/a", "bare"]) await put(name, "1");
  const walk = async (Path: string, Recursive: boolean) => {
    const found: string[] = [];
    let NextToken: string | undefined;
    do {
      const page: GetParametersByPathCommandOutput = await ssm.send(
        new GetParametersByPathCommand({ Path, Recursive, ...(NextToken && { NextToken }) }),
      );
      found.push(...(page.Parameters ?? []).map(({ Name = "" }) => Name));
      NextToken = page.NextToken;
    } while (NextToken !== undefined);
    return found;
  };
  expect(await walk("/app", false)).toEqual(names);
  expect(await walk("/app/", true)).toEqual(["/app/deep/one", ...names]);
  expect(await walk("/", false)).toEqual(["bare"]);
  expect(await walk("/none", true)).toEqual([]);
  expect(await failure(walk("app", true))).toBe("ValidationException 400");
  expect(
    await failure(ssm.send(new GetParametersByPathCommand({ Path: "/app", MaxResults: 11 }))),
  ).toBe("ValidationException 400");
  expect(
    await failure(ssm.send(new GetParametersByPathCommand({ Path: "/app", NextToken: "?" }))),
  ).toBe("ValidationException 400");
});

test("parameters are described without their values", async () => {
  const { ssm, put } = local();
  await put("a", "secret", { Type: "SecureString", Description: "why" });
  const { Parameters } = await ssm.send(new DescribeParametersCommand({}));
  expect(Parameters).toMatchObject([
    { Name: "a", Description: "why", KeyId: "alias/aws/ssm", Version: 1 },
  ]);
  expect(JSON.stringify(Parameters)).not.toContain("Value");
});

test("what is deleted is gone with all its versions", async () => {
  const { ssm, put, get } = local();
  for (const name of ["a", "b", "c"]) await put(name, "1");
  await ssm.send(new DeleteParameterCommand({ Name: "a" }));
  expect(await failure(get("a"))).toBe("ParameterNotFound 400");
  expect(await failure(ssm.send(new DeleteParameterCommand({ Name: "a" })))).toBe(
    "ParameterNotFound 400",
  );
  expect(await failure(ssm.send(new DeleteParameterCommand({ Name: "b:1" })))).toBe(
    "ParameterNotFound 400",
  );
  const answer = await ssm.send(new DeleteParametersCommand({ Names: ["b", "none"] }));
  expect(answer).toMatchObject({ DeletedParameters: ["b"], InvalidParameters: ["none"] });
  expect(await put("a", "2")).toMatchObject({ Version: 1 });
});

test("parameters that are not known are refused", async () => {
  const { put } = local();
  expect(await failure(put("a", "1", { AllowedPattern: ".*" }))).toBe("ValidationException 400");
  expect(await failure(put("a", "1", { Tags: [{ Key: "a", Value: "b" }] }))).toBe(
    "ValidationException 400",
  );
  expect(await failure(put("a", "1", { DataType: "aws:ec2:image" }))).toBe(
    "ValidationException 400",
  );
});

test("permissions go by the parameter's ARN", async () => {
  const { put, as } = local();
  for (const name of ["/app/one", "/other/one", "bare"]) await put(name, "1");
  const app = await as("app", [
    allow(["ssm:GetParameter", "ssm:GetParameters"], [arn("app/*"), arn("bare")]),
    allow("ssm:GetParametersByPath", arn("app")),
  ]);
  const get = (Name: string) => failure(app.send(new GetParameterCommand({ Name })));
  expect(await get("/app/one")).toBe("no error");
  expect(await get("/app/one:1")).toBe("no error");
  expect(await get("bare")).toBe("no error");
  expect(await get("/other/one")).toBe("AccessDeniedException 400");
  expect(await get("/other/none")).toBe("AccessDeniedException 400");
  const many = (Names: string[]) => failure(app.send(new GetParametersCommand({ Names })));
  expect(await many(["/app/one", "bare"])).toBe("no error");
  expect(await many(["/app/one", "/other/one"])).toBe("AccessDeniedException 400");
  const path = (Path: string) => failure(app.send(new GetParametersByPathCommand({ Path })));
  expect(await path("/app")).toBe("no error");
  expect(await path("/")).toBe("AccessDeniedException 400");
  expect(
    await failure(
      app.send(new PutParameterCommand({ Name: "/app/x", Value: "1", Type: "String" })),
    ),
  ).toBe("AccessDeniedException 400");
  expect(await failure(app.send(new DeleteParameterCommand({ Name: "/app/one" })))).toBe(
    "AccessDeniedException 400",
  );
});

test("clear text under a key of one's own needs that key too, under the default key nothing more", async () => {
  const { kms, put, as } = local();
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
  await put("/s/own", "1", { Type: "SecureString", KeyId: KeyMetadata?.KeyId });
  await put("/s/default", "2", { Type: "SecureString" });
  const read = allow("ssm:GetParameter", arn("s/*"));
  const key = (Condition: object) => allow("kms:Decrypt", KeyMetadata?.Arn ?? "", Condition);
  const without = await as("without", [read]);
  const withKey = await as("with", [
    read,
    key({
      StringEquals: {
        "kms:ViaService": "ssm.us-east-1.amazonaws.com",
        "kms:EncryptionContext:PARAMETER_ARN": arn("s/own"),
      },
    }),
  ]);
  const elsewhere = await as("elsewhere", [
    read,
    key({ StringEquals: { "kms:EncryptionContext:PARAMETER_ARN": arn("s/other") } }),
  ]);
  const clear = (client: SSMClient, Name: string) =>
    failure(client.send(new GetParameterCommand({ Name, WithDecryption: true })));
  expect(await clear(without, "/s/own")).toBe("AccessDeniedException 400");
  expect(await clear(elsewhere, "/s/own")).toBe("AccessDeniedException 400");
  expect(await clear(withKey, "/s/own")).toBe("no error");
  expect(await clear(without, "/s/default")).toBe("no error");
  expect(await failure(without.send(new GetParameterCommand({ Name: "/s/own" })))).toBe("no error");
});
