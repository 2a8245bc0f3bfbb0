import { readFileSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { Kernel, openObject } from '../../src/index.js';
import { Machine, ms, run } from '../../src/sim/index.js';

const FIFO = readFileSync(new URL('../../samples/scx_fifo.bpf.o', import.meta.url));
const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

/** How long 10 ms of work take on a CPU for which a scheduler asks for so much, in ms. */
async function takes(target: number, cpu: object = {}): Promise<number> {
  const kernel = await Kernel.create({ cpus: 1 });
  kernels.push(kernel);
  const machine = new Machine(kernel, { topology: JSON.stringify({ cpus: [cpu] }) });
  const object = openObject(FIFO).load(kernel);
  object.structOps[0]!.attach();
  machine.scx.rq(0).cpuperfTarget = target;
  machine.cpuperfChanged(0);
  let end = 0;
  machine.onExit = () => {
    end = machine.now;
  };
  machine.load({ tasks: [{ name: 'a', steps: [run(ms(10))] }] });
  machine.run(ms(500));
  object.close();
  return Math.round(end / 1e6);
}

it("a scheduler's target is met with a quarter to spare, within what the CPU can do", async () => {
  expect(await takes(1024)).toBe(10);
  expect(await takes(820)).toBe(10);
  expect(await takes(512)).toBe(16);
  expect(await takes(0)).toBe(50);
  expect(await takes(0, { lowest: 512 })).toBe(20);
  expect(await takes(512, { frequency: 512, lowest: 400 })).toBe(26);
});
