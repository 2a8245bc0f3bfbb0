import { describe, expect, it } from 'vitest';
import { ERRNO } from '../../src/errno.js';
import type { ScxTask } from '../../src/sched_ext/task.js';
import type { CpuPlace } from '../../src/sched_ext/topology.js';
import { Bench, MS, PROFILES } from './harness.js';

// Rules of kernel/sched/ext_idle.c. CPUs are named by their numbers; "idle" is what the machine found when it chose.

/** Two nodes of two caches of two cores of two threads; threads are numbered together: 0 and 1 are one core. */
const BIG: CpuPlace[] = Array.from({ length: 16 }, (_, cpu) => ({ node: cpu >> 3, llc: cpu >> 2, core: cpu >> 1 }));
/** One node, one cache, four cores of two threads. */
const SMT: CpuPlace[] = Array.from({ length: 8 }, (_, cpu) => ({ node: 0, llc: 0, core: cpu >> 1 }));

/** A scheduler on a machine where only these CPUs idle; `flags` of the scheduler by name. */
async function idling(
  places: CpuPlace[],
  idle: readonly number[],
  options: { profile?: string; perNode?: boolean; cpus?: readonly number[] } = {},
): Promise<{ bench: Bench; task: ScxTask }> {
  const bench = await Bench.create(options.profile, places);
  const { machine } = bench;
  const run = machine.spawn({
    name: 'a',
    steps: [{ run: MS }],
    startNs: 1e12,
    ...(options.cpus ? { cpus: options.cpus } : {}),
  });
  const { consts } = machine.scx;
  bench.attach(bench.kdata({}, { flags: options.perNode ? consts.ops.builtinIdlePerNode : 0 }));
  machine.run(1);
  for (const { cpu } of machine.scx.rqs) if (!idle.includes(cpu)) machine.scx.idle.testAndClear(cpu);
  // A claim of one thread leaves no whole core; those that idle do again.
  for (const cpu of idle) machine.scx.idle.update(machine.scx.rq(cpu), true, true);
  return { bench, task: run.task };
}

/** What the default choice gives, -1 for none. */
async function choice(
  places: CpuPlace[],
  idle: readonly number[],
  prev: number,
  options: Parameters<typeof idling>[2] & { wakeFlags?: number; cpu?: number } = {},
): Promise<number> {
  const { bench, task } = await idling(places, idle, options);
  bench.kernel.currentCpu = options.cpu ?? 0;
  return bench.machine.scx.idle.selectDefault(task, prev, options.wakeFlags ?? 0, 0, 0);
}

describe.each(PROFILES)('the default choice of a CPU on %s', (profile) => {
  it('is the previous CPU if its whole core idles', async () => {
    expect(await choice(SMT, [4, 5, 6, 7], 6, { profile })).toBe(6);
  });

  it('is a CPU of another whole core before the previous one with a busy sibling', async () => {
    expect(await choice(SMT, [3, 6, 7], 3, { profile })).toBe(6);
  });

  it('is the previous CPU before any other without a whole core', async () => {
    expect(await choice(SMT, [1, 3, 5], 3, { profile })).toBe(3);
  });

  it('is any idle CPU at last, and none if all are busy', async () => {
    expect(await choice(SMT, [5], 3, { profile })).toBe(5);
    expect(await choice(SMT, [], 3, { profile })).toBe(-1);
  });

  it('keeps to the CPUs that the task may use', async () => {
    expect(await choice(SMT, [0, 1, 5], 6, { profile, cpus: [5, 6] })).toBe(5);
    expect(await choice(SMT, [0, 1], 6, { profile, cpus: [5, 6] })).toBe(-1);
  });

  it('is the waking CPU for a synchronous wakeup where somebody idles and nobody waits', async () => {
    const wakeFlags = 0x10;
    // 6.18 asks a mask that nobody keeps whether somebody idles: it takes the first whole core instead.
    expect(await choice(SMT, [4, 5], 6, { profile, wakeFlags, cpu: 2 })).toBe(profile === '6.18' ? 4 : 2);
    expect(await choice(SMT, [], 6, { profile, wakeFlags, cpu: 2 })).toBe(-1);
  });
});

describe('caches and nodes, from 6.15 on', () => {
  it('whole cores of the cache come before those of the node, and these before others', async () => {
    expect(await choice(BIG, [2, 3, 4, 5, 8, 9], 1)).toBe(2);
    expect(await choice(BIG, [4, 5, 8, 9], 1)).toBe(4);
    expect(await choice(BIG, [8, 9], 1)).toBe(8);
  });

  it('a whole core far away comes before single threads nearby', async () => {
    expect(await choice(BIG, [3, 8, 9], 1)).toBe(8);
  });

  it('of single threads 7.3 takes the sibling of the previous CPU first, 6.18 any of the cache', async () => {
    expect(await choice(BIG, [3, 1], 0, { profile: '7.3' })).toBe(1);
    expect(await choice(BIG, [3], 0, { profile: '6.18' })).toBe(3);
    expect(await choice(BIG, [3, 5], 0, { profile: '7.3' })).toBe(3);
  });

  it('6.12 knows neither', async () => {
    const caches = SMT.map((place, cpu) => ({ ...place, llc: cpu >> 2 }));
    expect(await choice(caches, [2, 4, 5], 3, { profile: '6.12' })).toBe(4);
    expect(await choice(caches, [2, 4], 3, { profile: '6.12' })).toBe(2);
  });

  it('a synchronous wakeup takes the previous CPU if it idles and shares the cache', async () => {
    expect(await choice(BIG, [1], 1, { wakeFlags: 0x10, cpu: 2 })).toBe(1);
    expect(await choice(BIG, [1], 1, { wakeFlags: 0x10, cpu: 5 })).toBe(5);
  });
});

describe('whole cores', () => {
  it('cease to be whole as soon as one thread is claimed, and are again when both idle', async () => {
    const { bench } = await idling(SMT, [0, 1, 2, 3]);
    const { idle, rqs } = bench.machine.scx;
    const cores = () => bench.kernel.cpumasks.list(idle.cores(-1));
    expect(cores()).toEqual([0, 1, 2, 3]);
    expect(idle.testAndClear(1)).toBe(true);
    expect(idle.testAndClear(1)).toBe(false);
    expect(cores()).toEqual([2, 3]);
    idle.update(rqs[1]!, true, true);
    expect(cores()).toEqual([0, 1, 2, 3]);
  });
});

describe('kfuncs about idle CPUs', () => {
  it('SCX_PICK_IDLE_CORE gives whole cores only', async () => {
    const { bench } = await idling(SMT, [1, 4, 5]);
    expect(bench.kf('scx_bpf_pick_idle_cpu', bench.mask(1, 4), 1)).toBe(4n);
    expect(bench.kf('scx_bpf_pick_idle_cpu', bench.mask(1, 5), 1)).toBe(BigInt(-ERRNO.EBUSY));
    // Searches go round: this one begins behind the 4.
    expect(bench.kf('scx_bpf_pick_idle_cpu', bench.mask(1, 5), 0)).toBe(5n);
    expect(bench.kf('scx_bpf_pick_idle_cpu', bench.mask(1, 5), 0)).toBe(1n);
  });

  it('the masks show what is idle, and must be given back', async () => {
    const { bench } = await idling(SMT, [1, 4, 5]);
    const { kernel } = bench;
    const cpus = (kfunc: string) => kernel.cpumasks.list(kernel.memory.fromAddress(bench.kf(kfunc)));
    expect(cpus('scx_bpf_get_idle_cpumask')).toEqual([1, 4, 5]);
    expect(cpus('scx_bpf_get_idle_smtmask')).toEqual([4, 5]);
    expect(cpus('scx_bpf_get_online_cpumask')).toHaveLength(8);
    expect(kernel.held.count).toBe(3);
    bench.kf('scx_bpf_put_idle_cpumask', kernel.memory.address(bench.machine.scx.idle.masks(-1).cpu.ptr));
    expect(kernel.held.count).toBe(2);
  });

  it('select_cpu_and keeps to the mask, 0 CPUs in common is none', async () => {
    const { bench, task } = await idling(SMT, [2, 3, 6, 7], { cpus: [2, 3, 4] });
    const and = (...cpus: number[]) => bench.kf('scx_bpf_select_cpu_and', task, 4, 0, bench.mask(...cpus), 0);
    expect(and(3, 6)).toBe(3n);
    expect(and(6, 7)).toBe(BigInt(-ERRNO.EBUSY));
  });

  it('of a task with one CPU only that one is tried, on 7.3', async () => {
    const { bench, task } = await idling(SMT, [2, 5], { cpus: [5] });
    const isIdle = bench.bytes(new Uint8Array(1));
    expect(bench.kf('scx_bpf_select_cpu_dfl', task, 2, 0, isIdle)).toBe(5n);
    expect(bench.kf('scx_bpf_select_cpu_dfl', task, 2, 0, isIdle)).toBe(2n);
    expect(bench.kernel.memory.u8(bench.kernel.memory.fromAddress(isIdle))).toBe(0);
  });

  it('per node: masks and searches take a node, and the others refuse', async () => {
    const { bench } = await idling(BIG, [3, 9], { perNode: true });
    const all = bench.mask(...BIG.keys());
    const IN_NODE = 2;
    expect(bench.kf('scx_bpf_pick_idle_cpu_node', all, 1, IN_NODE)).toBe(9n);
    expect(bench.kf('scx_bpf_pick_idle_cpu_node', all, 1, IN_NODE)).toBe(BigInt(-ERRNO.EBUSY));
    expect(bench.kf('scx_bpf_pick_idle_cpu_node', all, 1, 0)).toBe(3n);
    expect(bench.kf('scx_bpf_pick_any_cpu_node', all, 1, IN_NODE)).toBeGreaterThanOrEqual(8n);
    expect(bench.kf('scx_bpf_pick_idle_cpu_node', all, -1, 0)).toBe(BigInt(-ERRNO.ENOENT));
    expect(bench.machine.scx.root?.exit).toBeNull();
    expect(bench.kf('scx_bpf_pick_idle_cpu', all, 0)).toBe(BigInt(-ERRNO.EBUSY));
    expect(bench.machine.scx.root?.exit?.message).toBe('per-node idle tracking is enabled');
  });

  it.each([
    ['scx_bpf_pick_idle_cpu_node', 0, false, 'per-node idle tracking is disabled', -ERRNO.EOPNOTSUPP],
    ['scx_bpf_pick_idle_cpu_node', 2, true, 'invalid node 2', -ERRNO.EINVAL],
    ['scx_bpf_pick_any_cpu', 0, true, 'per-node idle tracking is enabled', -ERRNO.EBUSY],
  ])('%s of node %i, per node %s: %s', async (kfunc, node, perNode, message, errno) => {
    const { bench } = await idling(BIG, [3], { perNode });
    expect(bench.kf(kfunc, bench.mask(3), node, 0)).toBe(BigInt(errno));
    expect(bench.machine.scx.root?.exit?.message).toBe(message);
  });

  it('say where a CPU is and how many nodes there are', async () => {
    const { bench } = await idling(BIG, []);
    expect([bench.kf('scx_bpf_cpu_node', 9), bench.kf('scx_bpf_nr_node_ids')]).toEqual([1n, 2n]);
    expect(bench.kf('scx_bpf_cpu_node', 16)).toBe(-1n);
    expect(bench.machine.scx.root?.exit?.message).toBe('invalid CPU 16');
  });
});
