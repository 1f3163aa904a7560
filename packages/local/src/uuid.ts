import type { World } from "./service.ts";

/** A version 4 UUID from the world's randomness, so that a run under the same seed gives the same ids. */
export function uuid(world: Pick<World, "hex">): string {
  const hex = world.hex(16);
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}
