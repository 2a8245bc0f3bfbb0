import { beforeEach, describe, expect, test } from 'vitest';
import { ACCESS_UNMODELLED } from '../../../assembly/abi.js';
import { InputError, VmtableError } from '../../../src/errors.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import { EXIT_STATE, PF, SCHED_POLICY, TASK_STATE } from '../../../src/kernel/model/task.js';
import { PROFILE_NAMES } from '../../../src/kernel/profile.js';
import { runText } from '../run_text.js';

let k: Kernel;
beforeEach(async () => {
  k = await Kernel.create({ cpus: 4 });
});

/** Value of a task's field as a program reads it. */
function read(ptr: number, path: string): number {
  const { offset, size } = k.types.struct('task_struct').field(path);
  k.currentTask = ptr;
  return runText(k, `call get_current_task_btf\nr0 = *(u${size * 8} *)(r0 + ${offset})\nexit`);
}

describe.each(PROFILE_NAMES)('a task of %s', (profile) => {
  beforeEach(async () => {
    k = await Kernel.create({ cpus: 4, profile });
  });

  test('has in guest memory what its options say', () => {
    k.clock.advance(5000);
    const init = k.tasks.create({ comm: 'init' });
    const task = k.tasks.create({ comm: 'worker', cpus: [3, 1], nice: 5, uid: 1000 });
    expect(init.pid).toBe(1);
    expect(task.pid).toBe(2);
    expect(read(task.ptr, 'pid')).toBe(2);
    expect(read(task.ptr, 'tgid')).toBe(2);
    expect(read(task.ptr, 'nr_cpus_allowed')).toBe(2);
    expect(read(task.ptr, 'static_prio')).toBe(125);
    expect(read(task.ptr, 'prio')).toBe(125);
    expect(read(task.ptr, 'start_time')).toBe(5000);
    expect(read(task.ptr, 'thread_info.cpu')).toBe(1);
    expect(read(task.ptr, '__state')).toBe(TASK_STATE.NEW);
    expect(read(task.ptr, 'flags')).toBe(PF.FORKNOEXEC);
    expect(read(task.ptr, 'rcu_users')).toBe(2);
    expect(read(task.ptr, 'migration_disabled')).toBe(0);
    expect(task.cpus).toEqual([1, 3]);
    expect(task.allows(3)).toBe(true);
    expect(task.allows(2)).toBe(false);
    expect(task.weight).toBe(335);
    expect(task.realParent).toBe(init);
    expect(task.uid).toBe(1000);
    expect(k.memory.ptr(task.ptr + k.types.struct('task_struct').field('real_parent').offset)).toBe(init.ptr);
    expect(k.tasks.at(task.ptr)).toBe(task);
    expect(k.tasks.byPid(2)).toBe(task);
  });

  test('is stopped by the name of a field that is not modelled', () => {
    const task = k.tasks.create({ comm: 'worker' });
    expect(() => read(task.ptr, 'pushable_tasks.prio')).toThrow(
      'task_struct.pushable_tasks.prio of task worker[1] is not modelled',
    );
    // The second task's classes are stamped, not laid out field by field.
    const other = k.tasks.create({ comm: 'other' });
    expect(() => read(other.ptr, 'se.deadline')).toThrow('task_struct.se.deadline of task other[2] is not modelled');
    expect(read(other.ptr, 'pid')).toBe(2);
  });
});

test('bpf_probe_read_kernel of an unmodelled field stops by its name, too, and so does a string that runs into one', () => {
  const task = k.tasks.create({ comm: 'worker' });
  const { offset } = k.types.struct('task_struct').field('se.deadline');
  k.currentTask = task.ptr;
  for (const name of ['probe_read_kernel', 'probe_read_kernel_str']) {
    const text = `call get_current_task\nr3 = r0\nr3 += ${offset}\nr1 = r10\nr1 += -8\nr2 = 8\ncall ${name}\nexit`;
    expect(() => runText(k, text)).toThrow('task_struct.se.deadline of task worker[1] is not modelled');
  }
});

test('nothing of a user task but the address of its mm can be looked at, and kernel threads have none', () => {
  const user = k.tasks.create({ comm: 'user' });
  const thread = k.tasks.create({ comm: 'user', leader: user });
  const other = k.tasks.create({ comm: 'other' });
  const kthread = k.tasks.create({ comm: 'kworker', kthread: true });
  const mm = (ptr: number) => k.memory.ptr(ptr + k.types.struct('task_struct').field('mm').offset);
  expect(mm(user.ptr)).not.toBe(0);
  expect(mm(thread.ptr)).toBe(mm(user.ptr));
  expect(mm(other.ptr)).not.toBe(mm(user.ptr));
  expect(mm(kthread.ptr)).toBe(0);
  expect(kthread.flags & PF.KTHREAD).not.toBe(0);
  expect(k.tasks.create({ comm: 'kworker', leader: kthread }).flags & PF.KTHREAD).not.toBe(0);
  const { offset } = k.types.struct('task_struct').field('mm');
  for (const at of [0, 64, k.types.struct('mm_struct').size - 8]) {
    k.currentTask = user.ptr;
    const text = `call get_current_task_btf\nr1 = *(u64 *)(r0 + ${offset})\nr0 = *(u64 *)(r1 + ${at})\nexit`;
    expect(() => runText(k, text)).toThrow(/: mm_struct\.\S+ is not modelled$/);
  }
});

test('a process has its threads in a ring, counts them, and knows its number', () => {
  const { tasks, memory, types } = k;
  const task = types.struct('task_struct');
  const signals = types.struct('signal_struct');
  const node = task.field('thread_node.next').offset;
  const leader = tasks.create({ comm: 'p' });
  const second = tasks.create({ comm: 'q', leader });
  // Nobody has one before a program may look.
  expect(tasks.fields.signal.get(leader.ptr)).toBe(0);
  expect(memory.accessAt(leader.ptr + tasks.fields.signal.offset)).toBe(ACCESS_UNMODELLED);
  k.currentTask = second.ptr;
  const { offset } = tasks.fields.signal;
  const nr = signals.field('nr_threads').offset;
  expect(runText(k, `call get_current_task_btf\nr0 = *(u64 *)(r0 + ${offset})\nr0 = *(u32 *)(r0 + ${nr})\nexit`)).toBe(
    2,
  );
  const third = tasks.create({ comm: 'r', leader });
  const signal = tasks.fields.signal.get(leader.ptr);
  const head = signal + signals.field('thread_head.next').offset;
  const ring = (step: 0 | 8) => {
    const found: number[] = [];
    for (let at = memory.ptr(head + step); at !== head; at = memory.ptr(at + step)) found.push(at - node);
    return found;
  };
  const counts = () => ['live.counter', 'nr_threads'].map((path) => signals.field(path).get(signal));
  const all = [leader, second, third].map(({ ptr }) => ptr);
  expect([second, third].map(({ ptr }) => tasks.fields.signal.get(ptr))).toEqual([signal, signal]);
  expect(ring(0)).toEqual(all);
  expect(ring(8)).toEqual([...all].reverse());
  expect(counts()).toEqual([3, 3]);
  expect(signals.field('pids[1]').get(signal)).toBe(tasks.fields.threadPid.get(leader.ptr));
  tasks.exit(second);
  expect(counts()).toEqual([2, 3]);
  tasks.reap(second);
  expect(counts()).toEqual([2, 2]);
  expect(ring(0)).toEqual([leader.ptr, third.ptr]);
  expect(ring(8)).toEqual([third.ptr, leader.ptr]);
  expect(tasks.fields.threadPrev.big(second.ptr)).toBe(0xdead000000000122n);
  for (const gone of [third, leader]) tasks.remove(gone);
  tasks.buried(second);
  expect(k.objects.startingAt(signal)).toBeUndefined();
});

test('counts migrations, and not where a task is put first', () => {
  const task = k.tasks.create({ comm: 'm', cpu: 1 });
  const { nrMigrations } = k.tasks.fields;
  task.place(2);
  task.cpu = 2;
  expect(nrMigrations.get(task.ptr)).toBe(0);
  task.cpu = 0;
  expect([task.cpu, nrMigrations.get(task.ptr)]).toEqual([0, 1]);
});

test('the cpuset controller is on at the root alone, and allows every CPU', () => {
  const { cgroups, cpumasks, memory, types } = k;
  const below = cgroups.create(cgroups.root, 'cpuset-test');
  const css = cgroups.layout.field('subsys[0]');
  const top = css.get(cgroups.root.ptr);
  const cpuset = types.struct('cpuset');
  const allowed = cpuset.field('cpus_allowed');
  expect(css.get(below.ptr)).toBe(0);
  expect(cpuset.field('css.cgroup').get(top)).toBe(cgroups.root.ptr);
  expect(cpumasks.list(allowed.kind === 'pointer' ? memory.ptr(top + allowed.offset) : top + allowed.offset)).toEqual(
    cpumasks.all,
  );
  const { cgroup } = k.tasks.create({ comm: 'c', cgroup: below });
  expect(types.struct('css_set').field('subsys[0]').get(cgroup.cssSet)).toBe(top);
});

test('no mm reaches into anything that can be looked at, however many there are', () => {
  const { size } = k.types.struct('mm_struct');
  const seen = new Set<number>();
  for (let i = 0; i < 600; i++) {
    const mm = k.tasks.fields.mm.get(k.tasks.create({ comm: 'x' }).ptr);
    seen.add(mm);
    for (let at = 0; at < size; at += 64) expect(k.memory.accessAt(mm + at)).toBe(ACCESS_UNMODELLED);
    expect(k.memory.accessAt(mm + size - 1)).toBe(ACCESS_UNMODELLED);
  }
  expect(seen.size).toBe(600);
});

describe('the table', () => {
  test('gives tasks by ascending pid, whatever the order of birth, and by birth', () => {
    for (const pid of [5, 9, 7, 300]) k.tasks.create({ comm: 'x', pid });
    const pids = (tasks: Iterable<{ pid: number }>) => [...tasks].map(({ pid }) => pid);
    expect(pids(k.tasks.values())).toEqual([5, 7, 9, 300]);
    expect(pids(k.tasks.born())).toEqual([5, 9, 7, 300]);
    k.tasks.remove(k.tasks.byPid(7)!);
    k.tasks.create({ comm: 'x', pid: 6 });
    expect(pids(k.tasks.values())).toEqual([5, 6, 9, 300]);
    expect(k.tasks.count).toBe(4);
  });

  test('hands out pids in turn and none that is taken', () => {
    k.tasks.create({ comm: 'x', pid: 2 });
    expect(k.tasks.create({ comm: 'a' }).pid).toBe(1);
    expect(k.tasks.create({ comm: 'b' }).pid).toBe(3);
    k.tasks.remove(k.tasks.byPid(3)!);
    expect(k.tasks.create({ comm: 'c' }).pid).toBe(4);
  });

  test('has an idle task for each CPU that no pid finds', () => {
    expect(k.tasks.idle.map(({ comm, pid, cpu }) => [comm, pid, cpu])).toEqual([
      ['swapper/0', 0, 0],
      ['swapper/1', 0, 1],
      ['swapper/2', 0, 2],
      ['swapper/3', 0, 3],
    ]);
    expect(k.tasks.byPid(0)).toBeUndefined();
    expect(k.tasks.init.flags & PF.IDLE).not.toBe(0);
  });

  test.each([
    [{ comm: '' }, 'a name has 1 to 15 bytes'],
    [{ comm: 'sixteen-bytes-xx' }, 'a name has 1 to 15 bytes'],
    [{ comm: 'x', pid: 0 }, 'pid 0 is not within'],
    [{ comm: 'x', cpu: 4 }, 'CPU 4 of 4'],
    [{ comm: 'x', cpus: [] }, 'no CPU to run on'],
    [{ comm: 'x', cpus: [1, 4] }, 'CPU 4 of 4'],
    [{ comm: 'x', nice: 20 }, 'nice 20 is not within'],
    [{ comm: 'x', policy: SCHED_POLICY.FIFO }, 'real-time priority 0'],
    [{ comm: 'x', policy: 4 }, 'policy 4'],
  ])('refuses %j and keeps nothing of it', (options, reason) => {
    expect(() => k.tasks.create(options)).toThrow(InputError);
    const { liveObjects } = k.vm.memory.usage;
    expect(() => k.tasks.create(options)).toThrow(reason);
    expect(k.vm.memory.usage.liveObjects).toBe(liveObjects);
    expect(k.tasks.count).toBe(0);
  });
});

test('priorities follow policy, nice and real-time priority', () => {
  const task = k.tasks.create({ comm: 'x', nice: -20 });
  const { prio, weight } = task;
  expect([prio, weight]).toEqual([100, 88761]);
  k.tasks.setSched(task, SCHED_POLICY.FIFO, 0, 50);
  expect(task.prio).toBe(49);
  k.tasks.setSched(task, SCHED_POLICY.IDLE, 0);
  expect([task.prio, task.weight]).toEqual([120, 3]);
  k.tasks.setSched(task, SCHED_POLICY.DEADLINE, 0);
  expect(task.prio).toBe(-1);
});

describe('the end of a task', () => {
  test('comes in the steps of the kernel: zombie, reaped, freed when nobody holds it', () => {
    const freed: number[] = [];
    const reaped: number[] = [];
    k.tasks.onFree.add((ptr) => freed.push(ptr));
    k.tasks.onReap.add(({ pid }) => reaped.push(pid));
    const task = k.tasks.create({ comm: 'x' });
    k.tasks.exit(task, 9 << 8);
    expect([task.exiting, k.tasks.byPid(1)]).toEqual([true, task]);
    expect(k.tasks.fields.exitState.get(task.ptr)).toBe(EXIT_STATE.ZOMBIE);
    expect(k.tasks.fields.exitCode.get(task.ptr)).toBe(9 << 8);
    k.tasks.reap(task);
    expect([k.tasks.byPid(1), k.tasks.at(task.ptr), reaped, task.rcuUsers]).toEqual([undefined, task, [1], 1]);
    k.tasks.buried(task);
    expect(freed).toEqual([task.ptr]);
    expect(k.tasks.at(task.ptr)).toBeUndefined();
    expect(k.memory.canAccess(task.ptr + k.types.struct('task_struct').field('pid').offset, 4, false)).toBe(false);
  });

  test('waits for references and for readers', () => {
    const task = k.tasks.create({ comm: 'x' });
    expect(k.tasks.tryGet(task)).toBe(true);
    k.tasks.remove(task);
    expect(k.tasks.at(task.ptr)).toBe(task);
    k.rcu.readLock();
    k.tasks.put(task);
    expect(k.tasks.tryGet(task)).toBe(false);
    expect(k.tasks.at(task.ptr)).toBe(task);
    k.rcu.readUnlock();
    expect(k.tasks.at(task.ptr)).toBeUndefined();
    expect(() => k.tasks.put(task)).toThrow(VmtableError);
  });

  test('gives children to pid 1, or to another thread of the process', () => {
    const init = k.tasks.create({ comm: 'init' });
    const parent = k.tasks.create({ comm: 'parent' });
    const child = k.tasks.create({ comm: 'child', parent });
    const thread = k.tasks.create({ comm: 'parent', leader: parent });
    expect(child.realParent).toBe(parent);
    k.tasks.exit(parent);
    expect(child.realParent).toBe(thread);
    k.tasks.exit(thread);
    expect(child.realParent).toBe(init);
    expect(k.tasks.fields.realParent.get(child.ptr)).toBe(init.ptr);
    expect(() => k.tasks.reap(parent)).toThrow('1 other threads');
    k.tasks.reap(thread);
    k.tasks.reap(parent);
    expect([...k.tasks.values()]).toEqual([init, child]);
  });
});

test('fields that a subsystem was granted are writable by programs with its class alone, in tasks of before and after', async () => {
  const before = k.tasks.create({ comm: 'before' });
  const own = k.newAccessClass();
  k.tasks.grant(['scx.slice', 'scx.dsq_vtime'], own);
  const after = k.tasks.create({ comm: 'after' });
  const { offset } = k.types.struct('task_struct').field('scx.slice');
  for (const { ptr } of [k.tasks.init, before, after]) {
    expect(k.memory.canAccess(ptr + offset, 8, true)).toBe(false);
    expect(k.memory.canAccess(ptr + offset, 8, true, 1 << own)).toBe(true);
    expect(k.memory.canAccess(ptr + offset, 8, false)).toBe(true);
  }
});

test('fields that a subsystem declares are there in tasks of before and after', () => {
  const before = k.tasks.create({ comm: 'before' });
  k.tasks.declare(['se.deadline', 'no_such_field']);
  const after = k.tasks.create({ comm: 'after' });
  for (const { ptr } of [before, after]) expect(read(ptr, 'se.deadline')).toBe(0);
});

test('ten thousand tasks take no more shadow patterns than one, and their memory comes back', () => {
  const first = k.tasks.create({ comm: 'x' });
  const { shadowPatterns, liveObjects } = k.vm.memory.usage;
  for (let i = 0; i < 10_000; i++) k.tasks.create({ comm: 'x', kthread: i % 2 === 0 });
  expect(k.vm.memory.usage.shadowPatterns).toBe(shadowPatterns);
  for (const task of [...k.tasks.values()]) if (task !== first) k.tasks.remove(task);
  // Blocks of handles stay.
  expect(k.vm.memory.usage.liveObjects - liveObjects).toBeLessThan(50);
});

test('a program finds its number through its struct pid, as the only one of the one pid namespace', () => {
  k.currentTask = k.tasks.create({ comm: 'x', pid: 33 }).ptr;
  const at = (struct: string, path: string) => k.types.struct(struct).field(path).offset;
  const pid = `call get_current_task_btf\nr6 = *(u64 *)(r0 + ${at('task_struct', 'thread_pid')})\n`;
  expect(runText(k, `${pid}r0 = *(u32 *)(r6 + ${at('pid', 'level')})\nexit`)).toBe(0);
  expect(runText(k, `${pid}r0 = *(u32 *)(r6 + ${at('pid', 'numbers')})\nexit`)).toBe(33);
  const ns = `${pid}r6 = *(u64 *)(r6 + ${at('pid', 'numbers') + at('upid', 'ns')})\n`;
  expect(runText(k, `${ns}r0 = *(u32 *)(r6 + ${at('pid_namespace', 'ns.inum')})\nexit`) >>> 0).toBe(0xeffffffc);
  expect(() => runText(k, `${ns}r0 = *(u32 *)(r6 + ${at('pid_namespace', 'pid_allocated')})\nexit`)).toThrow(
    'pid_namespace.pid_allocated of init_pid_ns is not modelled',
  );
});

test('a program finds the pid namespace of its children through its nsproxy, which a task loses when it exits', () => {
  const task = k.tasks.create({ comm: 'x', pid: 33 });
  k.currentTask = task.ptr;
  const at = (struct: string, path: string) => k.types.struct(struct).field(path).offset;
  const proxy = `call get_current_task_btf\nr6 = *(u64 *)(r0 + ${at('task_struct', 'nsproxy')})\n`;
  const ns = `${proxy}r6 = *(u64 *)(r6 + ${at('nsproxy', 'pid_ns_for_children')})\n`;
  expect(runText(k, `${ns}r0 = *(u32 *)(r6 + ${at('pid_namespace', 'ns.inum')})\nexit`) >>> 0).toBe(0xeffffffc);
  expect(() => runText(k, `${proxy}r0 = *(u64 *)(r6 + ${at('nsproxy', 'mnt_ns')})\nexit`)).toThrow(
    'nsproxy.mnt_ns of init_nsproxy is not modelled',
  );
  k.tasks.exit(task);
  expect(runText(k, `${proxy}r0 = r6\nexit`)).toBe(0);
});
