import { describe, expect, it } from 'vitest';
import { runCli } from '../cli/run.js';

const FIFO = 'samples/qdisc_fifo.bpf.o';

const run = (...argv: string[]) => runCli(argv, { width: 80 });

describe('vmtable qdisc', () => {
  it('shows each flow and the queue', async () => {
    const { status, out } = await run(
      'qdisc',
      FIFO,
      '--seconds',
      '0.2',
      '--flow',
      'big:rate=20',
      '--flow',
      'small:rate=0.5,bytes=100',
    );
    expect(status).toBe(0);
    expect(out).toContain('bpf_fifo of qdisc_fifo.bpf.o, Linux 7.3.4\nlink: 10.00 Mbit/s, 0.2 s, 100% of it used\n');
    expect(out).toMatch(/\nbig +20\.\d+ +9\.\d+ +\d+ +\d+ +[1-9]/);
    expect(out).toMatch(/\nsmall +0\.50 /);
    expect(out).toMatch(/\nenqueue +fifo_enqueue +\d+ +\d+\n/);
  });

  it('gives one JSON document', async () => {
    const { out } = await run('qdisc', FIFO, '--seconds', '0.1', '--json', '--set', 'limit_bytes=3000');
    const result = JSON.parse(out);
    expect(result.flows.map(({ name }: { name: string }) => name)).toEqual(['bulk-1', 'bulk-2', 'bursts', 'voice']);
    expect(Math.max(...result.curve.map(({ backlog }: { backlog: number }) => backlog))).toBeLessThanOrEqual(3000);
  });

  it.each([
    [['--flow', 'x:speed=1'], '"speed" is none of rate, bytes, burst, priority'],
    [['--flow', 'x:rate=fast'], '--flow x: rate wants a number, not "fast"'],
    [['--rate', '-1'], '--rate wants a number, not "-1"'],
    [['--rate', '0'], 'rate 0 is not above 0'],
  ])('%j is bad usage', async (args, text) => {
    const { status, err } = await run('qdisc', FIFO, ...args);
    expect([status, err]).toEqual([2, expect.stringContaining(text)]);
  });

  it('does what the options say that user space does', async () => {
    const unknown = await run('qdisc', FIFO, '--seconds', '0.01', '--init-prog', 'nothing');
    expect([unknown.status, unknown.err]).toEqual([2, expect.stringContaining('no program "nothing"')]);
    const notSyscall = await run('qdisc', FIFO, '--seconds', '0.01', '--init-prog', 'fifo_init');
    expect([notSyscall.status, notSyscall.err]).toEqual([1, expect.stringContaining('--init-prog fifo_init: ')]);
    const userSpace = await run('qdisc', FIFO, '--seconds', '0.01', '--user-space', 'nobody');
    expect([userSpace.status, userSpace.err]).toEqual([2, expect.stringContaining('nobody')]);
  });

  it('says what the 6.12 kernel lacks', async () => {
    const { status, err } = await run('qdisc', FIFO, '--kernel', '6.12');
    expect([status, err]).toEqual([3, expect.stringContaining('bpf_sched_data')]);
  });
});
