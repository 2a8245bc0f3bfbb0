import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/errors.js';
import { type DemoResult, formatDemo, runSchedExtDemo } from '../../src/sched_ext/index.js';
import { MS, PROFILES } from './harness.js';

async function sample(name: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(new URL(`../../samples/${name}`, import.meta.url)));
}
const fifo = await sample('scx_fifo.bpf.o');

function deterministic({ host: _host, ...rest }: DemoResult) {
  return rest;
}

describe('the demonstration', () => {
  it.each(PROFILES)('calls what the scheduler has, in balance, on %s', async (profile) => {
    const result = await runSchedExtDemo(fifo, { name: 'scx_fifo.bpf.o', kernel: { profile } });
    const count = (op: string) => result.callbacks[op]?.count ?? 0;
    expect(Object.keys(result.callbacks)).toHaveLength(12);
    for (const [op, { insns }] of Object.entries(result.callbacks)) expect([op, insns > count(op)]).toEqual([op, true]);
    expect(count('init')).toBe(1);
    expect(count('exit')).toBe(1);
    expect(count('init_task')).toBe(result.tasks.length);
    expect(count('exit_task')).toBe(result.tasks.length);
    expect(count('stopping')).toBe(count('running'));
    expect(count('quiescent')).toBe(count('runnable'));
    expect(count('enqueue')).toBeGreaterThan(0);
    expect(result.neverCalled).toEqual([]);
    expect(result.tasks.every((task) => task.exited)).toBe(true);
    const busy = result.cpus.reduce((sum, cpu) => sum + cpu.busyNs, 0);
    expect(busy).toBe(result.tasks.reduce((sum, task) => sum + task.runNs, 0));
    for (const { busyNs, spans } of result.cpus) {
      expect(spans.reduce((sum, { start, end }) => sum + end - start, 0)).toBe(busyNs);
    }
    expect(result.exit).toEqual({
      kind: 64,
      kindName: 'UNREG',
      code: 0,
      reason: 'unregistered from user space',
      message: '',
    });
  });

  it('gives the same result twice, whatever the strength of checks', async () => {
    const first = await runSchedExtDemo(fifo);
    const second = await runSchedExtDemo(fifo, { kernel: { checks: 'isolate' } });
    expect(deterministic(second)).toEqual(deterministic(first));
    expect(JSON.parse(JSON.stringify(first))).toEqual(first);
  });

  it('obeys variables that are set before load', async () => {
    const slices = async (slice_ns: number) =>
      (await runSchedExtDemo(fifo, { set: { slice_ns } })).callbacks.running?.count ?? 0;
    expect(await slices(1 * MS)).toBeGreaterThan(1.5 * (await slices(20 * MS)));
  });

  it('stops when its time is up, with the scheduler detached all the same', async () => {
    const result = await runSchedExtDemo(fifo, { durationNs: 10 * MS });
    expect(result.simulatedNs).toBe(10 * MS);
    expect(result.tasks.some((task) => !task.exited)).toBe(true);
    expect(result.callbacks.exit_task?.count).toBe(7);
  });

  it('refuses objects without a scheduler, and one that is not there', async () => {
    const setup = await sample('setup.bpf.o');
    await expect(runSchedExtDemo(setup, { name: 'setup.bpf.o' })).rejects.toThrow(InputError);
    await expect(runSchedExtDemo(setup, { name: 'setup.bpf.o' })).rejects.toThrow('setup.bpf.o: no scheduler');
    await expect(runSchedExtDemo(fifo, { map: 'lifo_ops' })).rejects.toThrow(
      'no scheduler "lifo_ops" (sched_ext_ops: fifo_ops)',
    );
    await expect(runSchedExtDemo(new Uint8Array(64))).rejects.toThrow(InputError);
  });
});

describe('its report', () => {
  const result: DemoResult = {
    object: 'x.bpf.o',
    kernel: '7.3.4',
    scheduler: 'x',
    map: 'x_ops',
    exit: { kind: 1024, kindName: 'ERROR', code: 0, reason: 'runtime error', message: 'non-existent DSQ 0x4d' },
    simulatedNs: 8 * MS,
    callbacks: {
      enqueue: { program: 'x_enqueue', count: 4, insns: 50 },
      tick: { program: 'x_tick', count: 0, insns: 0 },
    },
    neverCalled: ['tick'],
    tasks: [
      {
        name: 'one',
        pid: 101,
        weight: 100,
        runNs: 6 * MS,
        waitNs: 0,
        wakeups: 1,
        switches: 1,
        migrations: 0,
        exited: true,
      },
      {
        name: 'two',
        pid: 102,
        weight: 50,
        runNs: 1.2 * MS,
        waitNs: 2.5 * MS,
        wakeups: 1,
        switches: 2,
        migrations: 1,
        exited: false,
      },
    ],
    cpus: [
      { cpu: 0, busyNs: 6 * MS, idleNs: 2 * MS, spans: [{ pid: 101, start: 0, end: 6 * MS }] },
      {
        cpu: 1,
        busyNs: 1.2 * MS,
        idleNs: 6.8 * MS,
        spans: [
          { pid: 102, start: 4 * MS, end: 5 * MS },
          { pid: 102, start: 6.8 * MS, end: 7 * MS },
        ],
      },
    ],
    output: ['hello'],
    host: { wallMs: 1, callbacks: { enqueue: { ns: 4400, medianNs: 900 } } },
  };

  it('is aligned, and plain without colours', () => {
    expect(formatDemo(result, { width: 29 })).toBe(
      `x.bpf.o  scheduler "x" (sched_ext_ops x_ops) on Linux 7.3.4

callback  program    calls  insns/call  median ns
enqueue   x_enqueue      4          13        900
tick      x_tick         0
This machine has no occasion to call tick.

task                 pid  weight  ran ms  waited ms  wakeups  switches  migrations
A one                101     100     6.0        0.0        1         1           0
B two (still there)  102      50     1.2        2.5        1         2           1

cpu 0  AAAAAAAAAAAA····  75%
cpu 1  ········BB······  15%
       one character is 500 us

8.0 ms simulated. Scheduler gone: runtime error (non-existent DSQ 0x4d), ERROR 1024.
bpf_printk: hello
`,
    );
  });

  it('has the same words under its colours', () => {
    const coloured = formatDemo(result, { width: 29, color: true });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is looked for.
    expect(coloured.replace(/\x1b\[\d+m/g, '')).toBe(formatDemo(result, { width: 29 }));
    expect(coloured).toContain('\x1b[31mruntime error');
  });
});
