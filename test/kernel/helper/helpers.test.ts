import { beforeEach, describe, expect, test } from 'vitest';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import { runText } from '../run_text.js';

let k: Kernel;
beforeEach(async () => {
  k = await Kernel.create({ windowBytes: 4 << 20, seed: 7, cpus: 2 });
});

const run = (text: string, ctx_in?: Uint8Array) => runText(k, text, ctx_in);

const bytes = (text: string, size: number) => {
  const buffer = new Uint8Array(size);
  buffer.set(new TextEncoder().encode(text));
  return buffer;
};

describe('time and numbers', () => {
  test("clocks show the kernel's clock", () => {
    k.clock.advance(3_000_000);
    for (const name of ['ktime_get_ns', 'ktime_get_boot_ns', 'ktime_get_coarse_ns']) {
      expect(run(`call ${name}\nexit`)).toBe(3_000_000);
    }
  });

  test('jiffies begin 5 minutes before they wrap and go with CONFIG_HZ', () => {
    const before = run('call jiffies64\nexit');
    expect(before >>> 0).toBe(2 ** 32 - 300 * 250);
    k.clock.advance(1e9);
    expect(run('call jiffies64\nexit') - before).toBe(250);
  });

  test('random numbers follow the seed', async () => {
    const first = run('call get_prandom_u32\nexit');
    const other = k;
    k = await Kernel.create({ windowBytes: 4 << 20, seed: 7 });
    expect(run('call get_prandom_u32\nexit')).toBe(first);
    k = other;
    expect(run('call get_prandom_u32\nexit')).not.toBe(first);
    expect(run('call get_numa_node_id\nexit')).toBe(0);
  });
});

describe('memory', () => {
  const probe = (address: string, helper = 'probe_read_kernel') =>
    `r6 = r1\nr1 = r10\nr1 += -8\nr2 = 8\n${address}\ncall ${helper}\nr1 = *(u64 *)(r10 - 8)\n*(u64 *)(r6 + 0) = r1\nexit`;

  test('probe_read copies, and gives zeroes and ERANGE or EFAULT for what cannot be read', () => {
    const ctx = new Uint8Array(16).fill(7);
    expect(run(probe('r3 = r6\nr3 += 8'), ctx)).toBe(0);
    expect(run(probe('r3 = 0'), ctx)).toBe(-ERRNO.ERANGE);
    expect(run(probe('r3 = 0x7fffffffe000 ll'), ctx)).toBe(-ERRNO.ERANGE);
    expect(run(probe('r3 = 0x8000000000000000 ll'), ctx)).toBe(-ERRNO.ERANGE);
    expect(run(probe('r3 = 0xffffc90000000000 ll'), ctx)).toBe(-ERRNO.EFAULT);
    expect(run(probe('r3 = 0', 'probe_read'), ctx)).toBe(-ERRNO.EFAULT);
    expect([...ctx.subarray(0, 8)]).toEqual(new Array(8).fill(0));
    expect(run(probe('r3 = r6\nr3 += 12'), ctx)).toBe(-ERRNO.EFAULT);
  });

  test('probe_read of a field that is not modelled stops the program by name', () => {
    const task = k.newObject('task_struct', { name: 'task "x"', modelled: ['pid'] });
    k.currentTask = task;
    const offset = k.types.struct('task_struct').field('se.vruntime').offset;
    const source = `r6 = r1\ncall get_current_task_btf\nr3 = r0\nr3 += ${offset}\nr1 = r10\nr1 += -8\nr2 = 8\ncall probe_read_kernel\nexit`;
    expect(() => run(source, new Uint8Array(8))).toThrow('task_struct.se.vruntime of task "x" is not modelled');
  });

  test('probe_read_str gives the length with the NUL and cuts off', () => {
    const str = (size: number) => `r6 = r1\nr3 = r1\nr3 += 16\nr2 = ${size}\ncall probe_read_kernel_str\nexit`;
    const ctx = bytes('', 32);
    ctx.set(bytes('hello', 16), 16);
    expect(run(str(16), ctx)).toBe(6);
    expect([...ctx.subarray(0, 6)]).toEqual([...bytes('hello', 6)]);
    expect(run(str(3), ctx)).toBe(3);
    expect([...ctx.subarray(0, 3)]).toEqual([...bytes('he', 3)]);
    const none = (address: string, helper: string) => `r3 = ${address}\nr2 = 4\ncall ${helper}\nexit`;
    expect(run(none('0', 'probe_read_kernel_str'), ctx)).toBe(-ERRNO.ERANGE);
    expect(run(none('0xffffc90000000000 ll', 'probe_read_kernel_str'), ctx)).toBe(-ERRNO.EFAULT);
    expect(run(none('0', 'probe_read_str'), ctx)).toBe(-ERRNO.EFAULT);
  });

  test.each([
    ['same', 'same', 0],
    ['same', 'samf', -1],
    ['sb', 'sa', 1],
    ['sam', 'same', -1],
    ['same', 'sam', 1],
  ])('strncmp(%s, %s) is %i', (a, b, sign) => {
    const ctx = new Uint8Array(16);
    ctx.set(bytes(a, 8));
    ctx.set(bytes(b, 8), 8);
    expect(run('r3 = r1\nr3 += 8\nr2 = 8\ncall strncmp\nexit', ctx)).toBe(sign);
  });
});

describe('printing', () => {
  test('trace_printk lines are collected in order, and passed on', () => {
    const seen: string[] = [];
    k.onPrintk = (line) => seen.push(line);
    const ctx = bytes('n=%d\n', 8);
    expect(run('r2 = 6\nr3 = 42\ncall trace_printk\nexit', ctx)).toBe(5);
    expect([k.trace, seen]).toEqual([['n=42'], ['n=42']]);
    expect(run('r2 = 5\nr3 = 42\ncall trace_printk\nexit', ctx)).toBe(-ERRNO.EINVAL); // no NUL
    expect(run('r2 = 8\nr3 = 42\ncall trace_printk\nexit', bytes('%f', 8))).toBe(-ERRNO.EINVAL);
    expect(k.trace).toHaveLength(1);
  });

  test('trace_vprintk takes an array of arguments', () => {
    const ctx = new Uint8Array(40);
    ctx.set(bytes('%d-%d', 8));
    ctx[8] = 1;
    ctx[16] = 2;
    const call = (size: number) => `r3 = r1\nr3 += 8\nr2 = 8\nr4 = ${size}\ncall trace_vprintk\nexit`;
    expect(run(call(16), ctx)).toBe(3);
    expect(k.trace).toEqual(['1-2']);
    expect(run(call(12), ctx)).toBe(-ERRNO.EINVAL);
    expect(run(call(104), ctx)).toBe(-ERRNO.EINVAL);
  });

  test('snprintf gives the length it would need and always ends with NUL', () => {
    const ctx = new Uint8Array(32).fill(0xff);
    ctx.set(bytes('v=%u', 8), 8);
    ctx.set([0x39, 5, 0, 0, 0, 0, 0, 0], 16); // 1337
    const call = 'r3 = r1\nr3 += 8\nr4 = r1\nr4 += 16\nr2 = 4\nr5 = 8\ncall snprintf\nexit';
    expect(run(call, ctx)).toBe(7);
    expect([...ctx.subarray(0, 5)]).toEqual([...bytes('v=1', 4), 0xff]);
  });
});

describe('the current task', () => {
  test('is who the driver says', () => {
    const leader = k.tasks.create({ comm: 'worker', pid: 12, uid: 1000, gid: 100 });
    const task = k.tasks.create({ comm: 'worker', pid: 11, leader, uid: 1000, gid: 100 });
    k.currentTask = task.ptr;
    expect(run('call get_current_pid_tgid\nexit')).toBe(11);
    expect(run('call get_current_pid_tgid\nr0 >>= 32\nexit')).toBe(12);
    expect(run('call get_current_uid_gid\nexit')).toBe(1000);
    expect(run('call get_current_uid_gid\nr0 >>= 32\nexit')).toBe(100);
    const comm = new Uint8Array(16).fill(9);
    expect(run('r2 = 4\ncall get_current_comm\nexit', comm)).toBe(0);
    expect([...comm.subarray(0, 5)]).toEqual([...bytes('wor', 4), 9]);
    const { offset } = k.types.struct('task_struct').field('pid');
    for (const name of ['get_current_task', 'get_current_task_btf']) {
      expect(run(`call ${name}\nr0 = *(u32 *)(r0 + ${offset})\nexit`)).toBe(11);
    }
  });

  test('has a cgroup with ancestors', () => {
    const a = k.cgroups.create(k.cgroups.root, 'a');
    const b = k.cgroups.create(a, 'b', { id: 77 });
    k.currentTask = k.tasks.create({ comm: 'worker', cgroup: b }).ptr;
    expect(run('call get_current_cgroup_id\nexit')).toBe(77);
    const ancestor = (level: number) => run(`r1 = ${level}\ncall get_current_ancestor_cgroup_id\nexit`);
    expect([-1, 0, 1, 2, 3].map(ancestor)).toEqual([0, 1, a.id, 77, 0]);
  });

  test('can be written where its driver says, by programs of its driver', () => {
    const slice = k.types.struct('task_struct').field('scx.slice').offset;
    k.currentTask = k.newObject('task_struct', {
      name: 'task "x"',
      modelled: ['scx.slice', 'pid'],
      writable: { 'scx.slice': k.newAccessClass() },
    });
    const write = (offset: number) => `call get_current_task_btf\nr1 = 0\n*(u32 *)(r0 + ${offset}) = r1\nexit`;
    expect(() => run(write(slice))).toThrow('task_struct.scx.slice of task "x" may not be written by this program');
    const pid = k.types.struct('task_struct').field('pid').offset;
    expect(() => run(write(pid))).toThrow('task_struct.pid of task "x" may not be written by this program');
  });

  test('is the idle task of the CPU where its driver says nothing', () => {
    const cpu = k.types.struct('task_struct').field('thread_info.cpu').offset;
    k.currentCpu = 1;
    expect(run(`call get_current_task\nr0 = *(u32 *)(r0 + ${cpu})\nexit`)).toBe(1);
    expect(run('call get_current_pid_tgid\nexit')).toBe(0);
  });
});

describe('kfuncs', () => {
  const loop = (start: number, end: number) => `
    r6 = 0
    r1 = r10
    r1 += -8
    r2 = ${start}
    r3 = ${end}
    call bpf_iter_num_new
    r7 = r0
    r1 = r10
    r1 += -8
    call bpf_iter_num_next
    if r0 == 0 goto +3
    r1 = *(s32 *)(r0 + 0)
    r6 += r1
    goto -7
    r1 = r10
    r1 += -8
    call bpf_iter_num_destroy
    r0 = r6
    if r7 s>= 0 goto +1
    r0 = r7
    exit`;

  test.each([
    [0, 5, 10],
    [-3, 3, -3],
    [4, 4, 0],
    [5, 4, -ERRNO.EINVAL],
    [0, 8388609, -ERRNO.E2BIG],
  ])('bpf_iter_num from %i to %i gives %i', (start, end, sum) => {
    expect(run(loop(start, end))).toBe(sum);
  });

  test('bpf_iter_num takes 8388608 iterations and not one more', () => {
    const make = (end: number) =>
      `r1 = r10\nr1 += -8\nr2 = 0\nr3 = ${end}\ncall bpf_iter_num_new\nr6 = r0\nr1 = r10\nr1 += -8\ncall bpf_iter_num_destroy\nr0 = r6\nexit`;
    expect(run(make(8388608))).toBe(0);
    expect(run(make(8388609))).toBe(-ERRNO.E2BIG);
  });

  test('bpf_rcu_read_lock holds a read section until its unlock', () => {
    const seen: boolean[] = [];
    k.registerHelper('skb_vlan_push', () => seen.push(k.rcu.held('rcu')));
    run(
      'call skb_vlan_push\ncall bpf_rcu_read_lock\ncall skb_vlan_push\ncall bpf_rcu_read_unlock\ncall skb_vlan_push\nr0 = 0\nexit',
    );
    expect(seen).toEqual([false, true, false]);
  });

  test('a program that faults inside of a read section leaves none open', () => {
    expect(() => run('call bpf_rcu_read_lock\nr1 = 8 ll\n*(u64 *)(r1 + 0) = 1\nr0 = 0\nexit')).toThrow('insn 3');
    expect(k.rcu.held('rcu', 'tasks', 'tasksTrace')).toBe(false);
  });

  test('a program ends only read sections of its own', () => {
    k.rcu.readLock('rcu');
    expect(() => run('call bpf_rcu_read_unlock\nr0 = 0\nexit')).toThrow('without a bpf_rcu_read_lock');
    expect(() => run('call bpf_rcu_read_lock\ncall bpf_rcu_read_unlock\ncall bpf_rcu_read_unlock\nexit')).toThrow(
      'insn 2',
    );
    expect(k.rcu.held('rcu')).toBe(true);
    k.rcu.readUnlock('rcu');
    expect(k.rcu.held('rcu', 'tasks', 'tasksTrace')).toBe(false);
  });

  test('a program that ends with something held is stopped by the name of it, where it took it', () => {
    expect(() => run('r6 = r1\ncall bpf_rcu_read_lock\nr0 = 0\nexit')).toThrow(
      /insn 1: the section of bpf_rcu_read_lock is still held when the program ends/,
    );
    expect(k.rcu.held('rcu')).toBe(false);
  });

  test('bpf_preempt_disable and bpf_rdonly_cast change nothing', () => {
    expect(
      run(
        'r6 = r1\ncall bpf_preempt_disable\ncall bpf_preempt_enable\nr1 = r6\nr2 = 1\ncall bpf_rdonly_cast\nr0 -= r6\nexit',
        new Uint8Array(8),
      ),
    ).toBe(0);
  });
});
