import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BtfBuilder } from '../../../src/btf/builder.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/index.js';
import { type BpfObject, openObject } from '../../../src/loader/index.js';
import { BPF_EXIST, BPF_F_LOCK, BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_NOEXIST } from '../../../src/uapi.js';
import type { GuestPtr } from '../../../src/vm/types.js';

const OBJECT = readFileSync(new URL('../fixtures/storage.bpf.o', import.meta.url));
const CREATE = 1;
const WITH_INITIAL = 2 ** 32;

let kernel: Kernel;
let object: BpfObject;
beforeEach(async () => {
  kernel = await Kernel.create({ windowBytes: 8 << 20, cpus: 2 });
  object = openObject(OBJECT, { name: 'storage' }).load(kernel);
});
afterEach(() => {
  object.close();
  kernel.dispose();
});

function call(prog: string, owner: GuestPtr, flags = 0): { ret: number; value: bigint } {
  const words = BigUint64Array.of(kernel.memory.address(owner), BigInt(flags), 0n);
  const { retval, ctx } = object.program(prog).testRun({ ctx: new Uint8Array(words.buffer) });
  return { ret: retval | 0, value: new DataView(ctx!.buffer).getBigUint64(16, true) };
}
const run = (prog: string, owner: GuestPtr, flags = 0) => call(prog, owner, flags).ret;
const newTask = (comm: string) => kernel.tasks.create({ comm });
const tasks = () => object.map('tasks');

describe('creation', () => {
  const attempt = (change: object) => {
    const btf = new BtfBuilder();
    const int = btf.int('int', 4, { signed: true });
    const value = btf.int('long', 8, { signed: true });
    const btf_fd = kernel.bpf('BTF_LOAD', { btf: btf.build() });
    const attr = {
      map_type: BPF_MAP_TYPE.TASK_STORAGE,
      key_size: 4,
      value_size: 8,
      max_entries: 0,
      map_flags: BPF_MAP_FLAG.NO_PREALLOC,
      btf_fd,
      btf_key_type_id: int,
      btf_value_type_id: value,
      ...change,
    };
    const fd = kernel.bpf('MAP_CREATE', attr);
    return fd < 0 ? fd : 0;
  };

  test.each([
    ['as it must be', {}, 0],
    ['of cgroups', { map_type: BPF_MAP_TYPE.CGRP_STORAGE }, 0],
    ['that clones', { map_flags: BPF_MAP_FLAG.NO_PREALLOC | BPF_MAP_FLAG.CLONE }, 0],
    ['that preallocates', { map_flags: 0 }, -ERRNO.EINVAL],
    ['with another flag', { map_flags: BPF_MAP_FLAG.NO_PREALLOC | BPF_MAP_FLAG.RDONLY_PROG }, -ERRNO.EINVAL],
    ['with entries', { max_entries: 1 }, -ERRNO.EINVAL],
    ['with a long key', { key_size: 8 }, -ERRNO.EINVAL],
    ['without a value', { value_size: 0 }, -ERRNO.EINVAL],
    ['without BTF', { btf_key_type_id: 0, btf_value_type_id: 0 }, -ERRNO.EINVAL],
    ['whose key is no int', { key_size: 4, btf_key_type_id: 2 }, -ERRNO.EINVAL],
    ['of values that no allocator gives', { value_size: 0x10000 }, -ERRNO.E2BIG],
  ])('%s', (_what, change, expected) => {
    expect(attempt(change)).toBe(expected);
  });
});

describe('programs', () => {
  test('find a value only where one was created, and each owner its own', () => {
    const [a, b] = [newTask('a'), newTask('b')];
    expect(run('count', a.ptr)).toBe(-1);
    expect(run('count', a.ptr, CREATE)).toBe(1);
    expect(run('count', a.ptr)).toBe(2);
    expect(run('count', b.ptr, CREATE + WITH_INITIAL)).toBe(41);
    expect(run('count', a.ptr)).toBe(3);
  });

  test('the initial value is for new ones only', () => {
    const { ptr } = newTask('a');
    run('count', ptr, CREATE);
    expect(run('count', ptr, CREATE + WITH_INITIAL)).toBe(2);
  });

  test('unknown flags and NULL owners give NULL; deleting is ENOENT and EINVAL', () => {
    const { ptr } = newTask('a');
    expect(run('count', ptr, 3)).toBe(-1);
    expect(run('count', 0, CREATE)).toBe(-1);
    expect(run('forget', ptr)).toBe(-ERRNO.ENOENT);
    expect(run('forget', 0)).toBe(-ERRNO.EINVAL);
    run('count', ptr, CREATE);
    expect(run('forget', ptr)).toBe(0);
    expect(run('count', ptr)).toBe(-1);
  });

  test('a value lives as long as the program that looks at it', () => {
    expect(run('use_after_delete', newTask('a').ptr)).toBe(3);
    expect(run('use_after_delete', newTask('b').ptr)).toBe(3);
  });

  test('an owner that is none stops the program by name', () => {
    const { ptr } = newTask('a');
    expect(() => run('count', ptr + 64, CREATE)).toThrow(/map "tasks": no struct task_struct but/);
    expect(() => run('wrong_map', ptr)).toThrow(/bad_map|map/);
    const words = BigUint64Array.of(0x1234_5678_9abcn, 1n, 0n);
    expect(() => object.program('count').testRun({ ctx: new Uint8Array(words.buffer) })).toThrow(/0x0000123456789abc/);
  });

  test('bpf_get_current_task_btf gives the owner', () => {
    kernel.currentTask = newTask('a').ptr;
    expect(object.program('current').testRun({ ctx: new Uint8Array(24) }).retval).toBe(1);
    expect(object.program('current').testRun({ ctx: new Uint8Array(24) }).retval).toBe(2);
  });
});

describe('owners and maps go', () => {
  test('a task that is freed takes its values along', () => {
    const used = () => kernel.vm.memory.usage.liveObjects;
    newTask('first');
    const before = used();
    const task = newTask('a');
    const { value } = call('count', task.ptr, CREATE);
    const at = kernel.memory.fromAddress(value);
    kernel.tasks.remove(task);
    expect(kernel.memory.canAccess(at, 8, false)).toBe(false);
    expect(() => run('count', task.ptr)).toThrow(/no struct task_struct/);
    expect(used()).toBe(before);
  });

  test('a cgroup on its way out gets no new value and keeps its old one', () => {
    const cgroup = kernel.cgroups.create(kernel.cgroups.root, 'a');
    const other = kernel.cgroups.create(kernel.cgroups.root, 'b');
    expect(run('cgroup', cgroup.ptr, CREATE)).toBe(1);
    for (const one of [cgroup, other]) kernel.cgroups.tryGet(one);
    for (const one of [cgroup, other]) kernel.cgroups.remove(one);
    expect(run('cgroup', cgroup.ptr, CREATE)).toBe(2);
    expect(run('cgroup', other.ptr, CREATE)).toBe(-1);
    kernel.cgroups.put(cgroup);
    expect(() => run('cgroup', cgroup.ptr)).toThrow(/no struct cgroup/);
    kernel.cgroups.put(other);
  });

  test('the map takes the values of all owners along', () => {
    const used = () => kernel.vm.memory.usage.liveObjects;
    const fresh = openObject(OBJECT, { name: 'storage' }).load(kernel);
    object.close();
    object = fresh;
    const list = Array.from({ length: 100 }, (_, i) => newTask(`t${i}`));
    const before = used();
    for (const { ptr } of list) run('count', ptr, CREATE);
    expect(used()).toBe(before + 100);
    object.close();
    object = openObject(OBJECT, { name: 'storage' }).load(kernel);
    expect(used()).toBe(before);
  });
});

describe('user space', () => {
  const key = (fd: number) => new Uint8Array(Int32Array.of(fd).buffer);

  test('names tasks by pidfd', () => {
    const task = newTask('a');
    const fd = kernel.pidfd(task.pid);
    expect(tasks().lookup(fd)).toBeUndefined();
    tasks().update(fd, { count: 5n, word: 9 });
    expect(run('count', task.ptr)).toBe(6);
    expect(tasks().lookup(fd)).toEqual({ count: 6n, word: 9 });
    expect(tasks().delete(fd)).toBe(true);
    expect(tasks().delete(fd)).toBe(false);
    expect(run('count', task.ptr)).toBe(-1);
    kernel.close(fd);
  });

  test('update flags as in every map', () => {
    const fd = kernel.pidfd(newTask('a').pid);
    const update = (flags: number) =>
      kernel.bpf('MAP_UPDATE_ELEM', { map_fd: tasks().fd, key: key(fd), value: new Uint8Array(16), flags });
    expect([BPF_EXIST, BPF_NOEXIST, BPF_NOEXIST, BPF_EXIST, 3, BPF_F_LOCK].map(update)).toEqual([
      -ERRNO.ENOENT,
      0,
      -ERRNO.EEXIST,
      0,
      -ERRNO.EINVAL,
      -ERRNO.EINVAL,
    ]);
  });

  test('fds of other things are EBADF, tasks that are gone ENOENT; keys cannot be walked', () => {
    const lookup = (map: string, fd: number) => {
      const attr = { map_fd: object.map(map).fd, key: key(fd), value: new Uint8Array(16) };
      return kernel.bpf('MAP_LOOKUP_ELEM', attr);
    };
    const task = newTask('a');
    const fd = kernel.pidfd(task.pid);
    kernel.tasks.remove(task);
    expect(lookup('tasks', fd)).toBe(-ERRNO.ENOENT);
    expect(lookup('tasks', tasks().fd)).toBe(-ERRNO.EBADF);
    expect(lookup('tasks', -1)).toBe(-ERRNO.EBADF);
    expect(lookup('socks', fd)).toBe(-ERRNO.ENOTSOCK);
    expect(lookup('socks', 99)).toBe(-ERRNO.EBADF);
    expect(lookup('inodes', fd)).toBe(-ERRNO.ENOENT);
    expect(kernel.bpf('MAP_GET_NEXT_KEY', { map_fd: tasks().fd, next_key: key(0) })).toBe(-ERRNO.ENOTSUPP);
    expect(kernel.pidfd(task.pid)).toBe(-ERRNO.ESRCH);
    expect(kernel.pidfd(0)).toBe(-ERRNO.EINVAL);
  });

  test('names cgroups by the fd of their directory, which keeps them', () => {
    const cgroup = kernel.cgroups.create(kernel.cgroups.root, 'a');
    const fd = kernel.cgroupFd(cgroup.id);
    object.map('cgroups').update(fd, { count: 1n, word: 0 });
    expect(run('cgroup', cgroup.ptr)).toBe(2);
    kernel.cgroups.remove(cgroup);
    // The directory is gone: user space no longer gets there, programs do.
    expect(object.map('cgroups').lookup(fd)).toBeUndefined();
    expect(run('cgroup_forget', cgroup.ptr)).toBe(0);
    kernel.close(fd);
    expect(kernel.cgroups.at(cgroup.ptr)).toBeUndefined();
    expect(kernel.cgroupFd(cgroup.id)).toBe(-ERRNO.ENOENT);
  });
});

test('sockets and inodes that a subsystem makes are owners, too', () => {
  for (const [prog, struct] of [
    ['sock', 'tcp_sock'],
    ['inode', 'inode'],
  ] as const) {
    const ptr = kernel.newObject(struct, { name: struct, modelled: [] });
    expect(run(prog, ptr)).toBe(-1);
    expect(run(prog, ptr, CREATE)).toBe(1);
    expect(run(prog, ptr)).toBe(2);
    kernel.freeObject(ptr);
    expect(() => run(prog, ptr)).toThrow(/no struct/);
  }
});

test('owners and values agree with a Map, whatever the order of births and deaths', () => {
  const model = new Map<GuestPtr, number>();
  const list = Array.from({ length: 70 }, (_, i) => newTask(`t${i}`).ptr);
  const step = fc.record({ task: fc.nat(69), op: fc.constantFrom('create', 'look', 'forget') });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      for (const { task, op } of steps) {
        const ptr = list[task]!;
        const old = model.get(ptr);
        if (op === 'forget') {
          expect(run('forget', ptr)).toBe(model.delete(ptr) ? 0 : -ERRNO.ENOENT);
        } else if (op === 'look' && old === undefined) {
          expect(run('count', ptr)).toBe(-1);
        } else {
          model.set(ptr, (old ?? 0) + 1);
          expect(run('count', ptr, CREATE)).toBe((old ?? 0) + 1);
        }
      }
    }),
    { numRuns: 40 },
  );
});
