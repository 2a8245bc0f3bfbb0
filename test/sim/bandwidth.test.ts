import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Kernel, openObject } from '../../src/index.js';
import { forever, Machine, ms, run, runScheduler, type Scenario, sleep } from '../../src/sim/index.js';

// cpu.max of fair tasks beside a scheduler that takes SCHED_EXT tasks alone.

const trace = new Uint8Array(readFileSync(new URL('../../samples/scx_trace.bpf.o', import.meta.url)));
/** SCX_OPS_KEEP_BUILTIN_IDLE, SCX_OPS_SWITCH_PARTIAL. */
const PARTIAL = 1 | 8;
const TICK = 4;

async function ran(scenario: Scenario, cpus: number, durationNs = ms(1000)): Promise<Record<string, number>> {
  const kernel = await Kernel.create({ windowBytes: 1 << 26, cpus });
  try {
    const machine = new Machine(kernel);
    const object = openObject(trace, { name: 'scx_trace' });
    const map = object.structOpsMap('trace_ops');
    map.set('flags', PARTIAL);
    object.load(kernel);
    machine.load(scenario);
    const { groups } = runScheduler(machine, map, durationNs);
    return Object.fromEntries(groups.map(({ name, runNs }) => [name, runNs / 1e6]));
  } finally {
    kernel.dispose();
  }
}

const hog = [forever(run(ms(10)))];
const cgroups = [
  { name: 'small', max: { quotaNs: ms(20), periodNs: ms(100), burstNs: 0 } },
  { name: 'small/inner' },
  { name: 'wide', max: { quotaNs: ms(150), periodNs: ms(100), burstNs: 0 } },
];

it('a fair task gets its quota of each period, and pays back what it took beyond', async () => {
  const { a } = await ran({ cgroups, tasks: [{ name: 'a', policy: 'other', cgroup: 'small', steps: hog }] }, 1);
  expect(a).toBeGreaterThan(200 - TICK);
  expect(a).toBeLessThan(200 + 2 * TICK);
});

it('a quota counts for all tasks below, on all CPUs', async () => {
  const tasks = [
    { name: 'a', policy: 'other' as const, cgroup: 'small/inner', copies: 3, cpus: [0, 1], steps: hog },
    ...[2, 3].map((cpu) => ({
      name: `b${cpu}`,
      group: 'b',
      policy: 'other' as const,
      cgroup: 'wide',
      cpus: [cpu],
      steps: hog,
    })),
  ];
  const { a, b } = await ran({ cgroups, tasks }, 4);
  expect(a! / 200).toBeGreaterThan(0.95);
  expect(a! / 200).toBeLessThan(1.15);
  // More than one CPU's worth, less than two.
  expect(b! / 1500).toBeGreaterThan(0.95);
  expect(b! / 1500).toBeLessThan(1.05);
});

it('a throttled task leaves the CPU to others, and one below its quota is not held up', async () => {
  const tasks = [
    { name: 'fair', policy: 'other' as const, cgroup: 'small', steps: hog },
    { name: 'ext', policy: 'ext' as const, steps: hog },
  ];
  const { fair, ext } = await ran({ cgroups, tasks }, 1);
  expect(fair! + ext!).toBeGreaterThan(990);
  expect(fair).toBeLessThan(200 + 2 * TICK);
  const light = [
    { name: 'light', policy: 'other' as const, cgroup: 'small', steps: [forever(run(ms(1)), sleep(ms(9)))] },
  ];
  expect((await ran({ cgroups, tasks: light }, 1)).light).toBeGreaterThan(95);
});

it('sched_ext tasks are their scheduler’s business', async () => {
  const { a } = await ran({ cgroups, tasks: [{ name: 'a', policy: 'ext', cgroup: 'small', steps: hog }] }, 1);
  expect(a).toBeGreaterThan(990);
});

it('a period begins when cpu.max is written, not when somebody runs', async () => {
  const tasks = [{ name: 'late', policy: 'other' as const, cgroup: 'small', startNs: ms(60), steps: hog }];
  // 20 ms up to the end of the first period, and 20 of the next.
  const { late } = await ran({ cgroups, tasks }, 1, ms(150));
  expect(late).toBeGreaterThan(40 - TICK);
  expect(late).toBeLessThan(40 + 2 * TICK);
});

it('cpu.max that is written anew lets throttled tasks run at once', async () => {
  const tasks = [{ name: 'a', policy: 'other' as const, cgroup: 'small', steps: hog }];
  const change = (quotaNs: number) => [
    { atNs: ms(50), verb: 'cgmax' as const, cgroup: 'small', max: { quotaNs, periodNs: ms(100), burstNs: 0 } },
  ];
  const after = async (quotaNs: number) => (await ran({ cgroups, tasks, events: change(quotaNs) }, 1, ms(95))).a!;
  const once = (await ran({ cgroups, tasks }, 1, ms(95))).a!;
  expect(once).toBeLessThan(20 + 2 * TICK);
  expect(await after(ms(30))).toBeGreaterThan(once + 30 - 2 * TICK);
  expect(await after(Number.POSITIVE_INFINITY)).toBeGreaterThan(once + 45 - TICK);
});
