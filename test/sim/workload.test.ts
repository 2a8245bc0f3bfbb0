import { readFileSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { InputError } from '../../src/errors.js';
import { Kernel, openObject } from '../../src/index.js';
import {
  affinity,
  forever,
  fork,
  lock,
  Machine,
  ms,
  nice,
  removeCgroup,
  repeat,
  run,
  type Scenario,
  type SimStep,
  spin,
  type TaskSpec,
  wait,
} from '../../src/sim/index.js';
import { checkScenario } from '../../src/sim/scenario_check.js';

const FIFO = new Uint8Array(readFileSync(new URL('../../samples/scx_fifo.bpf.o', import.meta.url)));
const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

/** The CPU on which each task was born. */
const births = new Map<string, number>();

async function play(scenario: Scenario): Promise<Machine> {
  const kernel = await Kernel.create({ cpus: 4 });
  kernels.push(kernel);
  const machine = new Machine(kernel);
  const object = openObject(FIFO);
  object.load(kernel);
  const workload = machine.load(scenario);
  const { onBorn } = workload;
  workload.onBorn = (task, spec) => {
    births.set(task.name, task.scx.cpu);
    onBorn?.(task, spec);
  };
  object.structOpsMap('fifo_ops').attach();
  machine.run(ms(50));
  return machine;
}

it('makes cgroups below others, with those above them', async () => {
  const steps = [run(ms(100))];
  const machine = await play({
    cgroups: [{ name: 'a/b/c', weight: 300 }, { name: 'a/d' }, { name: 'a', weight: 50 }],
    tasks: [{ name: 't', cgroup: 'a/b/c', steps }],
  });
  const { cgroups } = machine.kernel;
  expect(['/a', '/a/b', '/a/b/c', '/a/d'].map((path) => cgroups.byPath(path)?.path)).toEqual([
    '/a',
    '/a/b',
    '/a/b/c',
    '/a/d',
  ]);
  expect(machine.workload!.tasks.get('t')).toMatchObject({ kt: { cgroup: { path: '/a/b/c' } } });
});

it('gives tasks the comm and the first CPU that they are to have', async () => {
  const machine = await play({
    tasks: [
      { name: 'a task of a name too long', cpu: 3, cpus: [2, 3], steps: [run(ms(100))] },
      { name: 'parent', comm: 'p', steps: [fork('child'), run(ms(100))] },
      { name: 'child', comm: 'cödecödecöde', steps: [run(ms(100))] },
    ],
  });
  const task = (name: string) => {
    const found = machine.workload!.tasks.get(name);
    if (typeof found !== 'object') throw new Error(name);
    return found;
  };
  expect(task('a task of a name too long').kt.comm).toBe('a task of a nam');
  expect(births.get('a task of a name too long')).toBe(3);
  expect([task('parent').kt.comm, task('child').kt.comm]).toEqual(['p', 'cödecödecöde']);
});

it('has tasks that are called like what every object has', async () => {
  const names = ['__proto__', 'constructor', 'toString'];
  const machine = await play({
    tasks: [
      { name: 'parent', steps: [fork('constructor'), run(ms(1))] },
      { name: 'constructor', steps: [run(ms(1))] },
      { name: '__proto__', steps: [run(ms(1))] },
      { name: 'toString', steps: [run(ms(1))] },
    ],
  });
  const ran = machine.report().tasks.filter(({ name }) => names.includes(name));
  expect(ran.map(({ name, runNs }) => [name, runNs >= ms(1)]).sort()).toEqual(names.map((name) => [name, true]).sort());
});

it('spins by the clock, on a CPU of its own for as long', async () => {
  const machine = await play({ tasks: [{ name: 't', steps: [spin(ms(7))] }] });
  const { runNs } = machine.report().tasks[0]!;
  expect(runNs).toBeGreaterThanOrEqual(ms(7));
  expect(runNs).toBeLessThan(ms(7.2));
});

it('wakes a parent that waits for one child when that one exits, not before', async () => {
  const waits = async (...steps: SimStep[]) => {
    const machine = await play({
      tasks: [
        { name: 'parent', steps: [fork('long'), fork('short'), ...steps, run(ms(1))] },
        { name: 'long', steps: [run(ms(6))] },
        { name: 'short', steps: [run(ms(2))] },
      ],
    });
    return machine.report().tasks.find(({ name }) => name === 'parent')!.wakeups;
  };
  const fromFork = 1;
  expect(await waits(wait('long'), wait('short'))).toBe(fromFork + 1);
  expect(await waits(wait('short'), wait('long'))).toBe(fromFork + 2);
  expect(await waits(wait())).toBe(fromFork + 2);
  expect(await waits(wait('long'), wait('long'))).toBe(fromFork + 1);
});

function nested(depth: number): SimStep {
  let step = run(1);
  for (let i = 0; i < depth; i++) step = repeat(1, step);
  return step;
}

it.each([
  [{ name: 't', copies: 2, steps: [fork('t')] }, /tasks\[0\]\.steps\[0\]: t has several copies: fork one of them/],
  [{ name: 't', copies: 2, steps: [wait('t')] }, /tasks\[0\]\.steps\[0\]: t has several copies: wait for one of them/],
  [{ name: 't', steps: [wait('self')] }, /steps\[0\]: a task is no child of its own/],
  [{ name: 't', steps: [wait('u')] }, /steps\[0\]: no task u/],
  [{ name: 't', cpu: 4, steps: [] }, /tasks\[0\]\.cpu: no CPU 4/],
  [{ name: 't', cpu: 1, cpus: [0], steps: [] }, /tasks\[0\]\.cpu: CPU 1 is not among its cpus/],
  [{ name: 't', cgroup: 'a//b', steps: [] }, /tasks\[0\]\.cgroup: no cgroup a\/\/b/],
  [{ name: 't', steps: [removeCgroup('a')] }, /tasks\[0\]\.steps\[0\]: no cgroup a$/],
  [{ name: 't', steps: [forever()] }, /tasks\[0\]\.steps\[0\]\.times: a loop without steps takes no time/],
  [{ name: 't', steps: [repeat(2, forever())] }, /steps\[0\]\.steps\[0\]\.times: a loop without steps/],
  [{ name: 't', repeat: Number.POSITIVE_INFINITY, steps: [] }, /tasks\[0\]\.repeat: a loop without steps/],
  [{ name: 't', steps: undefined as never }, /^scenario: tasks\[0\]\.steps is undefined, not an array$/],
  [{ name: 't', steps: [null as never] }, /^scenario: tasks\[0\]\.steps\[0\] is null, not an object$/],
  [{ name: 't', steps: [{ verb: 'x' } as never] }, /^scenario: tasks\[0\]\.steps\[0\]: no verb "x"$/],
  [{ name: 't', steps: [{ verb: 'toString' } as never] }, /: no verb "toString"$/],
  [
    { name: 't', steps: [run(undefined as never)] },
    /steps\[0\]\.ns is undefined, not a number of ns, or a distribution/,
  ],
  [{ name: 't', steps: [run('3ms' as never)] }, /steps\[0\]\.ns is "3ms", not a number of ns/],
  [{ name: 't', steps: [run({ uniform: [1] } as never)] }, /steps\[0\]\.ns is an object, not a number of ns/],
  [{ name: 't', steps: [run(-5)] }, /steps\[0\]: -5 is no number of ns$/],
  [{ name: 't', steps: [lock(undefined as never)] }, /steps\[0\]\.mutex is undefined, not a string$/],
  [{ name: 't', steps: [nice('self', '5' as never)] }, /steps\[0\]\.value is "5", not an integer$/],
  [{ name: 't', steps: [affinity('self')] }, /steps\[0\]: no CPUs$/],
  [
    { name: 't', steps: [repeat(-1, run(1))] },
    /^scenario: tasks\[0\]\.steps\[0\]\.times is -1, not a number of rounds$/,
  ],
  [
    { name: 't', steps: [repeat(2, repeat(2, null as never))] },
    /steps\[0\]\.steps\[0\]\.steps\[0\] is null, not an object$/,
  ],
  [{ name: 't', steps: [nested(10_000)] }, /: loops nest deeper than 64$/],
])('task %# is refused', async (task: TaskSpec, message) => {
  await expect(play({ tasks: [task] })).rejects.toThrow(message);
});

it.each([
  [{ quotaNs: ms(5), periodNs: ms(10), burstNs: 1 }, 'cgroups[0].max.burstNs: 1 ns are no whole us'],
  [{ quotaNs: ms(5) + 1, periodNs: ms(10), burstNs: 0 }, `cgroups[0].max.quotaNs: ${ms(5) + 1} ns are no whole us`],
  [{ quotaNs: ms(5), periodNs: ms(10), burstNs: ms(6) }, `cgroups[0].max.burstNs: ${ms(6)} is not from 0 to ${ms(5)}`],
])('refuses a cpu.max that no file of a cgroup takes: %o', (max, message) => {
  const scenario = { cgroups: [{ name: 'g', max }], tasks: [{ name: 't', steps: [] }] };
  expect(() => checkScenario(scenario, 1)).toThrow(new InputError(`scenario: ${message}`));
});

it('refuses tasks of which none begins', async () => {
  const kernel = await Kernel.create({ windowBytes: 1 << 26 });
  try {
    const circle = [
      { name: 'a', steps: [fork('b')] },
      { name: 'b', steps: [fork('a')] },
    ];
    const machine = new Machine(kernel);
    expect(() => machine.load({ tasks: circle })).toThrow(
      'scenario: tasks: none begins: each is forked by one of them',
    );
    machine.load({ tasks: [{ ...circle[0]!, startNs: 0 }, circle[1]!] });
  } finally {
    kernel.dispose();
  }
});
