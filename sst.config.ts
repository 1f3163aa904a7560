/// <reference path="./.sst/platform/config.d.ts" />

export default $config({
  app: ({ stage }) => ({
    name: "stint",
    home: "aws",
    // What a production stage holds is evidence: it outlives a mistaken `sst remove`.
    removal: stage === "production" ? "retain" : "remove",
    protect: stage === "production",
    providers: { aws: { version: "7.20.0" } },
  }),
  run: async () => {
    const { deploy } = await import("./stacks/deploy.ts");
    return deploy();
  },
});
