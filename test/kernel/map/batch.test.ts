// Batch commands: what they refuse, and what stands in their out-attributes. Their answers on good sequences: oracle.test.ts.
import { beforeAll, describe, expect, test } from 'vitest';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { BpfAttr } from '../../../src/kernel/types.js';
import { BPF_F_LOCK, BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../../src/uapi.js';

type Command = 'MAP_LOOKUP_BATCH' | 'MAP_LOOKUP_AND_DELETE_BATCH' | 'MAP_UPDATE_BATCH' | 'MAP_DELETE_BATCH';
const COMMANDS: readonly Command[] = [
  'MAP_LOOKUP_BATCH',
  'MAP_LOOKUP_AND_DELETE_BATCH',
  'MAP_UPDATE_BATCH',
  'MAP_DELETE_BATCH',
];
const BPF_F_CPU = 8;
const BPF_F_ALL_CPUS = 16;

let k: Kernel;
let old: Kernel;
beforeAll(async () => {
  [k, old] = (await Promise.all(
    ['7.3', '6.18'].map((profile) => Kernel.create({ profile, cpus: 2, windowBytes: 16 << 20 })),
  )) as [Kernel, Kernel];
});

const create = (more: Partial<BpfAttr['MAP_CREATE']> = {}, kernel = k) =>
  kernel.bpf('MAP_CREATE', { map_type: BPF_MAP_TYPE.HASH, key_size: 4, value_size: 4, max_entries: 8, ...more });
const words = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);
const fromWords = (bytes: Uint8Array) => [...new Uint32Array(bytes.slice().buffer)];

/** A map of so many elements: key i has the value 10 + i. */
function filled(count: number, more: Partial<BpfAttr['MAP_CREATE']> = {}): number {
  const map_fd = create(more);
  const keys = Array.from({ length: count }, (_, i) => i);
  const attr = { map_fd, keys: words(...keys), values: words(...keys.map((key) => 10 + key)), count };
  expect(k.bpf('MAP_UPDATE_BATCH', attr)).toBe(0);
  expect(attr.count).toBe(count);
  return map_fd;
}

const room = (map_fd: number, count: number) => ({
  map_fd,
  keys: new Uint8Array(count * 4),
  values: new Uint8Array(count * 4),
  out_batch: new Uint8Array(4),
  count,
});

describe('refused with', () => {
  test.each(COMMANDS)('%s: no map, no permission, nothing to do', (cmd) => {
    expect(k.bpf(cmd, { map_fd: 99, count: 1 })).toBe(-ERRNO.EBADF);
    const count = { count: 0 };
    expect(k.bpf(cmd, { map_fd: create(), ...count })).toBe(0);
    const reads = cmd.includes('LOOKUP');
    const writes = cmd !== 'MAP_LOOKUP_BATCH';
    expect(k.bpf(cmd, { map_fd: create({ map_flags: BPF_MAP_FLAG.WRONLY }), count: 0 })).toBe(reads ? -ERRNO.EPERM : 0);
    expect(k.bpf(cmd, { map_fd: create({ map_flags: BPF_MAP_FLAG.RDONLY }), count: 0 })).toBe(
      writes ? -ERRNO.EPERM : 0,
    );
    expect(k.bpf(cmd, { map_fd: create(), count: 1, elem_flags: BPF_F_LOCK })).toBe(-ERRNO.EINVAL);
    expect(k.bpf(cmd, { map_fd: create(), count: 1, elem_flags: 1 << 20 })).toBe(-ERRNO.EINVAL);
  });

  test('commands that a type has not got', () => {
    const answers = (more: Partial<BpfAttr['MAP_CREATE']>) =>
      COMMANDS.map((cmd) => k.bpf(cmd, { map_fd: create(more), count: 0 }) === -ERRNO.ENOTSUPP);
    expect(answers({})).toEqual([false, false, false, false]);
    expect(answers({ map_type: BPF_MAP_TYPE.LRU_PERCPU_HASH })).toEqual([false, false, false, false]);
    expect(answers({ map_type: BPF_MAP_TYPE.ARRAY })).toEqual([false, true, false, true]);
    const trie = { map_type: BPF_MAP_TYPE.LPM_TRIE, key_size: 8, map_flags: BPF_MAP_FLAG.NO_PREALLOC };
    expect(answers(trie)).toEqual([false, true, false, false]);
    expect(answers({ map_type: BPF_MAP_TYPE.QUEUE, key_size: 0 })).toEqual([true, true, true, true]);
    expect(answers({ map_type: BPF_MAP_TYPE.PROG_ARRAY })).toEqual([true, true, true, true]);
  });

  test('hash lookups: flags, a bucket that is not there, too little room', () => {
    const map_fd = filled(8);
    expect(k.bpf('MAP_LOOKUP_BATCH', { ...room(map_fd, 8), flags: 1 })).toBe(-ERRNO.EINVAL);
    expect(k.bpf('MAP_LOOKUP_BATCH', { ...room(map_fd, 8), in_batch: words(8) })).toBe(-ERRNO.ENOENT);
    expect(k.bpf('MAP_LOOKUP_BATCH', { ...room(map_fd, 8), in_batch: new Uint8Array(3) })).toBe(-ERRNO.EFAULT);
    // One bucket for all: it does not fit in part.
    const one = filled(1, { max_entries: 1 });
    const attr = room(one, 1);
    expect(k.bpf('MAP_LOOKUP_BATCH', attr)).toBe(-ERRNO.ENOENT);
    expect([attr.count, fromWords(attr.keys), fromWords(attr.values)]).toEqual([1, [0], [10]]);
  });

  test('buffers that are too short', () => {
    const map_fd = filled(8);
    expect(k.bpf('MAP_LOOKUP_BATCH', { ...room(map_fd, 8), keys: new Uint8Array(4) })).toBe(-ERRNO.EFAULT);
    expect(k.bpf('MAP_LOOKUP_BATCH', { ...room(map_fd, 8), out_batch: new Uint8Array(2) })).toBe(-ERRNO.EFAULT);
    const update = { map_fd, keys: words(1, 2), values: words(1), count: 2 };
    expect(k.bpf('MAP_UPDATE_BATCH', update)).toBe(-ERRNO.EFAULT);
    expect(update.count).toBe(1);
    const gone = { map_fd, keys: words(1), count: 2 };
    expect(k.bpf('MAP_DELETE_BATCH', gone)).toBe(-ERRNO.EFAULT);
    expect(gone.count).toBe(1);
  });
});

test('a walk in steps meets every element once', () => {
  for (const more of [{}, { map_type: BPF_MAP_TYPE.ARRAY }, { map_type: BPF_MAP_TYPE.LRU_HASH, max_entries: 32 }]) {
    const map_fd = filled(8, more);
    const met: number[] = [];
    let in_batch: Uint8Array | undefined;
    for (let result = 0; result === 0; ) {
      const attr = { ...room(map_fd, 5), ...(in_batch && { in_batch }) };
      result = k.bpf('MAP_LOOKUP_BATCH', attr);
      expect([0, -ERRNO.ENOENT]).toContain(result);
      const keys = fromWords(attr.keys).slice(0, attr.count);
      expect(fromWords(attr.values).slice(0, attr.count)).toEqual(keys.map((key) => 10 + key));
      met.push(...keys);
      in_batch = attr.out_batch;
    }
    expect(met.sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  }
});

test('look up and delete empties the map', () => {
  const map_fd = filled(8);
  const attr = room(map_fd, 8);
  expect(k.bpf('MAP_LOOKUP_AND_DELETE_BATCH', attr)).toBe(-ERRNO.ENOENT);
  expect(attr.count).toBe(8);
  expect(k.bpf('MAP_GET_NEXT_KEY', { map_fd, next_key: new Uint8Array(4) })).toBe(-ERRNO.ENOENT);
});

test('values of one CPU or of all, where the kernel knows those flags', () => {
  const percpu = { map_type: BPF_MAP_TYPE.PERCPU_ARRAY, value_size: 8, max_entries: 2 };
  const map_fd = create(percpu);
  const keys = words(0, 1);
  const update = (values: Uint8Array, elem_flags: number, kernel = k, fd = map_fd) =>
    kernel.bpf('MAP_UPDATE_BATCH', { map_fd: fd, keys, values, count: 2, elem_flags });
  expect(update(words(1, 0, 2, 0), BPF_F_ALL_CPUS)).toBe(0);
  const all = { ...room(map_fd, 2), values: new Uint8Array(32) };
  expect(k.bpf('MAP_LOOKUP_BATCH', all)).toBe(0);
  expect(fromWords(all.values)).toEqual([1, 0, 1, 0, 2, 0, 2, 0]);
  expect(update(words(1, 0, 2, 0), BPF_F_ALL_CPUS, old, create(percpu, old))).toBe(-ERRNO.EINVAL);
  expect(k.bpf('MAP_LOOKUP_BATCH', { ...room(map_fd, 2), elem_flags: BPF_F_CPU | BPF_F_ALL_CPUS })).toBe(-ERRNO.EINVAL);
});
