import type { Case } from './cases.js';
import { EDGES, IMMEDIATES, s, u } from './reference.js';

// RFC 9669 section 4.1, arithmetic instructions. n is the width, 32 or 64; d and x are the operands, unsigned.
// prettier-ignore
const OPERATIONS: { name: string; sign: string; of: (d: bigint, x: bigint, n: number) => bigint }[] = [
  { name: 'ADD', sign: '+=', of: (d, x) => d + x },
  { name: 'SUB', sign: '-=', of: (d, x) => d - x },
  { name: 'MUL', sign: '*=', of: (d, x) => d * x },
  { name: 'DIV', sign: '/=', of: (d, x) => (x === 0n ? 0n : d / x) },
  { name: 'SDIV', sign: 's/=', of: (d, x, n) => (x === 0n ? 0n : s(n, d) / s(n, x)) },
  { name: 'OR', sign: '|=', of: (d, x) => d | x },
  { name: 'AND', sign: '&=', of: (d, x) => d & x },
  { name: 'LSH', sign: '<<=', of: (d, x, n) => d << (x & BigInt(n - 1)) },
  { name: 'RSH', sign: '>>=', of: (d, x, n) => d >> (x & BigInt(n - 1)) },
  { name: 'MOD', sign: '%=', of: (d, x) => (x === 0n ? d : d % x) },
  { name: 'SMOD', sign: 's%=', of: (d, x, n) => (x === 0n ? d : s(n, d) % s(n, x)) },
  { name: 'XOR', sign: '^=', of: (d, x) => d ^ x },
  { name: 'MOV', sign: '=', of: (_, x) => x },
  { name: 'ARSH', sign: 's>>=', of: (d, x, n) => s(n, d) >> (x & BigInt(n - 1)) },
];

const SECTION = '4.1';

/** dst = (u64)of(dst, src), or dst = (u32)of((u32)dst, (u32)src): "the upper 32 bits are zeroed". */
function* operations(): Generator<Case> {
  for (const { name, sign, of } of OPERATIONS) {
    for (const n of [32, 64]) {
      const r = n === 32 ? 'w' : 'r';
      const result = (d: bigint, x: bigint) => u(n, of(u(n, d), u(n, x), n));
      for (const d of EDGES) {
        for (const x of EDGES) {
          const text = `r0 = r1; ${r}0 ${sign} ${r}2; exit`;
          yield { form: `${name}${n} X`, section: SECTION, text, args: [d, x], r0: result(d, x) };
        }
        // "imm is first sign extended from 32 to 64 bits"
        for (const imm of IMMEDIATES) {
          const text = `r0 = r1; ${r}0 ${sign} ${imm}; exit`;
          yield { form: `${name}${n} K`, section: SECTION, text, args: [d], r0: result(d, imm) };
        }
        const text = `${r}1 ${sign} ${r}1; r0 = r1; exit`;
        yield { form: `${name}${n} X`, section: SECTION, about: 'dst is src', text, args: [d], r0: result(d, d) };
      }
    }
  }
}

function* unary(): Generator<Case> {
  for (const d of EDGES) {
    const args = [d];
    yield { form: 'NEG64', section: SECTION, text: 'r0 = r1; r0 = -r0; exit', args, r0: u(64, -d) };
    yield { form: 'NEG32', section: SECTION, text: 'r0 = r1; w0 = -w0; exit', args, r0: u(32, -d) };
    for (const bits of [8, 16, 32]) {
      const text = `r0 = -1; r0 = (s${bits})r1; exit`;
      yield { form: `MOVSX64 ${bits}`, section: SECTION, text, args, r0: u(64, s(bits, d)) };
    }
    for (const bits of [8, 16]) {
      const text = `r0 = -1; w0 = (s${bits})w1; exit`;
      yield {
        form: `MOVSX32 ${bits}`,
        section: SECTION,
        about: 'zeroes the upper half',
        text,
        args,
        r0: u(32, s(bits, d)),
      };
    }
  }
}

/** Every register as destination and as source of a 64-bit and a 32-bit operation. */
function* registers(): Generator<Case> {
  const value = (reg: number) => 0x1_00000011n * BigInt(reg + 1);
  for (let dst = 0; dst < 10; dst++) {
    for (let src = 0; src < 10; src++) {
      const set = Array.from({ length: 10 }, (_, reg) => `r${reg} = ${value(reg)} ll`).join('; ');
      const about = `r${dst} and r${src}`;
      const x = src === dst ? value(dst) : value(src);
      const sum = `${set}; r${dst} -= r${src}; r${dst} += r${src}; r${dst} += r${src}; r0 = r${dst}; exit`;
      const r0 = src === dst ? 0n : value(dst) + x;
      yield { form: 'ADD64 X', section: SECTION, about, text: sum, r0 };
      const moved = `${set}; w${dst} = w${src}; r0 = r${dst}; exit`;
      yield { form: 'MOV32 X', section: SECTION, about, text: moved, r0: u(32, value(src)) };
    }
  }
  yield { form: 'SUB64 X', section: '3.1', about: 'r10 can be read', text: 'r0 = r10; r0 -= r10; exit', r0: 0n };
}

export const SECTION_4_1: readonly Case[] = [...operations(), ...unary(), ...registers()];
