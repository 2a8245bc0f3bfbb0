import { describe, expect, it } from 'vitest';
import { ENGINE_NAMES } from '../../src/vm/types.js';
import { runCli, stdin } from './run.js';

const PACKET = `${'00'.repeat(12)}0800450000${'00'.repeat(40)}`;

const run = (argv: readonly string[], text = '') => runCli(argv, stdin(text));

/** A document without what the host alone decides. */
function simulated(out: string): unknown {
  const { host, ...rest } = JSON.parse(out);
  expect(host === undefined || typeof host === 'object').toBe(true);
  return rest;
}

describe('--engine: no result depends on it', () => {
  it.each([
    [['run', 'samples/xdp_filter.bpf.o', '--ctx', PACKET, '--maps', '--json']],
    [['run', 'samples/setup.bpf.o', '--ctx', '0200000000000000'.repeat(2), '--maps', '--json']],
    [['run', 'samples/arena_list.bpf.o', '--prog', 'push', '--ctx', '00'.repeat(32), '--json']],
    [['struct_ops', 'samples/scx_fifo.bpf.o', '--json']],
    [['sim', 'samples/scx_vtime.bpf.o', '--duration', '100ms', '--json']],
    [['tcp', 'samples/tcp_aimd.bpf.o', '--seconds', '1', '--json']],
    [['qdisc', 'samples/qdisc_fifo.bpf.o', '--json']],
  ])('%s', async (argv) => {
    const results = [];
    for (const engine of ENGINE_NAMES) {
      const { status, out, err } = await run([...argv, '--engine', engine]);
      results.push({ status, document: simulated(out), err });
    }
    for (const result of results) expect(result).toEqual(results[0]);
    expect(results[0]!.err).toBe('');
  });

  it('conformance', async () => {
    const program = 'b7000000150000000700000015000000 9500000000000000';
    for (const engine of ENGINE_NAMES) {
      expect(await run(['conformance', '--engine', engine], program)).toEqual({ status: 0, out: '2a\n', err: '' });
    }
  });

  it('an engine that there is not', async () => {
    for (const command of ['run', 'struct_ops', 'sim', 'tcp', 'qdisc', 'conformance']) {
      const file = command === 'conformance' ? [] : ['samples/scx_fifo.bpf.o'];
      const more = command === 'run' ? ['--prog', 'fifo_init'] : [];
      const { status, err } = await run([command, ...file, ...more, '--engine', 'magic']);
      expect([command, status, err]).toEqual([
        command,
        2,
        expect.stringContaining('--engine wants interp, jit or auto, not "magic"'),
      ]);
    }
  });
});

it('run says what ran the program', async () => {
  const host = async (engine: string) =>
    JSON.parse((await run(['run', 'samples/xdp_filter.bpf.o', '--ctx', PACKET, '--engine', engine, '--json'])).out)
      .host;
  expect(await host('interp')).toEqual({ ns: expect.any(Number), engine: 'interp' });
  const { engine, notCompiled } = await host('jit');
  expect(engine === 'jit' ? notCompiled : typeof notCompiled).toBe(engine === 'jit' ? undefined : 'string');
});
