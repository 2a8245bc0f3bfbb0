import { describe, expect, it } from 'vitest';
import { SCHED_POLICY } from '../../src/kernel/model/task.js';
import { CLASS, type ScxTask } from '../../src/sched_ext/task.js';
import { Bench, MS, PROFILES } from './harness.js';

// Kicks, inserts for other CPUs, and tasks that come back to the scheduler.

const prevCpu = (_p: ScxTask, prev: number) => prev;
const LOCAL_ON = 0xc000000000000000n;
const insertName = { '7.3': 'scx_bpf_dsq_insert', '6.18': 'scx_bpf_dsq_insert', '6.12': 'scx_bpf_dispatch' };

/** a runs on CPU 0 for 20 ms, nothing anywhere else. */
async function busy(profile = '7.3'): Promise<{ bench: Bench; a: ScxTask }> {
  const bench = await Bench.create(profile);
  const { machine } = bench;
  const a = machine.spawn({ name: 'a', steps: [{ run: 20 * MS }], cpus: [0] }).task;
  bench.attach(
    bench.kdata({
      select_cpu: prevCpu,
      enqueue: (p: ScxTask) => bench.kf(insertName[profile as '7.3'], p, machine.scx.consts.dsq.local, 50 * MS, 0),
      dispatch: () => {},
      stopping: () => {},
    }),
  );
  machine.run(2 * MS);
  bench.log.length = 0;
  return { bench, a };
}

describe.each(PROFILES)('a kick on %s', (profile) => {
  it('makes the CPU choose anew; what runs goes on', async () => {
    const { bench, a } = await busy(profile);
    bench.kf('scx_bpf_kick_cpu', 0, 0);
    bench.machine.run(MS);
    expect(bench.log).toEqual([]);
    expect(bench.machine.scx.rq(0).curr).toBe(a);
    bench.kf('scx_bpf_kick_cpu', 2, 0);
    bench.machine.run(MS);
    expect(bench.ops('dispatch')).toEqual(['dispatch 2 -']);
  });

  it('with PREEMPT takes what is left of the slice', async () => {
    const { bench } = await busy(profile);
    bench.kf('scx_bpf_kick_cpu', 0, 2);
    bench.machine.run(MS);
    // Nobody else is there: the task goes on with a default slice.
    expect(bench.ops('dispatch', 'stopping')).toEqual(['dispatch 0 a']);
  });

  it('with IDLE leaves a busy CPU alone', async () => {
    const { bench } = await busy(profile);
    bench.kf('scx_bpf_kick_cpu', 0, 1);
    bench.kf('scx_bpf_kick_cpu', 1, 1);
    bench.machine.run(MS);
    expect(bench.ops('dispatch')).toEqual(['dispatch 1 -']);
  });

  it('does nothing to a CPU that another class has, and none while bypassed', async () => {
    const { bench, a } = await busy(profile);
    const { scx } = bench.machine;
    const slice = a.slice;
    a.cls = CLASS.rt;
    bench.kf('scx_bpf_kick_cpu', 0, 2);
    bench.machine.run(2000);
    a.cls = CLASS.ext;
    expect(a.slice).toBe(slice);
    scx.rq(0).bypassing = true;
    bench.kf('scx_bpf_kick_cpu', 1, 0);
    expect(scx.rq(0).toKick.size).toBe(0);
    scx.rq(0).bypassing = false;
  });
});

describe.each(PROFILES)('a verdict for the local queue of another CPU on %s', (profile) => {
  it('moves the task there when the wakeup is complete', async () => {
    const bench = await Bench.create(profile);
    const { machine } = bench;
    machine.spawn({ name: 'a', steps: [{ run: MS }], cpus: [0, 2] });
    const insert = insertName[profile];
    bench.attach(
      bench.kdata({ select_cpu: prevCpu, enqueue: (p: ScxTask) => bench.kf(insert, p, LOCAL_ON | 2n, 5 * MS, 0) }),
    );
    machine.run(10 * MS);
    expect([0, 2].map((cpu) => machine.spans(cpu).length)).toEqual([0, 1]);
    expect(bench.exit).toBe('still there');
  });

  it('from ops.dispatch of one CPU gives another one its task', async () => {
    const bench = await Bench.create(profile);
    const { machine } = bench;
    machine.spawn({ name: 'a', steps: [{ run: MS }], cpus: [0, 3], startNs: MS });
    const held: ScxTask[] = [];
    bench.attach(
      bench.kdata({
        select_cpu: prevCpu,
        enqueue: (p: ScxTask) => {
          held.push(p);
          bench.kf('scx_bpf_kick_cpu', 1, 0);
        },
        dispatch: (cpu: number) => {
          const task = cpu === 1 ? held.pop() : undefined;
          if (task) bench.kf(insertName[profile], task, LOCAL_ON, 5 * MS, 0);
        },
      }),
    );
    machine.run(10 * MS);
    expect(machine.spans(0)).toHaveLength(1);
    expect(bench.exit).toBe('still there');
  });
});

describe('scx_bpf_reenqueue_local', () => {
  it.each(PROFILES)('in cpu_release hands waiting tasks to ops.enqueue on %s', async (profile) => {
    const bench = await Bench.create(profile);
    const { machine, kernel } = bench;
    const { scx } = machine;
    for (const name of ['a', 'b', 'c']) machine.spawn({ name, steps: [{ run: 20 * MS }], cpus: [0] });
    const counts: bigint[] = [];
    bench.attach(
      bench.kdata({
        select_cpu: prevCpu,
        enqueue: (p: ScxTask) => bench.kf(insertName[profile], p, scx.consts.dsq.local, 50 * MS, 0),
        cpu_release: () => counts.push(bench.kf('scx_bpf_reenqueue_local')),
      }),
    );
    machine.run(2 * MS);
    bench.log.length = 0;
    const rt = scx.newTask(kernel.tasks.create({ comm: 'rt', policy: SCHED_POLICY.FIFO, rtPriority: 1 }), CLASS.rt);
    const rq = scx.rq(0);
    scx.pick.putPrevTask(rq, rq.curr, rt);
    // a was put back at the head, with b and c behind it.
    expect(counts).toEqual([3n]);
    const flags = `0x${BigInt(scx.consts.enq.reenq).toString(16)}`;
    expect(bench.ops('enqueue')).toEqual(['a', 'b', 'c'].map((name) => `enqueue ${name} ${flags}`));
    expect([...rq.local].map(({ comm }) => comm)).toEqual(['a', 'b', 'c']);
  });
});

describe('SCX_ENQ_IMMED', () => {
  it('tasks do not wait behind others: they come back to ops.enqueue', async () => {
    const bench = await Bench.create();
    const { machine } = bench;
    const { consts } = machine.scx;
    machine.spawn({ name: 'long', steps: [{ run: 20 * MS }], cpus: [0] });
    machine.spawn({ name: 'quick', steps: [{ run: MS }], cpus: [0, 1], startNs: 2 * MS });
    bench.attach(
      bench.kdata({
        select_cpu: () => 0,
        enqueue: (p: ScxTask, flags: number) => {
          const again = flags >= consts.enq.reenq;
          bench.kf('scx_bpf_dsq_insert', p, again ? LOCAL_ON | 1n : consts.dsq.local, 50 * MS, consts.enq.immed);
        },
      }),
    );
    machine.run(10 * MS);
    expect(machine.spans(1).map(({ pid }) => pid)).toEqual([102]);
    expect(machine.scx.root?.events.get('REENQ_IMMED')).toBe(1);
    expect(bench.exit).toBe('still there');
  });
});
