import { describe, expect, it } from 'vitest';
import { ERRNO } from '../../src/errno.js';
import type { ScxTask } from '../../src/sched_ext/task.js';
import { Bench, MS, type Op, PROFILES } from './harness.js';

const prevCpu = (_p: ScxTask, prev: number) => prev;

/** Runs one task under a scheduler whose ops are given; how the scheduler went. */
async function run(profile: string, ops: (bench: Bench) => Record<string, Op>): Promise<string> {
  const bench = await Bench.create(profile);
  bench.machine.spawn({ name: 'FC', steps: [{ run: 1 * MS }], cpus: [0, 1] });
  bench.machine.spawn({ name: 'other', steps: [{ run: 1 * MS }], cpus: [2], startNs: 50 * MS });
  // Without select_cpu a task that finds an idle CPU would not be enqueued.
  bench.attach(bench.kdata({ select_cpu: prevCpu, ...ops(bench) }));
  bench.machine.run(10 * MS);
  return bench.exit;
}

function enqueueWith(name: string, ...args: (number | bigint)[]) {
  return (bench: Bench) => ({
    enqueue: (p: ScxTask) => {
      bench.kf(name, p, ...args);
    },
  });
}

const insertName = { '7.3': 'scx_bpf_dsq_insert', '6.18': 'scx_bpf_dsq_insert', '6.12': 'scx_bpf_dispatch' };

// Messages of the recorded fault cases (kernels 6.12.117, 6.18.15, 7.3.4) and of kernel/sched/ext.c.
describe.each(PROFILES)('mistakes that end a scheduler on %s', (profile) => {
  const insert = insertName[profile];

  it('a queue that does not exist', async () => {
    const task = profile === '7.3' ? '' : ' for FC[101]';
    expect(await run(profile, enqueueWith(insert, 77, 0, 0))).toBe(`1024 runtime error: non-existent DSQ 0x4d${task}`);
  });

  it('an impossible CPU from select_cpu', async () => {
    const exit = await run(profile, () => ({ select_cpu: () => 999 }));
    expect(exit).toBe('1024 runtime error: invalid CPU 999 from ops.select_cpu()');
  });

  it('an impossible CPU in a verdict', async () => {
    const exit = await run(profile, enqueueWith(insert, 0xc00000000000003fn, 0, 0));
    expect(exit).toBe('1024 runtime error: invalid CPU 63 in SCX_DSQ_LOCAL_ON dispatch verdict');
  });

  it('a CPU that the task must not use', async () => {
    const exit = await run(profile, enqueueWith(insert, 0xc000000000000003n, 0, 0));
    expect(exit).toBe('1024 runtime error: SCX_DSQ_LOCAL[_ON] target CPU 3 not allowed for FC[101]');
  });

  it('one task inserted twice', async () => {
    const exit = await run(profile, (bench) => ({
      enqueue: (p: ScxTask) => {
        bench.kf(insert, p, bench.machine.scx.consts.dsq.global, 0, 0);
        bench.kf(insert, p, bench.machine.scx.consts.dsq.global, 0, 0);
      },
    }));
    expect(exit).toBe('1024 runtime error: FC[101] already direct-dispatched');
  });

  it('another task than the one at hand', async () => {
    const exit = await run(profile, (bench) => ({
      enqueue: () => {
        bench.kf(insert, bench.machine.scx.tasks[1] as ScxTask, bench.machine.scx.consts.dsq.global, 0, 0);
      },
    }));
    expect(exit).toBe('1024 runtime error: scheduling for FC[101] but trying to direct-dispatch other[102]');
  });

  it('flags that belong to the kernel, and no task', async () => {
    const flags = 1n << 56n;
    expect(await run(profile, enqueueWith(insert, 0, 0, flags))).toBe(
      '1024 runtime error: invalid enq_flags 0x100000000000000',
    );
    const none = await run(profile, (bench) => ({ enqueue: () => bench.kf(insert, 0, 0, 0, 0) }));
    expect(none).toBe('1024 runtime error: called with NULL task');
  });

  it('vtime on a queue of the kernel', async () => {
    const name = profile === '6.12' ? 'scx_bpf_dispatch_vtime' : 'scx_bpf_dsq_insert_vtime';
    expect(await run(profile, enqueueWith(name, 0x8000000000000001n, 0, 5, 0))).toBe(
      '1024 runtime error: cannot use vtime ordering for built-in DSQs',
    );
  });

  it('a queue to take from that does not exist', async () => {
    const name = profile === '6.12' ? 'scx_bpf_consume' : 'scx_bpf_dsq_move_to_local';
    const exit = await run(profile, (bench) => ({ dispatch: () => bench.kf(name, 5), enqueue: () => {} }));
    expect(exit).toBe('1024 runtime error: invalid DSQ ID 0x0000000000000005');
  });

  it('an error and an exit of its own words', async () => {
    const bstr = (bench: Bench, text: string, ...words: bigint[]): [bigint, bigint, number] => {
      const data = new BigUint64Array(words.length > 0 ? words : [0n]);
      return [bench.bytes(text), bench.bytes(new Uint8Array(data.buffer)), 8 * words.length];
    };
    const error = await run(profile, (bench) => ({
      enqueue: () => bench.kf('scx_bpf_error_bstr', ...bstr(bench, 'bad pid %d of %llx', 5n, 0xabcdefn)),
    }));
    expect(error).toBe('1025 scx_bpf_error: bad pid 5 of abcdef');
    const exit = await run(profile, (bench) => ({
      enqueue: () => bench.kf('scx_bpf_exit_bstr', 1234, ...bstr(bench, 'lab exit')),
    }));
    expect(exit).toBe('65 unregistered from BPF: lab exit');
    const format = await run(profile, (bench) => ({
      enqueue: () => bench.kf('scx_bpf_error_bstr', ...bstr(bench, '%d and %d', 5n)),
    }));
    // 7.3 claims the exit first and formats its message then.
    expect(format).toBe(
      profile === '7.3'
        ? '1025 scx_bpf_error: exit message formatting failed (-22)'
        : '1024 runtime error: format preparation failed (-22)',
    );
  });

  it('a kick that contradicts itself', async () => {
    const exit = await run(profile, (bench) => ({ enqueue: () => bench.kf('scx_bpf_kick_cpu', 1, 3) }));
    expect(exit).toBe('1024 runtime error: PREEMPT/WAIT cannot be used with SCX_KICK_IDLE');
  });

  it('idle CPUs asked for while the scheduler tracks them itself', async () => {
    const exit = await run(profile, (bench) => ({
      update_idle: () => {},
      enqueue: () => bench.kf('scx_bpf_test_and_clear_cpu_idle', 1),
    }));
    expect(exit).toBe('1024 runtime error: built-in idle tracking is disabled');
  });

  it('a destroyed queue with tasks on it', async () => {
    const exit = await run(profile, (bench) => ({
      init: () => Number(bench.kf('scx_bpf_create_dsq', 9, -1)),
      enqueue: (p: ScxTask) => bench.kf(insert, p, 9, 0, 0),
      dispatch: () => bench.kf('scx_bpf_dsq_nr_queued', 9) && bench.kf('scx_bpf_destroy_dsq', 9),
    }));
    expect(exit).toBe('1024 runtime error: attempting to destroy in-use dsq 0x0000000000000009 (nr=1)');
  });

  it('tasks that nobody dispatches', async () => {
    const bench = await Bench.create(profile);
    bench.machine.spawn({ name: 'FC', steps: [{ run: 1 * MS }] });
    bench.attach(bench.kdata({ select_cpu: prevCpu, enqueue: () => {} }, { timeout_ms: 40 }));
    bench.machine.run(1000 * MS);
    expect(bench.exit).toBe('1026 runnable task stall: FC[101] failed to run for 0.060s');
  });
});

describe('kfuncs in the wrong op', () => {
  it('are an error of the scheduler up to 6.18', async () => {
    const exit = await run('6.12', (bench) => ({ enqueue: () => bench.kf('scx_bpf_consume', 0) }));
    expect(exit).toBe('1024 runtime error: kfunc with mask 0x2 called from an operation only allowing 0x4');
  });

  it('stop the program later, because the verifier would not have let it in', async () => {
    const exit = await run('7.3', (bench) => ({ enqueue: () => bench.kf('scx_bpf_dsq_move_to_local', 0) }));
    expect(exit).toContain('verifier refuses a program that calls it from ops.enqueue');
  });

  it('are refused everywhere if they may sleep and the op may not', async () => {
    for (const profile of PROFILES) {
      const exit = await run(profile, (bench) => ({ enqueue: () => bench.kf('scx_bpf_create_dsq', 4, -1) }));
      expect(exit).toContain('verifier refuses a program that calls it from ops.enqueue');
    }
  });

  it('select_cpu_dfl belongs to select_cpu alone before 6.16', async () => {
    const ops = (bench: Bench) => ({
      enqueue: (p: ScxTask) => bench.kf('scx_bpf_select_cpu_dfl', p, 0, 0, bench.bytes(new Uint8Array(1))),
    });
    expect(await run('6.12', ops)).toContain('kfunc with mask 0x8 called from an operation only allowing 0x4');
    expect(await run('6.18', ops)).toBe('still there');
  });
});

describe('dispatch queues', () => {
  it('are created once, with a free id and a node that exists', async () => {
    const bench = await Bench.create();
    const results: bigint[] = [];
    const create = (id: bigint, node: number) => results.push(bench.kf('scx_bpf_create_dsq', id, node));
    bench.attach(
      bench.kdata({
        init: () => {
          create(1n, -1);
          create(1n, -1);
          create(2n, 0);
          create(3n, 1);
          create(3n, -2);
          create(1n << 63n, -1);
          return 0;
        },
      }),
    );
    const { EEXIST, EINVAL } = ERRNO;
    expect(results).toEqual([0n, -EEXIST, 0n, -EINVAL, -EINVAL, -EINVAL].map(BigInt));
  });

  it('cannot be created without a scheduler', async () => {
    const bench = await Bench.create('7.3');
    expect(bench.kf('scx_bpf_create_dsq', 1, -1)).toBe(BigInt(-ERRNO.ENODEV));
  });

  it('belong to the kernel on 6.12, with a scheduler or without, and go with any', async () => {
    const bench = await Bench.create('6.12');
    expect(bench.kf('scx_bpf_create_dsq', 1, -1)).toBe(0n);
    expect(bench.kf('scx_bpf_create_dsq', 1, -1)).toBe(BigInt(-ERRNO.EEXIST));
    const kdata = bench.kdata({ init: () => Number(bench.kf('scx_bpf_dsq_nr_queued', 1)) });
    expect(bench.attach(kdata)).toBe(0);
    bench.detach(kdata);
    expect(bench.kf('scx_bpf_dsq_nr_queued', 1)).toBe(BigInt(-ERRNO.ENOENT));
  });

  it('are counted, except the global one', async () => {
    const counts: bigint[] = [];
    await run('7.3', (bench) => ({
      init: () => Number(bench.kf('scx_bpf_create_dsq', 4, -1)),
      enqueue: (p: ScxTask) => bench.kf('scx_bpf_dsq_insert', p, 4, 0, 0),
      dispatch: () => {
        if (bench.kf('scx_bpf_dsq_nr_queued', 4) === 0n) return;
        const { global, local } = bench.machine.scx.consts.dsq;
        const localOn = 0xc000000000000000n;
        for (const id of [4n, 5n, global, local, localOn | 1n]) counts.push(bench.kf('scx_bpf_dsq_nr_queued', id));
        bench.kf('scx_bpf_dsq_move_to_local', 4);
        counts.push(bench.kf('scx_bpf_dsq_nr_queued', local));
      },
    }));
    const none = BigInt(-ERRNO.ENOENT);
    expect(counts.slice(0, 6)).toEqual([1n, none, none, 0n, 0n, 1n]);
  });

  it('must not be filled by vtime and first in first out at once', async () => {
    const mixed = async (first: 'fifo' | 'vtime') => {
      const bench = await Bench.create();
      for (const name of ['a', 'b']) bench.machine.spawn({ name, steps: [{ run: 1 * MS }], cpus: [0] });
      let next = first;
      bench.attach(
        bench.kdata({
          init: () => Number(bench.kf('scx_bpf_create_dsq', 4, -1)),
          dispatch: () => {},
          enqueue: (p: ScxTask) => {
            if (next === 'fifo') bench.kf('scx_bpf_dsq_insert', p, 4, 0, 0);
            else bench.kf('scx_bpf_dsq_insert_vtime', p, 4, 0, 7, 0);
            next = next === 'fifo' ? 'vtime' : 'fifo';
          },
        }),
      );
      bench.machine.run(5 * MS);
      return bench.exit;
    };
    expect(await mixed('fifo')).toBe('1024 runtime error: DSQ ID 0x0000000000000004 already had FIFO-enqueued tasks');
    expect(await mixed('vtime')).toBe('1024 runtime error: DSQ ID 0x0000000000000004 already had PRIQ-enqueued tasks');
  });
});

describe('inserts from dispatch', () => {
  /** A scheduler that keeps tasks to itself and inserts them from dispatch; `more` runs in each dispatch. */
  async function queueing(
    profile: string,
    batch: number,
    more: (bench: Bench, held: ScxTask[]) => void,
    ns = 20 * MS,
  ): Promise<Bench> {
    const bench = await Bench.create(profile);
    const held: ScxTask[] = [];
    const steps = [{ run: 1 * MS }, { sleep: 100 * MS }];
    for (const name of ['a', 'b', 'c']) bench.machine.spawn({ name, steps, cpus: [0] });
    bench.attach(
      bench.kdata(
        {
          init: () => Number(bench.kf('scx_bpf_create_dsq', 4, -1)),
          enqueue: (p: ScxTask) => {
            held.push(p);
          },
          dispatch: () => (held.length > 0 ? more(bench, held) : undefined),
          dequeue: () => {},
        },
        { dispatch_max_batch: batch },
      ),
    );
    bench.machine.run(ns);
    return bench;
  }
  const local = 0x8000000000000002n;

  it('reach the CPU when dispatch returns', async () => {
    const bench = await queueing('7.3', 0, (b, held) => {
      const task = held.shift();
      if (task) b.kf('scx_bpf_dsq_insert___v2', task, local, 5 * MS, 0);
    });
    expect(bench.machine.runs.map((r) => r.runNs)).toEqual([MS, MS, MS]);
    // Each leaves the scheduler's hands towards a CPU.
    expect(bench.ops('dequeue')).toEqual(['dequeue a 0x0', 'dequeue b 0x0', 'dequeue c 0x0']);
  });

  it('reach a queue before the scheduler takes from it', async () => {
    const bench = await queueing('7.3', 0, (b, held) => {
      const task = held.shift();
      if (!task) return;
      b.kf('scx_bpf_dsq_insert', task, 4, 5 * MS, 0);
      expect(b.kf('scx_bpf_dsq_move_to_local', 4)).toBe(1n);
    });
    expect(bench.exit).toBe('still there');
  });

  it('are limited to dispatch_max_batch', async () => {
    const slots: bigint[] = [];
    const bench = await queueing('7.3', 2, (b, held) => {
      slots.push(b.kf('scx_bpf_dispatch_nr_slots'));
      for (const task of [...held]) b.kf('scx_bpf_dsq_insert', task, local, 5 * MS, 0);
      for (const task of [...held]) b.kf('scx_bpf_dsq_insert', task, local, 5 * MS, 0);
      slots.push(b.kf('scx_bpf_dispatch_nr_slots'));
      for (const task of [...held]) b.kf('scx_bpf_dsq_insert', task, local, 5 * MS, 0);
    });
    expect(slots.slice(0, 2)).toEqual([2n, 0n]);
    expect(bench.exit).toBe('1024 runtime error: dispatch buffer overflow');
  });

  it('can be taken back, but only while there are some', async () => {
    const bench = await queueing('7.3', 0, (b, held) => {
      b.kf('scx_bpf_dsq_insert', held[0] as ScxTask, local, 5 * MS, 0);
      b.kf('scx_bpf_dispatch_cancel');
      b.kf('scx_bpf_dispatch_cancel');
    });
    expect(bench.exit).toBe('1024 runtime error: dispatch buffer underflow');
    expect(bench.machine.runs[0]?.runNs).toBe(0);
  });

  it('are void for a task that was enqueued anew or runs already', async () => {
    // A CPU that is given nothing asks again and again.
    const more = (b: Bench, held: ScxTask[]) => {
      for (const task of held) b.kf('scx_bpf_dsq_insert', task, local, 5 * MS, 0);
    };
    const bench = await queueing('7.3', 0, more, 4 * MS);
    expect(bench.exit).toBe('still there');
    expect(bench.machine.runs.map((r) => r.runNs)).toEqual([MS, MS, MS]);
  });
});

describe('slices', () => {
  it('are stored at the insert up to 6.18 and with the task on 7.3', async () => {
    const seen: number[] = [];
    const look = (bench: Bench) => ({
      enqueue: (p: ScxTask) => {
        bench.kf(
          bench.machine.scx.consts.lateSlice ? 'scx_bpf_dsq_insert' : 'scx_bpf_dispatch',
          p,
          0x8000000000000001n,
          7,
          0,
        );
        seen.push(p.slice);
      },
      running: (p: ScxTask) => seen.push(p.slice),
    });
    await run('6.12', look);
    expect(seen.splice(0).slice(0, 2)).toEqual([7, 7]);
    await run('7.3', look);
    expect(seen.slice(0, 2)).toEqual([5_000_000, 7]);
  });

  it('of 0 in an insert mean the one that is there, and 1 ns if that is used up', async () => {
    const bench = await Bench.create();
    const seen: number[] = [];
    bench.machine.spawn({ name: 'a', steps: [{ run: 30 * MS }], cpus: [0] });
    bench.machine.spawn({ name: 'b', steps: [{ run: 1 * MS }], cpus: [0] });
    bench.attach(
      bench.kdata({
        enqueue: (p: ScxTask) => bench.kf('scx_bpf_dsq_insert', p, bench.machine.scx.consts.dsq.global, 0, 0),
        running: (p: ScxTask) => {
          if (p.comm === 'a') seen.push(p.slice);
        },
      }),
    );
    bench.machine.run(25 * MS);
    expect(seen).toEqual([5_000_000, 1]);
  });

  it('can be set from outside of an insert on 7.3', async () => {
    const bench = await Bench.create();
    bench.machine.spawn({ name: 'a', steps: [{ run: 3 * MS }] });
    bench.attach(
      bench.kdata({
        running: (p: ScxTask) => {
          bench.kf('scx_bpf_task_set_slice', p, 1 * MS);
          bench.kf('scx_bpf_task_set_dsq_vtime', p, 99);
        },
        dispatch: () => {},
      }),
    );
    bench.machine.run(10 * MS);
    expect(bench.log.slice(4)).toEqual(['0 running a', '1 dispatch 1 a', '3 dispatch 1 a']);
  });
});

describe('questions', () => {
  it('about tasks, CPUs and time', async () => {
    const bench = await Bench.create();
    const answers: unknown[] = [];
    const run = bench.machine.spawn({ name: 'a', steps: [{ run: 3 * MS }], cpus: [2], startNs: 1 * MS });
    const ask = () =>
      answers.push([
        bench.kf('scx_bpf_task_running', run.task),
        bench.kf('scx_bpf_task_cpu', run.task),
        bench.kf('scx_bpf_now'),
        bench.kf('scx_bpf_nr_cpu_ids'),
        bench.kf('scx_bpf_test_and_clear_cpu_idle', 2),
      ]);
    bench.attach(bench.kdata({ runnable: ask, running: ask }));
    bench.machine.run(10 * MS);
    expect(answers).toEqual([
      [0n, 2n, BigInt(MS), 4n, 1n],
      // rq->curr changes after ops.running.
      [0n, 2n, BigInt(MS), 4n, 0n],
    ]);
  });

  it('for an idle or any CPU of a mask', async () => {
    const bench = await Bench.create();
    const mask = bench.bytes(new Uint8Array([0b1010, 0, 0, 0, 0, 0, 0, 0]));
    const none = bench.bytes(new Uint8Array(8));
    const answers: bigint[] = [];
    bench.attach(bench.kdata({}));
    // 7.3 learns that CPUs idle when they choose anew.
    bench.machine.run(1);
    for (let i = 0; i < 3; i++) answers.push(bench.kf('scx_bpf_pick_idle_cpu', mask, 0));
    for (let i = 0; i < 3; i++) answers.push(bench.kf('scx_bpf_pick_any_cpu', mask, 0));
    answers.push(bench.kf('scx_bpf_pick_any_cpu', none, 0));
    const busy = BigInt(-ERRNO.EBUSY);
    expect(answers).toEqual([1n, 3n, busy, 1n, 3n, 1n, busy]);
  });

  it('about a run queue, which shows what was kept before anybody had its address', async () => {
    const bench = await Bench.create();
    const { machine, kernel } = bench;
    for (const name of ['first', 'second']) machine.spawn({ name, steps: [{ run: 3 * MS }], cpus: [0] });
    const seen: number[][] = [];
    const look = () => {
      const at = Number(bench.kf('scx_bpf_cpu_rq', 0) & 0xffffffffn);
      const read = (path: string) => kernel.types.struct('rq').field(path).get(at);
      const flags = machine.scx.rq(0).flags;
      seen.push([read('scx.nr_running'), read('scx.local_dsq.nr'), read('scx.flags') - flags, flags === 0 ? 0 : 1]);
    };
    bench.attach(bench.kdata({ stopping: look, quiescent: look }));
    machine.run(10 * MS);
    expect(kernel.rqs.shown).toBe(true);
    expect(seen.slice(0, 3)).toEqual([
      [2, 0, 0, 1],
      [2, 0, 0, 1],
      [1, 0, 0, 1],
    ]);
  });

  it('about a task that has exited stop the program', async () => {
    const bench = await Bench.create();
    const { task } = bench.machine.spawn({ name: 'gone', steps: [{ run: 1 * MS }] });
    bench.machine.spawn({ name: 'late', steps: [{ run: 1 * MS }], startNs: 5 * MS });
    bench.attach(bench.kdata({ runnable: () => bench.kf('scx_bpf_task_cpu', task) }));
    bench.machine.run(10 * MS);
    expect(bench.exit).toContain('argument 1: no task of this machine (0 bytes inside ');
  });

  it('about what is no task stop the program', async () => {
    const pointer = await run('7.3', (bench) => ({
      enqueue: () => bench.kf('scx_bpf_task_cpu', bench.bytes(new Uint8Array(8))),
    }));
    expect(pointer).toContain('no task of this machine');
  });
});
