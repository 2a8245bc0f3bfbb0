import type { Case } from './cases.js';
import { bytesOf, EDGES, numberOf, u } from './reference.js';

// RFC 9669 section 4.2, byte swap instructions, on a little-endian guest.

const reversed = (bits: number, d: bigint) => numberOf(bytesOf(d, bits / 8).reverse());

function* swaps(): Generator<Case> {
  for (const d of [...EDGES, 0x0102030405060708n, 0x80828486888a8c8en, 0xaabbccdd11223344n]) {
    for (const bits of [16, 32, 64]) {
      const about = bits < 64 ? 'and the bits above are zeroed' : '';
      const swap = { section: '4.2', about, args: [d] };
      yield { ...swap, form: `LE${bits}`, text: `r0 = r1; r0 = le${bits} r0; exit`, r0: u(bits, d) };
      yield { ...swap, form: `BE${bits}`, text: `r0 = r1; r0 = be${bits} r0; exit`, r0: reversed(bits, d) };
      yield { ...swap, form: `BSWAP${bits}`, text: `r0 = r1; r0 = bswap${bits} r0; exit`, r0: reversed(bits, d) };
    }
  }
}

export const SECTION_4_2: readonly Case[] = [...swaps()];
