import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Core } from '../../src/vm/core.js';
import { newCore } from './new_core.js';

type Op = { kind: 'alloc' | 'zeroed'; size: number } | { kind: 'free'; which: number };

const size = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.integer({ min: 1, max: 70_000 }),
  fc.integer({ min: 1 << 20, max: 6 << 20 }),
);
const op: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ kind: fc.constantFrom('alloc' as const, 'zeroed' as const), size }),
  fc.record({ kind: fc.constant('free' as const), which: fc.nat() }),
);

/** Plays ops against a list of live blocks, each filled with a mark of its own at both ends. */
function play(core: Core, ops: readonly Op[]): void {
  const live: { ptr: number; size: number; mark: number }[] = [];
  const release = (index: number) => {
    const [block] = live.splice(index, 1);
    if (!block) return;
    const { ptr, size, mark } = block;
    expect([core.u8[ptr], core.u8[ptr + size - 1]]).toEqual([mark, mark]);
    core.u8.fill(0xee, ptr, ptr + Math.min(size, 5000));
    core.exports.heapFree(ptr);
  };
  let mark = 0;
  for (const op of ops) {
    if (op.kind === 'free') {
      if (live.length > 0) release(op.which % live.length);
      continue;
    }
    const alloc = op.kind === 'zeroed' ? core.exports.heapAllocZeroed : core.exports.heapAlloc;
    const ptr = alloc(op.size) >>> 0;
    expect(ptr % 16).toBe(0);
    expect(ptr).toBeGreaterThan(0);
    for (const other of live) {
      expect(ptr + op.size <= other.ptr || other.ptr + other.size <= ptr).toBe(true);
    }
    if (op.kind === 'zeroed') expect(core.u8.subarray(ptr, ptr + op.size).findIndex((byte) => byte !== 0)).toBe(-1);
    mark = (mark % 200) + 1;
    core.u8.fill(mark, ptr, ptr + Math.min(op.size, 5000));
    core.u8[ptr + op.size - 1] = mark;
    live.push({ ptr, size: op.size, mark });
  }
  while (live.length > 0) release(live.length >> 1);
}

test('blocks do not overlap, keep their bytes, come zeroed when asked, and all memory comes back', async () => {
  const { core, memory } = await newCore();
  const before = memory.usage.heapBytes;
  fc.assert(
    fc.property(fc.array(op, { maxLength: 120 }), (ops) => {
      play(core, ops);
      expect(memory.usage.heapBytes).toBe(before);
      core.exports.heapCheck();
    }),
    { numRuns: 60 },
  );
});

test('memory that was never used is not touched by a zeroed block', async () => {
  const { core } = await newCore({ windowBytes: 2 ** 20 });
  const rss = process.memoryUsage().rss;
  const ptr = core.exports.heapAllocZeroed(400 << 20) >>> 0;
  expect(ptr).toBeGreaterThan(0);
  expect(process.memoryUsage().rss - rss).toBeLessThan(100 << 20);
});

test('a hole that is a little too small is not taken', async () => {
  const { core } = await newCore();
  const { heapAlloc, heapFree, heapCheck } = core.exports;
  for (let hole = 240; hole < 5000; hole += 16) {
    const ptr = heapAlloc(hole) >>> 0;
    const behind = heapAlloc(64) >>> 0;
    heapFree(ptr);
    const larger = heapAlloc(hole + 16) >>> 0;
    expect(larger >= ptr + hole || larger + hole + 16 <= ptr).toBe(true);
    heapCheck();
    heapFree(behind);
    heapFree(larger);
  }
});

test('thousands of loads and frees of mixed sizes do not make the heap grow', async () => {
  const { core, memory } = await newCore();
  const round = (seed: number) => {
    const blocks = Array.from({ length: 40 }, (_, i) =>
      core.exports.heapAlloc(16 + ((seed * 7919 + i * 104729) % 60_000)),
    );
    // Free every other block first, as objects that outlive each other do.
    for (let i = 0; i < 40; i += 2) core.exports.heapFree(blocks[i] as number);
    for (let i = 1; i < 40; i += 2) core.exports.heapFree(blocks[i] as number);
  };
  for (let i = 0; i < 100; i++) round(i);
  const length = core.u8.length;
  const used = memory.usage.heapBytes;
  for (let i = 100; i < 3000; i++) round(i);
  expect(core.u8.length).toBe(length);
  expect(memory.usage.heapBytes).toBe(used);
});

test('a fixed heap does not grow, and says no instead; growth renews the views', async () => {
  const { core } = await newCore();
  const first = core.u8;
  core.exports.heapFix(true);
  expect(core.exports.heapAlloc(64 << 20)).toBe(0);
  expect(core.u8 === first).toBe(true);
  core.exports.heapFix(false);
  const ptr = core.exports.heapAlloc(64 << 20) >>> 0;
  expect(ptr).toBeGreaterThan(0);
  expect(core.u8.length).toBeGreaterThan(64 << 20);
  expect(first.length).toBe(0);
  core.exports.heapCheck();
});

test('a zeroed block that spans the old end of memory is zero there too', async () => {
  const { core } = await newCore();
  const end = core.u8.length;
  const ptr = core.exports.heapAllocZeroed(32 << 20) >>> 0;
  expect(ptr).toBeLessThan(end - 64);
  expect(core.u8.subarray(end - 64, end + 64).every((byte) => byte === 0)).toBe(true);
});

test('a block that takes the rest of the heap to the last byte is remembered as used', async () => {
  const { core } = await newCore();
  const whole = 2 ** 23;
  core.exports.heapFix(true);
  core.exports.heapAlloc(core.exports.heapCheck() - whole - 8);
  expect(core.exports.heapCheck()).toBe(whole);
  const ptr = core.exports.heapAlloc(whole - 8) >>> 0;
  core.u8.fill(0xff, ptr, ptr + whole - 8);
  core.exports.heapFree(ptr);
  expect(core.exports.heapAllocZeroed(whole - 8) >>> 0).toBe(ptr);
  expect(core.u8.subarray(ptr, ptr + whole - 8).findIndex((byte) => byte !== 0)).toBe(-1);
});

test('what does not fit into 4 GiB is refused', async () => {
  const { core } = await newCore();
  for (const size of [0xffffffff, 0xf0000000, 0xe0000000, 0xdfffffff]) expect(core.exports.heapAlloc(size)).toBe(0);
  core.exports.heapCheck();
});

test('a double free traps', async () => {
  const { core } = await newCore();
  const ptr = core.exports.heapAlloc(100);
  core.exports.heapFree(ptr);
  expect(() => core.exports.heapFree(ptr)).toThrow(WebAssembly.RuntimeError);
});
