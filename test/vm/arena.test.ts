import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { ERRNO } from '../../src/errno.js';
import { InputError, VmtableError } from '../../src/errors.js';
import { CoreArena } from '../../src/vm/arena.js';
import type { CoreOptions } from '../../src/vm/core.js';
import { newCore } from './new_core.js';

const PAGE = 4096;
const USER = 1n << 44n;
const GIB4 = 1 << 20;

async function newArena(pages: number, userVmStart = USER, options: CoreOptions = {}) {
  const parts = await newCore(options);
  const arena = new CoreArena(parts.core, parts.memory, { name: 'arena', userVmStart, pages });
  return { ...parts, arena, at: (page: number) => userVmStart + BigInt(page) * 4096n };
}

test('pages come from the start, zeroed and accessible; the others have no class', async () => {
  const { arena, memory, core, at } = await newArena(100);
  expect([arena.lowPages, arena.highPages, arena.usedPages]).toEqual([100, 0, 0]);
  expect(arena.alloc(0n, 2)).toBe(0);
  expect(arena.alloc(0n, 1)).toBe(2);
  expect(arena.usedPages).toBe(3);
  const ptr = arena.ptr(at(1) + 5n);
  expect(memory.canAccess(ptr - 5, PAGE, true)).toBe(true);
  expect(arena.ptr(at(2)) - arena.ptr(at(1))).toBe(PAGE);
  expect(arena.user(ptr)).toBe(at(1) + 5n);
  expect(arena.ptr(at(3))).toBe(0);
  const third = arena.ptr(at(2)) + PAGE;
  expect(core.exports.checkSlow(third, 1, false, 0)).toBe(abi.FAULT_UNALLOCATED);
  expect(memory.describe(third + 7)).toBe('7 bytes inside unallocated page 3 of arena "arena" (4096 bytes)');
  expect(memory.describe(ptr)).toBe('5 bytes inside page 1 of arena "arena" (4096 bytes)');
  expect(memory.describe(arena.ptr(at(0)) - 10)).toMatch(/inside the guard of arena "arena"/);
  memory.bytes(ptr - 5, PAGE).fill(9);
  arena.freePages(at(1), 1);
  expect(core.exports.checkSlow(ptr, 1, false, 0)).toBe(abi.FAULT_UNALLOCATED);
  expect(arena.usedPages).toBe(2);
  expect(arena.alloc(0n, 1)).toBe(1);
  expect(memory.bytes(ptr - 5, PAGE).every((byte) => byte === 0)).toBe(true);
});

test('addresses can be asked for, and are refused as in the kernel', async () => {
  const { arena, at } = await newArena(10);
  const { EINVAL, EBUSY, ENOMEM } = ERRNO;
  expect(arena.alloc(at(4), 2)).toBe(4);
  expect(arena.alloc(at(5), 1)).toBe(-EBUSY);
  expect(arena.alloc(at(3), 2)).toBe(-EBUSY);
  // Only the low half of an address counts.
  expect(arena.alloc(at(6) & 0xffffffffn, 1)).toBe(6);
  expect(arena.alloc(at(7) + 1n, 1)).toBe(-EINVAL);
  expect(arena.alloc(at(9), 2)).toBe(-EINVAL);
  expect(arena.alloc(at(10), 1)).toBe(-EINVAL);
  expect(arena.alloc(0n, 0)).toBe(-EINVAL);
  expect(arena.alloc(0n, 11)).toBe(-EINVAL);
  expect(arena.alloc(0n, 5)).toBe(-ENOMEM);
  // Best fit: 3 pages at 7, 4 pages at 0.
  expect(arena.alloc(0n, 2)).toBe(7);
  expect(arena.alloc(0n, 4)).toBe(0);
  expect(arena.alloc(0n, 2)).toBe(-ENOMEM);
  expect(arena.alloc(0n, 1)).toBe(9);
  expect(arena.usedPages).toBe(10);
});

test('of holes of one size the one made last is filled first (range_tree.c)', async () => {
  const { arena, at } = await newArena(10);
  arena.alloc(0n, 10);
  for (const page of [2, 7, 4]) arena.freePages(at(page), 1);
  expect([1, 2, 3].map(() => arena.alloc(0n, 1))).toEqual([4, 7, 2]);
  for (const page of [2, 7, 4]) arena.freePages(at(page), 1);
  arena.alloc(at(2), 1);
  expect([1, 2].map(() => arena.alloc(0n, 1))).toEqual([4, 7]);
});

test('reserved pages are not allocated until they are freed', async () => {
  const { arena, at } = await newArena(10);
  const { EINVAL, EBUSY } = ERRNO;
  expect(arena.reserve(at(0), 3)).toBe(0);
  expect(arena.reserve(at(2), 1)).toBe(-EBUSY);
  expect(arena.reserve(at(8), 3)).toBe(-EINVAL);
  expect(arena.reserve(at(8) + 8n, 1)).toBe(-EINVAL);
  expect(arena.reserve(at(5), 0)).toBe(0);
  expect(arena.alloc(at(1), 1)).toBe(-EBUSY);
  expect(arena.alloc(0n, 1)).toBe(3);
  arena.freePages(at(0), 3);
  expect(arena.alloc(at(1), 1)).toBe(1);
  expect(arena.usedPages).toBe(2);
});

test('freeing goes no further than the arena and takes what was never allocated', async () => {
  const { arena, at } = await newArena(10);
  arena.alloc(0n, 10);
  arena.freePages(at(8) + 100n, 5000);
  expect(arena.usedPages).toBe(8);
  arena.freePages(at(12), 3);
  arena.freePages(at(-1), 3);
  arena.freePages(at(3), 0);
  expect(arena.usedPages).toBe(8);
  arena.freePages(at(7), 2);
  expect(arena.alloc(0n, 3)).toBe(7);
});

describe('an arena of 4 GiB', () => {
  test('has its two ends in the window, side by side', async () => {
    const { arena, memory, core, at } = await newArena(GIB4);
    const window = 2 ** 24 / PAGE;
    expect([arena.lowPages, arena.highPages]).toEqual([(window * 3) / 8, window / 8]);
    expect(arena.alloc(0n, 3)).toBe(0);
    expect(arena.alloc(at(GIB4 - 4), 4)).toBe(GIB4 - 4);
    const last = arena.ptr(at(GIB4) - 1n);
    expect(last + 1).toBe(arena.ptr(at(0)));
    memory.setU8(last, 77);
    expect(arena.user(last)).toBe(at(GIB4) - 1n);
    const cast = core.exports.castKern(arena.handle, at(GIB4) - 1n);
    expect(BigInt.asUintN(64, cast)).toBe(memory.address(last));
    expect(memory.describe(last)).toBe(`4095 bytes inside page ${GIB4 - 1} of arena "arena" (4096 bytes)`);
  });

  test('says -ENOSPC for free pages that the window does not map', async () => {
    const { arena, at } = await newArena(GIB4);
    expect(arena.alloc(at(arena.lowPages), 1)).toBe(-ERRNO.ENOSPC);
    expect(arena.alloc(at(arena.lowPages - 1), 2)).toBe(-ERRNO.ENOSPC);
    expect(arena.alloc(at(arena.lowPages - 1), 1)).toBe(arena.lowPages - 1);
    expect(arena.alloc(at(GIB4 - arena.highPages - 1), 1)).toBe(-ERRNO.ENOSPC);
    expect(arena.alloc(0n, arena.lowPages)).toBe(-ERRNO.ENOSPC);
    expect(arena.alloc(0n, arena.lowPages - 1)).toBe(0);
    expect(arena.usedPages).toBe(arena.lowPages);
    arena.freePages(at(0), GIB4);
    expect(arena.usedPages).toBe(0);
  });
});

test('an arena that neither fits nor ends at 4 GiB is mapped from its start', async () => {
  const { arena, at } = await newArena(8192);
  expect([arena.lowPages, arena.highPages]).toEqual([1536, 0]);
  expect(arena.alloc(at(8191), 1)).toBe(-ERRNO.ENOSPC);
  expect(arena.alloc(0n, 1536)).toBe(0);
});

test('casts go there and back, and never into someone else’s memory', async () => {
  for (const [pages, start] of [
    [GIB4, USER],
    [100, USER],
    [100, USER + (1n << 30n)],
    [100, USER + (1n << 32n) - 100n * 4096n],
    [100, USER + (1n << 31n) - 50n * 4096n],
    [256, USER + 0xf0000000n],
  ] as const) {
    const { arena, core, memory } = await newArena(pages, start);
    const kern = (user: bigint) => BigInt.asUintN(64, core.exports.castKern(arena.handle, BigInt.asUintN(64, user)));
    const user = (kernel: bigint) =>
      BigInt.asUintN(64, core.exports.castUser(arena.handle, BigInt.asUintN(64, kernel)));
    const high = start & ~0xffffffffn;
    expect([kern(0n), user(0n)]).toEqual([0n, 0n]);
    arena.alloc(start, 1);
    const home = arena.ptr(start);
    expect(kern(start)).toBe(memory.address(home));
    expect(kern(start & 0xffffffffn)).toBe((start & 0xffffffffn) === 0n ? 0n : memory.address(home));
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 0xffffffffn }), fc.integer({ min: -32768, max: 32767 }), (low, offset) => {
        for (const pointer of [high | low, low, start + (low & 0xfffffn), start - (low & 0xffffn)]) {
          const kernel = kern(pointer);
          const back = pointer & 0xffffffffn;
          expect(user(kernel)).toBe(back === 0n ? 0n : high | back);
          if (pointer !== 0n) expect(kern(kernel)).toBe(kernel);
          // What a load with any offset reaches is this arena, its guard, or no window address.
          const reached = memory.fromAddress(kernel + BigInt(offset));
          if (reached > 0) expect(memory.describe(reached)).toMatch(/arena "arena"/);
        }
      }),
      { numRuns: 300 },
    );
    // One past the last page, and back by an offset; an arena that crosses 2 GiB ends there for us.
    const end = kern(start + BigInt(arena.lowPages) * 4096n);
    const cut = arena.lowPages < pages && arena.highPages === 0;
    expect(cut).toBe(start === USER + (1n << 31n) - 50n * 4096n);
    if (!cut) expect(memory.describe(memory.fromAddress(end - 8n))).toMatch(/page \d+ of arena/);
    arena.free();
  }
});

type Op = { op: 'alloc' | 'reserve' | 'free'; page: number; count: number; anywhere: boolean };
const op: fc.Arbitrary<Op> = fc.record({
  op: fc.constantFrom('alloc', 'alloc', 'reserve', 'free'),
  page: fc.nat(63),
  count: fc.integer({ min: 1, max: 9 }),
  anywhere: fc.boolean(),
});

test('pages agree with a model, whatever is allocated, reserved and freed', async () => {
  const { core, memory } = await newCore();
  const before = memory.usage;
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const arena = new CoreArena(core, memory, { name: 'arena', userVmStart: USER, pages: 64 });
      const at = (page: number) => USER + BigInt(page) * 4096n;
      const state: ('free' | 'taken' | 'page')[] = new Array(64).fill('free');
      for (const { op, page, count, anywhere } of ops) {
        const range = state.slice(page, page + count);
        const fits = page + count <= 64;
        const free = range.every((one) => one === 'free');
        if (op === 'free') {
          arena.freePages(at(page), count);
          state.fill('free', page, page + count);
        } else if (op === 'reserve') {
          expect(arena.reserve(at(page), count)).toBe(fits ? (free ? 0 : -ERRNO.EBUSY) : -ERRNO.EINVAL);
          if (fits && free) state.fill('taken', page, page + count);
        } else if (anywhere) {
          // The smallest run that is large enough; of equal ones any.
          const runs = [
            ...state
              .map((one) => (one === 'free' ? 'f' : '.'))
              .join('')
              .matchAll(/f+/g),
          ];
          const sizes = runs.map((run) => run[0].length).filter((size) => size >= count);
          const got = arena.alloc(0n, count);
          if (sizes.length === 0) expect(got).toBe(-ERRNO.ENOMEM);
          else {
            const run = runs.find(({ index }) => index === got);
            expect(run?.[0].length).toBe(Math.min(...sizes));
            state.fill('page', got, got + count);
          }
        } else {
          expect(arena.alloc(at(page), count)).toBe(fits ? (free ? page : -ERRNO.EBUSY) : -ERRNO.EINVAL);
          if (fits && free) state.fill('page', page, page + count);
        }
        const seen = state.map((_, i) => arena.ptr(at(i)) !== 0);
        expect(seen).toEqual(state.map((one) => one === 'page'));
        for (const [i, one] of state.entries()) {
          if (one !== 'page') continue;
          const ptr = arena.ptr(at(i));
          if (!memory.canAccess(ptr, PAGE, true)) expect.unreachable(`page ${i}`);
          const mark = memory.u32(ptr);
          if (mark !== 0 && mark !== i + 1) expect.unreachable(`page ${i} holds ${mark}`);
          memory.setU32(ptr, i + 1);
        }
        expect(arena.usedPages).toBe(state.filter((one) => one === 'page').length);
      }
      arena.free();
      core.exports.heapCheck();
      expect(memory.usage).toEqual(before);
    }),
    { numRuns: 60 },
  );
});

test('a freed arena leaves nothing behind, and its memory comes back zeroed', async () => {
  const { arena, memory, core, at } = await newArena(2000);
  arena.alloc(0n, 2000);
  const ptr = arena.ptr(at(0));
  memory.bytes(ptr, 2000 * PAGE).fill(1);
  arena.free();
  expect(memory.canAccess(ptr, 1, false)).toBe(false);
  expect(memory.describe(ptr)).toBe('nowhere near an object');
  const object = memory.alloc(6_000_000, { name: 'x' });
  expect(memory.bytes(object, 6_000_000).every((byte) => byte === 0)).toBe(true);
  memory.bytes(object, 6_000_000).fill(2);
  memory.free(object);
  core.exports.windowFlush();
  const second = new CoreArena(core, memory, { name: 'second', userVmStart: USER, pages: 2000 });
  second.alloc(0n, 2000);
  const again = second.ptr(at(0));
  expect(memory.bytes(again, 2000 * PAGE).every((byte) => byte === 0)).toBe(true);
  expect(() => arena.alloc(0n, 1)).toThrow('arena "arena" used after it was freed');
});

test('what the window has no room for, and places that cannot be, are refused', async () => {
  const { core, memory } = await newCore({ windowBytes: 2 ** 20 });
  const make = (pages: number, userVmStart = USER) => new CoreArena(core, memory, { name: 'a', userVmStart, pages });
  for (const pages of [0, -1, 1.5, GIB4 + 1, Number.NaN]) expect(() => make(pages)).toThrow(InputError);
  for (const start of [USER + 1n, -4096n, USER + 4096n]) expect(() => make(GIB4, start)).toThrow(InputError);
  const held = memory.alloc(700_000, { name: 'x' });
  expect(() => {
    for (let i = 0; i < 20; i++) make(10);
  }).toThrow(/arena "a": no room in a window of 1048576 bytes: ENOMEM/);
  expect(memory.u8(held)).toBe(0);
  expect(() => memory.alloc(700_000, { name: 'y' })).toThrow(VmtableError);
});

test('a 4 GiB arena costs the pages that are used', async () => {
  const rss = process.memoryUsage().rss;
  const { arena, at } = await newArena(GIB4, USER, { windowBytes: 512 * 2 ** 20 });
  expect([arena.lowPages, arena.highPages]).toEqual([49152, 16384]);
  expect(arena.alloc(0n, 16)).toBe(0);
  expect(arena.alloc(at(GIB4 - 5400), 5400)).toBe(GIB4 - 5400);
  expect(process.memoryUsage().rss - rss).toBeLessThan(40 << 20);
});
