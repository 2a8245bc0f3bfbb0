import { describe, expect, it } from 'vitest';
import { assemble, disassemble } from '../../src/asm/index.js';

describe('disassemble', () => {
  const bytes = assemble('main: goto sub; r1 = 1 ll; call sub; call 1; goto main; sub: gotol main; goto -100; exit');

  it('gives pc, bytes and text, two slots for an LD_IMM64', () => {
    expect(disassemble(bytes.subarray(0, 32))).toEqual([
      { pc: 0, bytes: '0500050000000000', text: 'goto +0x5' },
      { pc: 1, bytes: '18010000010000000000000000000000', text: 'r1 = 0x1 ll' },
      { pc: 3, bytes: '8510000002000000', text: 'call +0x2' },
    ]);
  });

  it('names targets as llvm-objdump does', () => {
    const symbols = [
      { pc: 6, name: 'sub' },
      { pc: 0, name: 'main' },
    ];
    expect(disassemble(bytes, { symbols }).map((line) => line.text)).toEqual([
      'goto +0x5 <sub>',
      'r1 = 0x1 ll',
      'call +0x2 <sub>',
      'call 0x1',
      'goto -0x6 <main>',
      'gotol -0x7 <main>',
      'goto -0x64 <sub+0xfffffffffffffcf0>',
      'exit',
    ]);
  });

  it('counts from a base', () => {
    const [line] = disassemble(assemble('goto +1'), { base: 10, symbols: [{ pc: 8, name: 'f' }] });
    expect(line).toEqual({ pc: 10, bytes: '0500010000000000', text: 'goto +0x1 <f+0x20>' });
  });

  it('adds notes, in place of target names', () => {
    const note = ({ op, imm }: { op: number; imm: number }) =>
      op === 0x85 && imm === 1 ? 'bpf_map_lookup_elem' : undefined;
    expect(disassemble(assemble('call 1; exit'), { note }).map((line) => line.text)).toEqual([
      'call 0x1 <bpf_map_lookup_elem>',
      'exit',
    ]);
  });

  it('writes what is no insn as data', () => {
    const odd = Uint8Array.of(0xff, 1, 2, 3, 4, 5, 6, 7, 0x18, 1, 0, 0, 5, 0, 0, 0, 9, 8);
    expect(disassemble(odd).map((line) => line.text)).toEqual([
      '.quad 0x07060504030201ff',
      '.quad 0x0000000500000118',
      '.byte 0x9, 0x8',
    ]);
  });
});
