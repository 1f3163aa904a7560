import type { CredentialsView, GrantView } from "@stint/broker/view";
import type { Credentials, GrantView as WireGrant } from "@stint/client/types";
import { expectTypeOf, test } from "vitest";

// Held by `npm run types`: the client's types are written by hand, and must take whatever the API sends.
test("what the API sends is what the client's types say", () => {
  expectTypeOf<GrantView>().toExtend<WireGrant>();
  expectTypeOf<CredentialsView>().toExtend<Credentials>();
  expectTypeOf<GrantView["state"]>().toEqualTypeOf<WireGrant["state"]>();
  expectTypeOf<NonNullable<GrantView["why"]>>().toEqualTypeOf<NonNullable<WireGrant["why"]>>();
});
