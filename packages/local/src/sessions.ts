/** Role sessions by access key id, and the account's administrator: who may sign at all. */
import { timingSafeEqual } from "node:crypto";
import type { Caller, RoleSession, World } from "./service.ts";

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface SessionCredentials extends Credentials {
  readonly sessionToken: string;
  readonly expiration: Date;
}

/** A key that signs, and whom it stands for. */
export interface Identity {
  readonly secret: string;
  readonly sessionToken?: string;
  readonly caller: Caller;
}

/**
 * The administrator's key: the account's root, which needs no policy. Unlike AWS's root it may assume roles that trust
 * the account, so that one key is enough to set an account up and try it.
 */
export const administrator: Credentials = { accessKeyId: "local", secretAccessKey: "local" };

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
// Long enough that an expired key is still told apart from one that never was.
const REMEMBERED_MS = 24 * 3600_000;

/** `length` letters of AWS's id alphabet. */
export const awsId = (prefix: string, length: number, random: () => number): string => {
  let id = prefix;
  while (id.length < length) id += BASE32.charAt(Math.floor(random() * 32));
  return id;
};

/** Compares secrets in constant time. */
export const sameSecret = (a: string, b: string): boolean => {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
};

export interface Sessions {
  /** Makes a session's keys. */
  mint(session: RoleSession): SessionCredentials & { readonly caller: Caller };
  find(accessKeyId: string): Identity | undefined;
}

export const createSessions = (world: World): Sessions => {
  const root: Identity = {
    secret: administrator.secretAccessKey,
    caller: {
      arn: `arn:aws:iam::${world.account}:root`,
      account: world.account,
      userId: world.account,
      accessKeyId: administrator.accessKeyId,
    },
  };
  const identities = new Map<string, Identity>([[administrator.accessKeyId, root]]);
  let forgetAt = 0;
  const forget = (now: number) => {
    if (now < forgetAt) return;
    forgetAt = now + 3600_000;
    for (const [id, { caller }] of identities)
      if (caller.session && caller.session.expiresAt + REMEMBERED_MS < now) identities.delete(id);
  };
  return {
    mint(session) {
      forget(world.clock.now());
      const accessKeyId = awsId("ASIA", 20, world.random);
      const secretAccessKey = Buffer.from(world.hex(30), "hex").toString("base64");
      const sessionToken = `IQoJ${Buffer.from(world.hex(240), "hex").toString("base64")}`;
      const account = session.roleArn.split(":")[4] ?? world.account;
      // The ARN of a session leaves out the role's path.
      const roleName = session.roleArn.split("/").at(-1) ?? "";
      const caller: Caller = {
        arn: `arn:aws:sts::${account}:assumed-role/${roleName}/${session.sessionName}`,
        account,
        userId: `${session.roleId}:${session.sessionName}`,
        accessKeyId,
        session,
      };
      identities.set(accessKeyId, { secret: secretAccessKey, sessionToken, caller });
      return {
        accessKeyId,
        secretAccessKey,
        sessionToken,
        expiration: new Date(session.expiresAt),
        caller,
      };
    },
    find: (accessKeyId) => identities.get(accessKeyId),
  };
};
