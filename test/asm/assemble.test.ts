import { describe, expect, it } from 'vitest';
import { assemble, disassemble } from '../../src/asm/index.js';

function lines(text: string): string[] {
  return disassemble(assemble(text)).map((line) => line.text);
}

describe('statements', () => {
  it('end at ; and at the end of a line', () => {
    expect(lines('r0 = 1; r0 += 2\nexit;')).toEqual(['r0 = 0x1', 'r0 += 0x2', 'exit']);
  });

  it('may carry comments and notes', () => {
    expect(lines('; int x = 5;\nr1 = 5 # five\n/* two\nlines */ exit // done\ngoto +0 <main+0x20>')).toEqual([
      'r1 = 0x5',
      'exit',
      'goto +0x0',
    ]);
  });

  it('may carry names with angle brackets of their own', () => {
    expect(lines('r1 <<= 3 <shift>; if r1 < r2 goto +0 <<T as Into<U>>::into+0x8>; if r1 <= 5 goto +0 <f<g>>')).toEqual(
      ['r1 <<= 0x3', 'if r1 < r2 goto +0x0', 'if r1 <= 0x5 goto +0x0'],
    );
  });

  it('take decimal and hex numbers of either sign, and bit patterns', () => {
    expect(lines('r1 = 10; r1 = -0xa; w1 = 0xffffffff; r1 = 0xffffffffffffffff ll')).toEqual([
      'r1 = 0xa',
      'r1 = -0xa',
      'w1 = -0x1',
      'r1 = -0x1 ll',
    ]);
  });

  it('take memory operands with any offset, or none', () => {
    expect(lines('r1 = *(u8 *)(r2 - 1); r1 = *(u8 *)(r2 + -1); r1 = *(u8*)(r2+0); *(u64 *)(r2) = r3')).toEqual([
      'r1 = *(u8 *)(r2 - 0x1)',
      'r1 = *(u8 *)(r2 - 0x1)',
      'r1 = *(u8 *)(r2 + 0x0)',
      '*(u64 *)(r2 + 0x0) = r3',
    ]);
  });

  it('take w registers in narrow loads and stores', () => {
    expect(assemble('w1 = *(u32 *)(r2 + 4); *(u8 *)(r2 + 0) = w1; lock *(u32 *)(r2 + 0) += w1')).toEqual(
      assemble('r1 = *(u32 *)(r2 + 4); *(u8 *)(r2 + 0) = r1; lock *(u32 *)(r2 + 0) += r1'),
    );
  });

  it("take LLVM's ld_pseudo", () => {
    expect(lines('ld_pseudo r1, 2, 0x1000000005')).toEqual(['r1 = map_value(0x5, 0x10) ll']);
  });
});

describe('labels', () => {
  it('are distances from the next insn', () => {
    const text = `
      start: if r1 == 0 goto out
      goto start
      r1 = 1 ll         # two slots
      gotol start
      may_goto out
      call start
      r2 = func(start) ll
      out: exit`;
    expect(lines(text)).toEqual([
      'if r1 == 0x0 goto +0x8',
      'goto -0x2',
      'r1 = 0x1 ll',
      'gotol -0x5',
      'may_goto +0x3',
      'call -0x7',
      'r2 = func(-0x8) ll',
      'exit',
    ]);
  });

  it('may be numbers, found backwards or forwards', () => {
    expect(lines('1: goto 1f; 1: goto 1b; goto 1b')).toEqual(['goto +0x0', 'goto -0x1', 'goto -0x2']);
  });

  it('tell a subprogram from a helper', () => {
    expect(lines('call 5; call +0; f: exit; call f; call kfunc(7); call kfunc(7, 2); call -1')).toEqual([
      'call 0x5',
      'call +0x0',
      'exit',
      'call -0x2',
      'call kfunc(0x7)',
      'call kfunc(0x7, 0x2)',
      'call -0x1',
    ]);
  });
});

describe('raw data', () => {
  it('is little-endian', () => {
    expect([...assemble('.quad 0x0102030405060708')]).toEqual([8, 7, 6, 5, 4, 3, 2, 1]);
    expect([...assemble('.byte 1, 255, -1')]).toEqual([1, 255, 255]);
  });
});

describe('errors', () => {
  it.each([
    ['r1 = 5\nr1 <> r2', 'line 2: "r1 <> r2" is no instruction'],
    ['exit; bogus', 'line 1: "bogus" is no instruction'],
    ['r11 = 5', 'line 1: there is no register r11'],
    ['r1 = -r2', 'line 1: both registers must be the same here (r1, r2)'],
    ['r1 = be16 r2', 'line 1: both registers must be the same here (r1, r2)'],
    ['r2 = atomic_fetch_add((u64 *)(r1 + 0), r3)', 'line 1: both registers must be the same here (r2, r3)'],
    ['r1 = cmpxchg_64(r2 + 0, r0, r3)', 'line 1: r1 must be r0 here'],
    ['r1 = 0x100000000', 'line 1: 4294967296 does not fit in 32 bits'],
    ['r1 = *(u8 *)(r2 + 32768)', 'line 1: 32768 does not fit in 16 bits'],
    ['r1 = 0x10000000000000000 ll', 'line 1: 18446744073709551616 does not fit in 64 bits'],
    ['goto nowhere', 'line 1: label nowhere is not defined'],
    ['goto 1b', 'line 1: label 1b is not defined'],
    ['a: exit\na: exit', 'line 2: label a is defined twice'],
    ['goto 40000', 'line 1: 40000 does not fit in 16 bits'],
    [
      `\ngoto far\n${'exit\n'.repeat(32768)}far: exit`,
      'line 2: label far is 32768 insns away, too far for 16 bits (use gotol)',
    ],
    ['.byte 1\nexit', 'line 2: byte offset 1 is no multiple of 8'],
    ['.byte x', 'line 1: "x" is no number'],
    ['.byte 256', 'line 1: 256 does not fit in 8 bits'],
    ['.section foo', 'line 1: unknown directive .section'],
  ])('%j', (text, message) => {
    expect(() => assemble(text)).toThrow(message);
  });
});
