/**
 * Flags of 64 bits as a Number: up to bit 52 exact. The kernel's internal ones (56 to 63) never leave this code and go as
 * booleans; BigInt would cost an allocation an operation in paths that run a million times a second.
 */
export const TWO_32 = 0x1_0000_0000;

export function hasFlag(flags: number, flag: number): boolean {
  if (flag < TWO_32) return (flags & flag) !== 0;
  if (flags < TWO_32) return false;
  return (Math.floor(flags / TWO_32) & Math.floor(flag / TWO_32)) !== 0;
}

export function orFlags(a: number, b: number): number {
  if (a < TWO_32 && b < TWO_32) return (a | b) >>> 0;
  const high = (Math.floor(a / TWO_32) | Math.floor(b / TWO_32)) >>> 0;
  return high * TWO_32 + ((a | b) >>> 0);
}

export function withoutFlags(flags: number, gone: number): number {
  const high = (Math.floor(flags / TWO_32) & ~Math.floor(gone / TWO_32)) >>> 0;
  return high * TWO_32 + ((flags & ~gone) >>> 0);
}

/** a before b, where both wrap around at 2^64 (time_before64). High and low halves, unsigned or not. */
export function before64(aHi: number, aLo: number, bHi: number, bLo: number): boolean {
  const borrow = aLo >>> 0 < bLo >>> 0 ? 1 : 0;
  return ((aHi - bHi - borrow) | 0) < 0;
}

/** a before b, where both wrap around at 2^32 (u32_before). */
export function before32(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** `0x%llx` of a u64 in halves. */
export function hex64(hi: number, lo: number, width = 0): string {
  const value = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
  return `0x${value.toString(16).padStart(width, '0')}`;
}
