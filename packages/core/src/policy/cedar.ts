/**
 * Cedar's engine: four megabytes of WebAssembly, compiled when it is first needed. A function's start does not wait for
 * it; `warmCedar` has it compiled on another thread meanwhile.
 */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import * as engine from "@cedar-policy/cedar-wasm/web";
import { once } from "../once.ts";

export type * from "@cedar-policy/cedar-wasm/web";

/**
 * In a bundle, which is CommonJS and has no `import.meta`, it lies beside the code; else where npm put it. The package's
 * two variants have the same engine, and this one's place can be asked for.
 */
function file(): string {
  const { url } = import.meta as { readonly url?: string };
  const directory =
    url === undefined
      ? __dirname
      : dirname(createRequire(url).resolve("@cedar-policy/cedar-wasm/nodejs"));
  return join(directory, "cedar_wasm_bg.wasm");
}

let compiled: WebAssembly.Module | undefined;

const compile = once(async () => {
  compiled = await WebAssembly.compile(await readFile(file()));
});

/** Begins to compile. Nobody waits for it, and what goes wrong comes up where the engine is used. */
export const warmCedar = (): void => {
  compile().catch(() => {});
};

const start = once(() => {
  engine.initSync({ module: compiled ?? new WebAssembly.Module(readFileSync(file())) });
  return engine;
});

/** The engine, ready. @throws Error where its file is missing or broken, each time that it is asked for */
export const cedar = (): typeof engine => start();
