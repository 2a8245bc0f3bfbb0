import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Kernel } from '../../src/kernel/kernel.js';
import { type BpfObject, openObject } from '../../src/loader/index.js';
import { MS, PROFILES } from './harness.js';
import { Machine } from './scripted_machine.js';

// samples/scx_fifo.bpf.c, compiled, on each kernel: what a real scheduler sees, does and leaves behind.

const bytes = new Uint8Array(await readFile(new URL('../../samples/scx_fifo.bpf.o', import.meta.url)));

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

async function machineOn(profile: string): Promise<Machine> {
  const kernel = await Kernel.create({ profile, windowBytes: 1 << 24, faults: 'strict' });
  kernels.push(kernel);
  return new Machine(kernel);
}

function fifo(machine: Machine, set: Record<string, number> = {}): BpfObject {
  const object = openObject(bytes, { name: 'scx_fifo' });
  for (const [name, value] of Object.entries(set)) object.variable(name).set(value);
  return object.load(machine.kernel);
}

/** The per-CPU statistics, summed. */
function stats(object: BpfObject): Record<string, number> {
  const perCpu = object.map('stats').lookup(0) as Record<string, bigint | number>[];
  const sum: Record<string, number> = {};
  for (const cpu of perCpu) {
    for (const [name, value] of Object.entries(cpu)) sum[name] = (sum[name] ?? 0) + Number(value);
  }
  return sum;
}

describe.each(PROFILES)('scx_fifo on %s', (profile) => {
  it('runs every task to its end and accounts for each ns', async () => {
    const machine = await machineOn(profile);
    const steps = [{ run: 7 * MS }, { sleep: 1 * MS }];
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) machine.spawn({ name, steps, repeat: 3 });
    const object = fifo(machine, { slice_ns: 2 * MS });
    object.attach();
    expect(object.variable('nr_tasks').get()).toBe(6n);
    machine.run(1000 * MS);

    expect(machine.runs.map((run) => [run.exited, run.runNs])).toEqual(Array(6).fill([true, 21 * MS]));
    expect(object.variable('nr_tasks').get()).toBe(0n);
    expect(object.variable('nr_runnable').get()).toBe(0n);
    expect(object.variable('exited_run_ns').get()).toBe(BigInt(6 * 21 * MS));
    expect(object.map('task_times').keyBytes()).toEqual([]);
    const { to_idle_cpu, to_shared_queue, dispatches, run_ns } = stats(object);
    expect(run_ns).toBe(6 * 21 * MS);
    expect(to_idle_cpu).toBeGreaterThanOrEqual(4);
    expect(to_shared_queue).toBeGreaterThan(6);
    expect(dispatches).toBe(to_shared_queue);
    object.close();
    expect(machine.scx.lastExit?.exit).toMatchObject({ kindName: 'UNREG', code: 0n });
  });

  it('keeps a record of its end where user space finds it', async () => {
    const machine = await machineOn(profile);
    const object = fifo(machine);
    object.attach()[0]?.destroy();
    expect(object.variable('exit_record').get()).toEqual({
      kind: 64,
      code: 0n,
      reason: 'unregistered from user space',
      message: '',
    });
  });

  it('shows tasks by pid with their name while they live', async () => {
    const machine = await machineOn(profile);
    const { task } = machine.spawn({ name: 'worker', steps: [{ run: 3 * MS }, { sleep: 50 * MS }], repeat: 2 });
    const object = fifo(machine);
    object.attach();
    machine.run(10 * MS);
    expect(object.map('task_times').lookup(task.pid)).toEqual({
      // Counted from 1 on, since 7.0.
      tid: profile === '7.3' ? 1n : 0n,
      started_at: 0n,
      run_ns: BigInt(3 * MS),
      runs: 1n,
      comm: 'worker',
    });
  });

  it('sends tasks bound to one CPU there, kernel threads first', async () => {
    const machine = await machineOn(profile);
    const hog = machine.spawn({ name: 'hog', steps: [{ run: 10 * MS }], cpus: [2] });
    const bound = machine.spawn({ name: 'bound', steps: [{ run: 1 * MS }], cpus: [2], startNs: 1 * MS });
    const kthread = machine.spawn({ name: 'kthread', steps: [{ run: 1 * MS }], cpus: [2], startNs: 2 * MS });
    kthread.task.kernelTask.flags = 0x00200000;
    const object = fifo(machine, { slice_ns: 3 * MS });
    object.attach();
    machine.run(100 * MS);
    expect(machine.spans(2).map((span) => [span.pid, span.start / MS])).toEqual([
      [hog.task.pid, 0],
      [kthread.task.pid, 3],
      [bound.task.pid, 4],
      [hog.task.pid, 5],
    ]);
    expect(stats(object).to_shared_queue).toBe(0);
  });
});

describe('what the kernel refuses', () => {
  it.each([
    ['timeout_ms', 30_001, 'E2BIG'],
    ['dispatch_max_batch', 0x8000_0000, 'E2BIG'],
    ['flags', 1n << 40n, 'EINVAL'],
    ['flags', 1n << 56n, 'EINVAL'],
    ['name', '', 'EINVAL'],
    ['name', 'no spaces', 'EINVAL'],
    ['rescue_bandwidth_ppt', 251, 'E2BIG'],
    ['rescue_quantum_us', 999, 'EINVAL'],
    ['rescue_quantum_us', 100_001, 'E2BIG'],
  ])('a scheduler with %s %s: %s, at the update of its map', async (member, value, errno) => {
    const machine = await machineOn('7.3');
    const object = openObject(bytes);
    object.structOpsMap('fifo_ops').set(member, value);
    object.load(machine.kernel);
    expect(() => object.attach()).toThrow(errno);
    expect(machine.scx.root).toBeNull();
  });

  it.each([
    ['timeout_ms', 30_000],
    ['dispatch_max_batch', 0x7fff_ffff],
    ['rescue_bandwidth_ppt', 0xffff_ffff],
    ['rescue_quantum_us', 1000],
    ['flags', 1n],
  ])('but not one with %s %s', async (member, value) => {
    const machine = await machineOn('7.3');
    const object = openObject(bytes);
    object.structOpsMap('fifo_ops').set(member, value);
    object.load(machine.kernel).attach();
    expect(machine.scx.root?.kdata.get(member)).toBe(value);
  });

  it('a second scheduler while one is loaded', async () => {
    const machine = await machineOn('7.3');
    const first = fifo(machine);
    first.attach();
    const second = fifo(machine);
    expect(() => second.attach()).toThrow('EBUSY');
    first.close();
    second.attach();
    expect(machine.scx.root?.name).toBe('fifo');
  });

  it('a program that may sleep in an op that may not', async () => {
    const machine = await machineOn('7.3');
    const object = openObject(bytes);
    const ops = object.structOpsMap('fifo_ops');
    ops.setProgram('exit', null);
    ops.setProgram('running', object.program('fifo_exit'));
    expect(() => object.load(machine.kernel)).toThrow(
      'attach to unsupported member running of struct sched_ext_ops: EINVAL',
    );
  });

  it('on 7.3 a program that calls what its op may not', async () => {
    const machine = await machineOn('7.3');
    const object = openObject(bytes);
    const ops = object.structOpsMap('fifo_ops');
    ops.setProgram('enqueue', null);
    ops.setProgram('running', object.program('fifo_enqueue'));
    expect(() => object.load(machine.kernel)).toThrow('EACCES');
  });

  it('an update of a link', async () => {
    const machine = await machineOn('7.3');
    const first = fifo(machine);
    const [link] = first.attach();
    const second = fifo(machine);
    expect(() => link?.update(second.structOpsMap('fifo_ops'))).toThrow('EOPNOTSUPP');
  });
});

describe('guest memory', () => {
  it('of a task may be written by schedulers in three fields only, in the cid form in one', async () => {
    const machine = await machineOn('7.3');
    const { task } = machine.spawn({ name: 'worker', steps: [{ run: 1 * MS }] });
    const { memory } = machine.kernel;
    const { struct } = machine.kernel.tasks.layout;
    const fields = ['scx.slice', 'scx.dsq_vtime', 'scx.disallow', 'scx.weight', 'scx.flags', 'flags', 'comm', 'pid'];
    const writable = (form: 'cpu' | 'cid') =>
      fields.filter((path) => {
        const { offset, size } = struct.field(path);
        return memory.canAccess(task.ptr + offset, size, true, machine.scx.writeClasses(form));
      });
    expect(writable('cpu')).toEqual(['scx.slice', 'scx.dsq_vtime', 'scx.disallow']);
    expect(writable('cid')).toEqual(['scx.disallow']);
  });
});
