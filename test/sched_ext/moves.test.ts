import { describe, expect, it } from 'vitest';
import { ERRNO } from '../../src/errno.js';
import { KF } from '../../src/sched_ext/kf_groups.js';
import type { ScxTask } from '../../src/sched_ext/task.js';
import { Bench, MS } from './harness.js';

// Walks over user queues, moves out of them, and queues looked into (spec sched_ext.md, dispatch queues).

const A = 1;
const B = 2;
const LOCAL = 0x8000000000000002n;
const LOCAL_ON = 0xc000000000000000n;

interface Held {
  bench: Bench;
  tasks: ScxTask[];
  /** bpf_for_each(scx_dsq, …): the names, and what the body does with a task. */
  walk(dsq: number, flags: number, body?: (task: ScxTask, iter: bigint) => void): string;
  names(dsq: number): string;
}

/** Three tasks a, b and c that wait on queue A; nobody dispatches them. */
async function waiting(vtimes: Record<string, number> = {}, profile = '7.3'): Promise<Held> {
  const bench = await Bench.create(profile);
  const { machine, kernel } = bench;
  for (const name of ['a', 'b', 'c']) machine.spawn({ name, steps: [{ run: 30 * MS }], cpus: [0, 1] });
  machine.spawn({ name: 'bound', steps: [{ run: 1 * MS }], cpus: [3], startNs: 1e12 });
  bench.attach(
    bench.kdata({
      init: () => {
        for (const id of [A, B]) bench.kf('scx_bpf_create_dsq', id, -1);
      },
      select_cpu: (_p: ScxTask, prev: number) => prev,
      enqueue: (p: ScxTask) => {
        if (p.comm in vtimes) bench.kf('scx_bpf_dsq_insert_vtime', p, A, MS, vtimes[p.comm]!, 0);
        else bench.kf('scx_bpf_dsq_insert', p, A, MS, 0);
      },
      dispatch: () => {},
    }),
  );
  machine.run(MS);
  const iter = kernel.memory.address(kernel.alloc(48, 'iterator'));
  return {
    bench,
    tasks: machine.runs.map(({ task }) => task),
    walk(dsq, flags, body) {
      const names: string[] = [];
      const begun = bench.kf('bpf_iter_scx_dsq_new', iter, dsq, flags);
      if (begun !== 0n) names.push(String(begun));
      for (;;) {
        const task = machine.scx.taskAt(kernel.memory.fromAddress(bench.kf('bpf_iter_scx_dsq_next', iter)));
        if (!task) break;
        names.push(task.comm);
        body?.(task, iter);
      }
      bench.kf('bpf_iter_scx_dsq_destroy', iter);
      return names.join(' ');
    },
    names: (dsq) => [...machine.scx.root!.dsqs.find(0, dsq)!].map(({ comm }) => comm).join(' '),
  };
}

describe('bpf_iter_scx_dsq', () => {
  it('walks a queue in its order and, with SCX_DSQ_ITER_REV, backward', async () => {
    const { walk } = await waiting();
    expect([walk(A, 0), walk(A, 1 << 16), walk(B, 0)]).toEqual(['a b c', 'c b a', '']);
  });

  it('walks by vtime where tasks came with one', async () => {
    const { walk } = await waiting({ a: 30, b: 10, c: 20 });
    expect(walk(A, 0)).toBe('b c a');
  });

  it('answers for a queue or flags that do not exist, and then has nothing', async () => {
    const { walk } = await waiting();
    expect([walk(9, 0), walk(A, 1)]).toEqual([String(-ERRNO.ENOENT), String(-ERRNO.EINVAL)]);
  });

  it('belongs to no scheduler where none is loaded', async () => {
    const bench = await Bench.create();
    const iter = bench.kernel.memory.address(bench.kernel.alloc(48, 'iterator'));
    expect(bench.kf('bpf_iter_scx_dsq_new', iter, 1, 0)).toBe(BigInt(-ERRNO.ENODEV));
    bench.kf('bpf_iter_scx_dsq_destroy', iter);
  });
});

describe('scx_bpf_dsq_move', () => {
  it('moves to another queue, first in first out or by vtime, with a new slice and vtime', async () => {
    const { bench, walk, names } = await waiting();
    const moved: bigint[] = [];
    walk(A, 0, (task, iter) => {
      if (task.comm === 'b') return;
      bench.kf('scx_bpf_dsq_move_set_slice', iter, 7 * MS);
      bench.kf('scx_bpf_dsq_move_set_vtime', iter, task.comm === 'a' ? 50 : 40);
      moved.push(bench.kf('scx_bpf_dsq_move_vtime', iter, task, B, 0));
    });
    expect(moved).toEqual([1n, 1n]);
    expect([names(A), names(B)]).toEqual(['b', 'c a']);
    const [a, b] = bench.machine.runs.map(({ task }) => task);
    expect([a!.slice, a!.vtime, b!.slice]).toEqual([7 * MS, 50n, MS]);
  });

  it('the new slice holds for one move only', async () => {
    const { bench, walk } = await waiting();
    walk(A, 0, (task, iter) => {
      if (task.comm === 'a') bench.kf('scx_bpf_dsq_move_set_slice', iter, 7 * MS);
      bench.kf('scx_bpf_dsq_move', iter, task, B, 0);
    });
    expect(bench.machine.runs.slice(0, 3).map(({ task }) => task.slice)).toEqual([7 * MS, MS, MS]);
  });

  it('is false for a task that left the queue since the walk began', async () => {
    const { bench, walk } = await waiting();
    const moved: bigint[] = [];
    walk(A, 0, (task, iter) => {
      for (let i = 0; i < 2; i++) moved.push(bench.kf('scx_bpf_dsq_move', iter, task, B, 0));
    });
    expect(moved).toEqual([1n, 0n, 1n, 0n, 1n, 0n]);
  });

  it('to the local queue of a CPU makes the task run there', async () => {
    const { bench, walk } = await waiting();
    walk(A, 0, (task, iter) => {
      if (task.comm === 'c') bench.kf('scx_bpf_dsq_move', iter, task, LOCAL_ON | 1n, 0);
    });
    bench.machine.run(2 * MS);
    expect(bench.machine.spans(1).map(({ pid }) => pid)).toEqual([103]);
    expect(bench.machine.scx.root?.exit).toBeNull();
  });

  it('to a CPU that the task must not use is an error, and the task waits on the global queue', async () => {
    const { bench, walk, tasks } = await waiting();
    walk(A, 0, (task, iter) => {
      if (task.comm === 'a') bench.kf('scx_bpf_dsq_move', iter, task, LOCAL_ON | 3n, 0);
    });
    expect(bench.machine.scx.root?.exit?.message).toBe('SCX_DSQ_LOCAL[_ON] target CPU 3 not allowed for a[101]');
    expect(tasks[0]!.dsq).toBe(bench.machine.scx.root?.globalDsqs[0]);
  });

  it('by its names of 6.12 does the same', async () => {
    const { bench, walk, names } = await waiting({}, '6.12');
    walk(A, 0, (task, iter) => {
      bench.kf('scx_bpf_dispatch_from_dsq_set_vtime', iter, task.comm === 'a' ? 9 : 3);
      bench.kf('scx_bpf_dispatch_vtime_from_dsq', iter, task, B, 0);
    });
    expect(names(B)).toBe('b c a');
  });
});

describe('queues looked into', () => {
  it('scx_bpf_dsq_peek gives the first task without taking it', async () => {
    const { bench, tasks } = await waiting({ a: 30, b: 10, c: 20 });
    expect(bench.kf('scx_bpf_dsq_peek', A)).toBe(BigInt.asIntN(64, bench.kernel.memory.address(tasks[1]!.ptr)));
    expect(bench.kf('scx_bpf_dsq_peek', B)).toBe(0n);
  });

  it.each([
    [9n, 'peek on non-existent DSQ 0x9'],
    [LOCAL, 'peek disallowed on builtin DSQ 0x8000000000000002'],
  ])('…of queue %s: %s', async (id, message) => {
    const { bench } = await waiting();
    expect(bench.kf('scx_bpf_dsq_peek', id)).toBe(0n);
    expect(bench.machine.scx.root?.exit?.message).toBe(message);
  });
});

describe('scx_bpf_dsq_reenq', () => {
  it('hands the tasks of a user queue to ops.enqueue again', async () => {
    const { bench, names } = await waiting();
    bench.log.length = 0;
    bench.kf('scx_bpf_dsq_reenq', A, 0);
    bench.machine.run(MS);
    const { reenq } = bench.machine.scx.consts.enq;
    const flags = `0x${BigInt(reenq).toString(16)}`;
    expect(bench.ops('enqueue')).toEqual(['a', 'b', 'c'].map((name) => `enqueue ${name} ${flags}`));
    expect(names(A)).toBe('a b c');
  });

  it('takes no flags but SCX_REENQ_ANY, and no queue of the kernel but local ones', async () => {
    const first = await waiting();
    first.bench.kf('scx_bpf_dsq_reenq', A, 1 << 20);
    expect(first.bench.machine.scx.root?.exit?.message).toBe('invalid SCX_REENQ flags 0x100000');
    const second = await waiting();
    second.bench.kf('scx_bpf_dsq_reenq', 0x8000000000000001n, 0);
    expect(second.bench.machine.scx.root?.exit?.message).toBe('DSQ 0x8000000000000001 not allowed for reenq');
  });
});

describe('enq_flags of 7.3', () => {
  it('SCX_ENQ_IMMED is for local queues', async () => {
    const { bench, tasks } = await waiting();
    const { consts, calls } = bench.machine.scx;
    calls.frame.mask = KF.ENQUEUE;
    bench.kf('scx_bpf_dsq_insert', tasks[0]!, B, 0, consts.enq.immed);
    calls.frame.mask = KF.UNLOCKED;
    expect(bench.machine.scx.root?.exit?.message).toBe('SCX_ENQ_IMMED on a non-local DSQ 0x2');
  });
});
