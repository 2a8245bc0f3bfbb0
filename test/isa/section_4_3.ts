import type { Case } from './cases.js';
import { EDGES, IMMEDIATES, s, u } from './reference.js';

// RFC 9669 section 4.3, jump instructions.

const CONDITIONS: { name: string; sign: string; of: (d: bigint, x: bigint, n: number) => boolean }[] = [
  { name: 'JEQ', sign: '==', of: (d, x) => d === x },
  { name: 'JGT', sign: '>', of: (d, x) => d > x },
  { name: 'JGE', sign: '>=', of: (d, x) => d >= x },
  { name: 'JSET', sign: '&', of: (d, x) => (d & x) !== 0n },
  { name: 'JNE', sign: '!=', of: (d, x) => d !== x },
  { name: 'JSGT', sign: 's>', of: (d, x, n) => s(n, d) > s(n, x) },
  { name: 'JSGE', sign: 's>=', of: (d, x, n) => s(n, d) >= s(n, x) },
  { name: 'JLT', sign: '<', of: (d, x) => d < x },
  { name: 'JLE', sign: '<=', of: (d, x) => d <= x },
  { name: 'JSLT', sign: 's<', of: (d, x, n) => s(n, d) < s(n, x) },
  { name: 'JSLE', sign: 's<=', of: (d, x, n) => s(n, d) <= s(n, x) },
];

const SECTION = '4.3';

function* conditional(): Generator<Case> {
  for (const { name, sign, of } of CONDITIONS) {
    for (const n of [32, 64]) {
      const r = n === 32 ? 'w' : 'r';
      const taken = (d: bigint, x: bigint) => (of(u(n, d), u(n, x), n) ? 2n : 1n);
      const text = (operand: string) => `if ${r}1 ${sign} ${operand} goto yes; r0 = 1; exit; yes: r0 = 2; exit`;
      for (const d of EDGES) {
        for (const x of EDGES) {
          yield { form: `${name}${n} X`, section: SECTION, text: text(`${r}2`), args: [d, x], r0: taken(d, x) };
        }
        for (const imm of IMMEDIATES) {
          yield { form: `${name}${n} K`, section: SECTION, text: text(`${imm}`), args: [d], r0: taken(d, imm) };
        }
        // The operands must be read, not the registers written.
        const same = `if ${r}1 ${sign} ${r}1 goto yes; r0 = r1; exit; yes: r0 = r1; r0 ^= -1; exit`;
        const r0 = of(u(n, d), u(n, d), n) ? u(64, ~d) : d;
        yield { form: `${name}${n} X`, section: SECTION, about: 'dst is src', text: same, args: [d], r0 };
      }
    }
  }
}

const UNCONDITIONAL: Case[] = [
  { form: 'JA', section: SECTION, text: 'r0 = 1; goto +1; r0 = 2; exit', r0: 1n },
  { form: 'JA', section: SECTION, about: 'to the next insn', text: 'r0 = 1; goto +0; r0 = 2; exit', r0: 2n },
  { form: 'JA', section: SECTION, about: 'over a wide insn', text: 'goto +2; r1 = 1 ll; r0 = 3; exit', r0: 3n },
  {
    form: 'JA',
    section: SECTION,
    about: 'backwards',
    text: 'goto b; a: r0 = 4; exit; b: r0 = 5; goto a',
    r0: 4n,
  },
  { form: 'JA32', section: SECTION, text: 'r0 = 1; gotol +1; r0 = 2; exit', r0: 1n },
  { form: 'JA32', section: SECTION, about: 'backwards', text: 'goto b; a: r0 = 4; exit; b: gotol a', r0: 4n },
  {
    form: 'JA32',
    section: SECTION,
    about: 'further than 16 bits reach',
    text: `gotol far; ${'r0 += 1; '.repeat(33000)}far: r0 = 6; exit`,
    r0: 6n,
  },
  {
    form: 'JNE64 K',
    section: SECTION,
    about: 'a loop',
    text: 'r0 = 0; r1 = 10; again: r0 += r1; r1 -= 1; if r1 != 0 goto again; exit',
    r0: 55n,
  },
  { form: 'JA', section: SECTION, about: 'to itself', text: 'goto -1; exit', fault: 'out_of_fuel' },
  { form: 'JA32', section: SECTION, about: 'to itself', text: 'gotol -1; exit', fault: 'out_of_fuel' },
  { form: 'JEQ64 X', section: SECTION, about: 'to itself', text: 'if r0 == r0 goto -1; exit', fault: 'out_of_fuel' },
  {
    form: 'JLE32 K',
    section: SECTION,
    about: 'to itself',
    text: 'r0 = 1; if w0 <= 1 goto -1; exit',
    fault: 'out_of_fuel',
  },
  { form: 'EXIT', section: SECTION, text: 'r0 = 0x1234567890 ll; exit', r0: 0x1234567890n },
  { form: 'EXIT', section: SECTION, about: 'not at the end', text: 'goto +1; exit; r0 = 7; goto -3', r0: 7n },
];

/** Distances of every power of two, forwards and backwards, through a conditional jump. */
function* distances(): Generator<Case> {
  for (let bit = 0; bit < 15; bit++) {
    const gap = 'r0 += 1; '.repeat(2 ** bit);
    yield {
      form: 'JEQ64 K',
      section: SECTION,
      about: `2^${bit}`,
      text: `r0 = 0; if r0 == 0 goto out; ${gap} out: exit`,
      r0: 0n,
    };
    const text = `r0 = 0; goto on; back: exit; ${gap} on: if r0 == 0 goto back; exit`;
    yield { form: 'JEQ64 K', section: SECTION, about: `-2^${bit}`, text, r0: 0n };
  }
}

// 4.3.1 helper functions: arguments r1..r5, result r0, r6..r9 kept. The test functions are in functions.ts.
const HELPERS: Case[] = ['CALL HELPER', 'CALL KFUNC'].flatMap((form): Case[] => {
  const call = (id: number) => (form === 'CALL HELPER' ? `call ${id}` : `call kfunc(${id})`);
  return [
    {
      form,
      section: '4.3.1',
      about: 'five arguments, all 64 bits',
      text: `r1 = 0x100000001 ll; r2 = 2; r3 = 3; r4 = 4; r5 = -5; ${call(1)}; exit`,
      calls: true,
      r0: u(64, 0x100000001n + 10n * 2n + 100n * 3n + 1000n * 4n - 10000n * 5n),
    },
    {
      form,
      section: '4.3.1',
      about: 'r6 to r10 are kept',
      text: `r6 = 6; r7 = 7; r8 = 8; r9 = 9; *(u64 *)(r10 - 8) = 10; ${call(2)};
             r0 = r6; r0 *= 10; r0 += r7; r0 *= 10; r0 += r8; r0 *= 10; r0 += r9; r1 = *(u64 *)(r10 - 8); r0 *= r1; exit`,
      calls: true,
      r0: 67890n,
    },
    {
      form,
      section: '4.3.1',
      about: 'a function of no result gives 0',
      text: `r0 = 5; ${call(2)}; exit`,
      calls: true,
      r0: 0n,
    },
    { form, section: '4.3.1', about: 'a negative number', text: `${call(3)}; exit`, calls: true, r0: u(64, -22n) },
    {
      form,
      section: '4.3.1',
      about: 'memory of the caller',
      text: `*(u32 *)(r10 - 4) = 41; r1 = r10; r1 += -4; ${call(4)}; w0 = *(u32 *)(r10 - 4); exit`,
      calls: true,
      r0: 42n,
    },
    {
      form,
      section: '4.3.1',
      about: 'a missing function',
      text: `${call(99)}; exit`,
      calls: true,
      fault: 'missing_function',
    },
    {
      form,
      section: '4.3.1',
      about: 'a missing function that is not called',
      text: `r0 = 1; goto +1; ${call(99)}; exit`,
      calls: true,
      r0: 1n,
    },
    { form, section: '4.3.1', about: 'a function that throws', text: `${call(5)}; exit`, calls: true, fault: 'host' },
  ];
});

// 4.3.2 program-local functions. Stack and callee-saved registers: psABI (RFC 9669 leaves them to it), kernel verifier.
const LOCAL_FUNCTIONS: Case[] = [
  {
    form: 'CALL SUBPROG',
    section: '4.3.2',
    about: 'arguments and result',
    text: `r1 = 1; r2 = 2; r3 = 3; r4 = 4; r5 = 5; call f; exit
           f: r0 = r1; r0 *= 10; r0 += r2; r0 *= 10; r0 += r3; r0 *= 10; r0 += r4; r0 *= 10; r0 += r5; exit`,
    r0: 12345n,
  },
  {
    form: 'CALL SUBPROG',
    section: '4.3.2',
    about: 'r6 to r9 are restored',
    text: `r6 = 6; r7 = 7; r8 = 8; r9 = 9; call f; r0 = r6; r0 *= 10; r0 += r7; r0 *= 10; r0 += r8; r0 *= 10; r0 += r9; exit
           f: r6 = 1; r7 = 1; r8 = 1; r9 = 1; r0 = 0; exit`,
    r0: 6789n,
  },
  {
    form: 'CALL SUBPROG',
    section: '4.3.2',
    about: 'each frame has a stack of its own',
    text: `*(u64 *)(r10 - 8) = 11; *(u64 *)(r10 - 512) = 22; call f; r0 = *(u64 *)(r10 - 8); r1 = *(u64 *)(r10 - 512); r0 += r1; exit
           f: *(u64 *)(r10 - 8) = 1; *(u64 *)(r10 - 512) = 2; r0 = 0; exit`,
    r0: 33n,
  },
  {
    form: 'CALL SUBPROG',
    section: '4.3.2',
    about: "a function works on its caller's stack",
    text: `*(u64 *)(r10 - 16) = 40; r1 = r10; r1 += -16; call f; r0 = *(u64 *)(r10 - 16); exit
           f: r2 = *(u64 *)(r1 + 0); r2 += 2; *(u64 *)(r1 + 0) = r2; r0 = 0; exit`,
    r0: 42n,
  },
  {
    form: 'CALL SUBPROG',
    section: '4.3.2',
    about: 'backwards',
    text: 'call g; exit; f: r0 = 8; exit; g: call f; r0 += 1; exit',
    r0: 9n,
  },
  {
    form: 'CALL SUBPROG',
    section: '4.3.2',
    about: 'recursion within the depth',
    text: `r1 = 6; call f; exit
           f: if r1 != 0 goto more; r0 = 0; exit
           more: r6 = r1; r1 -= 1; call f; r0 += r6; exit`,
    r0: 21n,
  },
  {
    form: 'CALL SUBPROG',
    section: 'kernel/bpf/verifier.c MAX_CALL_FRAMES',
    about: 'eight frames',
    text: `call f1; exit; ${chain(7)}`,
    r0: 7n,
  },
  {
    form: 'CALL SUBPROG',
    section: 'kernel/bpf/verifier.c MAX_CALL_FRAMES',
    about: 'the ninth frame',
    text: `r1 = 8; call f; exit
           f: if r1 == 0 goto done; r1 -= 1; call f; exit
           done: r0 = 0; exit`,
    fault: 'call_depth',
  },
  {
    form: 'CALLX',
    section: 'kernel/bpf/verifier.c (callx), LLVM',
    about: 'through a code pointer',
    text: 'r6 = func(f) ll; r1 = 20; callx r6; r0 += 1; exit; f: r0 = r1; r0 *= 2; exit',
    r0: 41n,
  },
  {
    form: 'CALLX',
    section: 'kernel/bpf/verifier.c (callx), LLVM',
    about: 'one of two functions',
    text: `r6 = func(f) ll; if r1 == 0 goto +2; r6 = func(g) ll; callx r6; exit
           f: r0 = 1; exit; g: r0 = 2; exit`,
    args: [1n],
    r0: 2n,
  },
  { form: 'CALLX', section: '4.3.2', about: 'no function', text: 'r6 = 5; callx r6; exit', fault: 'bad_code_pointer' },
  {
    form: 'CALLX',
    section: '4.3.2',
    about: 'not the start of a function',
    text: 'r6 = func(f) ll; r6 += 16; callx r6; exit; f: r0 = 1; r0 = 2; exit',
    fault: 'bad_code_pointer',
  },
  {
    form: 'LD_IMM64 FUNC',
    section: '5.4',
    about: 'the same function has one address',
    text: 'r1 = func(f) ll; r0 = func(f) ll; r0 -= r1; call f; exit; f: r0 += 7; exit',
    r0: 7n,
  },
];

function chain(depth: number): string {
  const functions = Array.from({ length: depth - 1 }, (_, i) => `f${i + 1}: call f${i + 2}; r0 += 1; exit`);
  return `${functions.join('; ')}; f${depth}: r0 = 1; exit`;
}

export const SECTION_4_3: readonly Case[] = [
  ...conditional(),
  ...UNCONDITIONAL,
  ...distances(),
  ...HELPERS,
  ...LOCAL_FUNCTIONS,
];
