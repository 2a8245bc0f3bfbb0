import { describe, expect, it } from 'vitest';
import { KF } from '../../src/sched_ext/kf_groups.js';
import type { ScxTask } from '../../src/sched_ext/task.js';
import { takeMemory } from '../kernel/take_memory.js';
import { Bench, MS, PROFILES } from './harness.js';

// Exits: claims, what ops.exit is told, the debug dump (scx_claim_exit, scx_dump_state).

const prevCpu = (_p: ScxTask, prev: number) => prev;

function bstr(bench: Bench, text: string, ...words: bigint[]): [bigint, bigint, number] {
  const data = new BigUint64Array(words.length > 0 ? words : [0n]);
  return [bench.bytes(text), bench.bytes(new Uint8Array(data.buffer)), 8 * words.length];
}

describe.each(PROFILES)('an exit on %s', (profile) => {
  it('is the first that was claimed; later ones are not heard', async () => {
    const bench = await Bench.create(profile);
    bench.attach(bench.kdata({ exit: () => {} }));
    bench.kf('scx_bpf_exit_bstr', 7, ...bstr(bench, 'first'));
    bench.kf('scx_bpf_error_bstr', ...bstr(bench, 'second'));
    bench.machine.run(MS);
    expect(bench.exit).toBe('65 unregistered from BPF: first');
    expect(bench.machine.scx.lastExit?.exit.code).toBe(7n);
  });

  it('is told to ops.exit in full', async () => {
    const bench = await Bench.create(profile);
    const { kernel } = bench;
    const seen: Record<string, unknown> = {};
    bench.attach(
      bench.kdata({
        init: () => 0,
        exit: (info: number) => {
          const struct = kernel.types.struct('scx_exit_info');
          const text = (path: string) => kernel.memory.cstring(struct.field(path).get(info), 4096);
          seen.kind = struct.field('kind').get(info);
          seen.code = struct.field('exit_code').big(info);
          seen.reason = text('reason');
          seen.msg = text('msg');
          seen.dump = text('dump');
        },
      }),
    );
    bench.kf('scx_bpf_exit_bstr', -5, ...bstr(bench, 'bye %d', 3n));
    bench.machine.run(MS);
    expect(seen).toEqual({ kind: 65, code: -5n, reason: 'unregistered from BPF', msg: 'bye 3', dump: '' });
  });

  it('is told in full by a scheduler that has taken all memory there is, with a dump', async () => {
    const bench = await Bench.create(profile);
    const { kernel } = bench;
    const told: string[] = [];
    const text = (info: number, path: string) =>
      kernel.memory.cstring(kernel.types.struct('scx_exit_info').field(path).get(info), 1 << 16);
    bench.attach(
      bench.kdata({
        exit: (info: number) => void told.push(text(info, 'msg'), text(info, 'dump')),
        dump: () => {},
      }),
    );
    const message = bstr(bench, 'no more');
    takeMemory(kernel, 1);
    expect(() => kernel.alloc(1, 'one more')).toThrow('ENOMEM');
    bench.kf('scx_bpf_error_bstr', ...message);
    bench.machine.run(MS);
    expect(told[0]).toBe('no more');
    expect(told[1]).toContain('scx_bpf_error (no more)');
  });

  it('by an error is logged with its message', async () => {
    const bench = await Bench.create(profile);
    bench.attach(bench.kdata({}));
    bench.kf('scx_bpf_error_bstr', ...bstr(bench, 'no more'));
    bench.machine.run(MS);
    expect(bench.kernel.log.slice(1)).toEqual([
      'sched_ext: BPF scheduler "test" disabled (scx_bpf_error)',
      'sched_ext: test: no more',
    ]);
  });
});

/** A scheduler that never dispatches, with an error at 2 ms while a runs on CPU 0 and b waits there. */
async function dump(profile: string, ops: (bench: Bench) => Record<string, (...args: never[]) => unknown>) {
  const bench = await Bench.create(profile);
  const { consts } = bench.machine.scx;
  for (const name of ['a', 'b']) bench.machine.spawn({ name, steps: [{ run: 10 * MS }], cpus: [0] });
  bench.machine.spawn({ name: 'fatal', steps: [{ run: MS }], cpus: [1], startNs: 8 * MS });
  bench.attach(
    bench.kdata({
      select_cpu: prevCpu,
      enqueue: (p: ScxTask) => {
        if (p.comm === 'fatal') bench.kf('scx_bpf_error_bstr', ...bstr(bench, 'enough'));
        else bench.kf(profile === '6.12' ? 'scx_bpf_dispatch' : 'scx_bpf_dsq_insert', p, consts.dsq.local, 20 * MS, 0);
      },
      ...ops(bench),
    }),
  );
  bench.machine.run(20 * MS);
  return bench.machine.scx.lastExit!.exit.dump.split('\n');
}

describe('the debug dump', () => {
  it('of 7.3 names who did it, CPUs, tasks and counters', async () => {
    const lines = await dump('7.3', () => ({}));
    expect(lines.slice(0, 6)).toEqual([
      'test: root',
      'swapper/1[0] triggered exit kind 1025 on CPU 1:',
      '  scx_bpf_error (enough)',
      '',
      'Backtrace:',
      '',
    ]);
    const from = lines.findIndex((line) => line.startsWith('CPU 0   : nr_run=2 '));
    expect(lines[from + 1]).toBe('          rescue=0 budget=0us rescuing=none[-1]');
    expect(lines[from + 2]).toBe('          curr=a[101] class=ext_sched_class');
    expect(lines.slice(from + 3, from + 15)).toEqual([
      '',
      ' *R a[101] *root -8ms',
      '      scx_state/flags=4/0x5 dsq_flags=0x0 ops_state/qseq=0/0',
      '      sticky/holding_cpu=-1/-1 dsq_id=(n/a)',
      expect.stringMatching(/^ {6}dsq_vtime=0 slice=\d+ weight=100$/),
      '      cpus=1 no_mig=0',
      '',
      '  R b[102] *root -8ms',
      expect.stringMatching(/^ {6}scx_state\/flags=4\/0x\w+ dsq_flags=0x0 ops_state\/qseq=0\/0$/),
      '      sticky/holding_cpu=-1/-1 dsq_id=0x8000000000000002',
      '      dsq_vtime=0 slice=20000000 weight=100',
      '      cpus=1 no_mig=0',
    ]);
    const counters = lines.indexOf('Event counters');
    expect(lines[counters + 2]).toMatch(/^ +SCX_EV_SELECT_CPU_FALLBACK: +0$/);
  });

  it('has what the dump ops print, each line with its prefix', async () => {
    const lines = await dump('7.3', (bench) => {
      const print = (text: string, ...words: bigint[]) => bench.kf('scx_bpf_dump_bstr', ...bstr(bench, text, ...words));
      return {
        dump: () => {
          print('one ');
          print('line\n');
          print('and %d', 2n);
        },
        dump_cpu: (_ctx: number, cpu: number, idle: boolean) => {
          if (!idle) print('cpu %d', BigInt(cpu));
        },
        dump_task: (_ctx: number, p: ScxTask) => print('task %d\n', BigInt(p.pid)),
      };
    });
    expect(lines).toContain('one line');
    expect(lines[lines.indexOf('one line') - 1]).toBe('');
    expect(lines[lines.indexOf('one line') + 1]).toBe('and 2');
    expect(lines).toContain('  cpu 0');
    expect(lines).toContain('    task 101');
    // Idle CPUs about which nobody said anything do not appear.
    expect(lines.filter((line) => line.startsWith('CPU '))).toHaveLength(3);
  });

  it('is cut to exit_dump_len', async () => {
    const bench = await Bench.create();
    bench.machine.spawn({ name: 'a', steps: [{ run: MS }] });
    bench.attach(bench.kdata({}, { exit_dump_len: 64 }));
    bench.kf('scx_bpf_error_bstr', ...bstr(bench, 'a message of some length, so that little is left'));
    bench.machine.run(MS);
    const { dump: text } = bench.machine.scx.lastExit!.exit;
    expect(text).toHaveLength(63);
    expect(text.endsWith('\n\n~~~~ TRUNCATED ~~~~\n')).toBe(true);
  });

  it('may be added to from the dump ops only', async () => {
    const bench = await Bench.create();
    bench.attach(bench.kdata({}));
    bench.kf('scx_bpf_dump_bstr', ...bstr(bench, 'now'));
    bench.machine.run(MS);
    expect(bench.exit).toBe('1024 runtime error: scx_bpf_dump() must only be called from ops.dump() and friends');
  });
});

describe('event counters', () => {
  it('tell how often the kernel helped itself', async () => {
    const bench = await Bench.create();
    bench.machine.spawn({ name: 'a', steps: [{ run: 45 * MS }], cpus: [0] });
    bench.attach(bench.kdata({ select_cpu: prevCpu, dispatch: () => {} }));
    bench.machine.run(100 * MS);
    const { eventNames } = bench.machine.scx.consts;
    const out = bench.bytes(new Uint8Array(8 * eventNames.length));
    bench.kf('scx_bpf_events', out, 8 * eventNames.length);
    const at = bench.kernel.memory.fromAddress(out);
    const count = (name: string) => Number(bench.kernel.memory.u64(at + 8 * eventNames.indexOf(name)));
    expect(count('SCX_EV_DISPATCH_KEEP_LAST')).toBe(2);
    expect(count('SCX_EV_BYPASS_ACTIVATE')).toBe(1);
    expect(count('SCX_EV_SELECT_CPU_FALLBACK')).toBe(0);
    expect(count('SCX_EV_REFILL_SLICE_DFL')).toBe(3);
  });

  it('are zero without a scheduler', async () => {
    const bench = await Bench.create();
    const out = bench.bytes(new Uint8Array(8).fill(1));
    bench.kf('scx_bpf_events', out, 8);
    expect(bench.kernel.memory.u64(bench.kernel.memory.fromAddress(out))).toBe(0n);
  });
});

describe('contexts', () => {
  it('a nested op must not call what only the outer one allows, before 7.0', async () => {
    const bench = await Bench.create('6.12');
    bench.attach(bench.kdata({}));
    bench.machine.scx.calls.frame.mask = KF.DISPATCH | KF.ENQUEUE;
    expect(bench.kf('scx_bpf_dispatch_nr_slots')).toBe(0n);
    bench.machine.scx.calls.frame.mask = KF.UNLOCKED;
    expect(bench.machine.scx.root?.exit?.message).toBe('dispatch kfunc called from a nested operation');
  });
});
