// Sequence numbers and other 32-bit counters that wrap (kernel: include/net/tcp.h before, after; RFC 9293, section 3.4).

export const u32 = (value: number): number => value >>> 0;

/** The distance from `b` to `a` as a signed number. */
export function distance(a: number, b: number): number {
  return (a - b) | 0;
}

export function before(a: number, b: number): boolean {
  return distance(a, b) < 0;
}

export function after(a: number, b: number): boolean {
  return distance(a, b) > 0;
}
