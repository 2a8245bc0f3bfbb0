import { beforeAll, describe, expect, test } from 'vitest';
import { BtfBuilder } from '../../../src/btf/builder.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { BpfAttr } from '../../../src/kernel/types.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../../src/uapi.js';

let k: Kernel;
beforeAll(async () => {
  k = await Kernel.create({ windowBytes: 16 << 20 });
});

const create = (more: Partial<BpfAttr['MAP_CREATE']> = {}) =>
  k.bpf('MAP_CREATE', { map_type: BPF_MAP_TYPE.ARRAY, key_size: 4, value_size: 8, max_entries: 4, ...more });

describe('refused with', () => {
  const percpu = { map_type: BPF_MAP_TYPE.PERCPU_ARRAY };
  const hash = { map_type: BPF_MAP_TYPE.HASH };
  test.each<[string, Partial<BpfAttr['MAP_CREATE']>, number]>([
    ['no type', { map_type: 0 }, ERRNO.EINVAL],
    ['a type that is left out', { map_type: undefined as unknown as number }, ERRNO.EINVAL],
    ['a type above the last', { map_type: 1000 }, ERRNO.EINVAL],
    ['a key type without a value type', { btf_key_type_id: 1 }, ERRNO.EINVAL],
    ['a vmlinux value type', { btf_vmlinux_value_type_id: 1 }, ERRNO.EINVAL],
    ['map_extra', { map_extra: 1n }, ERRNO.EINVAL],
    ['read-only and write-only', { map_flags: BPF_MAP_FLAG.RDONLY | BPF_MAP_FLAG.WRONLY }, ERRNO.EINVAL],
    ['a node that is not there', { map_flags: BPF_MAP_FLAG.NUMA_NODE, numa_node: 1 }, ERRNO.EINVAL],
    ['an array key of 8 bytes', { key_size: 8 }, ERRNO.EINVAL],
    ['an array of no entries', { max_entries: 0 }, ERRNO.EINVAL],
    ['an array of empty values', { value_size: 0 }, ERRNO.EINVAL],
    ['an array with NO_PREALLOC', { map_flags: BPF_MAP_FLAG.NO_PREALLOC }, ERRNO.EINVAL],
    ['both program modes', { map_flags: BPF_MAP_FLAG.RDONLY_PROG | BPF_MAP_FLAG.WRONLY_PROG }, ERRNO.EINVAL],
    ['a mappable per-CPU array', { ...percpu, map_flags: BPF_MAP_FLAG.MMAPABLE }, ERRNO.EINVAL],
    ['a per-CPU value above 32 KiB', { ...percpu, value_size: 32769 }, ERRNO.E2BIG],
    ['an array value above 2 GiB', { value_size: 0x80000000 }, ERRNO.E2BIG],
    ['a hash without key', { ...hash, key_size: 0 }, ERRNO.EINVAL],
    ['a mappable hash', { ...hash, map_flags: BPF_MAP_FLAG.MMAPABLE }, ERRNO.EINVAL],
    ['a hash element above 4 MiB', { ...hash, value_size: 4 << 20 }, ERRNO.E2BIG],
    ['a device', { map_ifindex: 1 }, ERRNO.EINVAL],
    ['a name with a space', { map_name: 'a b' }, ERRNO.EINVAL],
    ['a name of 16 characters', { map_name: 'x'.repeat(16) }, ERRNO.EINVAL],
    ['types of a BTF that is not open', { btf_value_type_id: 1, btf_key_type_id: 1, btf_fd: 99 }, ERRNO.EBADF],
    ['types of a file that is no BTF', { btf_value_type_id: 1, btf_key_type_id: 1, btf_fd: 0 }, ERRNO.EINVAL],
  ])('%s', (_what, attr, errno) => {
    const before = k.maps.size;
    expect(create(attr)).toBe(-errno);
    expect(k.maps.size).toBe(before);
  });

  test("types that do not fit key and value, or that are the kernel's", () => {
    const b = new BtfBuilder();
    const int = b.int('int', 4);
    const long = b.int('long', 8);
    const btf_fd = k.bpf('BTF_LOAD', { btf: b.parse().raw });
    expect(create({ btf_fd, btf_key_type_id: int, btf_value_type_id: long })).toBeGreaterThan(0);
    expect(create({ btf_fd, btf_key_type_id: long, btf_value_type_id: long })).toBe(-ERRNO.EINVAL);
    expect(create({ btf_fd, btf_key_type_id: int, btf_value_type_id: int })).toBe(-ERRNO.EINVAL);
    expect(create({ btf_fd, btf_key_type_id: int, btf_value_type_id: 1000 })).toBe(-ERRNO.EINVAL);
    const pair = b.struct('pair', [{ name: 'a', type: int }]);
    const other = k.bpf('BTF_LOAD', { btf: b.parse().raw });
    expect(create({ btf_fd: other, btf_key_type_id: pair, btf_value_type_id: long })).toBe(-ERRNO.EINVAL); // no u32
    expect(create({ btf_fd, btf_value_type_id: long })).toBe(-ERRNO.EINVAL); // no key: only global data
    const vmlinux = k.bpf('BTF_GET_FD_BY_ID', { btf_id: 1 });
    expect(create({ btf_fd: vmlinux, btf_key_type_id: int, btf_value_type_id: int })).toBe(-ERRNO.EACCES);
  });
});

test('global data: one element of a DATASEC, no key type', () => {
  const b = new BtfBuilder();
  const long = b.int('long', 8);
  const variable = b.var('x', long);
  const section = b.datasec('.bss', 8, [{ type: variable, offset: 0, size: 8 }]);
  const btf_fd = k.bpf('BTF_LOAD', { btf: b.parse().raw });
  expect(create({ btf_fd, btf_value_type_id: section, max_entries: 1 })).toBeGreaterThan(0);
  expect(create({ btf_fd, btf_value_type_id: section, max_entries: 2 })).toBe(-ERRNO.EINVAL);
});

test('memory that runs out is ENOMEM, and the log says whose', () => {
  const before = k.maps.size;
  expect(create({ map_name: 'huge', value_size: 1 << 20, max_entries: 1000 })).toBe(-ERRNO.ENOMEM);
  expect(k.log.at(-1)).toContain('bpf(MAP_CREATE): map "huge"');
  expect(k.maps.size).toBe(before);
});

test('types that the kernel does not have are EINVAL', async () => {
  expect(create({ map_type: 36 })).toBe(-ERRNO.EINVAL);
  const old = await Kernel.create({ profile: '6.12', windowBytes: 4 << 20 });
  for (const map_type of [BPF_MAP_TYPE.INSN_ARRAY, BPF_MAP_TYPE.RHASH])
    expect(old.bpf('MAP_CREATE', { map_type, key_size: 4, value_size: 4, max_entries: 1 })).toBe(-ERRNO.EINVAL);
  old.dispose();
});

test('info shows what the map was made of', () => {
  const map_flags = BPF_MAP_FLAG.RDONLY_PROG;
  const fd = create({ map_name: 'm.1', map_flags });
  const info: Record<string, unknown> = {};
  expect(k.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info })).toBe(0);
  expect(info).toMatchObject({
    type: 2,
    key_size: 4,
    value_size: 8,
    max_entries: 4,
    map_flags,
    name: 'm.1',
    frozen: 0,
  });
  expect(info.id).toBeGreaterThan(0);
});

test('programs see struct bpf_map: modelled fields, and nothing else', () => {
  const fd = create({ map_name: 'seen' });
  const map = k.fds.map(fd);
  if (typeof map === 'number') throw new Error('no map');
  const struct = k.types.struct('bpf_map');
  const read = (path: string) => struct.field(path).get(map.guest);
  expect([read('map_type'), read('key_size'), read('value_size'), read('max_entries'), read('id')]).toEqual([
    2,
    4,
    8,
    4,
    map.id,
  ]);
  expect(struct.field('name').text(map.guest)).toBe('seen');
  const can = (path: string) => k.memory.canAccess(map.guest + struct.field(path).offset, 4, false);
  expect([can('max_entries'), can('ops'), can('refcnt')]).toEqual([true, false, false]);
  expect(k.objects.describe(map.guest + struct.field('ops').offset)).toBe('bpf_map.ops of map "seen"');
});
