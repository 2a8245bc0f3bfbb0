import { beforeEach, describe, expect, test } from 'vitest';
import { BTF_KIND } from '../../../src/btf/types.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { IterInfo } from '../../../src/kernel/types.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../../../src/uapi.js';
import { assembleText } from '../run_text.js';
import { takeMemory } from '../take_memory.js';

const { TRACE_ITER } = BPF_ATTACH_TYPE;
const F_SLEEPABLE = 16;
const F_REPLACE = 4;

let k: Kernel;
beforeEach(async () => {
  k = await Kernel.create({ cpus: 2 });
});

function load(target: string, text: string, prog_flags = 0): number {
  const log = { text: '' };
  const prog_fd = k.bpf('PROG_LOAD', {
    prog_type: BPF_PROG_TYPE.TRACING,
    expected_attach_type: TRACE_ITER,
    attach_btf_id: k.profile.btf.find(`bpf_iter_${target}`, BTF_KIND.FUNC),
    insns: assembleText(k, text),
    license: 'GPL',
    prog_flags,
    log,
  });
  if (prog_fd < 0) throw new Error(log.text);
  return prog_fd;
}

const link = (prog_fd: number, iter_info: IterInfo = {}) =>
  k.bpf('LINK_CREATE', { prog_fd, attach_type: TRACE_ITER, iter_info });

/** Writes one byte for each object: what `read` leaves in r1, with the object in r7 and the seq_num in r8; 0xff at the end. */
const bytes = (read: string, result = 0) => `
  r9 = *(u64 *)(r1 + 0)
  r7 = *(u64 *)(r1 + 8)
  r8 = *(u64 *)(r9 + ${k.types.struct('bpf_iter_meta').field('seq_num').offset})
  r1 = 255
  if r7 == 0 goto +${read.trim().split('\n').length}
  ${read}
  *(u8 *)(r10 - 1) = r1
  r1 = *(u64 *)(r9 + 0)
  r2 = r10
  r2 += -1
  r3 = 1
  call seq_write
  r0 = ${result}
  if r7 != 0 goto +1
  r0 = 0
  exit`;

/** What a file of the link gives, read by `size` bytes at a time; -errno of the read that fails. */
function readAll(link_fd: number, size = 4096): number[] | number {
  const fd = k.bpf('ITER_CREATE', { link_fd });
  expect(fd).toBeGreaterThan(0);
  const all: number[] = [];
  for (;;) {
    const part = k.read(fd, size);
    if (typeof part === 'number') return part;
    if (part.length === 0) break;
    expect(part.length).toBeLessThanOrEqual(size);
    all.push(...part);
  }
  expect(k.close(fd)).toBe(0);
  return all;
}

const pidByte = () => `r1 = *(u32 *)(r7 + ${k.types.struct('task_struct').field('pid').offset})`;

describe('iter/task', () => {
  test('gives every thread by ascending pid, and the end once, however it is read', () => {
    for (const pid of [30, 10, 20]) k.tasks.create({ comm: 'x', pid });
    k.tasks.create({ comm: 'x', pid: 15, leader: k.tasks.byPid(10)! });
    const fd = link(load('task', bytes(pidByte())));
    expect(fd).toBeGreaterThan(0);
    expect(readAll(fd)).toEqual([10, 15, 20, 30, 255]);
    expect(readAll(fd, 1)).toEqual([10, 15, 20, 30, 255]);
    expect(readAll(fd, 3)).toEqual([10, 15, 20, 30, 255]);
  });

  test('gives one process or one thread when asked to', () => {
    const a = k.tasks.create({ comm: 'x', pid: 10 });
    k.tasks.create({ comm: 'x', pid: 12, leader: a });
    k.tasks.create({ comm: 'x', pid: 11 });
    const prog = load('task', bytes(pidByte()));
    expect(readAll(link(prog, { task: { pid: 10 } }))).toEqual([10, 12, 255]);
    expect(readAll(link(prog, { task: { tid: 12 } }))).toEqual([12, 255]);
    expect(readAll(link(prog, { task: { tid: 13 } }))).toEqual([255]);
    expect(readAll(link(prog, { task: { pid_fd: k.pidfd(10) } }))).toEqual([10, 12, 255]);
    expect(link(prog, { task: { tid: 1, pid: 1 } })).toBe(-ERRNO.EINVAL);
    expect(link(prog, { task: { pid_fd: 99 } })).toBe(-ERRNO.EBADF);
  });

  test('numbers the objects of a file', () => {
    for (let i = 0; i < 3; i++) k.tasks.create({ comm: 'x' });
    expect(readAll(link(load('task', bytes('r1 = r8'))))).toEqual([0, 1, 2, 255]);
  });

  test('ends with EAGAIN where the program answers 1', () => {
    k.tasks.create({ comm: 'x' });
    expect(readAll(link(load('task', bytes(pidByte(), 1))))).toBe(-ERRNO.EAGAIN);
  });

  test('sees tasks that come between reads, and none that went', () => {
    for (const pid of [10, 20, 30]) k.tasks.create({ comm: 'x', pid });
    const fd = k.bpf('ITER_CREATE', { link_fd: link(load('task', bytes(pidByte()))) });
    expect(k.read(fd, 1)).toEqual(new Uint8Array([10]));
    k.tasks.remove(k.tasks.byPid(20)!);
    k.tasks.create({ comm: 'x', pid: 25 });
    expect(k.read(fd, 10)).toEqual(new Uint8Array([25, 30, 255]));
    expect(k.read(fd, 10)).toEqual(new Uint8Array(0));
  });

  test('refuses more text from one task than its buffer takes', () => {
    const big = k.alloc(32768, 'text');
    k.tasks.create({ comm: 'x' });
    const write = (size: number) => `
      r9 = *(u64 *)(r1 + 0)
      r1 = *(u64 *)(r9 + 0)
      r2 = ${k.memory.address(big)} ll
      r3 = ${size}
      call seq_write
      r0 = 0
      exit`;
    expect(readAll(link(load('task', write(32768))))).toBe(-ERRNO.E2BIG);
    expect(readAll(link(load('task', write(32767))), 40000)).toHaveLength(2 * 32767);
  });

  test('prints with bpf_seq_printf', () => {
    k.tasks.create({ comm: 'worker', pid: 7 });
    const { memory } = k;
    const format = k.alloc(16, 'format');
    memory.bytes(format, 9).set(new TextEncoder().encode('pid=%u;%s'));
    const text = `
      r9 = *(u64 *)(r1 + 0)
      r7 = *(u64 *)(r1 + 8)
      if r7 == 0 goto +12
      r1 = *(u32 *)(r7 + ${k.types.struct('task_struct').field('pid').offset})
      *(u64 *)(r10 - 16) = r1
      r7 += ${k.types.struct('task_struct').field('comm').offset}
      *(u64 *)(r10 - 8) = r7
      r1 = *(u64 *)(r9 + 0)
      r2 = ${memory.address(format)} ll
      r3 = 10
      r4 = r10
      r4 += -16
      r5 = 16
      call seq_printf
      r0 = 0
      exit`;
    const fd = k.bpf('ITER_CREATE', { link_fd: link(load('task', text)) });
    expect(new TextDecoder().decode(k.read(fd) as Uint8Array)).toBe('pid=7;worker');
  });
});

describe('iter/cgroup', () => {
  const walk = (info: IterInfo['cgroup'], result = 0) => {
    const kn = k.types.struct('cgroup').field('kn').offset;
    const id = k.types.struct('kernfs_node').field('id').offset;
    const read = `r1 = *(u64 *)(r7 + ${kn})\nr1 = *(u64 *)(r1 + ${id})`;
    const fd = link(load('cgroup', bytes(read, result)), { cgroup: info ?? {} });
    return fd < 0 ? fd : readAll(fd);
  };

  test('walks as its order says, from the root, an id or an fd', () => {
    const a = k.cgroups.create(k.cgroups.root, 'a', { id: 10 });
    k.cgroups.create(a, 'b', { id: 11 });
    k.cgroups.create(k.cgroups.root, 'c', { id: 12 });
    expect(walk({ order: 2 })).toEqual([1, 10, 11, 12, 255]);
    expect(walk({ order: 3 })).toEqual([11, 10, 12, 1, 255]);
    expect(walk({ order: 4, cgroup_id: 11 })).toEqual([11, 10, 1, 255]);
    expect(walk({ order: 1, cgroup_id: 10 })).toEqual([10, 255]);
    expect(walk({ order: 5, cgroup_id: 1 })).toEqual([10, 12, 255]);
    expect(walk({ order: 2, cgroup_fd: k.cgroupFd(10) })).toEqual([10, 11, 255]);
    expect(walk({})).toBe(-ERRNO.EINVAL);
    expect(walk({ order: 6 })).toBe(-ERRNO.EINVAL);
    expect(walk({ order: 2, cgroup_id: 99 })).toBe(-ERRNO.ENOENT);
    expect(walk({ order: 2, cgroup_fd: 99 })).toBe(-ERRNO.EBADF);
    expect(walk({ order: 2, cgroup_fd: 99, cgroup_id: 10 })).toBe(-ERRNO.EINVAL);
  });

  test('ends after a cgroup for which the program answers 1', () => {
    k.cgroups.create(k.cgroups.root, 'a', { id: 10 });
    expect(walk({ order: 2 }, 1)).toEqual([1, 255]);
  });

  test('goes through all in one read or not at all', () => {
    for (let id = 10; id < 13; id++) k.cgroups.create(k.cgroups.root, `c${id}`, { id });
    const prog = load('cgroup', bytes('r1 = 7'));
    expect(readAll(link(prog, { cgroup: { order: 2 } }), 1)).toBe(-ERRNO.EOPNOTSUPP);
  });

  test('keeps its cgroup while the link lives', () => {
    const a = k.cgroups.create(k.cgroups.root, 'a', { id: 10 });
    const fd = link(load('cgroup', bytes('r1 = 7')), { cgroup: { order: 2, cgroup_id: 10 } });
    expect(a.refs.count).toBe(2);
    expect(k.cgroups.remove(a)).toBe(0);
    expect(readAll(fd)).toEqual([255]);
    k.close(fd);
    expect(k.cgroups.at(a.ptr)).toBeUndefined();
  });
});

test('iter/bpf_map gives maps by ascending id', () => {
  for (const max_entries of [5, 6]) {
    expect(k.bpf('MAP_CREATE', { map_type: 2, key_size: 4, value_size: 8, max_entries })).toBeGreaterThan(0);
  }
  const entries = k.types.struct('bpf_map').field('max_entries').offset;
  const fd = link(load('bpf_map', bytes(`r1 = *(u32 *)(r7 + ${entries})`)));
  expect(readAll(fd)).toEqual([5, 6, 255]);
});

describe('links of iterators', () => {
  test('are refused as the kernel refuses them', () => {
    const prog_fd = load('task', 'r0 = 0\nexit');
    expect(k.bpf('LINK_CREATE', { prog_fd, attach_type: TRACE_ITER, flags: 1 })).toBe(-ERRNO.EINVAL);
    expect(k.bpf('LINK_CREATE', { prog_fd, attach_type: TRACE_ITER, target_fd: 1 })).toBe(-ERRNO.EINVAL);
    expect(k.bpf('LINK_CREATE', { prog_fd, attach_type: 24 })).toBe(-ERRNO.EINVAL);
    expect(link(load('bpf_map', 'r0 = 0\nexit', F_SLEEPABLE))).toBe(-ERRNO.EINVAL);
    expect(link(load('task', 'r0 = 0\nexit', F_SLEEPABLE))).toBeGreaterThan(0);
    expect(() => link(load('tcp', 'r0 = 0\nexit'))).toThrow('target bpf_iter_tcp is not modelled');
    const link_fd = link(prog_fd);
    expect(k.bpf('ITER_CREATE', { link_fd, flags: 1 })).toBe(-ERRNO.EINVAL);
    expect(k.bpf('ITER_CREATE', { link_fd: prog_fd })).toBe(-ERRNO.EINVAL);
    expect(k.bpf('ITER_CREATE', { link_fd: 99 })).toBe(-ERRNO.EBADF);
    expect(k.read(99)).toBe(-ERRNO.EBADF);
    expect(k.read(link_fd)).toBe(-ERRNO.EINVAL);
    expect(k.bpf('LINK_DETACH', { link_fd })).toBe(-ERRNO.EOPNOTSUPP);
  });

  test('say what they are', () => {
    const link_fd = link(load('task', 'r0 = 0\nexit'), { task: { pid: 3 } });
    const info: Record<string, unknown> = {};
    expect(k.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: link_fd, info })).toBe(0);
    expect(info).toMatchObject({ type: 4, target_name: 'task', pid: 3, tid: 0 });
  });

  test('take another program of the same target; open files keep theirs', () => {
    const one = load('task', bytes('r1 = 1'));
    const two = load('task', bytes('r1 = 2'));
    k.tasks.create({ comm: 'x' });
    const link_fd = link(one);
    const open = k.bpf('ITER_CREATE', { link_fd });
    const other = load('bpf_map', 'r0 = 0\nexit');
    expect(k.bpf('LINK_UPDATE', { link_fd, new_prog_fd: other })).toBe(-ERRNO.EINVAL);
    expect(k.bpf('LINK_UPDATE', { link_fd, new_prog_fd: two, old_prog_fd: two, flags: F_REPLACE })).toBe(-ERRNO.EPERM);
    expect(k.bpf('LINK_UPDATE', { link_fd, new_prog_fd: two, old_prog_fd: one })).toBe(-ERRNO.EINVAL);
    expect(k.bpf('LINK_UPDATE', { link_fd, new_prog_fd: two, old_prog_fd: one, flags: F_REPLACE })).toBe(0);
    expect(readAll(link_fd)).toEqual([2, 255]);
    expect(k.read(open)).toEqual(new Uint8Array([1, 255]));
  });

  test('open no file where memory is out, and keep nothing of the attempt', async () => {
    k = await Kernel.create({ cpus: 2, windowBytes: 1 << 20 });
    const prog_fd = load('task', 'r0 = 0\nexit');
    const link_fd = link(prog_fd);
    k.tasks.create({ comm: 'x' });
    takeMemory(k, 16);
    const { liveObjects } = k.vm.memory.usage;
    expect(k.bpf('ITER_CREATE', { link_fd })).toBe(-ERRNO.ENOMEM);
    expect(k.vm.memory.usage.liveObjects).toBe(liveObjects);
    for (const fd of [link_fd, prog_fd]) k.close(fd);
    expect(k.progs.values()).toEqual([]);
  });

  test('and their files give everything back', () => {
    k.tasks.create({ comm: 'x' });
    const { liveObjects } = k.vm.memory.usage;
    const prog_fd = load('task', bytes('r1 = 1'));
    const link_fd = link(prog_fd);
    expect(readAll(link_fd)).toEqual([1, 255]);
    for (const fd of [prog_fd, link_fd]) k.close(fd);
    expect(k.vm.memory.usage.liveObjects).toBe(liveObjects);
    expect([k.progs.values().length, k.links.values().length, k.seqs.size]).toEqual([0, 0, 0]);
  });
});
