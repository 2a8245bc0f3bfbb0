import { encodeInsn, type Insn, isWide } from '../../src/asm/index.js';
import type { Encoding } from '../isa/encodings.js';

/** Operand values that show signs, both register digits and every hex length. */
const OPERANDS: readonly { dst: number; src: number; off: number; imm: number; hi: number }[] = [
  { dst: 1, src: 2, off: 4, imm: 5, hi: 0 },
  { dst: 9, src: 10, off: -8, imm: -1, hi: -1 },
  { dst: 0, src: 0, off: 255, imm: 0x10000, hi: 1 },
  { dst: 10, src: 7, off: -32768, imm: -2147483648, hi: -2147483648 },
];

export interface Sample {
  encoding: Encoding;
  insn: Insn;
  bytes: Uint8Array;
}

/** Encodings of one form with several operands, none twice. */
export function samplesOf(encoding: Encoding): Sample[] {
  const { op, uses } = encoding;
  const value = (field: 'dst' | 'src' | 'off' | 'imm', operands: (typeof OPERANDS)[number]) =>
    uses.includes(field) ? operands[field] : field === 'dst' ? 0 : (encoding[field] ?? 0);
  const seen = new Map<string, Sample>();
  for (const operands of OPERANDS) {
    const insn: Insn = {
      op,
      dst: value('dst', operands),
      src: value('src', operands),
      off: value('off', operands),
      imm: value('imm', operands),
    };
    const hi = uses.includes('hi') ? operands.hi : 0;
    const bytes = encodeInsn(insn, new Uint8Array(isWide(op) ? 16 : 8));
    if (isWide(op)) encodeInsn({ op: 0, dst: 0, src: 0, off: 0, imm: hi }, bytes, 8);
    seen.set(bytes.join(), { encoding, insn, bytes });
  }
  return [...seen.values()];
}
