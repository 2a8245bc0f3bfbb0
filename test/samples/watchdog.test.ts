import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type BpfObject, Kernel, openObject } from '../../src/index.js';
import { PROFILES } from '../sched_ext/harness.js';

// samples/watchdog.bpf.c: a timer in each element of a map.

const ENOENT = 2;
const EEXIST = 17;

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

async function load(profile: string): Promise<{ kernel: Kernel; object: BpfObject }> {
  const kernel = await Kernel.create({ profile, windowBytes: 1 << 24, faults: 'strict' });
  kernels.push(kernel);
  const bytes = new Uint8Array(await readFile(new URL('../../samples/watchdog.bpf.o', import.meta.url)));
  const object = openObject(bytes, { name: 'watchdog' });
  object.load(kernel);
  return { kernel, object };
}

const us = (n: number) => n * 1000;

/** struct request: u32 name, u64 period. */
function run(object: BpfObject, program: string, name: number, period = 0): number {
  const ctx = new Uint8Array(BigUint64Array.of(BigInt(name), BigInt(period)).buffer);
  return object.program(program).testRun({ ctx }).retval | 0;
}

describe.each(PROFILES)('watchdog on %s', (profile) => {
  it('barks when nobody feeds it, and on and on', async () => {
    const { kernel, object } = await load(profile);
    expect(run(object, 'adopt', 1, us(100))).toBe(0);
    expect(run(object, 'adopt', 2, us(250))).toBe(0);
    expect(run(object, 'adopt', 1, us(100))).toBe(-EEXIST);
    kernel.clock.advance(us(90));
    expect(run(object, 'feed', 1)).toBe(0);
    kernel.clock.advance(us(90));
    expect(kernel.trace).toEqual([]);
    kernel.clock.advance(us(120));
    expect(kernel.trace.map((line) => line.replace(/^.*: dog/, 'dog'))).toEqual([
      'dog 1: nobody has fed me for 100000 ns',
      'dog 2: nobody has fed me for 250000 ns',
      'dog 1: nobody has fed me for 200000 ns',
    ]);
    expect(object.variable('total_barks').get()).toBe(3n);
    expect(object.map('dogs').lookup(1)).toMatchObject({ period: 100_000n, fed_at: 90_000n, barks: 2n });
  });

  it('is silent once it is given away or unloaded', async () => {
    const { kernel, object } = await load(profile);
    for (const name of [1, 2, 3]) run(object, 'adopt', name, 10);
    expect(run(object, 'give_away', 2)).toBe(0);
    expect(run(object, 'give_away', 2)).toBe(-ENOENT);
    expect(run(object, 'feed', 2)).toBe(-ENOENT);
    kernel.clock.advance(10);
    expect(object.variable('total_barks').get()).toBe(2n);
    object.close();
    expect(kernel.clock.pending).toBe(0);
  });
});
