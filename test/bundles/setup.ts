import { afterAll } from "vitest";
import { stopAll } from "./functions.ts";

afterAll(stopAll);
