import type { Case } from './cases.js';

// Every kind of access at addresses that it must not reach: NULL, outside the guest window, and (object checks) before,
// over and behind the end of an object. Nothing may be written.

const MEMORY = Array.from({ length: 24 }, (_, i) => i + 1);

const SIZES = [
  { name: 'B', bits: 8 },
  { name: 'H', bits: 16 },
  { name: 'W', bits: 32 },
  { name: 'DW', bits: 64 },
] as const;

/** Accesses of `bits` at r1 + offset, by form. */
function accesses(name: string, bits: number): [form: string, text: string][] {
  const r = bits === 64 ? 'r' : 'w';
  const at = (type: string) => `*(${type}${bits} *)(r1 + 0)`;
  const suffix = bits === 64 ? '_64' : '32_32';
  return [
    [`LDX MEM ${name}`, `r0 = ${at('u')}`],
    [`ST MEM ${name}`, `${at('u')} = 7`],
    [`STX MEM ${name}`, `${at('u')} = r2`],
    [`LOAD_ACQ ${name}`, `${r}0 = load_acquire((u${bits} *)(r1 + 0))`],
    [`STORE_REL ${name}`, `store_release((u${bits} *)(r1 + 0), ${r}2)`],
    ...(bits < 64 ? ([[`LDX MEMSX ${name}`, `r0 = ${at('s')}`]] as [string, string][]) : []),
    ...(bits < 32
      ? []
      : ([
          [`ATOMIC ${name} ADD`, `lock ${at('u')} += ${r}2`],
          [`ATOMIC ${name} XOR FETCH`, `${r}2 = atomic_fetch_xor((u${bits} *)(r1 + 0), ${r}2)`],
          [`ATOMIC ${name} XCHG`, `${r}2 = xchg${suffix}(r1 + 0, ${r}2)`],
          [`ATOMIC ${name} CMPXCHG`, `${r}0 = cmpxchg${suffix}(r1 + 0, ${r}0, ${r}2)`],
        ] as [string, string][])),
  ];
}

function* faults(): Generator<Case> {
  const section = 'memory faults';
  for (const { name, bits } of SIZES) {
    const bytes = bits / 8;
    for (const [form, access] of accesses(name, bits)) {
      const memory = MEMORY;
      const run = `r0 = 1; ${access}; r0 = 1; exit`;
      for (const address of [0n, 1n, 4096n - BigInt(bytes)]) {
        const text = `r1 = ${address} ll; ${run}`;
        yield { form, section, about: 'NULL', text, memory, fault: 'null' };
      }
      // Over the window from every side, and where only part of an address is a guest's.
      for (const address of ['0x7fff00000000', '0x8000000000000000', '0xffffffff00000000', '0x7fffffffffffffff']) {
        yield {
          form,
          section,
          about: 'no guest address',
          text: `r1 = ${address} ll; ${run}`,
          memory,
          fault: 'out_of_window',
        };
      }
      yield { form, section, about: 'a truncated pointer', text: `w1 = w1; ${run}`, memory, fault: 'out_of_window' };
      yield {
        form,
        section,
        about: 'the high half of a pointer',
        text: `r1 >>= 32; r1 <<= 32; ${run}`,
        memory,
        checks: 'object',
        fault: 'null',
      };
      for (const offset of [-1, -bytes, MEMORY.length - bytes + 1, MEMORY.length, MEMORY.length + 8]) {
        const text = `r1 += ${offset}; ${run}`;
        yield { form, section, about: 'outside its object', text, memory, checks: 'object', fault: 'out_of_bounds' };
      }
      const stack = access.replace('r1 + 0', `r10 - ${512 + bytes}`);
      yield {
        form,
        section,
        about: 'below its frame',
        text: `r2 = 0; r0 = 1; ${stack}; exit`,
        checks: 'object',
        fault: 'out_of_bounds',
      };
      const above = access.replace('r1 + 0', 'r10 + 0');
      yield {
        form,
        section,
        about: 'above its frame',
        text: `r2 = 0; r0 = 1; ${above}; exit`,
        checks: 'object',
        fault: 'out_of_bounds',
      };
    }
  }
}

export const FAULTS: readonly Case[] = [...faults()];
