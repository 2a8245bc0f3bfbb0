// RHASH and INSN_ARRAY (7.3). No kernel that judges here has them yet: a Map of the test is the model of their elements.
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { BpfAttr } from '../../../src/kernel/types.js';
import { BPF_EXIST, BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_NOEXIST } from '../../../src/uapi.js';

let k: Kernel;
beforeAll(async () => {
  k = await Kernel.create({ profile: '7.3', cpus: 2, windowBytes: 16 << 20 });
});

const RHASH = { map_type: BPF_MAP_TYPE.RHASH, key_size: 4, value_size: 4, max_entries: 6 };
const create = (more: Partial<BpfAttr['MAP_CREATE']> = {}) =>
  k.bpf('MAP_CREATE', { ...RHASH, map_flags: BPF_MAP_FLAG.NO_PREALLOC, ...more });
const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const number = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);

test.each<[string, Partial<BpfAttr['MAP_CREATE']>, number]>([
  ['without NO_PREALLOC', { map_flags: 0 }, ERRNO.EINVAL],
  ['with a fixed seed', { map_flags: BPF_MAP_FLAG.NO_PREALLOC | BPF_MAP_FLAG.ZERO_SEED }, ERRNO.EINVAL],
  ['a key above 64 KiB', { key_size: 65536 }, ERRNO.E2BIG],
  ['a hint of more than 32 bits', { map_extra: 1n << 32n }, ERRNO.EINVAL],
  ['a hint above 65535', { map_extra: 65536n, max_entries: 100000 }, ERRNO.E2BIG],
  ['a hint above max_entries', { map_extra: 7n }, ERRNO.EINVAL],
  ['no entries', { max_entries: 0 }, ERRNO.EINVAL],
])('an RHASH is refused %s', (_what, attr, errno) => {
  expect(create(attr)).toBe(-errno);
});

test('a hint is taken, and no other type takes one', () => {
  expect(create({ map_extra: 6n })).toBeGreaterThan(0);
  expect(create({ map_type: BPF_MAP_TYPE.HASH, map_extra: 1n })).toBe(-ERRNO.EINVAL);
});

const key = fc.integer({ min: 0, max: 8 });
const op = fc.oneof(
  fc.record({
    op: fc.constant('update' as const),
    key,
    value: fc.nat(1000),
    flags: fc.constantFrom(0, BPF_NOEXIST, BPF_EXIST, 3, 4),
  }),
  fc.record({ op: fc.constantFrom('delete' as const, 'lookup' as const, 'take' as const, 'walk' as const), key }),
  fc.record({ op: fc.constant('batch' as const), key, count: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ op: fc.constant('drain' as const), key }),
);

function walk(map_fd: number): number[] {
  const keys: number[] = [];
  const next_key = new Uint8Array(4);
  for (let last: Uint8Array | undefined; ; last = next_key.slice()) {
    if (k.bpf('MAP_GET_NEXT_KEY', { map_fd, ...(last && { key: last }), next_key }) < 0) return keys;
    keys.push(number(next_key));
  }
}

/** All elements by batches of `count`, from position to position. */
function batches(map_fd: number, count: number, cmd: 'MAP_LOOKUP_BATCH' | 'MAP_LOOKUP_AND_DELETE_BATCH') {
  const all = new Map<number, number>();
  for (let in_batch: Uint8Array | undefined; ; ) {
    const attr: BpfAttr['MAP_LOOKUP_BATCH'] = {
      ...{ map_fd, keys: new Uint8Array(count * 4), values: new Uint8Array(count * 4), out_batch: new Uint8Array(4) },
      ...{ count, ...(in_batch && { in_batch }) },
    };
    const result = k.bpf(cmd, attr);
    for (let i = 0; i < attr.count; i++)
      all.set(number(attr.keys!.subarray(i * 4)), number(attr.values!.subarray(i * 4)));
    if (result < 0) {
      expect(result).toBe(-ERRNO.ENOENT);
      return all;
    }
    in_batch = attr.out_batch!;
  }
}

test('does what a Map does, with the kernel’s errno', () => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const map_fd = create();
      const model = new Map<number, number>();
      for (const step of ops) {
        const at = { map_fd, key: u32(step.key) };
        const had = model.has(step.key);
        const value = new Uint8Array(4);
        if (step.op === 'update') {
          let errno = 0;
          if (step.flags > BPF_EXIST) errno = ERRNO.EINVAL;
          else if (had && step.flags === BPF_NOEXIST) errno = ERRNO.EEXIST;
          else if (!had && step.flags === BPF_EXIST) errno = ERRNO.ENOENT;
          else if (!had && model.size === RHASH.max_entries) errno = ERRNO.E2BIG;
          else model.set(step.key, step.value);
          const given = { ...at, value: u32(step.value), flags: step.flags };
          expect(k.bpf('MAP_UPDATE_ELEM', given)).toBe(-errno + 0);
        } else if (step.op === 'delete') {
          expect(k.bpf('MAP_DELETE_ELEM', at)).toBe(model.delete(step.key) ? 0 : -ERRNO.ENOENT);
        } else if (step.op === 'lookup' || step.op === 'take') {
          const cmd = step.op === 'take' ? 'MAP_LOOKUP_AND_DELETE_ELEM' : 'MAP_LOOKUP_ELEM';
          expect(k.bpf(cmd, { ...at, value })).toBe(had ? 0 : -ERRNO.ENOENT);
          if (had) expect(number(value)).toBe(model.get(step.key));
          if (step.op === 'take') model.delete(step.key);
        } else if (step.op === 'walk') {
          expect(walk(map_fd).sort()).toEqual([...model.keys()].sort());
        } else if (step.op === 'batch') {
          expect(batches(map_fd, step.count, 'MAP_LOOKUP_BATCH')).toEqual(model);
        } else {
          expect(batches(map_fd, 9, 'MAP_LOOKUP_AND_DELETE_BATCH')).toEqual(model);
          model.clear();
        }
      }
      k.close(map_fd);
    }),
    { numRuns: 60 },
  );
});

test('a batch that begins at a key that is gone says EAGAIN', () => {
  const map_fd = create();
  for (const i of [1, 2, 3]) k.bpf('MAP_UPDATE_ELEM', { map_fd, key: u32(i), value: u32(i), flags: 0 });
  const attr = { map_fd, keys: new Uint8Array(4), values: new Uint8Array(4), out_batch: new Uint8Array(4), count: 1 };
  expect(k.bpf('MAP_LOOKUP_BATCH', attr)).toBe(0);
  k.bpf('MAP_DELETE_ELEM', { map_fd, key: attr.out_batch });
  const next = { ...attr, count: 1, in_batch: attr.out_batch, out_batch: new Uint8Array(4) };
  expect(k.bpf('MAP_LOOKUP_BATCH', next)).toBe(-ERRNO.EAGAIN);
});

test('an update keeps the element where it is, one of a hash does not', () => {
  const places = [create(), create({ map_type: BPF_MAP_TYPE.HASH })].map((map_fd) => {
    const map = k.vm.maps.at((k.fds.map(map_fd) as { guest: number }).guest)!;
    const place = (value: number) => {
      k.bpf('MAP_UPDATE_ELEM', { map_fd, key: u32(1), value: u32(value), flags: 0 });
      return map.lookup(u32(1));
    };
    return place(1) === place(2);
  });
  expect(places).toEqual([true, false]);
});

describe('INSN_ARRAY', () => {
  const array = (more: Partial<BpfAttr['MAP_CREATE']> = {}) =>
    k.bpf('MAP_CREATE', {
      ...{ map_type: BPF_MAP_TYPE.INSN_ARRAY, map_name: 'jumps', key_size: 4, value_size: 16, max_entries: 3, ...more },
    });
  const places = (orig: number, xlated = 0, jitted = 0) =>
    new Uint8Array(Uint32Array.of(orig, xlated, jitted, 0).buffer);

  test('is made of places of insns only', () => {
    for (const bad of [{ value_size: 8 }, { key_size: 8 }, { max_entries: 0 }, { map_flags: 1 }])
      expect(array(bad)).toBe(-ERRNO.EINVAL);
  });

  test('takes the places that user space knows, and gives them back', () => {
    const map_fd = array();
    const update = (at: number, value: Uint8Array, flags = 0) =>
      k.bpf('MAP_UPDATE_ELEM', { map_fd, key: u32(at), value, flags });
    expect(update(2, places(17))).toBe(0);
    expect(update(3, places(1))).toBe(-ERRNO.E2BIG);
    expect(update(1, places(1), BPF_NOEXIST)).toBe(-ERRNO.EEXIST);
    expect(update(1, places(1, 2))).toBe(-ERRNO.EINVAL);
    expect(update(1, places(1, 0, 2))).toBe(-ERRNO.EINVAL);
    const value = new Uint8Array(16).fill(0xff);
    expect(k.bpf('MAP_LOOKUP_ELEM', { map_fd, key: u32(2), value })).toBe(0);
    expect(value).toEqual(places(17));
    expect(k.bpf('MAP_LOOKUP_ELEM', { map_fd, key: u32(3), value })).toBe(-ERRNO.ENOENT);
    expect(k.bpf('MAP_DELETE_ELEM', { map_fd, key: u32(2) })).toBe(-ERRNO.EINVAL);
    expect(walk(map_fd)).toEqual([0, 1, 2]);
  });
});
