// What RFC 9669 says the instructions compute, in BigInt: independent of any engine, short enough to compare with the text.

/** The low n bits of x as an unsigned number. */
export const u = (n: number, x: bigint): bigint => BigInt.asUintN(n, x);

/** The low n bits of x as a signed number: "sign extend" of section 2.3. */
export const s = (n: number, x: bigint): bigint => BigInt.asIntN(n, x);

/** Values at which widths and signs matter, as u64. */
export const EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  7n,
  31n,
  32n,
  33n,
  63n,
  64n,
  65n,
  0x7fn,
  0x80n,
  0x7fffn,
  0x8000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x1_80000000n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0x123456789abcdef0n,
  0xfedcba9876543210n,
  u(64, -0x80000000n),
  u(64, -7n),
  u(64, -2n),
  u(64, -1n),
];

/** The same for the 32-bit immediates of instructions. */
export const IMMEDIATES: readonly bigint[] = [
  0n,
  1n,
  2n,
  7n,
  31n,
  32n,
  63n,
  64n,
  0x12345678n,
  0x7fffffffn,
  -0x80000000n,
  -7n,
  -2n,
  -1n,
];

/** Bytes of a value, little-endian. */
export function bytesOf(value: bigint, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

/** The value of bytes, little-endian, unsigned. */
export function numberOf(bytes: Iterable<number>): bigint {
  return [...bytes].reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
