import { expect, it } from 'vitest';
import { Pair, wildOf } from './pair.js';

// The same programs on both engines: r0, registers and place of faults, exact counts of insns, memory, loads that read 0. The
// programs of `npm run fuzz -- --target engines` are the same, without end.

const PROGRAMS = Number(process.env.VMTABLE_PROGRAMS ?? 20_000);
const SEED = Number(process.env.VMTABLE_SEED ?? 1);

it(`both engines agree on ${PROGRAMS} programs`, { timeout: 600_000 }, async () => {
  const pair = await Pair.create();
  for (let seed = SEED; seed < SEED + PROGRAMS; seed++) {
    const { program, variant } = wildOf(seed);
    if (pair.difference(program, variant) !== undefined) throw new Error(pair.explain(program, variant));
  }
  // Otherwise nothing much was compared.
  const share = (end: string) => (pair.ends.get(end) ?? 0) / PROGRAMS;
  expect(share('result')).toBeGreaterThan(0.4);
  expect(share('out_of_fuel')).toBeGreaterThan(0.01);
  expect(share('out_of_fuel')).toBeLessThan(0.2);
  const faults = ['null', 'out_of_window', 'out_of_bounds', 'call_depth', 'host', 'bad_code_pointer'];
  expect(faults.filter((kind) => share(kind) < 0.001)).toEqual([]);
  pair.dispose();
});
