// Bob Jenkins' lookup3 (2006, public domain) as the kernel uses it (include/linux/jhash.h): bytes are taken little-endian.

const rotate = (value: number, by: number) => (value << by) | (value >>> (32 - by));

/** Steps of the mixing round and of the final one: which word is xored with which, subtracted or added, and rotations. */
const MIX = [4, 6, 8, 16, 19, 4] as const;
const FINAL = [14, 11, 25, 16, 4, 14, 24] as const;

/** 32-bit hash of bytes. */
export function jhash(bytes: Uint8Array, seed: number): number {
  let a = (0xdeadbeef + bytes.length + seed) | 0;
  let b = a;
  let c = a;
  if (bytes.length === 0) return c >>> 0;
  const word = (at: number) =>
    (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
  let at = 0;
  // The last block, of up to 12 bytes, goes to the final round alone.
  for (; bytes.length - at > 12; at += 12) {
    a = (a + word(at)) | 0;
    b = (b + word(at + 4)) | 0;
    c = (c + word(at + 8)) | 0;
    for (const by of MIX) {
      a = (a - c) ^ rotate(c, by);
      c = (c + b) | 0;
      // The words change places after each step: a, b, c become b, c, a.
      [a, b, c] = [b, c, a];
    }
  }
  a = (a + word(at)) | 0;
  b = (b + word(at + 4)) | 0;
  c = (c + word(at + 8)) | 0;
  for (const by of FINAL) {
    c = ((c ^ b) - rotate(b, by)) | 0;
    // c, a, b become a, b, c: the next word is changed by the one before it.
    [a, b, c] = [b, c, a];
  }
  // The word that the last step changed has moved on once.
  return b >>> 0;
}
