import { beforeEach, describe, expect, test } from 'vitest';
import { BtfBuilder } from '../../../src/btf/builder.js';
import { ERRNO, ErrnoError } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { BpfAttr } from '../../../src/kernel/types.js';
import { BPF_EXIST, BPF_F_LOCK, BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_NOEXIST } from '../../../src/uapi.js';

let k: Kernel;
beforeEach(async () => {
  k = await Kernel.create({ windowBytes: 8 << 20, cpus: 3 });
});

const create = (more: Partial<BpfAttr['MAP_CREATE']> = {}) =>
  k.bpf('MAP_CREATE', { map_type: BPF_MAP_TYPE.ARRAY, key_size: 4, value_size: 8, max_entries: 4, ...more });
const hash = (more: Partial<BpfAttr['MAP_CREATE']> = {}) => create({ map_type: BPF_MAP_TYPE.HASH, ...more });
const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const u64 = (...values: bigint[]) => new Uint8Array(BigUint64Array.from(values).buffer);
const numbers = (bytes: Uint8Array) => [...new BigUint64Array(bytes.slice().buffer)];
const update = (fd: number, key: number, value: Uint8Array, flags = 0) =>
  k.bpf('MAP_UPDATE_ELEM', { map_fd: fd, key: u32(key), value, flags });
function lookup(fd: number, key: number, size = 8, flags = 0): bigint[] | number {
  const value = new Uint8Array(size);
  const result = k.bpf('MAP_LOOKUP_ELEM', { map_fd: fd, key: u32(key), value, flags });
  return result < 0 ? result : numbers(value);
}

describe('arrays', () => {
  test('hold zeroes until they are written; indexes end', () => {
    const fd = create();
    expect(lookup(fd, 3)).toEqual([0n]);
    expect(update(fd, 3, u64(7n))).toBe(0);
    expect(lookup(fd, 3)).toEqual([7n]);
    expect(lookup(fd, 4)).toBe(-ERRNO.ENOENT);
    expect(update(fd, 4, u64(7n))).toBe(-ERRNO.E2BIG);
    expect(update(fd, 0, u64(7n), BPF_NOEXIST)).toBe(-ERRNO.EEXIST);
    expect(update(fd, 0, u64(7n), 3)).toBe(-ERRNO.EINVAL);
    expect(k.bpf('MAP_DELETE_ELEM', { map_fd: fd, key: u32(0) })).toBe(-ERRNO.EINVAL);
    expect(k.bpf('MAP_LOOKUP_AND_DELETE_ELEM', { map_fd: fd, key: u32(0), value: new Uint8Array(8) })).toBe(
      -ERRNO.ENOTSUPP,
    );
  });

  test('keys go round by index', () => {
    const fd = create({ max_entries: 2 });
    const next = new Uint8Array(4);
    const keys: number[] = [];
    let key: Uint8Array | undefined;
    while (k.bpf('MAP_GET_NEXT_KEY', { map_fd: fd, ...(key && { key }), next_key: next }) === 0) {
      keys.push(new Uint32Array(next.slice().buffer)[0]!);
      key = next.slice();
    }
    expect(keys).toEqual([0, 1]);
  });

  test('per CPU: one value a CPU, each on 8 bytes', () => {
    const fd = create({ map_type: BPF_MAP_TYPE.PERCPU_ARRAY, value_size: 4 });
    expect(update(fd, 1, u64(1n, 2n, 3n))).toBe(0);
    expect(lookup(fd, 1, 24)).toEqual([1n, 2n, 3n]);
    expect(lookup(fd, 1, 23)).toBe(-ERRNO.EFAULT);
    expect(update(fd, 1, u64(1n, 2n))).toBe(-ERRNO.EFAULT);
  });

  test('BPF_F_CPU and BPF_F_ALL_CPUS speak of one CPU, and of all (7.0)', () => {
    const fd = create({ map_type: BPF_MAP_TYPE.PERCPU_ARRAY, value_size: 8 });
    expect(update(fd, 0, u64(9n), 16)).toBe(0);
    expect(update(fd, 0, u64(5n), 8 + 2 * 2 ** 32)).toBe(0);
    expect(lookup(fd, 0, 24)).toEqual([9n, 9n, 5n]);
    expect(lookup(fd, 0, 8, 8 + 2 * 2 ** 32)).toEqual([5n]);
    expect(update(fd, 0, u64(5n), 8 + 3 * 2 ** 32)).toBe(-ERRNO.ERANGE);
    expect(update(fd, 0, u64(5n), 24)).toBe(-ERRNO.EINVAL);
    expect(update(create(), 0, u64(5n), 8)).toBe(-ERRNO.EINVAL);
    expect(lookup(create(), 0, 8, 2 ** 32)).toBe(-ERRNO.EINVAL);
  });
});

test('6.18 knows no per-CPU flags', async () => {
  k = await Kernel.create({ windowBytes: 8 << 20, cpus: 2, profile: '6.18' });
  const fd = create({ map_type: BPF_MAP_TYPE.PERCPU_ARRAY });
  expect(lookup(fd, 0, 16, 8)).toBe(-ERRNO.EINVAL);
  expect(update(fd, 0, u64(1n, 2n), 16)).toBe(-ERRNO.EINVAL);
});

describe('hashes', () => {
  test('make, find and lose elements', () => {
    const fd = hash();
    expect(lookup(fd, 1)).toBe(-ERRNO.ENOENT);
    expect(update(fd, 1, u64(1n), BPF_EXIST)).toBe(-ERRNO.ENOENT);
    expect(update(fd, 1, u64(1n), BPF_NOEXIST)).toBe(0);
    expect(update(fd, 1, u64(2n), BPF_NOEXIST)).toBe(-ERRNO.EEXIST);
    expect(lookup(fd, 1)).toEqual([1n]);
    const value = new Uint8Array(8);
    expect(k.bpf('MAP_LOOKUP_AND_DELETE_ELEM', { map_fd: fd, key: u32(1), value })).toBe(0);
    expect(numbers(value)).toEqual([1n]);
    expect(k.bpf('MAP_DELETE_ELEM', { map_fd: fd, key: u32(1) })).toBe(-ERRNO.ENOENT);
    for (let key = 0; key < 4; key++) expect(update(fd, key, u64(0n))).toBe(0);
    expect(update(fd, 9, u64(0n))).toBe(-ERRNO.E2BIG);
  });

  test('per CPU', () => {
    const fd = hash({ map_type: BPF_MAP_TYPE.PERCPU_HASH });
    expect(update(fd, 1, u64(1n, 2n, 3n), BPF_NOEXIST)).toBe(0);
    expect(update(fd, 1, u64(4n, 5n, 6n), BPF_EXIST)).toBe(0);
    expect(lookup(fd, 1, 24)).toEqual([4n, 5n, 6n]);
  });
});

describe('order of errors', () => {
  const attr = { key: u32(0), value: new Uint8Array(8) };

  test('fd before buffers', () => {
    expect(k.bpf('MAP_UPDATE_ELEM', { map_fd: 99, ...attr })).toBe(-ERRNO.EBADF);
    expect(k.bpf('MAP_UPDATE_ELEM', { map_fd: 0, ...attr })).toBe(-ERRNO.EINVAL);
    expect(k.bpf('MAP_LOOKUP_ELEM', { map_fd: -1, ...attr })).toBe(-ERRNO.EBADF);
    const fd = create();
    expect(k.bpf('MAP_UPDATE_ELEM', { map_fd: fd, key: u32(0) } as never)).toBe(-ERRNO.EFAULT);
    expect(k.bpf('MAP_LOOKUP_ELEM', { map_fd: fd, value: new Uint8Array(8) })).toBe(-ERRNO.EFAULT);
    expect(k.bpf('MAP_LOOKUP_ELEM', { map_fd: fd, key: new Uint8Array(3), value: new Uint8Array(8) })).toBe(
      -ERRNO.EFAULT,
    );
  });

  test('permissions before flags and buffers', () => {
    const writeOnly = create({ map_flags: BPF_MAP_FLAG.WRONLY });
    expect(lookup(writeOnly, 0, 8, BPF_F_LOCK)).toBe(-ERRNO.EPERM);
    expect(update(writeOnly, 0, u64(1n))).toBe(0);
    const readOnly = create({ map_flags: BPF_MAP_FLAG.RDONLY });
    expect(update(readOnly, 0, u64(1n))).toBe(-ERRNO.EPERM);
    expect(k.bpf('MAP_DELETE_ELEM', { map_fd: readOnly })).toBe(-ERRNO.EPERM);
    expect(update(create(), 0, u64(1n), BPF_F_LOCK)).toBe(-ERRNO.EINVAL);
  });
});

describe('freeze and mmap', () => {
  test('a frozen map takes no more writes', () => {
    const fd = create();
    expect(update(fd, 0, u64(1n))).toBe(0);
    expect(k.bpf('MAP_FREEZE', { map_fd: fd })).toBe(0);
    expect(update(fd, 0, u64(2n))).toBe(-ERRNO.EPERM);
    expect(lookup(fd, 0)).toEqual([1n]);
    expect(k.bpf('MAP_FREEZE', { map_fd: fd })).toBe(-ERRNO.EPERM);
  });

  test('a mapping shows the values, writes through, and keeps the map alive', () => {
    const fd = create({ max_entries: 1, value_size: 16, map_flags: BPF_MAP_FLAG.MMAPABLE });
    const mapping = k.mmap(fd);
    mapping.write(8, u64(3n));
    expect(lookup(fd, 0, 16)).toEqual([0n, 3n]);
    expect(k.bpf('MAP_FREEZE', { map_fd: fd })).toBe(-ERRNO.EBUSY);
    expect(() => mapping.write(16, u64(3n))).toThrow(ErrnoError);
    k.close(fd);
    expect(k.maps.size).toBe(1);
    expect(numbers(mapping.read(8, 8))).toEqual([3n]);
    mapping.unmap();
    expect(k.maps.size).toBe(0);
    expect(() => mapping.read(0, 8)).toThrow('EFAULT');
  });

  test('elements follow each other in a mapping', () => {
    const fd = create({ max_entries: 3, value_size: 12, map_flags: BPF_MAP_FLAG.MMAPABLE });
    const mapping = k.mmap(fd);
    expect(mapping.length).toBe(48);
    mapping.write(8, u64(1n, 2n, 3n));
    expect(lookup(fd, 1, 16)).toEqual([2n, 3n % 2n ** 32n]);
    expect(numbers(mapping.read(0, 40))).toEqual([0n, 1n, 2n, 3n, 0n]);
  });

  test('a frozen map is mapped read-only, others not at all', () => {
    const fd = create({ max_entries: 1, map_flags: BPF_MAP_FLAG.MMAPABLE });
    k.bpf('MAP_FREEZE', { map_fd: fd });
    const mapping = k.mmap(fd);
    expect(numbers(mapping.read(0, 8))).toEqual([0n]);
    expect(() => mapping.write(0, u64(1n))).toThrow('read-only');
    expect(() => k.mmap(create())).toThrow('mmap of map "": EINVAL');
    expect(() => k.mmap(hash())).toThrow('ENOTSUPP');
    expect(() => k.mmap(77)).toThrow('EBADF');
  });
});

test('fields of the kernel read as 0 and are left alone', () => {
  const b = new BtfBuilder();
  const int = b.int('int', 4, { signed: true });
  const lock = b.struct('bpf_spin_lock', [{ name: 'val', type: int }]);
  const value = b.struct('value', [
    { name: 'lock', type: lock },
    { name: 'n', type: int },
  ]);
  const btf_fd = k.bpf('BTF_LOAD', { btf: b.parse().raw });
  const fd = create({ btf_fd, btf_key_type_id: int, btf_value_type_id: value });
  expect(fd).toBeGreaterThan(0);
  expect(update(fd, 0, u64(0x0000_0007_0000_0001n))).toBe(0);
  expect(lookup(fd, 0)).toEqual([0x0000_0007_0000_0000n]);
  expect(lookup(fd, 0, 8, BPF_F_LOCK)).toEqual([0x0000_0007_0000_0000n]);
  expect(k.bpf('MAP_FREEZE', { map_fd: fd })).toBe(-ERRNO.ENOTSUPP);
  expect(() => k.mmap(fd)).toThrow('ENOTSUPP');
});
