import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type BpfObject, Kernel, openObject } from '../../src/index.js';
import { PROFILES } from '../sched_ext/harness.js';

// samples/deadlines.bpf.c: jobs in a tree and a list.

const ENOENT = 2;

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

async function load(profile: string): Promise<{ kernel: Kernel; object: BpfObject }> {
  const kernel = await Kernel.create({ profile, windowBytes: 1 << 24, faults: 'strict' });
  kernels.push(kernel);
  const bytes = new Uint8Array(await readFile(new URL('../../samples/deadlines.bpf.o', import.meta.url)));
  const object = openObject(bytes, { name: 'deadlines' });
  object.load(kernel);
  return { kernel, object };
}

/** struct request: id, deadline. */
function run(object: BpfObject, program: string, id = 0n, deadline = 0n) {
  const { retval, ctx } = object
    .program(program)
    .testRun({ ctx: new Uint8Array(BigUint64Array.of(id, deadline).buffer) });
  return { retval: retval | 0, id: new BigUint64Array(ctx!.slice().buffer)[0] };
}

describe.each(PROFILES)('deadlines on %s', (profile) => {
  it('runs jobs by deadline and forgets them by arrival', async () => {
    const { kernel, object } = await load(profile);
    const jobs: [bigint, bigint][] = [
      [1n, 50n],
      [2n, 20n],
      [3n, 90n],
      [4n, 20n],
    ];
    for (const [id, deadline] of jobs) expect(run(object, 'submit', id, deadline).retval).toBe(0);
    expect(kernel.fields.objects.count).toBe(4);
    expect([1, 2, 3].map(() => run(object, 'run_next').id)).toEqual([2n, 4n, 1n]);
    expect([1, 2, 3, 4].map(() => run(object, 'forget_oldest').id)).toEqual([1n, 2n, 3n, 4n]);
    expect(run(object, 'forget_oldest').retval).toBe(-ENOENT);
    // 3 has not run yet, and the map keeps 1.
    expect(kernel.fields.objects.count).toBe(2);
    expect(run(object, 'run_next').id).toBe(3n);
    expect(run(object, 'run_next').retval).toBe(-ENOENT);
    expect(kernel.fields.objects.count).toBe(1);
  });

  it('leaves nothing behind when it is unloaded', async () => {
    const { kernel, object } = await load(profile);
    for (let id = 1n; id <= 100n; id++) run(object, 'submit', id, 1000n - id);
    for (let i = 0; i < 10; i++) run(object, 'run_next');
    object.close();
    expect(kernel.fields.objects.count).toBe(0);
  });
});
