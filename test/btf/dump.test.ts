import { describe, expect, it } from 'vitest';
import { dumpValue } from '../../src/btf/dump.js';
import { InputError } from '../../src/errors.js';
import { BtfBuilder, sample } from './build.js';

const { btf, ids } = sample();
const id = (name: string) => ids[name] ?? 0;

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

describe('dumpValue', () => {
  it('gives integers by their sign and width, exactly', () => {
    expect(dumpValue(btf, id('int'), bytes(0xff, 0xff, 0xff, 0xff))).toBe(-1);
    expect(dumpValue(btf, id('u8'), bytes(200))).toBe(200);
    expect(dumpValue(btf, id('u64'), bytes(1, 0, 0, 0, 0, 0, 0, 0))).toBe(1);
    expect(dumpValue(btf, id('u64'), new Uint8Array(8).fill(255))).toBe(0xffffffffffffffffn);
    expect(dumpValue(btf, id('bool'), bytes(1))).toBe(true);
    expect(dumpValue(btf, id('char'), bytes(65))).toBe('A');
  });

  it('gives enumerators by name, other values as numbers', () => {
    expect(dumpValue(btf, id('colour'), bytes(2, 0, 0, 0))).toBe('GREEN');
    expect(dumpValue(btf, id('colour'), bytes(255, 255, 255, 255))).toBe('NONE');
    expect(dumpValue(btf, id('colour'), bytes(7, 0, 0, 0))).toBe(7);
    expect(dumpValue(btf, id('big'), bytes(0, 0, 0, 0, 0, 0, 0, 128))).toBe('HUGE');
  });

  it('gives printable, terminated char arrays as text, others as lists', () => {
    const text = new Uint8Array(16);
    text.set(new TextEncoder().encode('hello'));
    expect(dumpValue(btf, id('name'), text)).toBe('hello');
    expect(dumpValue(btf, id('name'), new Uint8Array(16).fill(65))).toEqual(new Array(16).fill('A'));
  });

  it('gives structs as objects, members of anonymous ones in the struct around them', () => {
    const value = new Uint8Array(64);
    const view = new DataView(value.buffer);
    view.setBigUint64(0, 0xffff888000001000n, true);
    value[8] = 1;
    view.setInt32(12, -3, true);
    view.setBigUint64(16, 0x0403020100000000n | 9n, true);
    value.set(new TextEncoder().encode('n1'), 24);
    view.setInt32(40, 1, true);
    view.setBigUint64(48, 1n, true);
    expect(dumpValue(btf, id('node'), value)).toEqual({
      next: 0xffff888000001000n,
      on: true,
      count: -3,
      weight: 0x0403020100000009n,
      slots: [9, 0, 0, 0],
      name: 'n1',
      colour: 'RED',
      big: 'ONE',
      run: 0,
    });
  });

  it('gives bitfields and 128-bit integers in hexadecimal', () => {
    expect(dumpValue(btf, id('flags'), bytes(0xff, 0x01, 0, 0))).toEqual({ low: '0x7', high: '0x3f' });
    const b = new BtfBuilder();
    const int128 = b.int('__int128', 16);
    expect(dumpValue(b.parse(), int128, new Uint8Array(16).fill(1))).toBe('0x1010101010101010101010101010101');
  });

  it('gives floating-point numbers', () => {
    const b = new BtfBuilder();
    const double = b.float('double', 8);
    expect(dumpValue(b.parse(), double, new Uint8Array(Float64Array.of(1.5).buffer))).toBe(1.5);
  });

  it('gives a data section as its variables', () => {
    const b = new BtfBuilder();
    const int = b.int('int', 4);
    const section = b.datasec('.data', 8, [
      { type: b.var('a', int), offset: 0, size: 4 },
      { type: b.var('b', int), offset: 4, size: 4 },
    ]);
    expect(dumpValue(b.parse(), section, bytes(1, 0, 0, 0, 2, 0, 0, 0))).toEqual({ '.data': [{ a: 1 }, { b: 2 }] });
  });

  it('refuses too few bytes, types without values, and more values than anyone reads', () => {
    expect(() => dumpValue(btf, id('node'), new Uint8Array(63))).toThrow(new InputError('struct node: 63 of 64 bytes'));
    const b = new BtfBuilder();
    const empty = b.struct('empty');
    const int = b.int('int', 4);
    const many = b.array(empty, 0xffffffff, int);
    const proto = b.funcProto(0, []);
    const parsed = b.parse();
    expect(() => dumpValue(parsed, many, new Uint8Array())).toThrow(/more than 1000000 values/);
    expect(() => dumpValue(parsed, proto, new Uint8Array(8))).toThrow(/has no size/);
  });

  it('a member called __proto__ is a member like any other', () => {
    const b = new BtfBuilder();
    const odd = b.struct('odd', [{ name: '__proto__', type: b.int('int', 4) }]);
    expect(Object.entries(dumpValue(b.parse(), odd, bytes(5, 0, 0, 0)) as object)).toEqual([['__proto__', 5]]);
  });
});
