import { afterEach, expect, it } from 'vitest';
import { Kernel } from '../../src/index.js';
import { Machine, ms, policy, run, type Scenario, type SimStep, sleep } from '../../src/sim/index.js';

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

const of = (runtimeNs: number, periodNs: number) => ({ runtimeNs, deadlineNs: periodNs, periodNs });
const served = (name: string, runtimeNs: number, periodNs: number, steps: SimStep[]) => ({
  name,
  policy: 'deadline' as const,
  deadline: of(runtimeNs, periodNs),
  steps,
});
const become = (task: string, runtimeNs: number, periodNs: number): SimStep => ({
  verb: 'policy',
  task,
  name: 'deadline',
  priority: 0,
  deadline: of(runtimeNs, periodNs),
});

/** When a task got which CPU, in ms, in order, on a machine of two. */
async function places(scenario: Scenario, name: string) {
  const kernel = await Kernel.create({ cpus: 2 });
  kernels.push(kernel);
  const machine = new Machine(kernel);
  const got: [atMs: number, cpu: number][] = [];
  machine.load(scenario);
  const start = machine.now;
  machine.onSwitch = (cpu, _before, after) => {
    if (after?.name === name) got.push([Math.round((machine.now - start) / 1e6), cpu.id]);
  };
  machine.run(ms(40));
  return got;
}
const cpus = async (scenario: Scenario, name: string) => (await places(scenario, name)).map(([, cpu]) => cpu);

const busy = [
  { name: 'x', cpus: [0], steps: [run(ms(40))] },
  { name: 'y', cpus: [1], steps: [run(ms(40))] },
];

it('pushes a waiting task that comes to the class to another CPU, though its own runs none of the class', async () => {
  const tasks = [
    { name: 'x', cpus: [0], steps: [run(ms(2)), become('w', ms(5), ms(30)), run(ms(20))] },
    { name: 'y', cpus: [1], steps: [run(ms(40))] },
    { name: 'w', cpu: 0, steps: [run(ms(3))] },
  ];
  expect((await cpus({ tasks }, 'w')).slice(-1)).toEqual([1]);
});

it('pushes a task that has got new runtime, but not one that may not go', async () => {
  const hog = served('dl', ms(2), ms(10), [run(ms(6))]);
  const moves = await places({ tasks: [...busy, { ...hog, cpu: 0 }] }, 'dl');
  expect(moves.map(([, cpu]) => cpu)).toEqual([0, 1, 0]);
  expect(moves[1]![0]).toBe(10);
  expect(await cpus({ tasks: [...busy, { ...hog, cpus: [0] }] }, 'dl')).toEqual([0, 0, 0]);
});

it('wakes a task of a later deadline where none of the class runs', async () => {
  const soon = { ...served('soon', ms(8), ms(20), [sleep(ms(1)), run(ms(7))]), cpus: [0] };
  const late = { ...served('late', ms(8), ms(40), [sleep(ms(3)), run(ms(2))]), cpu: 0 };
  expect((await cpus({ tasks: [...busy, soon, late] }, 'late')).slice(-1)).toEqual([1]);
});

it('wakes a task of an earlier deadline elsewhere, where one of the class runs that may not make room on another CPU', async () => {
  const pinned = { ...served('pinned', ms(8), ms(40), [run(ms(7))]), cpus: [0] };
  const soon = { ...served('soon', ms(2), ms(10), [sleep(ms(3)), run(ms(1))]), cpu: 0 };
  const tasks = [...busy, pinned, soon];
  expect((await cpus({ tasks }, 'soon')).slice(-1)).toEqual([1]);
  expect(await cpus({ tasks }, 'pinned')).toEqual([0]);
});

it('keeps runtime and deadline of a task that leaves the class and comes back', async () => {
  const steps = [run(ms(3)), policy('self', 'ext'), run(ms(1)), become('self', ms(4), ms(20)), run(ms(3))];
  const times = await places({ tasks: [{ ...served('dl', ms(4), ms(20), steps), cpus: [0] }] }, 'dl');
  expect(times[times.length - 1]![0]).toBe(20);
});
