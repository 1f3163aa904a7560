/**
 * A PostgreSQL server of a test's own: version 15 as Debian has it, 16 and 18 from npm. It never runs as root, listens
 * on loopback at a free port, asks for passwords (SCRAM), and logs every statement.
 *
 *   await using server = await postgres({ version: 18 });
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Client } from "pg";

export const VERSIONS = [15, 16, 18] as const;
export type Version = (typeof VERSIONS)[number];

export interface TestServer extends AsyncDisposable {
  readonly host: "127.0.0.1";
  readonly port: number;
  /** The superuser `postgres`. */
  readonly password: string;
  /** PEM of the authority that signed the server's certificate; its host is `localhost`. Only with `tls`. */
  readonly ca?: string;
  /** Everything that the server has logged: each statement, but no parameters of its own making. */
  log(): string;
  /** Statements as the superuser, each result as text. */
  as(login: Partial<TestLogin>, ...statements: string[]): Promise<TestRow[]>;
  /** A session that stays; the caller ends it. */
  session(login: Partial<TestLogin>): Promise<Client>;
  /** At once, as when the machine goes: sessions break. */
  stop(): Promise<void>;
  /** Again, on the same port, with the same data. */
  start(): Promise<void>;
}

interface TestLogin {
  readonly user: string;
  readonly password: string;
  readonly database: string;
}
type TestRow = Readonly<Record<string, string | null>>;

export interface ServerOptions {
  readonly version: Version;
  readonly tls?: boolean;
  /** Further settings: `{ max_connections: "20" }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Where this version's `bin` and `lib` are, or undefined where this machine has none. */
function installed(version: Version): string | undefined {
  const places =
    version === 15
      ? [`/usr/lib/postgresql/${version}`]
      : [
          `packages/targets/node_modules/postgres-${version}/native`,
          `node_modules/postgres-${version}/native`,
        ].map((one) => join(root, one));
  return places.find((one) => existsSync(join(one, "bin/postgres")));
}

/** For `describe.skipIf`: says so once where a server is missing. */
export function missing(version: Version): boolean {
  if (installed(version) !== undefined) return false;
  console.warn(`PostgreSQL ${version} is not installed: its tests are skipped`);
  return true;
}

/** Whom the server runs as: PostgreSQL refuses root. */
const account = () => {
  if (process.getuid?.() !== 0) return {};
  const [, , uid, gid] =
    /^nobody:([^:]*):(\d+):(\d+)/m.exec(readFileSync("/etc/passwd", "utf8")) ?? [];
  return { uid: Number(uid ?? 65_534), gid: Number(gid ?? 65_534) };
};

/** True where other users can go down to it. */
function openToOthers(path: string): boolean {
  for (let at = realpathSync(path); at !== dirname(at); at = dirname(at))
    if ((statSync(at).mode & 0o5) !== 0o5) return false;
  return true;
}

/** The binaries where the server's user can run them; npm does not unpack symbolic links, so they are made here. */
function binaries(version: Version, home: string): string {
  const from = installed(version);
  if (from === undefined) throw new Error(`PostgreSQL ${version} is not installed`);
  const list = join(from, "pg-symlinks.json");
  const links: ReadonlyArray<{ source: string; target: string }> = existsSync(list)
    ? JSON.parse(readFileSync(list, "utf8"))
    : [];
  const whole = links.every(({ target }) => existsSync(join(from, "..", target)));
  if (whole && (account().uid === undefined || openToOthers(join(from, "bin/postgres"))))
    return join(from, "bin");
  const copy = join(home, "native");
  cpSync(from, copy, { recursive: true, dereference: true });
  for (const { source, target } of links) {
    const at = join(home, target);
    if (!existsSync(at)) symlinkSync(join(home, source), at);
  }
  execFileSync("chmod", ["-R", "go+rX", copy]);
  return join(copy, "bin");
}

/** Below those that the system hands out by itself: a server that is away finds its port free when it is back. */
async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = randomInt(10_000, 30_000);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const probe = createServer().once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    if (await promise) return port;
  }
  throw new Error("no port is free on loopback");
}

function certificates(home: string): string {
  const openssl = (...args: string[]) =>
    execFileSync("openssl", args, { cwd: home, stdio: ["ignore", "ignore", "pipe"] });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...key,
    "-keyout",
    "ca.key",
    "-out",
    "ca.crt",
    "-days",
    "30",
    "-subj",
    "/CN=Test authority",
  );
  openssl("req", ...key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost");
  writeFileSync(join(home, "names"), "subjectAltName=DNS:localhost\n");
  openssl(
    "x509",
    "-req",
    "-in",
    "server.csr",
    "-CA",
    "ca.crt",
    "-CAkey",
    "ca.key",
    "-CAcreateserial",
    "-days",
    "30",
    "-extfile",
    "names",
    "-out",
    "server.crt",
  );
  return readFileSync(join(home, "ca.crt"), "utf8");
}

export async function postgres({
  version,
  tls = false,
  settings = {},
}: ServerOptions): Promise<TestServer> {
  // Short, since the path of a socket has 107 bytes at most.
  const home = mkdtempSync(join(existsSync("/tmp") ? "/tmp" : tmpdir(), "pg-"));
  chmodSync(home, 0o755);
  const owner = account();
  const give = (path: string) => {
    if (owner.uid !== undefined) chownSync(path, owner.uid, owner.gid);
  };
  const bin = binaries(version, home);
  const password = randomBytes(12).toString("hex");
  const run = join(home, "run");
  execFileSync("mkdir", [run]);
  give(run);
  writeFileSync(join(run, "password"), password, { mode: 0o600 });
  give(join(run, "password"));
  const data = join(run, "data");
  const env = { PATH: process.env.PATH, LC_ALL: "C.UTF-8", TZ: "UTC" };
  const logFile = join(run, "log");
  execFileSync(
    join(bin, "initdb"),
    [
      "-D",
      data,
      "-U",
      "postgres",
      "-A",
      "scram-sha-256",
      `--pwfile=${join(run, "password")}`,
      "-E",
      "UTF8",
      "--locale=C",
      "--no-sync",
    ],
    { ...owner, env, cwd: run, stdio: ["ignore", "ignore", "pipe"] },
  );
  const port = await freePort();
  const ca = tls ? certificates(home) : undefined;
  if (tls)
    for (const file of ["server.key", "server.crt"]) {
      chmodSync(join(home, file), 0o600);
      give(join(home, file));
    }
  const all: Record<string, string> = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: run,
    fsync: "off",
    synchronous_commit: "off",
    full_page_writes: "off",
    max_prepared_transactions: "10",
    shared_buffers: "16MB",
    log_statement: "all",
    log_connections: "on",
    ...(tls
      ? {
          ssl: "on",
          ssl_cert_file: join(home, "server.crt"),
          ssl_key_file: join(home, "server.key"),
        }
      : {}),
    ...settings,
  };
  let server: ChildProcess | undefined;
  const end = { user: "postgres", password, database: "postgres" };

  const session = async (login: Partial<TestLogin>): Promise<Client> => {
    const client = new Client({
      ...end,
      ...login,
      host: "127.0.0.1",
      port,
      ssl: false,
      types: { getTypeParser: () => (value: string) => value },
    });
    client.on("error", () => undefined); // sessions are killed here on purpose
    try {
      await client.connect();
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    return client;
  };

  const start = async () => {
    writeFileSync(logFile, "", { flag: "a" });
    give(logFile);
    const child = spawn(
      "/bin/sh",
      [
        "-c",
        'exec "$0" "$@" >>"$LOG" 2>&1',
        join(bin, "postgres"),
        "-D",
        data,
        ...Object.entries(all).flatMap(([key, value]) => ["-c", `${key}=${value}`]),
      ],
      { ...owner, env: { ...env, LOG: logFile }, cwd: run, stdio: "ignore" },
    );
    server = child;
    // A test run that is broken off must not leave servers behind.
    const atExit = () => child.kill("SIGQUIT");
    process.once("exit", atExit);
    child.once("exit", () => process.off("exit", atExit));
    for (let look = 0; ; look++) {
      if (child.exitCode !== null)
        throw new Error(`PostgreSQL ${version} did not start:\n${log()}`);
      try {
        await (await session({})).end();
        return;
      } catch (error) {
        if (look === 200) throw error;
        await pause(50);
      }
    }
  };
  const stop = async () => {
    const child = server;
    server = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    child.once("exit", () => resolve());
    child.kill("SIGQUIT");
    await promise;
  };
  const log = () => readFileSync(logFile, "utf8");
  const dispose = async () => {
    await stop();
    rmSync(home, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    host: "127.0.0.1",
    port,
    password,
    ...(ca === undefined ? {} : { ca }),
    log,
    session,
    async as(login, ...statements) {
      const client = await session(login);
      try {
        let rows: TestRow[] = [];
        for (const statement of statements)
          rows = (await client.query<Record<string, string | null>>(statement)).rows;
        return rows;
      } finally {
        await client.end();
      }
    },
    start,
    stop,
    [Symbol.asyncDispose]: dispose,
  };
}
