import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { ERRNO } from '../../src/errno.js';
import { VmtableError } from '../../src/errors.js';
import { BPF_ANY, BPF_EXIST, BPF_F_LOCK, BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_NOEXIST } from '../../src/uapi.js';
import type { CoreMap } from '../../src/vm/map.js';
import type { CoreMemory } from '../../src/vm/memory.js';
import { HashModel } from './map_model.js';
import { keyOf, mapSpec, newCore } from './new_core.js';

const { ARRAY, HASH, PERCPU_ARRAY, PERCPU_HASH } = BPF_MAP_TYPE;
const { NO_PREALLOC, RDONLY_PROG } = BPF_MAP_FLAG;
const CPUS = 3;

type Op =
  | { op: 'update'; key: number; byte: number; flags: number; cpu: number }
  | { op: 'delete' | 'lookup' | 'next'; key: number; cpu: number }
  | { op: 'walk'; cpu: number };

const KEYS = 14;
const common = { key: fc.nat(KEYS - 1), cpu: fc.nat(CPUS - 1) };
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      ...common,
      op: fc.constant('update' as const),
      byte: fc.integer({ min: 1, max: 255 }),
      flags: fc.constantFrom(BPF_ANY, BPF_ANY, BPF_ANY, BPF_NOEXIST, BPF_EXIST, 3, BPF_F_LOCK, 8),
    }),
  },
  { weight: 4, arbitrary: fc.record({ ...common, op: fc.constantFrom('delete', 'lookup', 'next') }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('walk' as const), cpu: common.cpu }) },
);

/** bpf_for_each_map_elem: the keys and values that a walk on this CPU meets. */
function walk(
  memory: CoreMemory,
  map: CoreMap,
  cpu: number,
  visit?: (key: number, value: number) => void,
): [string, string][] {
  const { exports } = memory.core;
  const slot = memory.alloc(4, { name: 'key' });
  memory.setU32At(abi.CUR_CPU, cpu);
  const met: [string, string][] = [];
  for (let cursor = 0n; ; ) {
    cursor = exports.mapIterNext(memory.address(map.ptr), cursor, slot);
    if (cursor === 0n) break;
    const key = memory.u32At(abi.ITER_KEY);
    const value = memory.u32At(abi.ITER_VALUE);
    met.push([memory.bytes(key, map.spec.keySize).join(), memory.bytes(value, map.spec.valueSize).join()]);
    visit?.(key, value);
  }
  memory.free(slot);
  return met;
}

const shapes = [HASH, PERCPU_HASH].flatMap((type) =>
  [0, NO_PREALLOC].flatMap((flags) => [4, 8, 3, 11, 12, 40].map((keySize) => ({ type, flags, keySize }))),
);

test.each(shapes)('hash: type $type, flags $flags, keys of $keySize bytes', async ({ type, flags, keySize }) => {
  const { core, memory, maps } = await newCore({ cpus: CPUS });
  core.exports.windowFlush();
  const before = memory.usage;
  const valueSize = 13;
  fc.assert(
    fc.property(fc.array(op, { maxLength: 100 }), (ops) => {
      const map = maps.create(mapSpec({ type, flags, keySize, valueSize, maxEntries: 10 }));
      const model = new HashModel(10, valueSize, type === PERCPU_HASH ? CPUS : 0);
      for (const step of ops) {
        if (step.op === 'walk') {
          const expected = model.keys().map((key) => [key.join(), model.lookup(key, step.cpu)?.join()]);
          expect(walk(memory, map, step.cpu)).toEqual(expected);
          continue;
        }
        const key = keyOf(step.key * 0x01010307, keySize);
        if (step.op === 'update') {
          const value = new Uint8Array(valueSize).map((_, i) => step.byte ^ i);
          const errno = map.update(key, value, step.flags, step.cpu);
          expect(errno).toBe(model.update(key, value, step.flags, step.cpu));
        } else if (step.op === 'delete') {
          expect(map.delete(key)).toBe(model.delete(key));
        } else if (step.op === 'lookup') {
          const ptr = map.lookup(key, step.cpu);
          expect(ptr === 0 ? undefined : memory.bytes(ptr, valueSize)).toEqual(model.lookup(key, step.cpu));
          if (ptr !== 0) {
            expect(memory.canAccess(ptr, valueSize, true)).toBe(true);
            expect([memory.canAccess(ptr - 1, 1, false), memory.canAccess(ptr + valueSize, 1, false)]).toEqual([
              false,
              false,
            ]);
          }
        } else {
          const next = new Uint8Array(keySize);
          const expected = model.nextKey(step.key === 0 ? null : key);
          expect(map.nextKey(step.key === 0 ? null : key, next)).toBe(expected ? 0 : -ERRNO.ENOENT);
          if (expected) expect(next).toEqual(expected);
        }
        expect(map.entries).toBe(model.count);
      }
      map.free();
      core.exports.windowFlush();
      core.exports.heapCheck();
      expect(memory.usage).toEqual({ ...before, shadowPatterns: memory.usage.shadowPatterns });
    }),
    { numRuns: 12 },
  );
});

test.each([ARRAY, PERCPU_ARRAY])('array type %i: all keys are there, apart, zero and never go', async (type) => {
  const { memory, maps } = await newCore({ cpus: CPUS });
  const map = maps.create(mapSpec({ type, valueSize: 20, maxEntries: 5 }));
  const cpus = type === ARRAY ? [0] : [0, 1, 2];
  const ptrs = [0, 1, 2, 3, 4].flatMap((key) => cpus.map((cpu) => map.lookup(keyOf(key), cpu)));
  ptrs.forEach((ptr, i) => {
    expect(memory.bytes(ptr, 20).every((byte) => byte === 0)).toBe(true);
    expect(memory.canAccess(ptr, 20, true)).toBe(true);
    for (const outside of [ptr - 16, ptr - 1, ptr + 20, ptr + 23, ptr + 35])
      expect(memory.canAccess(outside, 1, false)).toBe(false);
    if (i > 0) expect(ptr - (ptrs[i - 1] as number)).toBe(40);
  });
  expect(map.stride).toBe(40 * cpus.length);
  const value = new Uint8Array(20).fill(3);
  expect(map.update(keyOf(2), value, BPF_ANY, cpus.at(-1))).toBe(0);
  expect(ptrs.filter((ptr) => memory.u8(ptr) === 3)).toEqual([map.lookup(keyOf(2), cpus.at(-1))]);
  expect(map.update(keyOf(2), value, BPF_EXIST)).toBe(0);
  expect(map.update(keyOf(2), value, BPF_NOEXIST)).toBe(-ERRNO.EEXIST);
  expect(map.update(keyOf(5), value, BPF_ANY)).toBe(-ERRNO.E2BIG);
  expect(map.update(keyOf(2), value, 3)).toBe(-ERRNO.EINVAL);
  expect(map.update(keyOf(2), value, BPF_F_LOCK)).toBe(-ERRNO.EINVAL);
  expect(map.delete(keyOf(2))).toBe(-ERRNO.EINVAL);
  expect(map.lookup(keyOf(5))).toBe(0);
  expect(map.lookup(keyOf(0xffffffff))).toBe(0);
  expect(map.entries).toBe(5);
  const next = new Uint8Array(4);
  const order: number[] = [];
  for (let key: Uint8Array | null = null; map.nextKey(key, next) === 0; key = next.slice())
    order.push(next[0] as number);
  expect(order).toEqual([0, 1, 2, 3, 4]);
  expect(map.nextKey(keyOf(77), next)).toBe(0);
  expect(next).toEqual(keyOf(0));
  const met = walk(memory, map, cpus.at(-1) as number);
  expect(met.map(([key]) => key)).toEqual(order.map((key) => keyOf(key).join()));
  expect(met[2]?.[1]).toBe(value.join());
  map.free();
  for (const ptr of ptrs) expect(memory.canAccess(ptr, 1, false)).toBe(false);
});

test('an array that can be mapped is contiguous but for its padding', async () => {
  const { memory, maps } = await newCore();
  const map = maps.create(mapSpec({ type: ARRAY, valueSize: 20, maxEntries: 3, flags: BPF_MAP_FLAG.MMAPABLE }));
  const ptrs = [0, 1, 2].map((key) => map.lookup(keyOf(key)));
  expect(map.stride).toBe(24);
  expect(ptrs.map((ptr) => ptr - (ptrs[0] as number))).toEqual([0, 24, 48]);
  for (const ptr of ptrs) {
    expect(memory.canAccess(ptr, 20, true)).toBe(true);
    expect(memory.canAccess(ptr + 20, 1, false)).toBe(false);
  }
  const last = ptrs[2] as number;
  expect([memory.canAccess(last + 24, 1, false), memory.canAccess(last + 35, 1, false)]).toEqual([false, false]);
  const words = maps.create(mapSpec({ type: ARRAY, valueSize: 8, maxEntries: 512, flags: BPF_MAP_FLAG.MMAPABLE }));
  expect(memory.canAccess(words.lookup(keyOf(0)), 4096, true)).toBe(true);
  expect(memory.canAccess(words.lookup(keyOf(0)), 4097, true)).toBe(false);
});

test('a large array is cheap, a large hash costs what is in it', async () => {
  const { memory, maps } = await newCore({ windowBytes: 512 * 2 ** 20, cpus: 4 });
  const rss = process.memoryUsage().rss;
  const data = maps.create(mapSpec({ type: ARRAY, valueSize: 100_000_000, maxEntries: 1 }));
  const many = maps.create(mapSpec({ maxEntries: 1_000_000, valueSize: 64 }));
  const sparse = maps.create(mapSpec({ maxEntries: 4_000_000, valueSize: 64, flags: NO_PREALLOC }));
  for (let i = 0; i < 1000; i++) {
    expect(many.update(keyOf(i), new Uint8Array(64).fill(i), BPF_ANY)).toBe(0);
    expect(sparse.update(keyOf(i * 977), new Uint8Array(64).fill(i), BPF_ANY)).toBe(0);
  }
  expect(memory.u8(many.lookup(keyOf(999)))).toBe(999 & 0xff);
  expect(memory.u8(data.lookup(keyOf(0)) + 99_999_999)).toBe(0);
  expect(process.memoryUsage().rss - rss).toBeLessThan(90 << 20);
  for (const map of [data, many, sparse]) map.free();
  expect(memory.usage.liveBytes).toBe(0);
});

test('too large a map is refused with the kernel errno', async () => {
  const { memory, maps } = await newCore();
  const before = memory.usage;
  const sizes = [
    { type: ARRAY, valueSize: 1 << 24, maxEntries: 1 },
    { type: ARRAY, valueSize: 8, maxEntries: 0xffffffff },
    { type: PERCPU_ARRAY, valueSize: 8, maxEntries: 0x7fffffff },
    { type: HASH, valueSize: 64, maxEntries: 1 << 20 },
    { type: HASH, valueSize: 8, maxEntries: 0xffffffff },
    { type: HASH, valueSize: 8, maxEntries: 0x20000001 },
    { type: HASH, valueSize: 8, maxEntries: 0x01000000, flags: NO_PREALLOC },
  ];
  const errnos = sizes.map((size) => {
    try {
      maps.create(mapSpec(size)).free();
      return 0;
    } catch (error) {
      return (error as { errno: number }).errno;
    }
  });
  const { ENOMEM, E2BIG } = ERRNO;
  expect(errnos).toEqual([ENOMEM, E2BIG, ENOMEM, ENOMEM, E2BIG, E2BIG, 0]);
  expect({ ...memory.usage, shadowPatterns: 0, quarantineBytes: 0, pageBytes: 0 }).toEqual({
    ...before,
    shadowPatterns: 0,
    quarantineBytes: 0,
    pageBytes: 0,
  });
});

test('preallocated: a deleted element is recycled at once and never poisoned', async () => {
  const { memory, maps } = await newCore();
  const map = maps.create(mapSpec({ maxEntries: 2 }));
  map.update(keyOf(1), keyOf(11, 8), BPF_ANY);
  const ptr = map.lookup(keyOf(1));
  map.delete(keyOf(1));
  expect(memory.canAccess(ptr, 8, true)).toBe(true);
  expect(memory.u32(ptr)).toBe(11);
  map.update(keyOf(2), keyOf(22, 8), BPF_ANY);
  expect(map.lookup(keyOf(2))).toBe(ptr);
  // An update of a key gives it the spare element; its old one, still readable, becomes the spare.
  map.update(keyOf(2), keyOf(33, 8), BPF_ANY);
  const moved = map.lookup(keyOf(2));
  expect(moved).not.toBe(ptr);
  expect([memory.u32(ptr), memory.u32(moved)]).toEqual([22, 33]);
  map.update(keyOf(2), keyOf(44, 8), BPF_ANY);
  expect(map.lookup(keyOf(2))).toBe(ptr);
});

test.each([0, NO_PREALLOC])(
  'a per-CPU element that is used again is zero on the other CPUs (flags %i)',
  async (flags) => {
    const { memory, maps } = await newCore({ cpus: CPUS });
    const map = maps.create(mapSpec({ type: PERCPU_HASH, flags, maxEntries: 1 }));
    for (let round = 0; round < 3; round++) {
      for (const cpu of [0, 1, 2]) map.update(keyOf(1), keyOf(round + cpu + 1, 8), BPF_ANY, cpu);
      map.delete(keyOf(1));
      map.update(keyOf(2), keyOf(9, 8), BPF_ANY, 1);
      expect([0, 1, 2].map((cpu) => memory.u32(map.lookup(keyOf(2), cpu)))).toEqual([0, 9, 0]);
      map.delete(keyOf(2));
    }
  },
);

test.each([0, NO_PREALLOC])('special fields of an element that is used again are zero (flags %i)', async (flags) => {
  const { memory, maps } = await newCore();
  const map = maps.create(mapSpec({ valueSize: 16, maxEntries: 1, flags }));
  map.setFields({ ranges: [{ offset: 8, size: 8 }], lock: false });
  const used = new Set<number>();
  for (let round = 0; round < 6; round++) {
    map.update(keyOf(1), new Uint8Array(16).fill(round), BPF_ANY);
    const ptr = map.lookup(keyOf(1));
    used.add(ptr);
    expect([memory.u8(ptr), memory.u64(ptr + 8)]).toEqual([round, 0n]);
    memory.setU64(ptr + 8, 0x4321n);
    if (round === 3) map.delete(keyOf(1));
  }
  expect(used.size).toBe(flags === 0 ? 2 : 6);
});

test('not preallocated: a deleted or replaced element is poisoned when the next insertion would reuse it', async () => {
  const { core, memory, maps } = await newCore();
  const fault = (ptr: number) => core.exports.checkSlow(ptr, 8, false, 0);
  const map = maps.create(mapSpec({ flags: NO_PREALLOC }));
  map.update(keyOf(1), keyOf(11, 8), BPF_ANY);
  const first = map.lookup(keyOf(1));
  map.update(keyOf(1), keyOf(12, 8), BPF_ANY);
  const second = map.lookup(keyOf(1));
  expect([fault(first), memory.u32(first), memory.u32(second)]).toEqual([abi.FAULT_NONE, 11, 12]);
  map.delete(keyOf(1));
  expect([fault(first), fault(second), memory.u32(second)]).toEqual([abi.FAULT_NONE, abi.FAULT_NONE, 12]);
  // The allocator hands out what was freed last.
  map.update(keyOf(2), keyOf(13, 8), BPF_ANY);
  expect([fault(first), fault(second)]).toEqual([abi.FAULT_NONE, abi.FAULT_FREED]);
  map.update(keyOf(3), keyOf(14, 8), BPF_ANY);
  expect(fault(first)).toBe(abi.FAULT_FREED);
  map.delete(keyOf(3));
  map.free();
  expect(memory.u32At(abi.STAT_LIVE_OBJECTS)).toBe(0);
});

test('not preallocated: elements in limbo make room when the window is full', async () => {
  const { maps } = await newCore({ windowBytes: 2 ** 20 });
  const map = maps.create(mapSpec({ flags: NO_PREALLOC, valueSize: 4096, maxEntries: 1000 }));
  let filled = 0;
  while (map.update(keyOf(filled), new Uint8Array(4096), BPF_ANY) === 0) filled++;
  expect(filled).toBeGreaterThan(100);
  for (let i = 0; i < filled; i++) map.delete(keyOf(i));
  for (let i = 0; i < filled; i++) expect(map.update(keyOf(i), new Uint8Array(4096), BPF_ANY)).toBe(0);
  map.free();
});

test.each([0, NO_PREALLOC])('a walk survives any deletion and insertion (flags %i)', async (flags) => {
  const { memory, maps } = await newCore();
  const fill = () => {
    const map = maps.create(mapSpec({ flags, maxEntries: 64 }));
    for (let i = 0; i < 64; i++) map.update(keyOf(i), keyOf(i, 8), BPF_ANY);
    return map;
  };
  const all = walk(memory, fill(), 0).map(([key]) => key);
  expect(new Set(all).size).toBe(64);

  const each = fill();
  expect(walk(memory, each, 0, (key) => each.delete(memory.bytes(key, 4).slice()))).toHaveLength(64);
  expect(each.entries).toBe(0);

  const rest = fill();
  const met = walk(memory, rest, 0, () => {
    for (let i = 0; i < 64; i++) if (rest.entries > 1) rest.delete(keyOf(i));
  });
  expect(met.length).toBeLessThanOrEqual(2);

  const churn = fill();
  const seen = walk(memory, churn, 0, (key) => {
    const bytes = memory.bytes(key, 4).slice();
    churn.delete(bytes);
    churn.update(bytes, keyOf(1, 8), BPF_ANY);
  });
  // What comes back comes to the head of its bucket, behind the walk.
  expect(seen.map(([key]) => key)).toEqual(all);
});

test('values that programs may only read are theirs to read only, whoever else writes', async () => {
  const { memory, maps } = await newCore();
  for (const type of [ARRAY, HASH]) {
    const map = maps.create(mapSpec({ type, valueSize: 5, flags: RDONLY_PROG }));
    map.update(keyOf(1), new Uint8Array(5).fill(4), BPF_ANY);
    const ptr = map.lookup(keyOf(1));
    expect(memory.u8(ptr + 4)).toBe(4);
    expect([memory.canAccess(ptr, 5, false), memory.canAccess(ptr, 1, true), memory.canAccess(ptr, 6, false)]).toEqual([
      true,
      false,
      false,
    ]);
  }
});

const layouts = [HASH, ARRAY, PERCPU_HASH, PERCPU_ARRAY].flatMap((type) =>
  (type === HASH || type === PERCPU_HASH ? [0, NO_PREALLOC] : [0]).map((flags) => ({ type, flags })),
);
test.each(layouts)(
  'special fields are not overwritten, start zero and are told when they go (type $type, flags $flags)',
  async ({ type, flags }) => {
    const { memory, maps } = await newCore({ cpus: 2 });
    const map = maps.create(mapSpec({ type, flags, valueSize: 24, maxEntries: 4 }));
    const gone: number[] = [];
    map.setFields({
      ranges: [
        { offset: 0, size: 4 },
        { offset: 8, size: 8 },
      ],
      lock: true,
      gone: (value) => gone.push(value),
    });
    const value = new Uint8Array(24).fill(0xaa);
    const expected = Uint8Array.from(value, (byte, i) => (i < 4 || (i >= 8 && i < 16) ? 0 : byte));
    expect(map.update(keyOf(1), value, BPF_ANY, 1)).toBe(0);
    const cpu = type === PERCPU_HASH || type === PERCPU_ARRAY ? 1 : 0;
    const ptr = map.lookup(keyOf(1), cpu);
    expect(memory.bytes(ptr, 24)).toEqual(expected);
    gone.length = 0;

    memory.setU64(ptr + 8, 0x1234n);
    map.update(keyOf(1), new Uint8Array(24).fill(0xbb), BPF_ANY, cpu);
    expect(gone).toEqual([ptr]);
    const now = map.lookup(keyOf(1), cpu);
    expect(memory.u8(now + 4)).toBe(0xbb);
    // In place the field stays for its owner to release; a new element starts with zero.
    expect(memory.u64(now + 8)).toBe(now === ptr ? 0x1234n : 0n);

    if (type === HASH || type === ARRAY) {
      memory.setU64(now + 8, 0x5678n);
      gone.length = 0;
      expect(map.update(keyOf(1), new Uint8Array(24).fill(0xcc), BPF_F_LOCK)).toBe(0);
      expect(map.lookup(keyOf(1))).toBe(now);
      expect([memory.u8(now + 4), memory.u64(now + 8)]).toEqual([0xcc, 0x5678n]);
    }

    gone.length = 0;
    const isHash = type === HASH || type === PERCPU_HASH;
    if (isHash) {
      expect(map.delete(keyOf(1))).toBe(0);
      expect(gone).toHaveLength(type === HASH ? 1 : 2);
      map.update(keyOf(2), value, BPF_ANY);
      gone.length = 0;
    }
    map.free();
    expect(gone).toHaveLength({ [HASH]: 1, [ARRAY]: 4, [PERCPU_HASH]: 2, [PERCPU_ARRAY]: 8 }[type] as number);
  },
);

test('special fields that do not fit are refused', async () => {
  const { maps } = await newCore();
  const map = maps.create(mapSpec({ valueSize: 16 }));
  const bad = [
    [{ offset: 12, size: 8 }],
    [
      { offset: 8, size: 4 },
      { offset: 0, size: 4 },
    ],
    [{ offset: 0, size: 0 }],
  ];
  for (const ranges of bad) expect(() => map.setFields({ ranges, lock: false })).toThrow(/does not fit/);
});

test('keys and values larger than the scratch area work like small ones', async () => {
  const { memory, maps } = await newCore({ windowBytes: 2 ** 25 });
  const map = maps.create(mapSpec({ keySize: 70_000, valueSize: 1_000_000, maxEntries: 3, flags: NO_PREALLOC }));
  const key = new Uint8Array(70_000).fill(5);
  const value = new Uint8Array(1_000_000).fill(6);
  expect(map.update(key, value, BPF_ANY)).toBe(0);
  expect(memory.bytes(map.lookup(key), 1_000_000).every((byte) => byte === 6)).toBe(true);
  const next = new Uint8Array(70_000);
  expect(map.nextKey(null, next)).toBe(0);
  expect(next.every((byte) => byte === 5)).toBe(true);
  key[69_999] = 0;
  expect(map.lookup(key)).toBe(0);
  const fields = maps.create(mapSpec({ type: ARRAY, valueSize: 1_000_000, maxEntries: 1 }));
  fields.setFields({ ranges: [{ offset: 500_000, size: 8 }], lock: false });
  fields.update(keyOf(0), value, BPF_ANY);
  const ptr = fields.lookup(keyOf(0));
  expect([memory.u8(ptr + 499_999), memory.u8(ptr + 500_000), memory.u8(ptr + 999_999)]).toEqual([6, 0, 6]);
});

test('keys, values and CPUs of the wrong size are errors of the caller', async () => {
  const { maps } = await newCore({ cpus: 2 });
  const map = maps.create(mapSpec({ type: PERCPU_HASH }));
  expect(() => map.lookup(keyOf(1, 3))).toThrow(VmtableError);
  expect(() => map.update(keyOf(1), keyOf(1, 9), BPF_ANY)).toThrow(VmtableError);
  expect(() => map.nextKey(null, new Uint8Array(5))).toThrow(VmtableError);
  for (const cpu of [2, -1, 0.5]) expect(() => map.lookup(keyOf(1), cpu)).toThrow(VmtableError);
  expect(() => maps.create(mapSpec({ mapStructBytes: 0 }))).toThrow(VmtableError);
  expect(() => maps.create(mapSpec({ mapStructBytes: 2000 }))).toThrow(VmtableError);
  expect(() => maps.create(mapSpec({ type: BPF_MAP_TYPE.QUEUE }))).toThrow(/EINVAL/);
  map.free();
  for (const use of [() => map.lookup(keyOf(1)), () => map.free(), () => map.entries]) {
    expect(use).toThrow('map "m" used after it was freed');
  }
});

test('thousands of maps come and go without a trace', async () => {
  const { core, memory, maps } = await newCore();
  const round = (i: number) => {
    const all = [HASH, ARRAY, PERCPU_HASH, PERCPU_ARRAY].map((type) =>
      maps.create(mapSpec({ type, maxEntries: 1 + (i % 50), valueSize: 1 + (i % 100), flags: 0 })),
    );
    for (const map of all) map.update(keyOf(0), new Uint8Array(map.spec.valueSize), BPF_ANY);
    for (const map of all) map.free();
  };
  for (let i = 0; i < 200; i++) round(i);
  core.exports.windowFlush();
  const { heapBytes, pageBytes } = memory.usage;
  const length = core.u8.length;
  for (let i = 200; i < 2000; i++) round(i);
  core.exports.windowFlush();
  expect(memory.usage).toMatchObject({ heapBytes, pageBytes, maps: 0, liveObjects: 0 });
  expect(core.u8.length).toBe(length);
});

test('a hash that the window cannot hold takes no tables either', async () => {
  const { core, maps } = await newCore();
  const before = core.u8.length;
  const { ENOMEM } = ERRNO;
  const huge = { type: HASH, maxEntries: 40_000_000, valueSize: 48 };
  for (let i = 0; i < 3; i++) {
    expect(() => maps.create(mapSpec(huge))).toThrow(expect.objectContaining({ errno: ENOMEM }));
  }
  expect(core.u8.length).toBe(before);
  // One that takes memory only for elements that it has is as large as the window, whatever it claims.
  const sparse = maps.create(mapSpec({ ...huge, maxEntries: 1 << 27, flags: NO_PREALLOC }));
  expect(sparse.update(keyOf(1), new Uint8Array(48), 0)).toBeGreaterThanOrEqual(0);
  expect(core.u8.length - before).toBeLessThan(32 * 2 ** 20);
});
