import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Kernel, openObject } from '../../src/index.js';
import { forever, futexWait, Machine, ms, read, run, runScheduler, simulate, sleep } from '../../src/sim/index.js';

const fifo = new Uint8Array(readFileSync(new URL('../../samples/scx_fifo.bpf.o', import.meta.url)));

it.each(['7.3', '6.18', '6.12'])(
  'freezes tasks and bypasses the scheduler around a sleep of the machine, as %s',
  async (profile) => {
    const kernel = { profile, cpus: 2, windowBytes: 1 << 26 };
    const tasks = [
      { name: 'busy', steps: [run(ms(30))] },
      { name: 'nap', steps: [forever(run(ms(1)), sleep(ms(1)))] },
    ];
    const play = (events: { atNs: number; verb: 's2idle'; ns: number }[]) =>
      simulate(fifo, { kernel, scenario: { tasks, events }, durationNs: ms(60) });
    const awake = await play([]);
    const slept = await play([{ atNs: ms(10), verb: 's2idle', ns: 3_600_000_000_000 }]);
    expect([awake.outcome, slept.outcome]).toEqual(['clean', 'clean']);
    // The sleep itself takes no time of the clock that everything goes by; freezing takes a look or two.
    const busy = (report: typeof slept) => report.tasks.find(({ name }) => name === 'busy')!;
    expect(busy(slept).runNs - busy(awake).runNs).toBeLessThan(ms(1));
    expect(busy(slept).sleepNs).toBeLessThanOrEqual(ms(3));
    expect(busy(slept).slices).toBeGreaterThan(busy(awake).slices);
    expect(slept.simulatedNs).toBe(awake.simulatedNs);
    const bypassed = (report: typeof slept) =>
      JSON.stringify(report.scxEvents ?? {}).match(/BYPASS_ACTIVATE"?:(\d+)/)?.[1];
    if (profile === '7.3') expect(Number(bypassed(slept))).toBe(Number(bypassed(awake)) + 1);
  },
);

const trace = new Uint8Array(readFileSync(new URL('../../samples/scx_trace.bpf.o', import.meta.url)));

it.each(['7.3', '6.18', '6.12'])(
  'takes all CPUs but one down to sleep to RAM, and brings them back, as %s',
  async (profile) => {
    const kernel = await Kernel.create({ profile, cpus: 4, windowBytes: 1 << 26 });
    const machine = new Machine(kernel);
    const object = openObject(trace, { name: 'scx_trace' });
    const map = object.structOpsMap('trace_ops');
    // SCX_OPS_KEEP_BUILTIN_IDLE
    map.set('flags', 1);
    object.load(kernel);
    const tasks = [{ name: 'busy', copies: 4, steps: [forever(run(ms(3)), sleep(ms(1)))] }];
    machine.load({ tasks, events: [{ atNs: ms(10), verb: 'deep', ns: 3_600_000_000_000 }] });
    const report = runScheduler(machine, map, ms(100));
    kernel.dispose();
    // It has ops for both ways, and so stays; each CPU works again.
    expect(report.outcome).toBe('clean');
    expect(report.callbacks.cpu_offline?.count).toBe(3);
    expect(report.callbacks.cpu_online?.count).toBe(3);
    expect(report.cpus.every(({ online, busyNs }) => online && busyNs > ms(40))).toBe(true);
  },
);

it('a scheduler without ops for CPUs that come and go does not survive it', async () => {
  const kernel = { cpus: 2, windowBytes: 1 << 26 };
  const tasks = [{ name: 'busy', steps: [run(ms(30))] }];
  const events = [{ atNs: ms(10), verb: 'deep' as const, ns: 1_000_000_000 }];
  const report = await simulate(fifo, { kernel, scenario: { tasks, events }, durationNs: ms(60) });
  expect(report.exit).toMatchObject({ kindName: 'UNREG_KERN', message: 'cpu 1 going offline, exiting scheduler' });
});

it.each(['7.3', '6.18', '6.12'])(
  'wakes who cannot be frozen where it sleeps, and nobody else, as %s',
  async (profile) => {
    const kernel = { profile, cpus: 2, windowBytes: 1 << 26 };
    const tasks = [
      { name: 'reader', steps: [read(0)] },
      { name: 'waiter', steps: [futexWait(0)] },
      { name: 'napper', steps: [sleep(ms(50)), run(ms(1))] },
    ];
    const play = async (events: { atNs: number; verb: 's2idle'; ns: number }[]) => {
      const report = await simulate(fifo, { kernel, scenario: { tasks, events }, durationNs: ms(40) });
      expect(report.outcome).toBe('clean');
      return Object.fromEntries(report.tasks.map(({ name, slices }) => [name, slices]));
    };
    const awake = await play([]);
    const slept = await play([{ atNs: ms(10), verb: 's2idle', ns: 1_000_000_000 }]);
    // Once to freeze, and once when it is thawed, to read again.
    expect(slept).toEqual({ ...awake, reader: awake.reader! + 2 });
  },
);
