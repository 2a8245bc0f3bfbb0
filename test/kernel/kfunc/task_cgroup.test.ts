import { beforeEach, describe, expect, test } from 'vitest';
import { ERRNO, ErrnoError } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { KernelCgroup } from '../../../src/kernel/model/cgroup.js';
import { PROFILE_NAMES } from '../../../src/kernel/profile.js';
import { runText } from '../run_text.js';

let k: Kernel;
beforeEach(async () => {
  k = await Kernel.create({ cpus: 4 });
});

/** Runs text with the addresses of objects in place of `$name`. */
function run(text: string, objects: Record<string, { ptr: number }> = {}): number {
  const placed = text.replace(/= \$(\w+)/g, (_all, name: string) => `= ${k.memory.address(objects[name]!.ptr)} ll`);
  return runText(k, placed);
}

const offset = (struct: string, path: string) => k.types.struct(struct).field(path).offset;

describe('task kfuncs', () => {
  test('bpf_task_from_pid takes a reference that must be given back', () => {
    const task = k.tasks.create({ comm: 'worker', pid: 42 });
    const pid = offset('task_struct', 'pid');
    const text = (name: string) =>
      `r1 = 42\ncall ${name}\nr6 = r0\nr7 = *(u32 *)(r6 + ${pid})\nr1 = r6\ncall bpf_task_release\nr0 = r7\nexit`;
    expect(run(text('bpf_task_from_pid'))).toBe(42);
    expect(run(text('bpf_task_from_vpid'))).toBe(42);
    expect(run('r1 = 43\ncall bpf_task_from_pid\nexit')).toBe(0);
    expect(run('r1 = 0\ncall bpf_task_from_pid\nexit')).toBe(0);
    expect(task.rcuUsers).toBe(2);
    expect(() => run('r1 = 42\ncall bpf_task_from_pid\nr0 = 0\nexit')).toThrow(
      'insn 1: task worker[42] of bpf_task_from_pid is still held when the program ends',
    );
    expect(task.rcuUsers).toBe(2);
  });

  test('bpf_task_acquire fails once the last reference has gone', () => {
    const task = k.tasks.create({ comm: 'worker' });
    const acquire =
      'r1 = $task\ncall bpf_task_acquire\nr6 = r0\nif r6 == 0 goto +2\nr1 = r6\ncall bpf_task_release\nr0 = 0\nif r6 == 0 goto +1\nr0 = 1\nexit';
    expect(run(acquire, { task })).toBe(1);
    k.rcu.readLock();
    k.tasks.remove(task);
    expect(run(acquire, { task })).toBe(0);
    k.rcu.readUnlock();
    expect(() => run(acquire, { task })).toThrow('bpf_task_acquire: argument 1 is no live task_struct but');
  });

  test('bpf_task_release gives back what the program holds, nothing else', () => {
    const task = k.tasks.create({ comm: 'worker' });
    expect(() => run('r1 = $task\ncall bpf_task_release\nexit', { task })).toThrow(
      'no reference that the program holds',
    );
    expect(task.rcuUsers).toBe(2);
  });

  test('bpf_task_under_cgroup looks at all ancestors', () => {
    const a = k.cgroups.create(k.cgroups.root, 'a');
    const b = k.cgroups.create(a, 'b');
    const c = k.cgroups.create(k.cgroups.root, 'c');
    const task = k.tasks.create({ comm: 'worker', cgroup: b });
    const under = (cgroup: KernelCgroup) =>
      run('r1 = $task\nr2 = $cgroup\ncall bpf_task_under_cgroup\nexit', { task, cgroup });
    expect([k.cgroups.root, a, b, c].map(under)).toEqual([1, 1, 1, 0]);
    expect(run('r1 = $task\nr2 = 1\ncall bpf_task_get_cgroup1\nexit', { task })).toBe(0);
  });
});

describe.each(PROFILE_NAMES)('the cgroups of %s', (profile) => {
  beforeEach(async () => {
    k = await Kernel.create({ cpus: 4, profile });
  });

  test('are walked by programs from a task: css_set, directory, name, level, ancestors, cpu controller', () => {
    const a = k.cgroups.create(k.cgroups.root, 'a', { id: 20 });
    const b = k.cgroups.create(a, 'batch', { id: 21 });
    k.cgroups.setWeight(b, 250);
    k.currentTask = k.tasks.create({ comm: 'worker', cgroup: b }).ptr;
    const cgroup = `call get_current_task_btf
      r1 = *(u64 *)(r0 + ${offset('task_struct', 'cgroups')})
      r6 = *(u64 *)(r1 + ${offset('css_set', 'dfl_cgrp')})`;
    const kn = `${cgroup}\nr1 = *(u64 *)(r6 + ${offset('cgroup', 'kn')})\n`;
    expect(run(`${kn}r0 = *(u64 *)(r1 + ${offset('kernfs_node', 'id')})\nexit`)).toBe(21);
    const name = `${kn}r1 = *(u64 *)(r1 + ${offset('kernfs_node', 'name')})\n`;
    expect(run(`${name}r0 = *(u8 *)(r1 + 4)\nexit`)).toBe('h'.charCodeAt(0));
    expect(() => run(`${name}r0 = *(u8 *)(r1 + 6)\nexit`)).toThrow('past the end of name of cgroup batch');
    expect(run(`${cgroup}\nr0 = *(u32 *)(r6 + ${offset('cgroup', 'level')})\nexit`)).toBe(2);
    const ancestors = offset('cgroup', 'ancestors');
    for (const [level, { ptr }] of [k.cgroups.root, a, b].entries()) {
      expect(run(`${cgroup}\nr0 = *(u64 *)(r6 + ${ancestors + 8 * level})\nexit`)).toBe(ptr | 0);
    }
    expect(() => run(`${cgroup}\nr0 = *(u64 *)(r6 + ${ancestors + 24})\nexit`)).toThrow(
      'past the end of struct cgroup',
    );
    const group = `call get_current_task_btf\nr6 = *(u64 *)(r0 + ${offset('task_struct', 'sched_task_group')})\n`;
    expect(run(`${group}r0 = *(u64 *)(r6 + ${offset('task_group', 'css.cgroup')})\nexit`)).toBe(b.ptr | 0);
    const weight = profile === '6.12' ? 'scx_weight' : 'scx.weight';
    expect(run(`${group}r0 = *(u32 *)(r6 + ${offset('task_group', weight)})\nexit`)).toBe(250);
    const cpu = offset('cgroup', 'subsys') + 8;
    expect(run(`${cgroup}\nr0 = *(u64 *)(r6 + ${cpu})\nexit`)).toBe(b.taskGroup | 0);
    expect(() => run(`${cgroup}\nr0 = *(u64 *)(r6 + ${offset('cgroup', 'root')})\nexit`)).toThrow(
      'cgroup.root of cgroup /a/batch is not modelled',
    );
    // The cpuset controller is off below the root.
    expect(run(`${cgroup}\nr0 = *(u64 *)(r6 + ${cpu - 8})\nexit`)).toBe(0);
  });
});

describe('cgroup kfuncs', () => {
  test('bpf_cgroup_from_id, bpf_cgroup_ancestor and bpf_cgroup_acquire take references', () => {
    const a = k.cgroups.create(k.cgroups.root, 'a', { id: 20 });
    const b = k.cgroups.create(a, 'b', { id: 21 });
    const level = offset('cgroup', 'level');
    const ancestor = (n: number) => `
      r1 = 21
      call bpf_cgroup_from_id
      r6 = r0
      r1 = r6
      r2 = ${n}
      call bpf_cgroup_ancestor
      r7 = r0
      r8 = -1
      if r7 == 0 goto +3
      r8 = *(u32 *)(r7 + ${level})
      r1 = r7
      call bpf_cgroup_release
      r1 = r6
      call bpf_cgroup_release
      r0 = r8
      exit`;
    expect([-1, 0, 1, 2, 3].map((n) => run(ancestor(n)))).toEqual([-1, 0, 1, 2, -1]);
    expect(run('r1 = 99\ncall bpf_cgroup_from_id\nexit')).toBe(0);
    expect(b.refs.count).toBe(1);
    expect(() => run('r1 = $b\ncall bpf_cgroup_acquire\nr0 = 0\nexit', { b })).toThrow(
      'cgroup /a/b of bpf_cgroup_acquire is still held',
    );
    expect(b.refs.count).toBe(1);
    expect(() => run('r1 = $a\ncall bpf_cgroup_release\nexit', { a })).toThrow('no reference that the program holds');
  });

  test('a removed cgroup cannot be found, lives while it is held and is poisoned then', () => {
    const freed: number[] = [];
    k.cgroups.onFree.add((ptr) => freed.push(ptr));
    const a = k.cgroups.create(k.cgroups.root, 'a', { id: 20 });
    const task = k.tasks.create({ comm: 'x', cgroup: a });
    const child = k.cgroups.create(a, 'child');
    expect(k.cgroups.remove(a)).toBe(-ERRNO.EBUSY);
    expect(k.cgroups.remove(child)).toBe(0);
    expect(k.cgroups.remove(a)).toBe(-ERRNO.EBUSY);
    k.cgroups.move(task, k.cgroups.root);
    expect(k.cgroups.tryGet(a)).toBe(true);
    expect(k.cgroups.remove(a)).toBe(0);
    expect(k.cgroups.remove(a)).toBe(-ERRNO.ENODEV);
    expect(k.cgroups.byId(20)).toBeUndefined();
    expect(run('r1 = 20\ncall bpf_cgroup_from_id\nexit')).toBe(0);
    expect(freed).toEqual([child.ptr]);
    k.cgroups.put(a);
    expect(freed).toEqual([child.ptr, a.ptr]);
    expect(k.cgroups.at(a.ptr)).toBeUndefined();
    expect(() => k.cgroups.create(a, 'late')).toThrow(ErrnoError);
    expect(k.cgroups.remove(k.cgroups.root)).toBe(-ERRNO.EBUSY);
  });

  test('a cgroup without the cpu controller is scheduled as its nearest ancestor with it', () => {
    const a = k.cgroups.create(k.cgroups.root, 'a');
    const b = k.cgroups.create(a, 'b', { cpu: false });
    const c = k.cgroups.create(b, 'c');
    expect([b.taskGroup, c.taskGroup]).toEqual([0, 0]);
    const task = k.tasks.create({ comm: 'x', cgroup: c });
    expect(k.tasks.fields.schedTaskGroup.get(task.ptr)).toBe(a.taskGroup);
    k.cgroups.move(task, k.cgroups.root);
    expect(k.tasks.fields.schedTaskGroup.get(task.ptr)).toBe(k.cgroups.root.taskGroup);
  });

  test('directories are made as mkdir makes them', () => {
    k.cgroups.create(k.cgroups.root, 'a');
    expect(() => k.cgroups.create(k.cgroups.root, 'a')).toThrow(new ErrnoError(ERRNO.EEXIST, '').constructor);
    for (const name of ['', '.', '..', 'a/b']) expect(() => k.cgroups.create(k.cgroups.root, name)).toThrow('no name');
    expect(k.cgroups.byPath('/a')?.path).toBe('/a');
    expect(k.cgroups.byPath('/a/b')).toBeUndefined();
    expect(() => k.cgroups.setWeight(k.cgroups.byPath('/a')!, 0)).toThrow('cpu.weight 0');
  });
});
