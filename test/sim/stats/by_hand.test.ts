import { readFileSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { Kernel, openObject } from '../../../src/index.js';
import {
  affinity,
  type Costs,
  DEFAULT_COSTS,
  forever,
  Machine,
  ms,
  read,
  run,
  type Scenario,
  type SimReport,
  sleep,
  write,
} from '../../../src/sim/index.js';

// Small scenarios on a machine on which nothing costs anything, under first in first out with slices of 20 ms, or beside a scheduler
// of nothing: what happens when is told in a line of time, and each figure of the report follows from that.

const bytes = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../../samples/${name}.bpf.o`, import.meta.url)));
const FIFO = bytes('scx_fifo');
const TRACE = bytes('scx_trace');
/** SCX_OPS_KEEP_BUILTIN_IDLE, SCX_OPS_SWITCH_PARTIAL. */
const PARTIAL = 1 | 8;
const FREE = Object.fromEntries(Object.keys(DEFAULT_COSTS).map((name) => [name, 0])) as unknown as Costs;
const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

interface Options {
  topology: string;
  until: number;
  costs?: Partial<Costs>;
  /** Without any scheduler, or one of no fair tasks. */
  scheduler?: 'fifo' | 'partial' | 'none';
}

/** What is reported while the scheduler is still there. */
async function play(scenario: Scenario, { topology, until, costs, scheduler = 'fifo' }: Options): Promise<SimReport> {
  const cpus = /^(?:(\d+)n)?(?:(\d+)l)?(\d+)c(?:(\d+)t)?$/
    .exec(topology)!
    .slice(1)
    .reduce((product, part) => product * Number(part ?? 1), 1);
  const kernel = await Kernel.create({ cpus, windowBytes: 1 << 26 });
  kernels.push(kernel);
  kernel.statsHolders++;
  const machine = new Machine(kernel, { topology, costs: { ...FREE, ...costs } });
  const object = openObject(scheduler === 'fifo' ? FIFO : TRACE, { name: 'sched' });
  object.variable('slice_ns').set(ms(20));
  const [map] = object.structOps;
  if (scheduler === 'partial') map!.set('flags', PARTIAL);
  object.load(kernel);
  machine.load(scenario);
  if (scheduler !== 'none') map!.attach();
  machine.run(until);
  return machine.report();
}

const task = (report: SimReport, name: string) => report.tasks.find((one) => one.name === name)!;
const inMs = (ns: number) => ns / 1e6;
const hog = [forever(run(ms(1000)))];

it('two tasks by turns on one CPU', async () => {
  // a 0–20, b 20–40, a 40–60, b 60–80, a 80–90.
  const report = await play(
    {
      tasks: [
        { name: 'a', steps: hog },
        { name: 'b', steps: hog },
      ],
    },
    { topology: '1c', until: ms(90) },
  );
  const [a, b] = [task(report, 'a'), task(report, 'b')];
  // a is in the middle of its third stretch.
  expect(a).toMatchObject({ runNs: ms(50), waitNs: ms(40), sleepNs: 0, slices: 3, preemptions: 2, migrations: 0 });
  expect(b).toMatchObject({ runNs: ms(40), waitNs: ms(50), sleepNs: 0, slices: 2, preemptions: 2, migrations: 0 });
  expect([a.maxSliceNs, b.maxSliceNs]).toEqual([ms(20), ms(20)]);
  const [ofA] = report.groups;
  expect(ofA!.sliceNs).toEqual({ count: 3, mean: 16_666_667, p50: ms(20), p90: ms(20), p99: ms(20), max: ms(20) });
  // Delays: of a 0, 20, 20; of b 20, 20. The means are 40 / 3 and 20.
  expect(a.runDelayNs).toEqual({ count: 3, mean: 13_333_333, p50: ms(20), p90: ms(20), p99: ms(20), max: ms(20) });
  expect(b.runDelayNs).toEqual({ count: 2, mean: ms(20), p50: ms(20), p90: ms(20), p99: ms(20), max: ms(20) });
  expect(a.wakeupLatencyNs).toMatchObject({ count: 1, max: 0 });
  expect(b.wakeupLatencyNs).toMatchObject({ count: 1, max: ms(20) });
  // Shares 50 / 90 and 40 / 90 of equal weight: (50 + 40)² / (2 (50² + 40²)).
  expect(report.fairness.weightedJain).toBeCloseTo(8100 / 8200, 12);
  expect(report.fairness.serviceJain).toBeCloseTo(8100 / 8200, 12);
  // Half of the CPU each: b is 10 − 0 behind at 20, 20 − 20 at 40, 30 − 20 at 60, 45 − 40 at 90; a as much ahead.
  expect([a.lagNs, a.maxLagNs, b.lagNs, b.maxLagNs].map((ns) => inMs(ns!))).toEqual([-5, 0, 5, 10]);
  expect(report.fairness.maxLagNs).toBe(ms(10));
  expect(report.cpus).toEqual([{ cpu: 0, busyNs: ms(90), idleNs: 0, switches: 5, online: true }]);
  expect(report.workConservation).toEqual({ lostNs: 0, shareOfIdle: 0 });
  // Inserts: both at 0, one at 20, 40, 60, 80; off it again five, after 0, 20, 20, 20, 20. Always one of them waits, and who is
  // put back is there before the other one is taken.
  expect(report.dsqs).toEqual([
    {
      name: 'local',
      inserts: 6,
      meanDepth: 1,
      maxDepth: 2,
      latencyNs: { count: 5, mean: ms(16), p50: ms(20), p90: ms(20), p99: ms(20), max: ms(20) },
    },
  ]);
  // Calls: each insert but none by select_cpu; five stretches, of which four have ended. fifo_runnable has four insns.
  const { enqueue, running, stopping, runnable, quiescent } = report.callbacks;
  expect([enqueue, running, stopping, runnable, quiescent].map((op) => op!.count)).toEqual([6, 5, 4, 2, 0]);
  expect(runnable).toMatchObject({
    insns: 8,
    insnsPerCall: { count: 2, mean: 4, p50: 4, p90: 4, p99: 4, max: 4 },
  });
});

it('weights that the scheduler does not heed', async () => {
  // The same turns. Nice 5 weighs 335 of 1024: 33 of 100.
  const tasks = [
    { name: 'a', nice: 5, steps: hog },
    { name: 'b', steps: hog },
  ];
  const report = await play({ tasks }, { topology: '1c', until: ms(90) });
  expect(report.tasks.map(({ weight }) => weight)).toEqual([33, 100]);
  const [x, y] = [50 / 33, 40 / 100];
  expect(report.fairness.weightedJain).toBeCloseTo((x + y) ** 2 / (2 * (x * x + y * y)), 12);
  // b ought to have 100 / 133: it is behind most at the end, 90 · 100 / 133 − 40.
  const behind = Math.round(ms(90) * (100 / 133) - ms(40));
  expect(task(report, 'b')).toMatchObject({ lagNs: behind, maxLagNs: behind });
  expect(task(report, 'a')).toMatchObject({ lagNs: -behind, maxLagNs: 0 });
});

it('a weight that changes while its task waits', async () => {
  // b waits until 20, from 10 on with a third of a's weight: 10 / 2 + 10 · 33 / 133.
  const tasks = [
    { name: 'a', steps: hog },
    { name: 'b', steps: hog },
  ];
  const events = [{ atNs: ms(10), verb: 'nice' as const, task: 'b', value: 5 }];
  const report = await play({ tasks, events }, { topology: '1c', until: ms(19) });
  expect(task(report, 'b').lagNs).toBe(Math.round(ms(5) + ms(9) * (33 / 133)));
});

it('a task that has its CPU all the time is in one stretch', async () => {
  const report = await play({ tasks: [{ name: 'a', steps: hog }] }, { topology: '1c', until: ms(30) });
  expect(task(report, 'a')).toMatchObject({ runNs: ms(30), slices: 1, maxSliceNs: ms(30), preemptions: 0 });
  expect(report.groups[0]).toMatchObject({ slices: 1, sliceNs: { count: 1, mean: ms(30), max: ms(30) } });
});

it('a sleeper beside a task that always runs', async () => {
  // It sleeps 24–28, 48–56, 72–84, 96–; the hog has 0–20, 24–44, 48–68, 72–92, 96–. It waits until 20, and then
  // for the end of a slice: 28–44, 56–68, 84–92.
  const steps = [run(ms(4)), sleep(ms(4)), run(ms(4)), sleep(ms(8)), run(ms(4)), sleep(ms(12)), run(ms(4))];
  const tasks = [
    { name: 'hog', group: 'all', steps: hog },
    { name: 'sleeper', group: 'all', steps: [...steps, sleep(ms(1000))] },
  ];
  const report = await play({ tasks }, { topology: '1c', until: ms(100) });
  expect(task(report, 'sleeper')).toMatchObject({
    runNs: ms(16),
    waitNs: ms(20 + 16 + 12 + 8),
    sleepNs: ms(4 + 8 + 12 + 4),
    wakeups: 4,
    slices: 4,
    preemptions: 0,
    wakeupLatencyNs: { count: 4, mean: ms(14), p50: ms(12), p90: ms(20), p99: ms(20), max: ms(20) },
    runDelayNs: { count: 4, mean: ms(14), p50: ms(12), p90: ms(20), p99: ms(20), max: ms(20) },
  });
  // It gives way to the sleeper's 4 ms four times.
  expect(task(report, 'hog')).toMatchObject({
    runNs: ms(84),
    waitNs: ms(16),
    wakeups: 1,
    slices: 5,
    preemptions: 4,
    wakeupLatencyNs: { count: 1, max: 0 },
    runDelayNs: { count: 5, mean: ms(3.2), p50: ms(4), max: ms(4) },
  });
  const [group] = report.groups;
  expect(group).toMatchObject({ name: 'all', tasks: 2, runNs: ms(100), waitNs: ms(72), sleepNs: ms(28), slices: 9 });
  // 0, 8, 12, 16, 20, and with them 4, 4, 4, 4.
  expect(group!.wakeupLatencyNs).toEqual({
    count: 5,
    mean: ms(11.2),
    p50: ms(12),
    p90: ms(20),
    p99: ms(20),
    max: ms(20),
  });
  expect(group!.runDelayNs).toMatchObject({ count: 9, mean: Math.round(ms(72) / 9), p50: ms(4), p90: ms(20) });
  // Four of 20, four of 4, and the 4 since 96.
  expect(group!.sliceNs).toMatchObject({ count: 9, mean: Math.round(ms(100) / 9), p50: ms(4), p90: ms(20) });
  // A share is due while the sleeper is runnable, for 72 ms; it had 16.
  expect([task(report, 'sleeper').lagNs, task(report, 'hog').lagNs]).toEqual([ms(36 - 16), ms(28 + 36 - 84)]);
});

it('three tasks on two CPUs that share a queue', async () => {
  // CPU 0: a –20, c –40, b. CPU 1: b –20, a –40, c: what one puts into the queue is what the other one takes.
  const tasks = ['a', 'b', 'c'].map((name) => ({ name, steps: hog }));
  const report = await play({ tasks }, { topology: '2c', until: ms(50) });
  expect(report.tasks.map(({ runNs, waitNs }) => [inMs(runNs), inMs(waitNs)])).toEqual([
    [40, 10],
    [30, 20],
    [30, 20],
  ]);
  // a to 1 at 20, b to 0 and c to 1 at 40.
  expect(report.tasks.map(({ migrations }) => migrations)).toEqual([1, 1, 1]);
  expect(report.cpus.map(({ busyNs, switches }) => [inMs(busyNs), switches])).toEqual([
    [50, 3],
    [50, 3],
  ]);
  // All at 0, of whom c stays until 20; a at 20 for no time, b from 20 to 40, c at 40 for no time, a from 40 on.
  expect(report.dsqs.find(({ name }) => name === '0x0')).toEqual({
    name: '0x0',
    inserts: 7,
    meanDepth: 1,
    maxDepth: 2,
    latencyNs: { count: 6, mean: Math.round(ms(40) / 6), p50: 0, p90: ms(20), p99: ms(20), max: ms(20) },
  });
  // 2 / 3 of a CPU each: 33⅓ of 50 ms. c was behind most at 20, b at 40: 26⅔ − 20.
  expect(report.tasks.map(({ lagNs }) => lagNs)).toEqual([-6_666_667, 3_333_333, 3_333_333]);
  expect(report.tasks.map(({ maxLagNs }) => maxLagNs)).toEqual([0, 6_666_667, 13_333_333]);
  expect(report.fairness.weightedJain).toBeCloseTo(100 ** 2 / (3 * (40 ** 2 + 30 ** 2 + 30 ** 2)), 12);
});

it('migrations by their distance', async () => {
  // Threads 0 and 1 are a core, 0 to 3 a cache, 0 to 7 a node.
  const path = [0, 1, 2, 0, 4, 0, 4, 8, 0, 8, 0];
  const steps = path.flatMap((cpu) => [affinity('self', cpu), run(ms(1))]);
  const report = await play({ tasks: [{ name: 'a', steps }] }, { topology: '2n2l2c2t', until: ms(50) });
  expect(report.groups[0]!.migrations).toEqual({ smt: 1, llc: 2, node: 3, numa: 4 });
  expect(task(report, 'a')).toMatchObject({ migrations: 10, runNs: ms(11) });
});

it('a CPU that idles while a task waits that may have it, and one that does not', async () => {
  // Until 10 the second task is bound to CPU 0; then nobody tells CPU 1 of it, until CPU 0 takes it at 20.
  const tasks = [
    { name: 'a', cpus: [0], steps: hog },
    { name: 'b', cpus: [0], steps: hog },
  ];
  const events = [{ atNs: ms(10), verb: 'affinity' as const, task: 'b', cpus: [0, 1] }];
  const report = await play({ tasks, events }, { topology: '2c', until: ms(30) });
  expect(report.cpus.map(({ busyNs, idleNs }) => [inMs(busyNs), inMs(idleNs)])).toEqual([
    [30, 0],
    [0, 30],
  ]);
  expect(report.workConservation.lostNs).toBe(ms(10));
  expect(report.workConservation.shareOfIdle).toBeCloseTo(1 / 3, 12);
  // a is bound to a CPU: there is no fair share for it. b had one from 10 on, a CPU that it got from 20 on.
  expect(task(report, 'a')).toMatchObject({ lagNs: null, maxLagNs: null });
  expect(task(report, 'b').waitNs).toBe(ms(20));
});

it('the way of an interrupt to an idle CPU', async () => {
  // Three wake-ups on the other CPU, and the first one of the reader, which an interrupt takes 1 ms to tell it.
  const tasks = [
    {
      name: 'writer',
      cpus: [0],
      steps: [run(ms(5)), write('p'), run(ms(5)), write('p'), run(ms(5)), write('p'), ...hog],
    },
    { name: 'reader', cpus: [1], steps: [forever(read('p'), run(ms(2)))] },
  ];
  const report = await play({ tasks }, { topology: '2c', until: ms(30), costs: { ipi: ms(1) } });
  const { wakeups, wakeupLatencyNs, runNs } = task(report, 'reader');
  expect([wakeups, inMs(runNs), inMs(wakeupLatencyNs.max)]).toEqual([4, 6, 1]);
  const waited = task(report, 'reader').waitNs + task(report, 'writer').waitNs;
  expect(report.workConservation.lostNs).toBe(waited);
  expect(task(report, 'reader').waitNs).toBe(ms(4));
});

it('a task that cpu.max keeps from running waits for no CPU', async () => {
  // 20 ms of each 100, from when cpu.max is written: it runs 0–20, 100–120, 200–220.
  const cgroups = [{ name: 'g', max: { quotaNs: ms(20), periodNs: ms(100), burstNs: 0 } }];
  const tasks = [{ name: 'f', policy: 'other' as const, cgroup: 'g', steps: hog }];
  const options = { topology: '2c', until: ms(250), scheduler: 'partial' } as const;
  const report = await play({ cgroups, tasks }, options);
  const [f] = report.tasks;
  expect(f).toMatchObject({ runNs: ms(60), throttledNs: ms(80 + 80 + 30), waitNs: 0, sleepNs: 0, preemptions: 3 });
  // From a CPU to the next one, whatever the reason.
  expect(f!.runDelayNs).toMatchObject({ count: 3, p50: ms(80), max: ms(80) });
  expect(report.workConservation.lostNs).toBe(0);
  expect(f!.maxLagNs).toBe(0);
  // Two of them on a CPU: 10 and 10 of each 100, by turns of a tick; the one that waits is throttled with the other one.
  const two = await play(
    { cgroups, tasks: tasks.map((one) => ({ ...one, copies: 2, cpus: [0] })) },
    { ...options, until: ms(95) },
  );
  const [one, other] = two.tasks;
  expect(one!.runNs + other!.runNs).toBe(ms(20));
  expect(one!.waitNs + other!.waitNs).toBe(ms(20));
  expect([one!.throttledNs, other!.throttledNs]).toEqual([ms(75), ms(75)]);
  // Out of the cgroup it waits and runs as others do.
  const events = [{ atNs: ms(50), verb: 'cgroup' as const, task: 'f', cgroup: '/' }];
  const [freed] = (await play({ cgroups, tasks, events }, { ...options, until: ms(90) })).tasks;
  expect(freed).toMatchObject({ runNs: ms(60), throttledNs: ms(30), waitNs: 0 });
});

it('a deadline task that has used up its runtime waits for no CPU', async () => {
  // 4 ms of each 20, looked at by the tick: 0–4, 20–24, 40–44.
  const deadline = { runtimeNs: ms(4), deadlineNs: ms(20), periodNs: ms(20) };
  const tasks = [{ name: 'd', policy: 'deadline' as const, deadline, steps: hog }];
  const report = await play({ tasks }, { topology: '2c', until: ms(50), scheduler: 'partial' });
  expect(task(report, 'd')).toMatchObject({ runNs: ms(12), throttledNs: ms(38), waitNs: 0, lagNs: null });
  expect(report.workConservation.lostNs).toBe(0);
});

it('a CPU that is taken out idles no more', async () => {
  const tasks = [{ name: 'a', cpus: [0], steps: hog }];
  const events = [
    { atNs: ms(10), verb: 'cpu' as const, cpu: 1, online: false },
    { atNs: ms(25), verb: 'cpu' as const, cpu: 1, online: true },
  ];
  const { cpus } = await play({ tasks, events }, { topology: '2c', until: ms(30), scheduler: 'none' });
  expect(cpus[1]).toMatchObject({ busyNs: 0, idleNs: ms(15), offlineNs: ms(15), online: true });
  expect(cpus[0]).toMatchObject({ busyNs: ms(30), idleNs: 0 });
  expect(cpus[0]).not.toHaveProperty('offlineNs');
});
