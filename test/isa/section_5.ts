import type { Case } from './cases.js';
import { bytesOf, EDGES, IMMEDIATES, numberOf, s, u } from './reference.js';

// RFC 9669 section 5, load and store instructions. r1 is the memory.

const SIZES = [
  { name: 'B', bits: 8 },
  { name: 'H', bits: 16 },
  { name: 'W', bits: 32 },
  { name: 'DW', bits: 64 },
];

/** 32 bytes that differ, with their top bits set and clear. */
const PATTERN: readonly number[] = Array.from({ length: 32 }, (_, i) => (i * 37 + (i % 2 ? 0x80 : 0x11)) & 0xff);

function patched(memory: readonly number[], at: number, bytes: readonly number[]): number[] {
  return memory.map((byte, i) => (i >= at && i < at + bytes.length ? bytes[i - at]! : byte));
}

/** 5.1 and 5.2: every size at every alignment, with positive, zero and negative offsets. */
function* loadsAndStores(): Generator<Case> {
  const memory = PATTERN;
  for (const { name, bits } of SIZES) {
    const bytes = bits / 8;
    for (let at = 0; at + bytes <= 24; at++) {
      const loaded = numberOf(memory.slice(at, at + bytes));
      for (const [base, off] of [
        [at, 0],
        [0, at],
        [32, at - 32],
      ] as const) {
        const place = `(r1 ${off < 0 ? '-' : '+'} ${Math.abs(off)})`;
        const move = base ? `r1 += ${base}; ` : '';
        const text = `${move}r0 = -1; r0 = *(u${bits} *)${place}; exit`;
        yield { form: `LDX MEM ${name}`, section: '5.1', text, memory, r0: loaded };
        if (bits < 64) {
          const signed = `${move}r0 = 0; r0 = *(s${bits} *)${place}; exit`;
          yield { form: `LDX MEMSX ${name}`, section: '5.2', text: signed, memory, r0: u(64, s(bits, loaded)) };
        }
        const value = 0xf1e2d3c4b5a69788n;
        const store = `${move}r0 = 0; *(u${bits} *)${place} = r2; exit`;
        const after = patched(memory, at, bytesOf(value, bytes));
        yield { form: `STX MEM ${name}`, section: '5.1', text: store, memory, args: [value], r0: 0n, after };
      }
    }
    for (const imm of IMMEDIATES) {
      // "*(size *) (dst + offset) = imm": sign-extended for DW, truncated below W.
      const text = `r0 = 0; *(u${bits} *)(r1 + 9) = ${imm}; exit`;
      const after = patched(memory, 9, bytesOf(u(64, imm), bytes));
      yield { form: `ST MEM ${name}`, section: '5.1', text, memory, r0: 0n, after };
    }
    for (const value of EDGES) {
      const after = patched(memory, 3, bytesOf(value, bytes));
      const text = `*(u${bits} *)(r1 + 3) = r2; r0 = *(u${bits} *)(r1 + 3); exit`;
      yield { form: `STX MEM ${name}`, section: '5.1', text, memory, args: [value], r0: u(bits, value), after };
    }
    // The stack: aligned and not, at both ends.
    for (const off of [-bytes, -bytes - 1, -512, -511]) {
      const text = `*(u${bits} *)(r10 ${off}) = r1; r0 = *(u${bits} *)(r10 ${off}); exit`;
      const args = [0x8899aabbccddeeffn];
      yield { form: `LDX MEM ${name}`, section: '5.1', about: 'of the stack', text, args, r0: u(bits, args[0]!) };
    }
    const first = { memory, r0: numberOf(memory.slice(0, bytes)) };
    const spilled = `*(u64 *)(r10 - 8) = r1; r2 = *(u64 *)(r10 - 8); r0 = *(u${bits} *)(r2 + 0); exit`;
    yield { form: `LDX MEM ${name}`, section: '5.1', about: 'through a pointer in memory', text: spilled, ...first };
    const own = `r1 = *(u${bits} *)(r1 + 0); r0 = r1; exit`;
    yield { form: `LDX MEM ${name}`, section: '5.1', about: 'into its own base', text: own, ...first };
  }
}

const SIMPLE: { name: string; sign: string; word: string; of: (old: bigint, src: bigint) => bigint }[] = [
  { name: 'ADD', sign: '+=', word: 'add', of: (old, src) => old + src },
  { name: 'OR', sign: '|=', word: 'or', of: (old, src) => old | src },
  { name: 'AND', sign: '&=', word: 'and', of: (old, src) => old & src },
  { name: 'XOR', sign: '^=', word: 'xor', of: (old, src) => old ^ src },
];

/** 5.3: r1 + 8 holds `old`, r2 the operand, r0 what CMPXCHG compares with; results are checked in r0 and memory. */
function* atomics(): Generator<Case> {
  const section = '5.3';
  for (const n of [32, 64]) {
    const size = n === 32 ? 'W' : 'DW';
    const r = n === 32 ? 'w' : 'r';
    const suffix = n === 32 ? '32_32' : '_64';
    const around = Array.from({ length: 24 }, () => 0x5a);
    for (const old of EDGES) {
      const memory = patched(around, 8, bytesOf(old, 8));
      const after = (value: bigint) => patched(memory, 8, bytesOf(u(n, value), n / 8));
      for (const src of EDGES) {
        const args = [src];
        for (const { name, sign, word, of } of SIMPLE) {
          const stored = after(of(old, src));
          const plain = `lock *(u${n} *)(r1 + 8) ${sign} ${r}2; r0 = r2; exit`;
          yield {
            form: `ATOMIC ${size} ${name}`,
            section,
            about: 'src stays',
            text: plain,
            memory,
            args,
            r0: src,
            after: stored,
          };
          // "overwrites src with the value that was in memory"; a 32-bit one is zero-extended.
          const fetch = `${r}2 = atomic_fetch_${word}((u${n} *)(r1 + 8), ${r}2); r0 = r2; exit`;
          yield {
            form: `ATOMIC ${size} ${name} FETCH`,
            section,
            text: fetch,
            memory,
            args,
            r0: u(n, old),
            after: stored,
          };
        }
        const xchg = `${r}2 = xchg${suffix}(r1 + 8, ${r}2); r0 = r2; exit`;
        yield { form: `ATOMIC ${size} XCHG`, section, text: xchg, memory, args, r0: u(n, old), after: after(src) };
      }
      for (const expected of [old, old ^ 1n, old ^ (1n << 32n), u(32, old)]) {
        const text = `r0 = r3; ${r}0 = cmpxchg${suffix}(r1 + 8, ${r}0, ${r}2); exit`;
        const src = 0xc0ffee0012345678n;
        const equal = u(n, expected) === u(n, old);
        const form = `ATOMIC ${size} CMPXCHG`;
        const about = equal ? 'equal' : 'different';
        yield {
          form,
          section,
          about,
          text,
          memory,
          args: [src, expected],
          r0: u(n, old),
          after: equal ? after(src) : memory,
        };
        const kept = `r0 = r3; ${r}0 = cmpxchg${suffix}(r1 + 8, ${r}0, ${r}2); r0 = r2; exit`;
        yield {
          form,
          section,
          about: 'src stays',
          text: kept,
          memory,
          args: [src, expected],
          r0: src,
          after: equal ? after(src) : memory,
        };
      }
    }
    const stack = `*(u64 *)(r10 - 8) = 5; r2 = 7; lock *(u${n} *)(r10 - 8) += ${r}2; r0 = *(u64 *)(r10 - 8); exit`;
    yield { form: `ATOMIC ${size} ADD`, section, about: 'on the stack', text: stack, r0: 12n };
    const both = `r2 = 3; *(u64 *)(r10 - 8) = 4; r0 = 4; ${r}0 = cmpxchg${suffix}(r10 - 8, ${r}0, ${r}0); r0 += r2; exit`;
    yield { form: `ATOMIC ${size} CMPXCHG`, section, about: 'src is r0', text: both, r0: 7n };
  }
}

/** 5.4 with src 0: the other forms are the loader's to resolve, all but FUNC (section_4_3.ts). */
function* immediates(): Generator<Case> {
  for (const value of EDGES) {
    yield { form: 'LD_IMM64 NONE', section: '5.4', text: `r0 = ${value} ll; exit`, r0: value };
  }
  for (let reg = 0; reg < 10; reg++) {
    const text = `r${reg} = 0x1122334455667788 ll; r0 = r${reg}; exit`;
    yield { form: 'LD_IMM64 NONE', section: '5.4', text, r0: 0x1122334455667788n };
  }
  for (const [form, text] of [
    ['MAP_FD', 'map_fd(3)'],
    ['MAP_VALUE', 'map_value(3, 4)'],
    ['BTF_ID', 'btf_id(5)'],
    ['MAP_IDX', 'map_idx(0)'],
    ['MAP_IDX_VALUE', 'map_idx_value(0, 4)'],
  ]) {
    const about = 'belongs to the loader';
    yield { form: `LD_IMM64 ${form}`, section: '5.4', about, text: `r1 = ${text} ll; r0 = 0; exit`, refused: /insn 0/ };
  }
}

/** 5.5: deprecated; refused by name. */
function* legacy(): Generator<Case> {
  for (const { name, bits } of SIZES.filter((size) => size.bits < 64)) {
    const refused = /insn 1.*legacy packet/i;
    yield { form: `LD ABS ${name}`, section: '5.5', text: `r6 = r1; r0 = *(u${bits} *)skb[14]; exit`, refused };
    yield { form: `LD IND ${name}`, section: '5.5', text: `r6 = r1; r0 = *(u${bits} *)skb[r2 + 4]; exit`, refused };
  }
}

export const SECTION_5: readonly Case[] = [...loadsAndStores(), ...atomics(), ...immediates(), ...legacy()];
