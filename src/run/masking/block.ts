/** Bytes that are looked at together. */
export const BLOCK = 3

const HASH_BITS = 15
/** As many hashes as there are. */
export const HASHES = 1 << HASH_BITS

/** A hash of the block that ends at `last` (multiplicative, by the golden ratio). */
export function hashAt(text: Uint8Array, last: number): number {
  const block =
    (text[last] as number) | ((text[last - 1] as number) << 8) | ((text[last - 2] as number) << 16)
  return Math.imul(block, 0x9e3779b1) >>> (32 - HASH_BITS)
}
