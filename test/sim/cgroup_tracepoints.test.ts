import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Kernel, openObject } from '../../src/index.js';
import { enterCgroup, Machine, makeCgroup, ms, removeCgroup, run, sleep } from '../../src/sim/index.js';

const TRACE = readFileSync(new URL('./fixtures/cgroups.bpf.o', import.meta.url));
const FIFO = readFileSync(new URL('../../samples/scx_fifo.bpf.o', import.meta.url));
const WHAT = ['', 'mkdir', 'rmdir', 'attach', 'attach of a thread'];

// kernel/cgroup/cgroup.c: cgroup_mkdir(), cgroup_attach_task() and cgroup_rmdir() say what they did when it is done.
it.each(['6.12', '6.18', '7.3'] as const)('cgroups made, entered and removed are told on %s', async (profile) => {
  const kernel = await Kernel.create({ cpus: 2, profile });
  const machine = new Machine(kernel);
  const trace = openObject(TRACE, { name: 'cgroups' });
  trace.load(kernel);
  trace.attachPrograms();
  const object = openObject(FIFO);
  object.load(kernel);
  const read = () => {
    const events = trace.variable('events').get() as { [name: string]: number | string }[];
    return events.slice(0, trace.variable('count').get() as number);
  };
  let before = -1;
  kernel.cgroups.onRemove.add(() => {
    before = read().length;
  });
  const workload = machine.load({
    cgroups: [{ name: 'a/b' }],
    tasks: [
      {
        name: 't',
        cgroup: 'a/b',
        steps: [
          makeCgroup('made'),
          enterCgroup('self', 'made'),
          enterCgroup('self', 'made'),
          removeCgroup('made'),
          enterCgroup('self', '/'),
          removeCgroup('made'),
          sleep(ms(1)),
          enterCgroup('other', 'a'),
        ],
      },
      { name: 'other', steps: [run(ms(5))] },
    ],
  });
  object.structOpsMap('fifo_ops').attach();
  machine.run(ms(3));
  const [t, other] = ['t', 'other'].map((name) => workload.tasks.get(name));
  if (typeof t !== 'object' || typeof other !== 'object') throw new Error('no task');
  const told = read().map(({ what, level, pid, online, path }) => [WHAT[what as number], level, pid, online, path]);
  expect(told).toEqual([
    ['mkdir', 1, 0, 2, '/a'],
    ['mkdir', 2, 0, 2, '/a/b'],
    ['mkdir', 1, 0, 2, '/made'],
    ['attach', 1, t.kt.pid, 2, '/made'],
    ['attach', 1, t.kt.pid, 2, '/made'],
    ['attach', 0, t.kt.pid, 2, '/'],
    ['rmdir', 1, 0, 0, '/made'],
    ['attach', 1, other.kt.pid, 2, '/a'],
  ]);
  expect(before).toBe(7);
  trace.close();
  object.close();
  kernel.dispose();
});
