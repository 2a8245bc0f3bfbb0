import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BtfBuilder } from '../../src/btf/builder.js';
import { InputError } from '../../src/errors.js';
import { type BtfInput, decodeValue, describeType, encodeValue, locate } from '../../src/loader/value.js';
import { side } from '../btf/core_types.js';

const { btf, root } = side((t) => {
  const colour = t.enum('colour', { RED: 0, GREEN: 7, BLUE: -1 });
  const point = t.struct('point', [
    { name: 'x', type: t.s32 },
    { name: 'y', type: t.s32 },
  ]);
  const bits = t.struct(
    'bits',
    [
      { name: 'low', type: t.u32, bitOffset: 0, bitSize: 3 },
      { name: 'across', type: t.u32, bitOffset: 3, bitSize: 30 },
      { name: 'negative', type: t.s32, bitOffset: 33, bitSize: 4 },
      { name: 'colour', type: colour, bitOffset: 40, bitSize: 5 },
    ],
    8,
  );
  const word = t.union('', [
    { name: 'word', type: t.u32 },
    { name: 'byte', type: t.u8 },
  ]);
  return t.struct('all', [
    { name: 'u8', type: t.u8 },
    { name: 's32', type: t.typedef('s32', t.const(t.s32)) },
    { name: 'u32', type: t.u32 },
    { name: 'u64', type: t.volatile(t.u64) },
    { name: 's64', type: t.s64 },
    { name: 'u128', type: t.int('unsigned __int128', 16) },
    { name: 'on', type: t.int('_Bool', 1, { bool: true }) },
    { name: 'colour', type: colour },
    { name: 'wide', type: t.enum64('wide', { BIG: 1n << 40n }) },
    { name: 'pointer', type: t.voidPtr },
    { name: 'f32', type: t.float('float', 4) },
    { name: 'f64', type: t.float('double', 8) },
    { name: 'name', type: t.array(t.char, 8, t.u32) },
    { name: 'bytes', type: t.array(t.u8, 4, t.u32) },
    { name: 'grid', type: t.array(t.array(t.s32, 3, t.u32), 2, t.u32) },
    { name: 'points', type: t.array(point, 2, t.u32) },
    { name: 'bits', type: bits },
    { name: '', type: word },
    { name: 'empty', type: t.struct('empty') },
  ]);
});
const size = btf.sizeOf(root);

/** Stores `value` at a path of a zeroed struct and reads it back. */
function roundTrip(path: string, value: BtfInput) {
  const bytes = new Uint8Array(size);
  const place = locate(btf, root, path);
  encodeValue(btf, place, value, bytes);
  return { bytes, value: decodeValue(btf, place, bytes) };
}

describe('storing and reading', () => {
  it.each<[string, BtfInput, unknown]>([
    ['.u8', 255, 255],
    ['.s32', -5, -5],
    ['.s32', '-5', -5],
    ['.u32', 0xffff_ffff, 0xffff_ffff],
    ['.u32', '0xfF', 255],
    ['.u64', 20_000_000, 20_000_000n],
    ['.u64', 2n ** 64n - 1n, 2n ** 64n - 1n],
    ['.u64', '18446744073709551615', 2n ** 64n - 1n],
    ['.s64', -(2n ** 63n), -(2n ** 63n)],
    ['.u128', 2n ** 100n, 2n ** 100n],
    ['.on', true, true],
    ['.on', 'false', false],
    ['.on', 1, true],
    ['.colour', 'GREEN', 7],
    ['.colour', 'BLUE', -1],
    ['.colour', 99, 99],
    ['.wide', 'BIG', 1n << 40n],
    ['.pointer', '0x123456789abcdef0', 0x1234_5678_9abc_def0n],
    ['.f32', 0.5, 0.5],
    ['.f64', '-1.25e3', -1250],
    ['.name', 'abc', 'abc'],
    ['.name', 'exactly8', 'exactly8'],
    ['.name', 'ä', 'ä'],
    ['.bytes', [1, 2], [1, 2, 0, 0]],
    ['.bytes', '[255]', [255, 0, 0, 0]],
    ['.bytes', Uint8Array.of(4, 3, 2, 1), [4, 3, 2, 1]],
    ['.bytes[2]', 9, 9],
    [
      '.grid',
      [[1], [2, -3]],
      [
        [1, 0, 0],
        [2, -3, 0],
      ],
    ],
    ['.grid[1][2]', -7, -7],
    ['.points[1]', { y: 3 }, { x: 0, y: 3 }],
    ['.points[0].x', 4, 4],
    [
      '.points',
      '[{"x": 1}]',
      [
        { x: 1, y: 0 },
        { x: 0, y: 0 },
      ],
    ],
    [
      '.bits',
      { low: 5, across: 0x2aaa_aaaa, negative: -8, colour: 'GREEN' },
      { low: 5, across: 0x2aaa_aaaa, negative: -8, colour: 7 },
    ],
    ['.word', 0x01020304, 0x01020304],
    // As in C, an integer takes the enumerators of any enum.
    ['.word', 'GREEN', 7],
    ['.word', '0x7f', 0x7f],
    ['.empty', {}, {}],
  ])('%s = %o', (path, value, expected) => {
    expect(roundTrip(path, value).value).toEqual(expected);
  });

  it('touches no other byte', () => {
    const place = locate(btf, root, '.bits.across');
    for (const fill of [0, 0xff]) {
      const before = new Uint8Array(size).fill(fill);
      const bytes = before.slice();
      encodeValue(btf, place, 0x15555555, bytes);
      const changed = [...bytes.keys()].filter((i) => bytes[i] !== before[i]);
      const start = place.bitOffset / 8;
      for (const i of changed) expect(i >= Math.floor(start) && i <= start + 4).toBe(true);
      for (const other of ['low', 'negative', 'colour']) {
        const at = locate(btf, root, `.bits.${other}`);
        expect(decodeValue(btf, at, bytes)).toBe(decodeValue(btf, at, before));
      }
    }
  });

  it('keeps members and elements that a value does not mention', () => {
    const bytes = new Uint8Array(size).fill(1);
    encodeValue(btf, locate(btf, root, ''), { points: [{ x: 2 }], word: 5 }, bytes);
    expect(decodeValue(btf, locate(btf, root, '.points'), bytes)).toEqual([
      { x: 2, y: 0x01010101 },
      { x: 0x01010101, y: 0x01010101 },
    ]);
    expect(bytes.filter((byte) => byte !== 1)).toEqual(Uint8Array.of(2, 0, 0, 0, 5, 0, 0, 0));
  });

  it('clears what a shorter text leaves', () => {
    const bytes = new Uint8Array(size).fill(0x41);
    const place = locate(btf, root, '.name');
    encodeValue(btf, place, 'x', bytes);
    expect([...bytes.subarray(place.bitOffset / 8, place.bitOffset / 8 + 8)]).toEqual([0x78, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('gives back what was stored, for all integers of a bitfield', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 30n - 1n), fc.integer({ min: -8, max: 7 }), (across, negative) => {
        expect(roundTrip('.bits.across', across).value).toBe(Number(across));
        expect(roundTrip('.bits.negative', negative).value).toBe(negative);
      }),
    );
  });

  it.each([
    ['010', 8],
    ['-0777', -511],
    ['00', 0],
    ['0x10', 16],
    ['-10', -10],
  ])('reads the text %s as C does', (text, value) => {
    expect(roundTrip('.s32', text).value).toBe(value);
  });

  it('reads members of an anonymous union among the struct its own', () => {
    const { bytes } = roundTrip('.word', 0x1ff);
    expect(decodeValue(btf, locate(btf, root, ''), bytes)).toMatchObject({ word: 0x1ff, byte: 0xff });
  });
});

describe('what does not fit', () => {
  it.each<[string, BtfInput, string]>([
    ['.u8', 256, '256 does not fit in 8 unsigned bits'],
    ['.u8', -1, '-1 does not fit in 8 unsigned bits'],
    ['.s32', 2 ** 31, '2147483648 does not fit in 32 signed bits'],
    ['.u64', 1.5, '1.5 for integer'],
    ['.u64', 2n ** 64n, 'does not fit in 64 unsigned bits'],
    ['.u64', 'ten', '"ten" for integer'],
    ['.u64', '', '"" for integer'],
    ['.u64', '12abc', '"12abc" for integer'],
    ['.u64', '08', '"08" for integer'],
    ['.u64', [1], 'a structure for integer'],
    ['.on', 2, '2 for bool'],
    ['.colour', 'PINK', '"PINK" for integer'],
    ['.f64', 'x', '"x" for double'],
    ['.f64', '', '"" for double'],
    ['.f64', true, 'true for double'],
    ['.name', 'nine char', '9 bytes of text in char[8]'],
    ['.name', 5, '5 for array of 8'],
    ['.bytes', [1, 2, 3, 4, 5], '5 values in an array of 4'],
    ['.bytes', [1, 999], '[1]: 999 does not fit'],
    ['.bytes', 'no json', '"no json" is no JSON'],
    ['.bytes', Uint8Array.of(1), '1 raw bytes for unsigned char[4] of 4'],
    ['.points[0]', { z: 1 }, 'no member "z" in struct point'],
    ['.points[0]', { x: 'y' }, '.x: "y" for integer'],
    ['.points[0]', 'null', '"null" for struct point'],
    ['.points[0]', 4, '4 for struct point'],
    ['.bits.low', 8, '8 does not fit in 3 unsigned bits'],
    ['.bits.low', Uint8Array.of(1, 0, 0, 0), '4 raw bytes for unsigned int'],
    ['.pointer', -1, '-1 does not fit in 64 unsigned bits'],
  ])('%s = %o', (path, value, text) => {
    expect(() => roundTrip(path, value)).toThrow(InputError);
    expect(() => roundTrip(path, value)).toThrow(text);
  });
});

describe('paths', () => {
  it.each([
    ['.nope', 'no member "nope" in struct all'],
    ['.u8.x', 'no member "x" in unsigned char'],
    ['.u8[0]', '"[0]" on unsigned char, no array'],
    ['.bytes[4]', 'index [4] of an array of 4'],
    ['.bytes[-1]', 'index [-1] of an array of 4'],
    ['.bytes[08]', 'index [08] of an array of 4'],
    ['.bytes[]', 'index [] of an array of 4'],
    ['.bytes[x]', 'index [x] of an array of 4'],
    ['.bytes[1', 'malformed path'],
    ['.', 'malformed path'],
    ['u8', 'malformed path'],
    ['.pointer.x', 'no member "x" in void *'],
  ])('%s leads nowhere', (path, text) => {
    expect(() => locate(btf, root, path)).toThrow(InputError);
    expect(() => locate(btf, root, path)).toThrow(text);
  });

  it('may have hexadecimal indices', () => {
    expect(locate(btf, root, '.bytes[0x3]').bitOffset).toBe(locate(btf, root, '.bytes[3]').bitOffset);
  });
});

describe('type names', () => {
  it.each([
    ['', 'struct all'],
    ['.name', 'char[8]'],
    ['.grid', 'int[2][3]'],
    ['.pointer', 'void *'],
    ['.s32', 's32'],
    ['.u64', 'unsigned long'],
    ['.colour', 'enum colour'],
    ['.points[0]', 'struct point'],
  ])('%s is %s', (path, text) => {
    expect(describeType(btf, locate(btf, root, path).type)).toBe(text);
  });
});

it('an array of more elements than there are bytes is refused at once', () => {
  const b = new BtfBuilder();
  const long = b.int('long', 8);
  const huge = b.array(long, 1 << 28, long);
  const place = { type: huge, bitOffset: 0, bitSize: 0 };
  expect(() => decodeValue(b.parse(), place, new Uint8Array(64))).toThrow('long[268435456] in 64 bytes');
});
