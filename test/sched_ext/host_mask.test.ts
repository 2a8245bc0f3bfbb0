import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Kernel } from '../../src/index.js';
import { HostMask } from '../../src/sched_ext/host_mask.js';

const CPUS = 100;
const cpus = fc.uniqueArray(fc.nat(CPUS - 1)).map((list) => list.sort((a, b) => a - b));

describe('a mask that the host keeps', async () => {
  const kernel = await Kernel.create({ cpus: CPUS, windowBytes: 64 * 2 ** 20 });
  const { cpumasks } = kernel;
  const a = new HostMask(cpumasks, 'a');
  const b = new HostMask(cpumasks, 'b');
  const scratch = new HostMask(cpumasks, null);

  it('finds the CPUs that two masks share, wherever the search begins', () => {
    fc.assert(
      fc.property(cpus, cpus, fc.nat(CPUS - 1), (ofA, ofB, start) => {
        a.assign(ofA);
        b.assign(ofB);
        const next = ofA.find((cpu) => cpu >= start && ofB.includes(cpu)) ?? -1;
        expect([a.nextAnd(b, start), a.nextAndAt(b.ptr, start)]).toEqual([next, next]);
        const shared = ofA.filter((cpu) => ofB.includes(cpu));
        expect(scratch.narrow(a, b.ptr)).toBe(shared.length > 0);
        expect(b.nextAnd(scratch, 0)).toBe(shared[0] ?? -1);
      }),
    );
  });

  it('is what programs see', () => {
    fc.assert(
      fc.property(cpus, fc.nat(CPUS - 1), fc.nat(CPUS - 1), (list, more, less) => {
        a.assign(list);
        a.set(more);
        a.clear(less);
        const held = cpumasks.list(a.ptr);
        expect(held).toEqual(cpumasks.all.filter((cpu) => cpu !== less && (cpu === more || list.includes(cpu))));
        expect(cpumasks.all.filter((cpu) => a.test(cpu))).toEqual(held);
      }),
    );
  });
});
