import { afterEach, expect, it } from 'vitest';
import { Kernel } from '../../src/index.js';
import { Machine, ms, run } from '../../src/sim/index.js';

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

/** When tasks that compute for 10 and 20 ms end, each on its CPU, without a scheduler. */
async function ends(topology: string, cpus: readonly [number, number]): Promise<number[]> {
  const kernel = await Kernel.create({ cpus: 2 });
  kernels.push(kernel);
  const machine = new Machine(kernel, { topology });
  const times: number[] = [];
  machine.onExit = () => times.push(machine.now);
  machine.load({
    tasks: [
      { name: 'a', cpus: [cpus[0]], cpu: cpus[0], steps: [run(ms(10))] },
      { name: 'b', cpus: [cpus[1]], cpu: cpus[1], steps: [run(ms(20))] },
    ],
  });
  machine.run(ms(100));
  return times.map((time) => Math.round(time / 1e6));
}

it('slows down threads of a core while both are busy, by a stated share', async () => {
  expect(await ends('2c', [0, 1])).toEqual([10, 20]);
  // 10 ms at 640 of 1024, then the other thread has the core for itself.
  expect(await ends('1c2t', [0, 1])).toEqual([16, 26]);
  const half = JSON.stringify({ cpus: [{ threads: 2 }], smt: 512 });
  expect(await ends(half, [0, 1])).toEqual([20, 30]);
  const none = JSON.stringify({ cpus: [{ threads: 2 }], smt: 1024 });
  expect(await ends(none, [0, 1])).toEqual([10, 20]);
});
