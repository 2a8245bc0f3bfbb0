import { beforeEach, describe, expect, test } from 'vitest';
import { ERRNO } from '../../src/errno.js';
import { Kernel } from '../../src/kernel/kernel.js';
import { runText } from './run_text.js';

let k: Kernel;
beforeEach(async () => {
  k = await Kernel.create({ cpus: 2 });
});

const run = (text: string) => runText(k, text);
const rq = (path: string) => k.types.struct('rq').field(path).offset;

describe('runqueues', () => {
  test('has a copy for each CPU, which bpf_per_cpu_ptr and bpf_this_cpu_ptr give', () => {
    const cpuOf = (cpu: number) =>
      `r1 = &runqueues\nr2 = ${cpu}\ncall per_cpu_ptr\nif r0 == 0 goto +2\nr0 = *(u32 *)(r0 + ${rq('cpu')})\nexit\nr0 = -1\nexit`;
    expect([0, 1, 2, -1].map((cpu) => run(cpuOf(cpu)))).toEqual([0, 1, -1, -1]);
    const mine = `r1 = &runqueues\ncall this_cpu_ptr\nr0 = *(u32 *)(r0 + ${rq('cpu')})\nexit`;
    expect(run(mine)).toBe(0);
    k.currentCpu = 1;
    expect(run(mine)).toBe(1);
  });

  test('holds who runs, the clock and the count that its driver keeps', () => {
    const task = k.tasks.create({ comm: 'worker', pid: 77 });
    const queue = k.rqs.of(1);
    const curr = `r1 = &runqueues\nr2 = 1\ncall per_cpu_ptr\nr6 = r0\nr0 = *(u64 *)(r6 + ${rq('curr')})\n`;
    const pid = k.types.struct('task_struct').field('pid').offset;
    expect(run(`${curr}r0 = *(u32 *)(r0 + ${pid})\nexit`)).toBe(0);
    queue.curr = task;
    queue.nrRunning = 3;
    queue.clock = 12345;
    expect(queue.curr).toBe(task);
    expect(run(`${curr}r0 = *(u32 *)(r0 + ${pid})\nexit`)).toBe(77);
    expect(run(`${curr}r0 = *(u32 *)(r6 + ${rq('nr_running')})\nexit`)).toBe(3);
    for (const path of ['clock', 'clock_task', 'clock_pelt']) {
      expect(run(`${curr}r0 = *(u64 *)(r6 + ${rq(path)})\nexit`)).toBe(12345);
    }
    expect(() => run(`${curr}r0 = *(u64 *)(r6 + ${rq('nr_uninterruptible')})\nexit`)).toThrow(
      'rq.nr_uninterruptible of the run queue of CPU 1 is not modelled',
    );
  });

  test('holds what its driver kept before the first program had its address', () => {
    const queue = k.rqs.of(1);
    queue.curr = k.tasks.create({ comm: 'worker', pid: 77 });
    queue.nrRunning = 2;
    queue.nrSwitches = 9;
    queue.clock = 4711;
    queue.capacity = 512;
    queue.online = false;
    const at = (path: string, size: number) =>
      run(`r1 = &runqueues\nr2 = 1\ncall per_cpu_ptr\nr0 = *(u${size} *)(r0 + ${rq(path)})\nexit`);
    expect([at('nr_running', 32), at('nr_switches', 64), at('clock', 64), at('clock_task', 64)]).toEqual([
      2, 9, 4711, 4711,
    ]);
    expect([at('cpu_capacity', 64), at('online', 32)]).toEqual([512, 0]);
    const pid = k.types.struct('task_struct').field('pid').offset;
    const curr = `r0 = *(u64 *)(r0 + ${rq('curr')})`;
    expect(run(`r1 = &runqueues\nr2 = 1\ncall per_cpu_ptr\n${curr}\nr0 = *(u32 *)(r0 + ${pid})\nexit`)).toBe(77);
  });

  test('is no address that can be looked at itself', () => {
    expect(() => run(`r1 = &runqueues\nr0 = *(u32 *)(r1 + ${rq('cpu')})\nexit`)).toThrow(
      'inside per-CPU variable runqueues',
    );
  });
});

// bpf_probe_read_kernel(&policy, 8, &cpufreq_cpu_data + cpu): no CPU's copy, but what a scheduler does that takes it for an array.
test.each([
  ['6.12', -ERRNO.ERANGE],
  ['6.18', -ERRNO.EFAULT],
  ['7.3', -ERRNO.EFAULT],
] as const)('where a per-CPU variable stands on %s nothing can be read', async (profile, wanted) => {
  const kernel = await Kernel.create({ cpus: 3, profile });
  const read = (name: string, cpu: number) =>
    runText(
      kernel,
      `r1 = r10\nr1 += -8\nr2 = -1\n*(u64 *)(r10 - 8) = r2\nr2 = 8\nr3 = &${name}\nr3 += ${8 * cpu}\ncall probe_read_kernel\nr1 = *(u64 *)(r10 - 8)\nr0 += r1\nexit`,
    );
  for (const name of ['cpufreq_cpu_data', 'runqueues', 'cpu_hw_events']) {
    expect([read(name, 0), read(name, 2)], name).toEqual([wanted, wanted]);
  }
});

test('a per-CPU variable that nobody models has copies that cannot be looked at', () => {
  expect(() => run('r1 = &cpu_hw_events\nr2 = 1\ncall per_cpu_ptr\nr0 = *(u64 *)(r0 + 0)\nexit')).toThrow(
    'inside cpu_hw_events of CPU 1',
  );
  const same =
    'r1 = &cpu_hw_events\nr2 = 1\ncall per_cpu_ptr\nr6 = r0\nr1 = &cpu_hw_events\nr2 = 1\ncall per_cpu_ptr\nr0 -= r6\nexit';
  expect(run(same)).toBe(0);
});

test('bpf_per_cpu_ptr takes per-CPU pointers alone', () => {
  expect(() => run('r1 = r10\nr2 = 0\ncall per_cpu_ptr\nexit')).toThrow('argument 1 is no per-CPU pointer but');
});

test('small per-CPU variables hold what a driver keeps there', () => {
  const read = (name: string, cpu: number, bits = 32) =>
    run(`r1 = &${name}\nr2 = ${cpu}\ncall per_cpu_ptr\nr0 = *(u${bits} *)(r0 + 0)\nexit`);
  expect([read('cpu_number', 0), read('cpu_number', 1)]).toEqual([0, 1]);
  expect([read('sd_llc_id', 1), read('sd_llc_size', 1)]).toEqual([0, 2]);
  k.model.percpu.of('sd_llc_id').set(1, 1);
  expect([read('sd_llc_id', 0), read('sd_llc_id', 1)]).toEqual([0, 1]);
  k.model.percpu.of('kernel_cpustat').set(1, 777, 5);
  expect(run('r1 = &kernel_cpustat\nr2 = 1\ncall per_cpu_ptr\nr0 = *(u64 *)(r0 + 40)\nexit')).toBe(777);
});

test('the preempt count shows the sections of the program', () => {
  const read = 'r1 = &__preempt_count\ncall this_cpu_ptr\nr6 = *(u32 *)(r0 + 0)\n';
  const off = 'call bpf_preempt_disable\n';
  const on = 'call bpf_preempt_enable\n';
  expect(run(`${read}r0 = r6\nexit`) >>> 0).toBe(0x80000000);
  expect(run(`${off}${off}${read}${on}${on}r0 = r6\nexit`) >>> 0).toBe(0x80000002);
  expect(() => run(`${off}r0 = 0\nexit`)).toThrow('still held');
  expect(run(`${read}r0 = r6\nexit`) >>> 0).toBe(0x80000000);
});

test('kallsyms knows the variables that the model keeps, typed or not', () => {
  expect(k.ksyms.lookup('init_task')).toBe(k.tasks.init.ptr);
  expect(k.cpumasks.list(k.ksyms.lookup('__cpu_possible_mask')!)).toEqual([0, 1]);
  expect(k.memory.u32(k.ksyms.lookup('nr_cpu_ids')!)).toBe(2);
  expect(k.ksyms.lookup('fair_sched_class')).toBe(k.tasks.schedClass('fair'));
  expect(k.ksyms.lookup('no_such_symbol')).toBeUndefined();
});
