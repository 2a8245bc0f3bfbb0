import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assemble, decodeInsn, disassemble, encodeInsn, FORMS, findForm } from '../../src/asm/index.js';
import { InputError } from '../../src/errors.js';
import { ENCODINGS, type Encoding, encodingOf } from '../isa/encodings.js';
import { samplesOf } from './samples.js';

function textOf(bytes: Uint8Array): string {
  return disassemble(bytes)
    .map((line) => line.text)
    .join('\n');
}

describe('every opcode form of the instruction set', () => {
  it.each(ENCODINGS.map((encoding) => [encoding.name, encoding] as const))(
    '%s has a text that assembles back',
    (_, encoding) => {
      for (const { bytes, insn } of samplesOf(encoding)) {
        const text = textOf(bytes);
        expect(text).not.toMatch(/^\.quad/);
        expect(assemble(text), text).toEqual(bytes);
        expect(encodingOf(insn)).toBe(encoding);
      }
    },
  );

  it('and the assembler knows no other', () => {
    const named = new Set(ENCODINGS.map((each) => `${each.op} ${each.src} ${each.off} ${each.imm}`));
    const fixed = ({ op, src, off, imm }: Pick<Encoding, 'op' | 'src' | 'off' | 'imm'>) => `${op} ${src} ${off} ${imm}`;
    for (const form of FORMS) {
      const insn = { op: form.op, dst: 0, src: 0, off: 0, imm: 0, ...form.fixed };
      const encoding = encodingOf(insn);
      expect(encoding && named.has(fixed(encoding)), JSON.stringify(insn)).toBe(true);
    }
  });

  it.each(ENCODINGS.map((encoding) => [encoding.name, encoding] as const))(
    '%s: a reserved field that is not 0 is no insn',
    (_, encoding) => {
      const [{ insn, bytes }] = samplesOf(encoding) as [ReturnType<typeof samplesOf>[0]];
      const next = decodeInsn(bytes, bytes.length - 8);
      for (const field of ['dst', 'src', 'off', 'imm'] as const) {
        if (encoding.uses.includes(field) || (field !== 'dst' && encoding[field] !== undefined)) continue;
        const odd = { ...insn, [field]: 3 };
        expect(findForm(odd, next), JSON.stringify(odd)).toBeUndefined();
      }
      if (bytes.length === 16) {
        for (const field of ['op', 'dst', 'src', 'off'] as const)
          expect(findForm(insn, { ...next, [field]: 1 })).toBeUndefined();
        if (!encoding.uses.includes('hi')) expect(findForm(insn, { ...next, imm: 1 })).toBeUndefined();
        expect(findForm(insn)).toBeUndefined();
      }
    },
  );

  it('reads registers up to r10', () => {
    for (const field of ['dst', 'src'] as const) {
      expect(textOf(encodeInsn({ op: 0xbf, dst: 1, src: 2, off: 0, imm: 0, [field]: 11 }))).toMatch(/^\.quad/);
    }
  });
});

describe('any bytes', () => {
  it('come back from their disassembly', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.boolean(), (bytes, alu32) => {
        const text = disassemble(bytes, { alu32 }).map((line) => line.text);
        expect(assemble(text.join('\n'))).toEqual(bytes);
      }),
      { numRuns: 500 },
    );
  });

  it('come back when most of them are insns', () => {
    const insn = fc.constantFrom(...ENCODINGS.flatMap(samplesOf)).map((sample) => [...sample.bytes]);
    const anything = fc.array(
      fc.oneof({ weight: 9, arbitrary: insn }, fc.array(fc.nat(255), { minLength: 8, maxLength: 8 })),
    );
    const symbols = [
      { pc: 3, name: 'sub' },
      { pc: 0, name: 'main' },
    ];
    fc.assert(
      fc.property(anything, (insns) => {
        const bytes = Uint8Array.from(insns.flat());
        const lines = disassemble(bytes, { symbols, note: (_, pc) => (pc === 1 ? 'a note' : undefined) });
        expect(assemble(lines.map((line) => line.text).join('\n'))).toEqual(bytes);
        expect(lines.map((line) => line.bytes).join('')).toBe(
          Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(''),
        );
      }),
      { numRuns: 500 },
    );
  });
});

describe('any text', () => {
  const words =
    'r1 r2 w3 r11 = += s>>= ( ) [ ] * - + 5 -1 0x10 ll goto call if lock u32 s8 skb , : ; .quad .byte label 1b <x> kfunc'.split(
      ' ',
    );
  it('assembles or is refused with its line', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words, '\n'), { maxLength: 12 }), fc.string(), (parts, tail) => {
        try {
          assemble(parts.join(' ') + tail);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
          expect((error as Error).message).toMatch(/^line \d+: /);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
