import { Btf } from '../../src/btf/btf.js';
import { BtfBuilder } from '../../src/btf/builder.js';

/** A blob of raw type records (words after each other) and strings by content; offsets come from `at`. */
export function rawBtf(records: readonly number[][], strings: readonly string[] = []): Uint8Array {
  const text = new TextEncoder().encode(['', ...strings].map((string) => `${string}\0`).join(''));
  const words = Uint32Array.from(records.flat().map((word) => word >>> 0));
  const out = new Uint8Array(24 + words.byteLength + text.length);
  const view = new DataView(out.buffer);
  view.setUint16(0, 0xeb9f, true);
  view.setUint8(2, 1);
  for (const [i, word] of [24, 0, words.byteLength, words.byteLength, text.length].entries()) {
    view.setUint32(4 + i * 4, word, true);
  }
  out.set(new Uint8Array(words.buffer), 24);
  out.set(text, 24 + words.byteLength);
  return out;
}

/** info word of a record. */
export function info(kind: number, vlen = 0, flag = 0): number {
  return ((flag << 31) | (kind << 24) | vlen) >>> 0;
}

/** A few types that refer to each other in every way. */
export function sample(): { btf: Btf; ids: Record<string, number> } {
  const b = new BtfBuilder();
  const int = b.int('int', 4, { signed: true });
  const u8 = b.int('u8', 1);
  const u64 = b.int('u64', 8);
  const char = b.int('char', 1, { char: true });
  const bool = b.int('_Bool', 1, { bool: true });
  const name = b.array(char, 16, int);
  const node = b.struct('node');
  const nodePtr = b.ptr(node);
  const anonymous = b.union('', [
    { name: 'weight', type: u64 },
    { name: 'slots', type: b.array(u8, 4, int) },
  ]);
  const colour = b.enum('colour', { RED: 1, GREEN: 2, NONE: -1 });
  const big = b.enum64('big', { HUGE: 1n << 63n, ONE: 1n });
  const fn = b.ptr(
    b.funcProto(int, [
      { name: 'self', type: nodePtr },
      { name: 'n', type: u64 },
    ]),
  );
  b.members(node, [
    { name: 'next', type: nodePtr },
    { name: 'on', type: bool },
    { name: 'count', type: b.typedef('count_t', b.const(int)) },
    { name: '', type: anonymous },
    { name: 'name', type: name },
    { name: 'colour', type: colour },
    { name: 'big', type: big },
    { name: 'run', type: fn },
  ]);
  const flags = b.struct('flags', [
    { name: 'low', type: int, bitOffset: 0, bitSize: 3 },
    { name: 'high', type: int, bitOffset: 3, bitSize: 7 },
  ]);
  return { btf: b.parse(), ids: { int, u8, u64, char, bool, name, node, nodePtr, anonymous, colour, big, fn, flags } };
}

export { Btf, BtfBuilder };
