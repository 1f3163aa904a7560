import { describe, expect, test } from "vitest";
import { github } from "../src/github.ts";
import { trustedIssuers } from "../src/issuers.ts";
import { pipelineClaims, pipelines } from "../src/registry.ts";

const PUBLIC = "https://token.actions.githubusercontent.com";

test("a pipeline's public issuer is trusted without an entry", () => {
  expect(trustedIssuers([])).toMatchObject([{ kind: "pipeline", url: PUBLIC, pipeline: github }]);
});

test("an entry for a public issuer adds its webhook's secret", () => {
  expect(
    trustedIssuers([{ url: PUBLIC, pipeline: "github", webhookSecret: "/stint/hook" }]),
  ).toEqual([{ kind: "pipeline", url: PUBLIC, pipeline: github, webhookSecret: "/stint/hook" }]);
});

test("servers of one's own, logins and loopback stand beside the public issuers", () => {
  const urls = [
    { url: "https://ghe.acme.example/_services/token", pipeline: "github" },
    { url: "http://127.0.0.1:4012/github", pipeline: "github" },
    { url: "http://[::1]:4012/acme", login: "acme" },
    { url: "https://acme.auth0.example/", login: "auth0" },
  ];
  expect(trustedIssuers(urls).map(({ kind, url }) => [kind, url])).toEqual([
    ["pipeline", "https://ghe.acme.example/_services/token"],
    ["pipeline", "http://127.0.0.1:4012/github"],
    ["login", "http://[::1]:4012/acme"],
    ["login", "https://acme.auth0.example/"],
    ["pipeline", PUBLIC],
  ]);
});

test.each([
  ["http beyond loopback", { url: "http://login.acme.example", login: "acme" }, /must be https/],
  [
    "http to a name like loopback",
    { url: "http://127.0.0.1.evil.example", login: "acme" },
    /https/,
  ],
  ["another scheme", { url: "file:///etc", login: "acme" }, /must be https/],
  ["no URL", { url: "login.acme.example", login: "acme" }, /not a URL/],
  ["a user", { url: "https://me@login.acme.example", login: "acme" }, /no user/],
  ["a query", { url: "https://login.acme.example/?a", login: "acme" }, /no user/],
  ["an empty query", { url: "https://login.acme.example/?", login: "acme" }, /no user/],
  ["a fragment", { url: "https://login.acme.example/#", login: "acme" }, /no user/],
  ["capitals", { url: "https://Login.Acme.example", login: "acme" }, /write it as/],
  ["its default port", { url: "https://login.acme.example:443", login: "acme" }, /write it as/],
  ["dots to climb", { url: "https://login.acme.example/a/../b", login: "acme" }, /write it as/],
  ["an unknown pipeline", { url: "https://ci.example", pipeline: "jenkins" }, /unknown/],
  [
    "a pipeline named like a prototype's",
    { url: "https://ci.example", pipeline: "toString" },
    /unknown/,
  ],
  ["neither kind", { url: "https://ci.example" }, /either/],
  ["both kinds", { url: "https://ci.example", pipeline: "github", login: "acme" }, /either/],
  ["a login with a colon", { url: "https://ci.example", login: "a:b" }, /not a-z/],
  [
    "a login named like a pipeline",
    { url: "https://ci.example", login: "github" },
    /name of a pipe/,
  ],
  [
    "a login with a webhook",
    { url: "https://ci.example", login: "a", webhookSecret: "s" },
    /no webhook/,
  ],
  ["a public issuer as a login", { url: PUBLIC, login: "acme" }, /public issuer of github/],
])("an issuer with %s is a fault of the configuration", (_, issuer, message) => {
  expect(() => trustedIssuers([issuer])).toThrow(message);
});

test("an issuer stands in the list once, and a login has one issuer", () => {
  const one = { url: "https://login.acme.example", login: "acme" };
  expect(() => trustedIssuers([one, one])).toThrow(/listed twice/);
  expect(() => trustedIssuers([one, { ...one, url: "https://b.example" }])).toThrow(/is taken/);
});

test("each pipeline stands under its own name, and rules cannot match on what names a human", () => {
  expect(Object.keys(pipelineClaims())).toEqual(Object.keys(pipelines));
  for (const [name, pipeline] of Object.entries(pipelines)) {
    expect(pipeline.name).toBe(name);
    const { claims, ids, untrustedEvents } = pipelineClaims()[name] ?? { claims: [], ids: [] };
    for (const personal of pipeline.personalClaims) expect(claims).not.toContain(personal);
    for (const id of ids) expect(claims).toContain(id);
    expect(claims).not.toContain("issuer");
    expect(claims).not.toContain("pipeline");
    expect(claims).not.toContain("sub");
    if (untrustedEvents) expect(claims).toContain(untrustedEvents.claim);
  }
});

describe("webhook secrets", () => {
  const ghes = "https://ghes.acme.dev/_services/token";
  const secretOf = (list: Parameters<typeof trustedIssuers>[0], url: string) => {
    const found = trustedIssuers(list).find((issuer) => issuer.url === url);
    return found?.kind === "pipeline" ? found.webhookSecret : undefined;
  };

  test("a public issuer's has a parameter of its own, unless the configuration names another", () => {
    const [url = ""] = github.publicIssuers;
    expect(secretOf([], url)).toBe("/stint/webhooks/github");
    expect(secretOf([{ url, pipeline: "github", webhookSecret: "/mine" }], url)).toBe("/mine");
  });

  test("a further issuer that names none has none, and cannot end what is the public one's", () => {
    expect(secretOf([{ url: ghes, pipeline: "github" }], ghes)).toBeUndefined();
  });

  test("no two issuers share one, since it says which of them signed", () => {
    expect(() =>
      trustedIssuers([{ url: ghes, pipeline: "github", webhookSecret: "/stint/webhooks/github" }]),
    ).toThrow(/two issuers/);
  });
});
