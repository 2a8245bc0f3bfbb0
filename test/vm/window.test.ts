import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { ERRNO, ErrnoError } from '../../src/errno.js';
import { VmtableError } from '../../src/errors.js';
import type { CoreMemory } from '../../src/vm/memory.js';
import { newCore } from './new_core.js';

/** Off by one, on both sides, up to the 16 bytes of a redzone. */
function expectRedzones(memory: CoreMemory, ptr: number, size: number): void {
  expect(memory.canAccess(ptr, size, true)).toBe(true);
  for (const outside of [ptr - 16, ptr - 8, ptr - 1, ptr + size, ptr + size + 7, ptr + size + 15]) {
    expect(memory.core.exports.accessAt(outside)).toBe(abi.ACCESS_REDZONE);
  }
  expect(memory.canAccess(ptr, size + 1, false)).toBe(false);
  expect(memory.canAccess(ptr - 1, size + 1, false)).toBe(false);
}

type Op = { size: number; align: number; access: number } | { free: number };

const op: fc.Arbitrary<Op> = fc.oneof(
  fc.record({
    size: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 90_000 })),
    align: fc.constantFrom(1, 8, 16, 64, 4096),
    access: fc.constantFrom(abi.ACCESS_RW, abi.ACCESS_RO, abi.FIRST_OWN_CLASS),
  }),
  fc.record({ free: fc.nat() }),
);

test('objects are zeroed, aligned, apart, intact until freed and poisoned then; nothing leaks', async () => {
  const { core, memory } = await newCore();
  core.exports.windowFlush();
  const before = memory.usage;
  fc.assert(
    fc.property(fc.array(op, { maxLength: 100 }), (ops) => {
      const live: { ptr: number; size: number; mark: number }[] = [];
      const release = (index: number) => {
        const [object] = live.splice(index, 1);
        if (!object) return;
        const { ptr, size, mark } = object;
        expect(memory.bytes(ptr, size).every((byte) => byte === mark)).toBe(true);
        memory.free(ptr);
        for (const at of [0, size >> 1, size - 1]) expect(core.exports.accessAt(ptr + at)).toBe(abi.ACCESS_FREED);
        expect(memory.describe(ptr)).toMatch(/inside freed/);
      };
      ops.forEach((op, i) => {
        if ('free' in op) {
          if (live.length > 0) release(op.free % live.length);
          return;
        }
        const { size, align, access } = op;
        const ptr = memory.alloc(size, { align, access, name: `object ${i}` });
        expect(ptr % Math.max(align, 16)).toBe(0);
        for (const other of live) {
          expect(ptr >= other.ptr + other.size + 16 || other.ptr >= ptr + size + 16).toBe(true);
        }
        expect(memory.bytes(ptr, size).every((byte) => byte === 0)).toBe(true);
        for (const at of [0, size >> 1, size - 1]) expect(core.exports.accessAt(ptr + at)).toBe(access);
        if (access === abi.ACCESS_RW) expectRedzones(memory, ptr, size);
        const mark = (i % 250) + 1;
        memory.bytes(ptr, size).fill(mark);
        live.push({ ptr, size, mark });
      });
      expect(memory.usage.liveObjects).toBe(live.length);
      expect(memory.usage.liveBytes).toBe(live.reduce((sum, { size }) => sum + size, 0));
      while (live.length > 0) release(0);
      core.exports.windowFlush();
      core.exports.heapCheck();
      expect(memory.usage).toEqual({ ...before, shadowPatterns: memory.usage.shadowPatterns });
    }),
    { numRuns: 80 },
  );
});

test.each(Array.from({ length: 40 }, (_, i) => i + 1))(
  'an object of %i bytes has redzones to the byte',
  async (size) => {
    const { memory } = await newCore({ windowBytes: 2 ** 20 });
    for (const align of [16, 64]) {
      const neighbours = [0, 1, 2].map(() => memory.alloc(size, { name: 'x', align }));
      for (const ptr of neighbours) expectRedzones(memory, ptr, size);
    }
  },
);

test.each([255, 32_740, 32_752, 65_519, 65_520, 65_521, 1_000_001, 5_000_000])(
  'so has one of %i bytes',
  async (size) => {
    const { memory } = await newCore();
    const a = memory.alloc(size, { name: 'a' });
    const b = memory.alloc(size, { name: 'b', align: 4096 });
    expectRedzones(memory, a, size);
    expectRedzones(memory, b, size);
  },
);

test('freed memory stays poisoned while others come and go, and is reused late', async () => {
  const { core, memory } = await newCore();
  const first = memory.alloc(100, { name: 'first' });
  memory.bytes(first, 100).fill(7);
  memory.free(first);
  for (let i = 0; i < 1000; i++) {
    const ptr = memory.alloc(100, { name: 'other' });
    expect(ptr).not.toBe(first);
    memory.free(ptr);
  }
  expect(core.exports.checkSlow(first, 1, false, 0)).toBe(abi.FAULT_FREED);
  // 512 KiB of quarantine in a window of 16 MiB: it does come back, zeroed.
  let again = 0;
  for (let i = 0; i < 20_000 && again !== first; i++) {
    again = memory.alloc(100, { name: 'other' });
    memory.free(again);
  }
  expect(again).toBe(first);
  expect(memory.bytes(first, 100).every((byte) => byte === 0)).toBe(true);
});

test.each([
  [100, 97, 16],
  [1000, 900, 16],
  [5000, 4100, 512],
])('memory of %i bytes that %i bytes reuse has redzones, not remains', async (before, size, align) => {
  const { core, memory } = await newCore();
  const old = memory.alloc(before, { name: 'old' });
  // Another object keeps the slot's span.
  memory.alloc(before, { name: 'other' });
  memory.free(old);
  core.exports.windowFlush();
  const ptr = memory.alloc(size, { name: 'new', align });
  expect(ptr - old).toBeLessThan(before);
  expectRedzones(memory, ptr, size);
  for (let at = old; at < ptr; at++) expect(core.exports.accessAt(at)).toBe(abi.ACCESS_REDZONE);
  for (let at = ptr + size; at < old + before; at++) expect(core.exports.accessAt(at)).toBe(abi.ACCESS_REDZONE);
});

test('a large object that is freed leaves small ones in quarantine', async () => {
  const { memory } = await newCore({ windowBytes: 2 ** 26 });
  const small = memory.alloc(100, { name: 'small' });
  memory.free(small);
  memory.free(memory.alloc(20_000_000, { name: 'large' }));
  expect(memory.alloc(100, { name: 'other' })).not.toBe(small);
  expect(memory.describe(small)).toBe('0 bytes inside freed small');
});

test('a full window says ENOMEM, and has given up its quarantine before', async () => {
  const { memory } = await newCore({ windowBytes: 2 ** 20 });
  const fill = () => {
    const ptrs: number[] = [];
    for (;;) {
      try {
        ptrs.push(memory.alloc(10_000, { name: 'brick' }));
      } catch (error) {
        expect(error).toBeInstanceOf(ErrnoError);
        expect((error as ErrnoError).errno).toBe(ERRNO.ENOMEM);
        expect((error as ErrnoError).message).toMatch(/^brick: no 10000 bytes left/);
        return ptrs;
      }
    }
  };
  const bricks = fill();
  expect(bricks.length).toBeGreaterThan(70);
  for (const ptr of bricks) memory.free(ptr);
  // Another size needs the pages themselves.
  const one = memory.alloc(917_000, { name: 'wall' });
  memory.free(one);
  expect(fill()).toHaveLength(bricks.length);
});

test('large objects and many small ones live side by side', async () => {
  const { memory } = await newCore({ windowBytes: 512 * 2 ** 20 });
  const rss = process.memoryUsage().rss;
  const array = memory.alloc(100_000_000, { name: 'array' });
  const huge = memory.alloc(250_000_000, { name: 'huge' });
  expect(memory.canAccess(array, 100_000_000, true)).toBe(true);
  expect(memory.u8(huge + 249_999_999)).toBe(0);
  expect(process.memoryUsage().rss - rss).toBeLessThan(120 << 20);
  const small = Array.from({ length: 200_000 }, (_, i) => memory.alloc(24 + (i % 5) * 8, { name: 'small' }));
  expect(new Set(small).size).toBe(small.length);
  expect(memory.describe((small[1000] as number) + 4)).toBe('4 bytes inside small (24 bytes)');
  for (const ptr of small) memory.free(ptr);
  memory.free(array);
  expect(memory.canAccess(array + 50_000_000, 1, false)).toBe(false);
  expect(memory.usage.liveObjects).toBe(1);
});

test('what is no start of a live object cannot be freed', async () => {
  const { memory } = await newCore();
  const ptr = memory.alloc(100, { name: 'thing' });
  for (const bad of [0, 8, ptr + 1, ptr + 16, ptr - 16, 2 ** 24, -1, 1.5, 5_000_000]) {
    expect(() => memory.free(bad)).toThrow(VmtableError);
  }
  memory.free(ptr);
  expect(() => memory.free(ptr)).toThrow(/free of what is no live object: 0 bytes inside freed thing/);
});

test('the NULL page and the window edges are never handed out', async () => {
  const { memory } = await newCore({ windowBytes: 2 ** 20 });
  for (let i = 0; i < 5000; i++) {
    try {
      const ptr = memory.alloc(64, { name: 'x' });
      expect(ptr).toBeGreaterThanOrEqual(65536);
      expect(ptr + 64 + 16).toBeLessThanOrEqual(2 ** 20);
    } catch {
      break;
    }
  }
  expect(memory.canAccess(0, 1, false)).toBe(false);
});
