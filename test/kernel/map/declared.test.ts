// Map types that are created, named and stay empty: what they stand for is not modelled.
import { beforeAll, describe, expect, test } from 'vitest';
import { assemble } from '../../../src/asm/index.js';
import { ERRNO } from '../../../src/errno.js';
import { UnsupportedError } from '../../../src/errors.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import { DECLARED_TYPES } from '../../../src/kernel/map/declared.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_PROG_TYPE } from '../../../src/uapi.js';
import { mapTypeName } from '../../../src/uapi_names.js';

let k: Kernel;
beforeAll(async () => {
  k = await Kernel.create({ windowBytes: 16 << 20 });
});

const { CGROUP_STORAGE, PERCPU_CGROUP_STORAGE, STACK_TRACE, SOCKHASH, DEVMAP_HASH } = BPF_MAP_TYPE;
const HASHED: readonly number[] = [CGROUP_STORAGE, PERCPU_CGROUP_STORAGE, STACK_TRACE, SOCKHASH, DEVMAP_HASH];
const isStorage = (type: number) => type === CGROUP_STORAGE || type === PERCPU_CGROUP_STORAGE;

function create(type: number, more: object = {}): number {
  return k.bpf('MAP_CREATE', {
    map_type: type,
    key_size: isStorage(type) ? 8 : 4,
    value_size: type === STACK_TRACE ? 80 : 4,
    max_entries: isStorage(type) ? 0 : 3,
    map_name: 'some',
    ...more,
  });
}

describe.each(DECLARED_TYPES.map((type) => [mapTypeName(type), type] as const))('%s', (name, type) => {
  test('is created and shown, and is empty', () => {
    const map_fd = create(type);
    expect(map_fd).toBeGreaterThan(0);
    const info: Record<string, unknown> = {};
    expect(k.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: map_fd, info })).toBe(0);
    expect(info).toMatchObject({ type, name: 'some' });
    const next_key = new Uint8Array(isStorage(type) ? 8 : 4);
    const first = k.bpf('MAP_GET_NEXT_KEY', { map_fd, next_key });
    expect(first).toBe(HASHED.includes(type) ? -ERRNO.ENOENT : 0);
  });

  test('stops by name where an element would be, for user space and for programs', () => {
    const map_fd = create(type);
    const attr = { map_fd, key: new Uint8Array(isStorage(type) ? 8 : 4), value: new Uint8Array(4096) };
    const text = `type ${name} is not modelled`;
    expect(() => k.bpf('MAP_UPDATE_ELEM', attr)).toThrow(UnsupportedError);
    expect(() => k.bpf('MAP_UPDATE_ELEM', attr)).toThrow(`map "some": MAP_UPDATE_ELEM on ${text}`);
    expect(() => k.bpf('MAP_LOOKUP_ELEM', attr)).toThrow(`MAP_LOOKUP_ELEM on ${text}`);
    expect(() => k.bpf('MAP_DELETE_ELEM', attr)).toThrow(`MAP_DELETE_ELEM on ${text}`);
    const insns = assemble(
      `r1 = map_fd(${map_fd}) ll\nr2 = 0\n*(u64 *)(r10 - 8) = r2\nr2 = r10\nr2 += -8\ncall 1\nr0 = 0\nexit\n`,
    );
    const prog_fd = k.bpf('PROG_LOAD', { prog_type: BPF_PROG_TYPE.SOCKET_FILTER, insns, license: 'GPL' });
    expect(() => k.bpf('PROG_TEST_RUN', { prog_fd, data_in: new Uint8Array(14) })).toThrow(
      `bpf_map_lookup_elem on ${text}`,
    );
  });

  test('is refused with attributes that the kernel refuses', () => {
    const before = k.maps.size;
    expect(create(type, { map_flags: BPF_MAP_FLAG.NO_PREALLOC })).toBe(-ERRNO.EINVAL);
    expect(create(type, { value_size: 0 })).toBe(-ERRNO.EINVAL);
    expect(create(type, { max_entries: isStorage(type) ? 1 : 0 })).toBe(-ERRNO.EINVAL);
    expect(k.maps.size).toBe(before);
  });
});
