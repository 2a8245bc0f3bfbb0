import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Counter } from '../../samples/counter_ops.js';
import { type BpfObject, Kernel, openObject } from '../../src/index.js';
import { PROFILES } from '../sched_ext/harness.js';

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

async function kernelOf(profile: string): Promise<Kernel> {
  const kernel = await Kernel.create({ profile, windowBytes: 1 << 24, faults: 'strict' });
  kernels.push(kernel);
  return kernel;
}

async function open(name: string): Promise<BpfObject> {
  const url = new URL(`../../samples/${name}.bpf.o`, import.meta.url);
  return openObject(new Uint8Array(await readFile(url)), { name });
}

describe.each(PROFILES)('counter_ops, a subsystem from outside the package, on %s', (profile) => {
  it('calls the programs of an object that implements its type', async () => {
    const kernel = await kernelOf(profile);
    const counter = new Counter(kernel);
    const object = (await open('counter_ops')).load(kernel);
    object.attach();
    expect(counter.count([2, 3, 4, 5, 6])).toBe(12n);
    expect(counter.reports).toEqual([12n, 5n]);
    expect(object.variable('refused').get()).toBe(2);
  });

  it('learns of an error, and whether the count was complete', async () => {
    const kernel = await kernelOf(profile);
    const counter = new Counter(kernel);
    const object = await open('counter_ops');
    object.variable('limit').set(10);
    object.load(kernel).attach();
    expect(counter.count([4, 4, 4, 4])).toBe(8n);
    expect(counter.reports).toEqual([8n, 3n]);
    expect(kernel.trace).toEqual(['stopped at 8']);
  });

  it('takes one implementation at a time, and none is fine', async () => {
    const kernel = await kernelOf(profile);
    const counter = new Counter(kernel);
    expect(counter.count([2])).toBe(0n);
    const first = (await open('counter_ops')).load(kernel);
    first.attach();
    const second = (await open('counter_ops')).load(kernel);
    expect(() => second.attach()).toThrow('EBUSY');
    first.close();
    second.attach();
    expect(counter.count([2])).toBe(2n);
  });

  it('refuses one without a name', async () => {
    const kernel = await kernelOf(profile);
    new Counter(kernel);
    const object = await open('counter_ops');
    object.structOpsMap('evens').set('name', '');
    object.load(kernel);
    expect(() => object.attach()).toThrow('EINVAL');
  });

  it('is unknown to a kernel without it', async () => {
    const object = await open('counter_ops');
    const kernel = await kernelOf(profile);
    expect(() => object.load(kernel)).toThrow('counter_ops');
  });
});

describe.each(PROFILES)('setup, a program for user space to run, on %s', (profile) => {
  function request(first: number, count: number): Uint8Array {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, first, true);
    view.setUint32(4, count, true);
    return bytes;
  }

  it('fills a table from its context and answers in it', async () => {
    const kernel = await kernelOf(profile);
    const object = (await open('setup')).load(kernel);
    const ctx = request(10, 4);
    const result = object.program('fill_squares').testRun({ ctx });
    expect(result.retval).toBe(4);
    expect(new DataView((result.ctx as Uint8Array).buffer).getBigUint64(8, true)).toBe(100n + 121n + 144n + 169n);
    expect([0, 1, 2, 3, 4].map((i) => object.map('squares').lookup(i))).toEqual([100n, 121n, 144n, 169n, 0n]);
    expect(kernel.trace).toEqual(['4 squares from 10']);
  });

  it('reads the configuration of the kernel', async () => {
    const kernel = await kernelOf(profile);
    const object = (await open('setup')).load(kernel);
    object.program('fill_squares').testRun({ ctx: request(0, 0) });
    expect(object.variable('ticks_per_second').get()).toBe(profile === '6.12' ? 1000 : 250);
  });

  it('refuses more squares than the table holds', async () => {
    const kernel = await kernelOf(profile);
    const object = (await open('setup')).load(kernel);
    expect(object.program('fill_squares').testRun({ ctx: request(0, 257) }).retval).toBe(0xffff_ffea); // -EINVAL as a u32
  });
});
