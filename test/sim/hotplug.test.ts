import { afterEach, expect, it } from 'vitest';
import { Kernel } from '../../src/index.js';
import { affinity, Machine, ms, run, type Scenario, sleep } from '../../src/sim/index.js';

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

/** What a machine of two CPUs switches to, by time, while it runs a scenario without a scheduler. */
async function play(scenario: Scenario, ns: number) {
  const kernel = await Kernel.create({ cpus: 2 });
  kernels.push(kernel);
  const machine = new Machine(kernel);
  const switches: { at: number; cpu: number; to: string }[] = [];
  machine.load(scenario);
  machine.onSwitch = (cpu, _before, after) => switches.push({ at: machine.now, cpu: cpu.id, to: after?.name ?? '-' });
  machine.run(ns);
  return { machine, switches };
}

it('has the thread of a CPU take it down while the caller sleeps', async () => {
  const steps = [run(ms(1)), { verb: 'cpu' as const, cpu: 1, online: false }, run(ms(1))];
  const { machine, switches } = await play({ tasks: [{ name: 'a', cpus: [0], steps }] }, ms(30));
  expect(machine.cpus.map(({ online, active }) => online && active)).toEqual([true, false]);
  const [first, again] = switches.filter(({ to }) => to === 'cpuhp/1');
  expect(first).toMatchObject({ cpu: 1 });
  // It sleeps for a grace period, then it is over.
  expect(again!.at - first!.at).toBeGreaterThan(machine.costs.gracePeriod);
  const runs = switches.filter(({ to }) => to === 'a').map(({ at }) => at);
  // stop_machine() takes the CPU from it once more while the other one goes.
  expect(runs).toHaveLength(3);
  const [mine, other] = ['migration/0', 'migration/1'].map(
    (name) => switches.filter(({ to }) => to === name).at(-1)!.at,
  );
  expect(Math.max(mine!, other!)).toBeLessThan(runs[2]!);
  expect(mine!).toBeGreaterThan(runs[1]!);
  expect(runs[1]).toBeGreaterThanOrEqual(again!.at);
  expect(switches.filter(({ cpu }) => cpu === 1).at(-1)).toMatchObject({ to: '-' });
});

it('moves what runs there, and one CPU at a time comes and goes', async () => {
  const { machine, switches } = await play(
    {
      tasks: [{ name: 'b', cpu: 1, cpus: [0, 1], steps: [run(ms(40))] }],
      events: [
        { atNs: ms(2), verb: 'cpu', cpu: 1, online: false },
        { atNs: ms(2), verb: 'cpu', cpu: 1, online: true },
        { atNs: ms(2), verb: 'cpu', cpu: 0, online: false },
        { atNs: ms(2), verb: 'cpu', cpu: 1, online: false },
      ],
    },
    ms(60),
  );
  // The last CPU stays.
  expect(machine.cpus.map(({ online }) => online)).toEqual([false, true]);
  // It gets its CPU back from the CPU's thread, is moved then, and stopped while the CPU goes.
  expect(switches.filter(({ to }) => to === 'b').map(({ cpu }) => cpu)).toEqual([1, 1, 0, 0, 0, 1, 1]);
  expect(switches.filter(({ to }) => to.startsWith('cpuhp')).map(({ to }) => to)).toEqual([
    ...['cpuhp/1', 'cpuhp/1', 'cpuhp/1', 'cpuhp/0', 'cpuhp/0'],
  ]);
});

it('leaves a task its CPUs where none of the new ones is there (__set_cpus_allowed_ptr_locked: EINVAL)', async () => {
  const { machine, switches } = await play(
    {
      tasks: [
        { name: 'asks', cpu: 0, steps: [run(ms(20)), affinity('self', 1), run(ms(2))] },
        { name: 'other', cpu: 0, steps: [sleep(ms(21)), run(ms(2))] },
      ],
      events: [
        { atNs: ms(1), verb: 'cpu', cpu: 1, online: false },
        { atNs: ms(18), verb: 'affinity', task: 'other', cpus: [1] },
      ],
    },
    ms(60),
  );
  expect(machine.workload!.done).toBe(true);
  // Since the CPU went.
  const late = switches.filter(({ at, to }) => at > switches[0]!.at + ms(10) && (to === 'asks' || to === 'other'));
  expect(new Set(late.map(({ cpu }) => cpu))).toEqual(new Set([0]));
});
