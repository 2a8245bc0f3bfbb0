import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runCli, stdin } from './run.js';

const FIFO = 'samples/scx_fifo.bpf.o';
const FIXTURES = 'test/workload/fixtures';

async function sim(workload: string, args: string[] = [], text = '') {
  const ran = await runCli(['sim', FIFO, '--json', '--workload', workload, ...args], stdin(text));
  return { ...ran, json: () => JSON.parse(ran.out) };
}

describe('sim --workload', () => {
  it('takes a ready workload, for as long as is said', async () => {
    const { status, err, json } = await sim('audio:loads=1', ['--duration', '30ms']);
    expect([status, err, json().simulatedNs]).toEqual([0, '', 30_000_000]);
    expect(json().groups.map(({ name }: { name: string }) => name)).toEqual(['driver', 'client', 'load']);
  });

  it('takes a file of rt-app, for as long as the file says, and tells what has no effect', async () => {
    const text = '{"tasks": {"t": {"run": 900000, "sleep": 100000, "util_max": 5}}, "global": {"duration": 3}}';
    const { status, err, json } = await sim('-', [], text);
    expect([status, json().simulatedNs]).toEqual([0, 3_000_000_000]);
    expect(err).toBe('vmtable: standard input: util_max: clamps of utilization have no effect here\n');
    const video = await sim(`${FIXTURES}/video.json`, ['--duration', '100ms']);
    expect(video.status).toBe(0);
    expect(video.err).toBe(
      `vmtable: ${FIXTURES}/video.json: global: calibration, lock_pages, logdir: without effect here\n`,
    );
  });

  it('takes a trace, until it is over, and tells what was dropped', async () => {
    const trace = readFileSync(`${FIXTURES}/build.perf.txt`, 'utf8');
    const { status, err, json } = await sim('-', ['--topology', '1c'], `CPU:1 [LOST 5 EVENTS]\n${trace}?\n`);
    expect(status).toBe(0);
    expect(json().tasks.map(({ name }: { name: string }) => name)).toContain('cc one');
    expect(err.split('\n')).toEqual([
      'vmtable: standard input: 5 events lost by the tracer (first at line 1)',
      expect.stringMatching(/^vmtable: standard input: 1 lines not understood, dropped \(first at line \d+\)$/),
      'vmtable: standard input: the trace has 2 CPUs, the machine 1',
      '',
    ]);
  });

  it.each([
    ['audio:loud=1', '', 'workload audio: loud: unknown (known here: period, clients, work, loads)'],
    [
      '-',
      '{"tasks": {"t": {"run": 1, "slep": 2}}}',
      'standard input: rt-app: tasks.t.slep (line 1): unknown (known here: ',
    ],
    [
      '-',
      '{"tasks": {"t": {"run": 1, "cpus": [64]}}}',
      'standard input: rt-app: tasks.t (line 1): cpus: no CPU 64 on a machine with ',
    ],
    [
      '-',
      '{"tasks": [{"name": "t", "steps": [{"walk": 2}]}]}',
      'standard input: workload: tasks[0].steps[0]: "walk": none of ',
    ],
    ['-', 'no trace', 'standard input: trace: no sched_switch event in 1 lines'],
  ])('says of %s %s what is wrong, in one line with status 2', async (workload, stdin, message) => {
    const { status, err } = await sim(workload, [], stdin);
    expect(status).toBe(2);
    expect(err).toContain(`vmtable: ${message}`);
    expect(err.trimEnd()).not.toContain('\n');
  });
});
