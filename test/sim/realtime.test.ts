import { afterEach, expect, it } from 'vitest';
import { Kernel } from '../../src/index.js';
import { Machine, ms, run, type Scenario, sleep } from '../../src/sim/index.js';

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

const fifo = (name: string, priority: number, steps: Scenario['tasks'][number]['steps']) => ({
  name,
  policy: 'fifo' as const,
  priority,
  steps,
});

/** Which CPUs a task got, in order, on a machine of two. */
async function places(scenario: Scenario, name: string) {
  const kernel = await Kernel.create({ cpus: 2 });
  kernels.push(kernel);
  const machine = new Machine(kernel);
  const cpus: number[] = [];
  machine.load(scenario);
  machine.onSwitch = (cpu, _before, after) => {
    if (after?.name === name) cpus.push(cpu.id);
  };
  machine.run(ms(30));
  return cpus;
}

const busy = [
  { name: 'x', cpus: [0], steps: [run(ms(30))] },
  { name: 'y', cpus: [1], steps: [run(ms(30))] },
];

it('pushes a task that is preempted to the CPU of a less urgent one', async () => {
  const low = { ...fifo('low', 10, [run(ms(8))]), cpu: 0 };
  const high = { ...fifo('high', 20, [sleep(ms(2)), run(ms(2))]), cpus: [0] };
  expect(await places({ tasks: [...busy, low, high] }, 'low')).toEqual([0, 1]);
});

it('leaves one that may not go where it is', async () => {
  const low = { ...fifo('low', 10, [run(ms(8))]), cpus: [0] };
  const high = { ...fifo('high', 20, [sleep(ms(2)), run(ms(2))]), cpus: [0] };
  expect(await places({ tasks: [...busy, low, high] }, 'low')).toEqual([0, 0, 0]);
});

it('pulls one that waits when a CPU has no more urgent one left', async () => {
  const tasks = [
    { ...fifo('a', 20, [run(ms(10))]), cpus: [0] },
    { ...fifo('b', 20, [run(ms(4))]), cpus: [1] },
    { ...fifo('low', 10, [run(ms(3))]), cpu: 0 },
  ];
  expect(await places({ tasks }, 'low')).toEqual([1]);
});
