import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { holdings, ObjectBench, SAMPLES, sample } from './objects.js';

// Load, attach, detach, free: a thousand rounds leave everything as it was. The core's accounts are exact, so that a single
// block that a round forgets shows; what the process has is bounded.

const ROUNDS = 1000;
/** Until V8 has compiled what a round runs: its heap takes a last step of 2 MiB around the 500th. */
const WARM_UP = 800;
const MIB = 2 ** 20;
/** Growth of the process that is not ours: compiled code, fragments of V8's heap, tens of MiB whatever the rounds. */
const SLACK = 64 * MIB;

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

const benches: ObjectBench[] = [];
afterEach(() => {
  for (const bench of benches.splice(0)) bench.dispose();
});

async function newBench(): Promise<ObjectBench> {
  const bench = await ObjectBench.create({ windowBytes: 1 << 24 });
  benches.push(bench);
  return bench;
}

function processBytes(): { rss: number; heap: number } {
  gc();
  gc();
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
  return { rss, heap: heapUsed + external + arrayBuffers };
}

/**
 * Growth since `before` comes below the limits: at once, or when V8 lets go of what it still holds for a while (a memory
 * whose code it compiles once more, what the last turn of the event loop looked at). A leak stays.
 */
async function expectGrowthBelow(before: { rss: number; heap: number }, limit: { rss: number; heap: number }) {
  let growth = { rss: 0, heap: 0 };
  const isBelow = () => {
    const now = processBytes();
    growth = { rss: now.rss - before.rss, heap: now.heap - before.heap };
    return growth.rss < limit.rss && growth.heap < limit.heap;
  };
  await vi.waitUntil(isBelow, { timeout: 20_000, interval: 100 }).catch(() => {});
  expect(growth.heap).toBeLessThan(limit.heap);
  expect(growth.rss).toBeLessThan(limit.rss);
}

describe('scx_fifo', () => {
  it(`${ROUNDS} rounds leave the core, the tables and the process as they were`, { timeout: 240_000 }, async () => {
    const bench = await newBench();
    const { kernel } = bench;
    const file = sample('scx_fifo');
    const round = () => expect(bench.round(file)).toBeUndefined();
    for (let i = 0; i < WARM_UP; i++) round();
    const coreBytes = kernel.vm.core.u8.length;
    const before = { ...holdings(kernel), ...kernel.vm.memory.usage };
    const process0 = processBytes();
    const timeline: number[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      round();
      if (i % 100 === 99) timeline.push(holdings(kernel).heapBytes - before.heapBytes);
    }
    expect(timeline).toEqual(timeline.map(() => 0));
    expect({ ...holdings(kernel), ...kernel.vm.memory.usage }).toEqual(before);
    expect(kernel.vm.core.u8.length).toBe(coreBytes);
    kernel.vm.exports.heapCheck();
    // 1 KiB a round would be 1 MiB of V8's heap.
    await expectGrowthBelow(process0, { heap: MIB, rss: SLACK });
  });

  it('while it is held, everything that it needs is held', async () => {
    const bench = await newBench();
    bench.round(sample('scx_fifo'));
    const before = holdings(bench.kernel);
    const object = bench.attached(sample('scx_fifo'));
    const during = holdings(bench.kernel);
    for (const key of ['fds', 'maps', 'progs', 'links', 'btfs', 'heapBytes', 'liveBytes', 'liveObjects'] as const) {
      expect(during[key], key).toBeGreaterThan(before[key]);
    }
    object.close();
    expect(holdings(bench.kernel)).toEqual(before);
  });
});

describe('every sample', () => {
  it.each(SAMPLES)('%s: 50 rounds, driven', { timeout: 120_000 }, async (name) => {
    const bench = await newBench();
    const file = sample(name);
    for (let i = 0; i < 5; i++) bench.run(file);
    const before = { ...holdings(bench.kernel), ...bench.kernel.vm.memory.usage };
    for (let i = 0; i < 50; i++) bench.run(file);
    expect({ ...holdings(bench.kernel), ...bench.kernel.vm.memory.usage }).toEqual(before);
  });

  it('a load that fails gives back what it had', async () => {
    const bench = await newBench();
    const file = sample('scx_fifo');
    bench.round(file);
    const { kernel } = bench;
    // The other scheduler is attached: the second is loaded as a whole, and its attachment refused.
    const object = bench.attached(file);
    const before = holdings(kernel);
    for (let i = 0; i < 20; i++) expect(bench.round(file)?.message).toMatch(/EBUSY/);
    expect(holdings(kernel)).toEqual(before);
    object.close();
  });

  it('a kernel that is thrown away takes its memory along', { timeout: 120_000 }, async () => {
    const once = async () => {
      const bench = await ObjectBench.create({ windowBytes: 64 * MIB });
      bench.run(sample('scx_fifo'));
      bench.dispose();
    };
    for (let i = 0; i < 3; i++) await once();
    const before = processBytes();
    for (let i = 0; i < 12; i++) await once();
    await expectGrowthBelow(before, { heap: 8 * MIB, rss: SLACK });
  });
});
