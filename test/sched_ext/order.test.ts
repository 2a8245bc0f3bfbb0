import { describe, expect, it } from 'vitest';
import type { ScxTask } from '../../src/sched_ext/task.js';
import { Bench, MS, type Op, PROFILES } from './harness.js';

const SHARED = 0;
const nothing: Op = () => {};

/** A global FIFO that implements every op the machine calls. */
function fifo(bench: Bench, more: Record<string, Op> = {}): Record<string, Op> {
  return {
    select_cpu: (p: ScxTask, prev: number, flags: number) => {
      const idle = bench.bytes(new Uint8Array(1));
      const cpu = bench.kf('scx_bpf_select_cpu_dfl', p, prev, flags, idle);
      const isIdle = bench.kernel.memory.u8(bench.kernel.memory.fromAddress(idle)) !== 0;
      if (isIdle) bench.kf('scx_bpf_dsq_insert', p, bench.machine.scx.consts.dsq.local, 5 * MS, 0);
      return Number(cpu);
    },
    enqueue: (p: ScxTask, flags: number) => {
      bench.kf('scx_bpf_dsq_insert', p, SHARED, 5 * MS, flags);
    },
    dispatch: () => {
      bench.kf('scx_bpf_dsq_move_to_local', SHARED);
    },
    init: () => Number(bench.kf('scx_bpf_create_dsq', SHARED, -1)),
    dequeue: nothing,
    runnable: nothing,
    running: nothing,
    stopping: nothing,
    quiescent: nothing,
    set_weight: nothing,
    set_cpumask: nothing,
    init_task: nothing,
    exit_task: nothing,
    enable: nothing,
    disable: nothing,
    exit: nothing,
    ...more,
  };
}

/** When bypass is lifted every CPU chooses anew (scx_bypass: resched_cpu). */
const FIRST_CHOICES = [0, 1, 2, 3].map((cpu) => `0 dispatch ${cpu} -`);

describe.each(PROFILES)('order of callbacks on %s', (profile) => {
  it('enables every task before the first one runs, and takes them out before exit', async () => {
    const bench = await Bench.create(profile);
    bench.machine.spawn({ name: 'a', steps: [{ run: 1 * MS }], startNs: 1 * MS });
    bench.machine.spawn({ name: 'b', steps: [{ run: 1 * MS }], startNs: 90 * MS, weight: 300 });
    const kdata = bench.kdata(fifo(bench));
    expect(bench.attach(kdata)).toBe(0);
    expect(bench.log).toEqual([
      '0 init',
      '0 init_task a *',
      '0 init_task b *',
      '0 enable a',
      '0 set_weight a 100',
      '0 set_cpumask a *',
      '0 enable b',
      '0 set_weight b 300',
      '0 set_cpumask b *',
    ]);
    bench.log.length = 0;
    bench.detach(kdata);
    expect(bench.log).toEqual(['0 disable a', '0 exit_task a *', '0 disable b', '0 exit_task b *', '0 exit *']);
    expect(bench.exit).toBe('64 unregistered from user space: ');
  });

  it('runs a task that wakes to an idle CPU without enqueue', async () => {
    const bench = await Bench.create(profile);
    bench.machine.spawn({ name: 'a', steps: [{ run: 1 * MS }, { sleep: 2 * MS }, { run: 1 * MS }], cpus: [1, 2] });
    bench.attach(bench.kdata(fifo(bench)));
    bench.log.length = 0;
    bench.machine.run(100 * MS);
    const wake = profile === '7.3' ? '0x100009' : '0x409';
    expect(bench.log).toEqual([
      ...FIRST_CHOICES,
      '0 select_cpu a 2 8',
      `0 runnable a ${wake}`,
      '0 running a',
      '1 stopping a false',
      '1 quiescent a 0x9',
      '1 dispatch 2 a',
      '3 select_cpu a 2 8',
      `3 runnable a ${wake}`,
      '3 running a',
      '4 stopping a false',
      '4 quiescent a 0x9',
      '4 dispatch 2 a',
      '4 disable a',
      '4 exit_task a *',
    ]);
  });

  // The recorded traces: golden "two", X and Y on one CPU.
  it('lets two tasks on one CPU take turns at the end of each slice', async () => {
    const bench = await Bench.create(profile);
    for (const name of ['x', 'y']) bench.machine.spawn({ name, steps: [{ run: 8 * MS }], cpus: [1] });
    bench.attach(bench.kdata(fifo(bench)));
    bench.log.length = 0;
    bench.machine.run(100 * MS);
    const custody = (task: string, time: number) => (profile === '7.3' ? [`${time} dequeue ${task} 0x0`] : []);
    expect(bench.log).toEqual([
      ...FIRST_CHOICES,
      '0 runnable x 0x9',
      '0 enqueue x 0x9',
      '0 dispatch 1 -',
      ...custody('x', 0),
      '0 running x',
      '0 runnable y 0x9',
      '0 enqueue y 0x9',
      '5 dispatch 1 x',
      ...custody('y', 5),
      '5 stopping x true',
      '5 enqueue x 0x0',
      '5 running y',
      '10 dispatch 1 y',
      ...custody('x', 10),
      '10 stopping y true',
      '10 enqueue y 0x0',
      '10 running x',
      '13 stopping x false',
      '13 quiescent x 0x9',
      '13 dispatch 1 x',
      ...custody('y', 13),
      '13 running y',
      '13 disable x',
      '13 exit_task x *',
      '16 stopping y false',
      '16 quiescent y 0x9',
      '16 dispatch 1 y',
      '16 disable y',
      '16 exit_task y *',
    ]);
  });

  it('takes waiting and running tasks off the CPUs when it goes', async () => {
    const bench = await Bench.create(profile);
    for (const name of ['x', 'y']) bench.machine.spawn({ name, steps: [{ run: 50 * MS }], cpus: [0] });
    const kdata = bench.kdata(fifo(bench));
    bench.attach(kdata);
    bench.machine.run(2 * MS);
    bench.log.length = 0;
    bench.detach(kdata);
    const off = profile === '7.3' ? '0x20000000e' : '0xe';
    // DEQUEUE_CLASS came with 6.19.
    const leaving = profile === '7.3' ? '0x20000004e' : '0xe';
    expect(bench.log).toEqual([
      ...(profile === '7.3' ? [`2 dequeue y ${off}`] : []),
      `2 quiescent y ${off}`,
      '2 runnable y 0xe',
      '2 stopping x false',
      `2 quiescent x ${leaving}`,
      '2 disable x',
      '2 exit_task x *',
      `2 quiescent y ${leaving}`,
      '2 disable y',
      '2 exit_task y *',
      '2 exit *',
    ]);
  });

  it('reports CPUs that become idle and busy, to schedulers that ask', async () => {
    const bench = await Bench.create(profile);
    bench.machine.spawn({ name: 'a', steps: [{ run: 1 * MS }], cpus: [3] });
    const { keepBuiltinIdle } = bench.machine.scx.consts.ops;
    bench.attach(bench.kdata(fifo(bench, { update_idle: nothing }), { flags: keepBuiltinIdle }));
    bench.machine.run(100 * MS);
    const start = profile === '7.3' ? [0, 1, 2, 3].map((cpu) => `update_idle ${cpu} true`) : [];
    expect(bench.ops('update_idle')).toEqual([...start, 'update_idle 3 false', 'update_idle 3 true']);
  });
});

describe('the choice of a CPU', () => {
  it('keeps a task whose slice is over when nobody else wants the CPU, with a default slice', async () => {
    const bench = await Bench.create();
    bench.machine.spawn({ name: 'a', steps: [{ run: 30 * MS }] });
    bench.attach(bench.kdata(fifo(bench)));
    bench.log.length = 0;
    bench.machine.run(100 * MS);
    // 5 ms given by the scheduler, then 20 ms of the kernel's at a time.
    expect(bench.log.filter((line) => / (dispatch|stopping|enqueue) /.test(line))).toEqual([
      ...FIRST_CHOICES,
      '5 dispatch 1 a',
      '25 dispatch 1 a',
      '30 stopping a false',
      '30 dispatch 1 a',
    ]);
  });

  it('enqueues it with SCX_ENQ_LAST instead, if the scheduler asked for that', async () => {
    const bench = await Bench.create();
    const { consts } = bench.machine.scx;
    bench.machine.spawn({ name: 'a', steps: [{ run: 8 * MS }], cpus: [0] });
    const toLocal = (p: ScxTask, flags: number) => {
      bench.kf('scx_bpf_dsq_insert', p, consts.dsq.local, 5 * MS, flags);
    };
    bench.attach(bench.kdata(fifo(bench, { enqueue: toLocal }), { flags: consts.ops.enqLast }));
    bench.machine.run(100 * MS);
    expect(bench.ops('enqueue')).toEqual(['enqueue a 0x9', 'enqueue a 0x20000000000']);
    expect(bench.machine.runs[0]?.runNs).toBe(8 * MS);
  });

  it('without enqueue, dispatch and select_cpu runs everything from the global queue', async () => {
    const bench = await Bench.create();
    for (const name of ['a', 'b', 'c']) bench.machine.spawn({ name, steps: [{ run: 25 * MS }], cpus: [0, 1] });
    bench.attach(bench.kdata({}));
    bench.machine.run(200 * MS);
    expect(bench.machine.runs.map((run) => run.runNs)).toEqual([25 * MS, 25 * MS, 25 * MS]);
    expect(bench.machine.now).toBeLessThan(51 * MS);
  });

  it('leaves a task that stopping gives time to first in line, without enqueue', async () => {
    const bench = await Bench.create();
    for (const name of ['a', 'b']) bench.machine.spawn({ name, steps: [{ run: 6 * MS }], cpus: [0] });
    const once = new Set(['a']);
    const more = (p: ScxTask, runnable: boolean) => {
      if (runnable && once.delete(p.comm)) p.slice = 1 * MS;
    };
    bench.attach(bench.kdata(fifo(bench, { stopping: more })));
    bench.machine.run(100 * MS);
    expect(bench.ops('enqueue')).toEqual(['enqueue a 0x9', 'enqueue b 0x9', 'enqueue b 0x0']);
    expect(bench.machine.spans(0).map((span) => span.end / MS)).toEqual([5, 10, 11, 12]);
  });

  it('orders a queue by vtime, smallest first', async () => {
    const bench = await Bench.create();
    const order: string[] = [];
    const vtimes: Record<string, bigint> = { a: 30n, b: -5n, c: 20n };
    for (const name of Object.keys(vtimes)) bench.machine.spawn({ name, steps: [{ run: 1 * MS }], cpus: [0] });
    bench.machine.spawn({ name: 'first', steps: [{ run: 4 * MS }], cpus: [0], startNs: 0 });
    bench.attach(
      bench.kdata(
        fifo(bench, {
          enqueue: (p: ScxTask, flags: number) => {
            bench.kf('scx_bpf_dsq_insert_vtime', p, SHARED, 5 * MS, vtimes[p.comm] ?? -100n, flags);
          },
          running: (p: ScxTask) => {
            order.push(p.comm);
          },
        }),
      ),
    );
    bench.machine.run(100 * MS);
    expect(order).toEqual(['a', 'first', 'b', 'c']);
  });

  it('preempts for SCX_ENQ_PREEMPT and for a kick with SCX_KICK_PREEMPT', async () => {
    const bench = await Bench.create();
    const { consts } = bench.machine.scx;
    bench.machine.spawn({ name: 'slow', steps: [{ run: 4 * MS }], cpus: [0] });
    bench.machine.spawn({ name: 'urgent', steps: [{ run: 1 * MS }], cpus: [0], startNs: 1 * MS });
    bench.machine.spawn({ name: 'kicker', steps: [{ run: 1 * MS }], cpus: [0], startNs: 3 * MS });
    bench.attach(
      bench.kdata(
        fifo(bench, {
          enqueue: (p: ScxTask, flags: number) => {
            const urgent = p.comm === 'urgent';
            bench.kf(
              'scx_bpf_dsq_insert',
              p,
              urgent ? consts.dsq.local : SHARED,
              5 * MS,
              flags + (urgent ? consts.enq.preempt : 0),
            );
            if (p.comm === 'kicker') bench.kf('scx_bpf_kick_cpu', 0, consts.kick.preempt);
          },
        }),
      ),
    );
    bench.machine.run(100 * MS);
    expect(bench.log.filter((line) => line.includes(' running '))).toEqual([
      '0 running slow',
      '1 running urgent',
      '2 running slow',
      '3.001 running kicker',
      '4.001 running slow',
    ]);
  });

  it('goes round the allowed CPUs when it looks for an idle one', async () => {
    const bench = await Bench.create();
    for (const name of ['a', 'b', 'c', 'd']) bench.machine.spawn({ name, steps: [{ run: 2 * MS }] });
    bench.attach(bench.kdata(fifo(bench)));
    bench.machine.run(100 * MS);
    const cpus = [0, 1, 2, 3].map((cpu) => bench.machine.spans(cpu).map((span) => span.pid));
    // pids 101 to 104 wake on CPU pid % 4: each finds its own CPU idle.
    expect(cpus).toEqual([[104], [101], [102], [103]]);
  });

  it('notices a scheduler that makes CPUs choose without end', async () => {
    const bench = await Bench.create();
    for (const name of ['a', 'b']) bench.machine.spawn({ name, steps: [{ run: 4 * MS }], cpus: [0] });
    const noTime = (p: ScxTask) => {
      p.slice = 0;
    };
    bench.attach(bench.kdata(fifo(bench, { running: noTime })));
    expect(() => bench.machine.run(100 * MS)).toThrow('at 0 ns: the scheduler makes CPUs choose anew without end');
  });
});
