import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Kernel, openObject } from '../../src/index.js';
import { hzOf } from '../../src/kernel/jiffies.js';
import { Machine, ms, run, sleep } from '../../src/sim/index.js';

const TICKS = readFileSync(new URL('./fixtures/ticks.bpf.o', import.meta.url));
const FIFO = readFileSync(new URL('../../samples/scx_fifo.bpf.o', import.meta.url));

// kernel/sched/core.c: the timer of a CPU that is not idle calls sched_tick(), CONFIG_HZ times a second.
it.each(['6.12', '6.18', '7.3'] as const)('programs around sched_tick() run with each tick on %s', async (profile) => {
  const kernel = await Kernel.create({ cpus: 2, profile });
  const machine = new Machine(kernel);
  const ticks = openObject(TICKS, { name: 'ticks' });
  ticks.load(kernel);
  ticks.attachPrograms();
  expect(ticks.messages).toEqual([]);
  const object = openObject(FIFO);
  object.load(kernel);
  machine.load({
    tasks: [
      { name: 'busy', cpus: [1], steps: [run(ms(100)), sleep(ms(400))] },
      { name: 'late', cpus: [1], steps: [sleep(ms(200)), run(ms(20))] },
    ],
  });
  object.structOpsMap('fifo_ops').attach();
  machine.run(ms(300));
  const counts = (name: string) => (ticks.variable(name).get() as bigint[]).map(Number);
  const [idle, busy] = counts('before');
  const ticksOf120Ms = 0.12 * hzOf(kernel);
  expect(idle).toBe(0);
  expect(busy).toBeGreaterThanOrEqual(ticksOf120Ms - 2);
  expect(busy).toBeLessThanOrEqual(ticksOf120Ms + 2);
  expect(counts('after')).toEqual(counts('before'));
  expect([ticks.variable('open_ticks').get(), ticks.variable('unpaired').get()]).toEqual([0, 0]);
  expect(counts('last_ns')[1]! % (1e9 / hzOf(kernel))).toBe(0);
  ticks.close();
  object.close();
  kernel.dispose();
});
