import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { forever, ms, run, simulate, sleep } from '../../src/sim/index.js';

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
