/**
 * A Lambda execution environment: AWS's runtime client for Node in a process of its own, served by a Runtime API
 * (2018-06-01) as Lambda serves it. One event at a time; a process that dies or takes too long is replaced.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const CLIENT = join(HERE, "runtime/node_modules/aws-lambda-ric/index.mjs");

export interface EnvironmentOptions {
  readonly name: string;
  /** With the bundle: `index.cjs`. */
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** The account's time, told with each event. */
  readonly now: () => number;
}

/** How an invocation failed, as Lambda tells it. */
class FunctionError extends Error {
  readonly type: string;
  constructor(type: string, message: string) {
    super(message);
    this.name = "FunctionError";
    this.type = type;
  }
}

interface Invocation {
  readonly id: string;
  readonly body: string;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: FunctionError) => void;
}

export interface Environment {
  /** Rejects with FunctionError. Events that come while one is at work wait for it. */
  invoke(event: unknown): Promise<unknown>;
  /** Replaces the process, and with it whatever it has in memory. */
  restart(env?: Readonly<Record<string, string>>): void;
  /** What it has written so far. */
  log(): string;
  readonly starts: number;
  stop(): Promise<void>;
}

const read = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
};

export async function startEnvironment(options: EnvironmentOptions): Promise<Environment> {
  const { name, directory, timeoutMs, now } = options;
  const waiting: Invocation[] = [];
  let { env } = options;
  let current: { invocation: Invocation; timer: NodeJS.Timeout } | undefined;
  let idle: ServerResponse | undefined;
  let child: ChildProcess | undefined;
  let written = "";
  let starts = 0;
  let initError: FunctionError | undefined;
  let address = "";

  const finish = (settle: (invocation: Invocation) => void) => {
    if (current === undefined) return;
    clearTimeout(current.timer);
    const { invocation } = current;
    current = undefined;
    settle(invocation);
    pump();
  };

  const start = () => {
    starts += 1;
    idle = undefined;
    initError = undefined;
    const started = spawn(
      process.execPath,
      ["--require", join(HERE, "preload.cjs"), CLIENT, "index.handler"],
      {
        cwd: directory,
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          AWS_LAMBDA_RUNTIME_API: address,
          AWS_LAMBDA_FUNCTION_NAME: name,
          AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
          AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "512",
          AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${name}`,
          AWS_LAMBDA_LOG_STREAM_NAME: "local",
          AWS_EXECUTION_ENV: "AWS_Lambda_nodejs24.x",
          LAMBDA_TASK_ROOT: directory,
          _HANDLER: "index.handler",
          ...env,
        },
      },
    );
    child = started;
    const keep = (chunk: Buffer) => {
      written += chunk.toString();
    };
    started.stdout.on("data", keep);
    started.stderr.on("data", keep);
    started.on("exit", (code, signal) => {
      // One that was replaced says nothing any more.
      if (child !== started) return;
      child = undefined;
      const error =
        initError ??
        new FunctionError("Runtime.ExitError", `Runtime exited with ${signal ?? `status ${code}`}`);
      finish(({ reject }) => reject(error));
    });
  };

  const kill = () => {
    const old = child;
    child = undefined;
    idle = undefined;
    old?.kill("SIGKILL");
  };

  const pump = () => {
    const [next] = waiting;
    if (next === undefined || current !== undefined) return;
    waiting.shift();
    const timer = setTimeout(() => {
      kill();
      const seconds = (timeoutMs / 1000).toFixed(2);
      finish(({ id, reject }) =>
        reject(
          new FunctionError("Sandbox.Timedout", `${id} Task timed out after ${seconds} seconds`),
        ),
      );
    }, timeoutMs);
    current = { invocation: next, timer };
    if (child === undefined) start();
    else if (idle !== undefined) give(idle);
  };

  const give = (response: ServerResponse) => {
    if (current === undefined) {
      idle = response;
      return;
    }
    idle = undefined;
    const { id, body } = current.invocation;
    response.writeHead(200, {
      "content-type": "application/json",
      "lambda-runtime-aws-request-id": id,
      "lambda-runtime-deadline-ms": String(now() + timeoutMs),
      "lambda-runtime-invoked-function-arn": `arn:aws:lambda:us-east-1:000000000000:function:${name}`,
      "lambda-runtime-trace-id": "Root=1-0-0;Sampled=0",
      "stint-clock": String(now()),
    });
    response.end(body);
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? "").replace("/2018-06-01/runtime", "");
    if (path === "/invocation/next") return give(response);
    const body = await read(request);
    const accepted = () => {
      response.writeHead(202);
      response.end('{"status":"OK"}');
    };
    const type = request.headers["lambda-runtime-function-error-type"]?.toString() ?? "Error";
    const failure = () => {
      const told: { errorType?: string; errorMessage?: string } = JSON.parse(body || "{}");
      return new FunctionError(told.errorType ?? type, told.errorMessage ?? body);
    };
    if (path === "/init/error") {
      initError = failure();
      return accepted();
    }
    const [, id, kind] = /^\/invocation\/([^/]+)\/(response|error)$/.exec(path) ?? [];
    if (kind === undefined) {
      response.writeHead(404);
      response.end();
      return;
    }
    accepted();
    // The answer of one that was given up comes too late.
    if (current?.invocation.id !== id) return;
    finish((invocation) =>
      kind === "response"
        ? invocation.resolve(JSON.parse(body || "null"))
        : invocation.reject(failure()),
    );
  };

  const server: Server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("the Runtime API has no port");
  address = `127.0.0.1:${bound.port}`;

  return {
    invoke: (event) =>
      new Promise((resolve, reject) => {
        waiting.push({ id: randomUUID(), body: JSON.stringify(event ?? null), resolve, reject });
        pump();
      }),
    restart(fresh) {
      env = fresh ?? env;
      kill();
    },
    log: () => written,
    get starts() {
      return starts;
    },
    async stop() {
      kill();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
