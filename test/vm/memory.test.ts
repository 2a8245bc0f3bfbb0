import { expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { VmtableError } from '../../src/errors.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../src/uapi.js';
import { instantiateCore } from '../../src/vm/core.js';
import { keyOf, mapSpec, newCore } from './new_core.js';

const G = 0xffff_8880_0000_0000n;

test('values of every width are little-endian and keep their sign and size', async () => {
  const { memory } = await newCore();
  const p = memory.alloc(64, { name: 'x' });
  memory.setU64(p, 0xf123456789abcdefn);
  expect(Array.from(memory.bytes(p, 8))).toEqual([0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0xf1]);
  expect([memory.u8(p), memory.u16(p), memory.u32(p), memory.s32(p)]).toEqual([0xef, 0xcdef, 0x89abcdef, -0x76543211]);
  expect(memory.u64(p)).toBe(0xf123456789abcdefn);
  memory.setU8(p + 3, 0x1ff);
  memory.setU16(p + 4, 0x12345);
  memory.setU32(p + 8, -2);
  expect([memory.u8(p + 3), memory.u16(p + 4), memory.u32(p + 8)]).toEqual([0xff, 0x2345, 0xfffffffe]);
  memory.setU64(p, -1n);
  expect(memory.u64(p)).toBe(0xffffffffffffffffn);
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
    memory.setU64n(p, value);
    expect(memory.u64n(p)).toBe(value);
    expect(memory.u64(p)).toBe(BigInt(value));
  }
  for (const value of [-1, -(2 ** 32), -(2 ** 32) - 5, -(2 ** 53) + 1]) {
    memory.setU64n(p, value);
    expect(memory.u64(p)).toBe(BigInt.asUintN(64, BigInt(value)));
  }
  for (const value of [1.5, 2 ** 53, Number.NaN]) expect(() => memory.setU64n(p, value)).toThrow(VmtableError);
});

test('addresses and offsets are two names of one place', async () => {
  const { memory } = await newCore();
  const p = memory.alloc(16, { name: 'x' });
  expect(memory.base).toBe(G);
  expect(memory.address(p)).toBe(G + BigInt(p));
  expect(memory.fromAddress(G + BigInt(p))).toBe(p);
  expect([memory.address(0), memory.fromAddress(0n)]).toEqual([0n, 0]);
  for (const bad of [1n, G - 1n, G, G + (1n << 24n), G + (1n << 32n), BigInt(p), 1n << 63n, -1n]) {
    expect(memory.fromAddress(bad)).toBe(-1);
  }
  memory.setPtr(p, p);
  expect(memory.u64(p)).toBe(G + BigInt(p));
  expect(memory.ptr(p)).toBe(p);
  memory.setPtr(p, 0);
  expect([memory.u64(p), memory.ptr(p)]).toEqual([0n, 0]);
  memory.setU64(p, 5n);
  expect(memory.ptr(p)).toBe(-1);
  for (const bad of [-1, 2 ** 24, 1.5]) expect(() => memory.setPtr(p, bad)).toThrow(VmtableError);
});

test('bytes are copied, over each other as well', async () => {
  const { memory } = await newCore();
  const at = memory.alloc(16, { name: 'bytes' });
  memory.bytes(at, 16).set(Uint8Array.from({ length: 16 }, (_, i) => i));
  memory.copy(at + 2, at, 8);
  memory.copy(at + 12, at + 13, 3);
  expect([...memory.bytes(at, 16)]).toEqual([0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 13, 14, 15, 15]);
});

test('strings end at NUL, at max, and never beyond the window', async () => {
  const { memory } = await newCore({ windowBytes: 2 ** 20 });
  const p = memory.alloc(16, { name: 'x' });
  memory.bytes(p, 16).set(new TextEncoder().encode('grüße\0rest'));
  expect(memory.cstring(p, 16)).toBe('grüße');
  expect(memory.cstring(p, 2)).toBe('gr');
  expect(memory.cstring(p, 0)).toBe('');
  expect(memory.cstring(2 ** 20 - 4, 100)).toBe('');
  memory.bytes(2 ** 20 - 4, 4).fill(0x41);
  expect(() => memory.cstring(2 ** 20 - 4, 100)).toThrow(VmtableError);
  expect(memory.cstring(2 ** 20 - 4, 4)).toBe('AAAA');
});

test('every access outside the window, or through NULL, is an error of ours', async () => {
  const { memory } = await newCore({ windowBytes: 2 ** 20 });
  const end = 2 ** 20;
  const reads = [
    [1, (p: number) => memory.u8(p)],
    [2, (p: number) => memory.u16(p)],
    [4, (p: number) => memory.u32(p)],
    [4, (p: number) => memory.s32(p)],
    [8, (p: number) => memory.u64(p)],
    [8, (p: number) => memory.u64n(p)],
    [8, (p: number) => memory.ptr(p)],
    [1, (p: number) => memory.setU8(p, 0)],
    [2, (p: number) => memory.setU16(p, 0)],
    [4, (p: number) => memory.setU32(p, 0)],
    [8, (p: number) => memory.setU64(p, 0n)],
    [8, (p: number) => memory.setU64n(p, 0)],
    [8, (p: number) => memory.setPtr(p, 0)],
    [5, (p: number) => memory.bytes(p, 5)],
    [5, (p: number) => memory.copy(p, 65536, 5)],
    [5, (p: number) => memory.copy(65536, p, 5)],
  ] as const;
  for (const [width, access] of reads) {
    access(end - width);
    access(abi.NULL_PAGE);
    for (const bad of [
      end - width + 1,
      end,
      2 ** 32,
      2 ** 32 - 1,
      -1,
      0,
      abi.NULL_PAGE - 1,
      1.5,
      Number.NaN,
      undefined,
    ]) {
      expect(() => access(bad as number)).toThrow(VmtableError);
    }
  }
  for (const bad of [-1, 1.5, 2 ** 32, Number.NaN]) expect(() => memory.bytes(65536, bad)).toThrow(VmtableError);
  expect(() => memory.u32(12)).toThrow('host access of 4 bytes at NULL + 12');
  expect(() => memory.u8(end)).toThrow('host access of 1 byte at offset 0x100000 of the guest window (1048576 bytes)');
});

test('what cannot be allocated is refused', async () => {
  const { memory } = await newCore();
  for (const bytes of [0, -1, 1.5, Number.NaN]) expect(() => memory.alloc(bytes, { name: 'x' })).toThrow(VmtableError);
  for (const bytes of [2 ** 24, 2 ** 32, 2 ** 40]) expect(() => memory.alloc(bytes, { name: 'x' })).toThrow(/ENOMEM/);
  for (const align of [0, 3, -8, 1.5]) expect(() => memory.alloc(8, { name: 'x', align })).toThrow(VmtableError);
  expect(() => memory.alloc(8, { name: 'x', align: 2 ** 30 })).toThrow(/ENOMEM/);
});

test('places are told by the object at or next to them', async () => {
  const { memory } = await newCore();
  const p = memory.alloc(20, { name: 'task_struct "worker"' });
  expect(memory.describe(p)).toBe('0 bytes inside task_struct "worker" (20 bytes)');
  expect(memory.describe(p + 19)).toBe('19 bytes inside task_struct "worker" (20 bytes)');
  expect(memory.describe(p + 20)).toBe('0 bytes past the end of task_struct "worker" (20 bytes)');
  expect(memory.describe(p + 21)).toBe('1 byte past the end of task_struct "worker" (20 bytes)');
  expect(memory.describe(p - 3)).toBe('3 bytes before task_struct "worker" (20 bytes)');
  memory.free(p);
  expect(memory.describe(p + 8)).toBe('8 bytes inside freed task_struct "worker"');
  expect(memory.describe(p + 32)).toBe('12 bytes past the end of freed task_struct "worker"');
  expect(memory.describe(0)).toBe('NULL');
  expect(memory.describe(12)).toBe('NULL + 12');
  expect(memory.describe(2 ** 24 - 100)).toBe('nowhere near an object');
  for (const bad of [2 ** 24, 2 ** 40, -1, Number.NaN]) expect(memory.describe(bad)).toBe('outside the guest window');
});

test('a place between two objects belongs to the nearer one', async () => {
  const { memory } = await newCore();
  const a = memory.alloc(16, { name: 'a' });
  const b = memory.alloc(16, { name: 'b' });
  expect(b - a).toBe(32);
  expect(memory.describe(a + 20)).toBe('4 bytes past the end of a (16 bytes)');
  expect(memory.describe(b - 4)).toBe('4 bytes before b (16 bytes)');
  memory.free(a);
  expect(memory.describe(b - 12)).toBe('4 bytes past the end of freed a');
  const big = memory.alloc(100_000, { name: 'big' });
  expect(memory.describe(big + 100_050)).toBe('50 bytes past the end of big (100000 bytes)');
  expect(memory.describe(big + 50_000)).toBe('50000 bytes inside big (100000 bytes)');
});

test('parts of maps are told by name, key and CPU', async () => {
  const { memory, maps } = await newCore({ cpus: 2 });
  const at = (type: number, spec = {}) => maps.create(mapSpec({ type, name: 'stats', valueSize: 20, ...spec }));
  const one = at(BPF_MAP_TYPE.ARRAY, { maxEntries: 1 }).lookup(keyOf(0));
  expect(memory.describe(one + 32)).toBe('12 bytes past the end of map "stats" value (20 bytes)');
  expect(memory.describe(one + 8)).toBe('8 bytes inside map "stats" value (20 bytes)');

  const array = at(BPF_MAP_TYPE.ARRAY);
  const third = array.lookup(keyOf(3));
  expect(memory.describe(third - 5)).toBe('5 bytes before map "stats" value of key 3 (20 bytes)');
  expect(memory.describe(third + 23)).toBe('3 bytes past the end of map "stats" value of key 3 (20 bytes)');

  const perCpu = at(BPF_MAP_TYPE.PERCPU_ARRAY);
  expect(memory.describe(perCpu.lookup(keyOf(2), 1) + 1)).toBe(
    '1 byte inside map "stats" value of key 2 on CPU 1 (20 bytes)',
  );

  for (const flags of [0, BPF_MAP_FLAG.NO_PREALLOC]) {
    const hash = at(BPF_MAP_TYPE.HASH, { flags });
    hash.update(keyOf(77), new Uint8Array(20), 0);
    const value = hash.lookup(keyOf(77));
    expect(memory.describe(value + 25)).toBe('5 bytes past the end of map "stats" value (20 bytes)');
    expect(memory.describe(value - 24 + 2)).toBe('2 bytes inside map "stats" key (4 bytes)');
    expect(memory.describe(value - 4)).toBe('4 bytes before map "stats" value (20 bytes)');
    hash.delete(keyOf(77));
    hash.update(keyOf(78), new Uint8Array(20), 0);
    const gone = flags ? '0 bytes inside freed map "stats" value' : '0 bytes inside map "stats" value (20 bytes)';
    expect(memory.describe(value)).toBe(gone);
  }
  const perCpuHash = at(BPF_MAP_TYPE.PERCPU_HASH);
  perCpuHash.update(keyOf(1), new Uint8Array(20), 0);
  expect(memory.describe(perCpuHash.lookup(keyOf(1), 1))).toBe('0 bytes inside map "stats" value on CPU 1 (20 bytes)');

  expect(memory.describe(array.ptr + 8)).toBe('8 bytes inside map "stats" struct bpf_map (280 bytes)');
  array.free();
  expect(memory.describe(array.ptr + 8)).toBe('8 bytes inside freed map "stats" struct bpf_map');
  expect(memory.describe(third)).toBe('0 bytes inside freed map "stats" value of key 3');
});

test('memory that grows keeps its contents, and one that is disposed of says so', async () => {
  const { core, memory } = await newCore();
  const p = memory.alloc(16, { name: 'x' });
  memory.setU32(p, 42);
  core.exports.heapAlloc(100 << 20);
  expect(memory.u32(p)).toBe(42);
  core.dispose();
  for (const use of [
    () => memory.u32(p),
    () => memory.alloc(1, { name: 'y' }),
    () => memory.free(p),
    () => memory.bytes(p, 1),
  ]) {
    expect(use).toThrow('guest memory used after its kernel object was disposed');
  }
});

test('sizes that no core can have are refused', async () => {
  for (const windowBytes of [0, 2 ** 20 - 65536, 2 ** 20 + 1, 4 * 2 ** 30, -1, Number.NaN]) {
    await expect(instantiateCore({ windowBytes })).rejects.toThrow(/windowBytes/);
  }
  for (const cpus of [0, 1.5, 4097]) await expect(instantiateCore({ cpus })).rejects.toThrow(/cpus/);
});

test('the largest window works up to its last byte', async () => {
  const { memory } = await newCore({ windowBytes: 3 * 2 ** 30 });
  const p = memory.alloc(2 ** 31, { name: 'half' });
  memory.setU8(p + 2 ** 31 - 1, 9);
  expect(memory.u8(p + 2 ** 31 - 1)).toBe(9);
  expect(memory.describe(p + 2 ** 31)).toBe('0 bytes past the end of half (2147483648 bytes)');
  memory.free(p);
});
