import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { BenchReport, BenchRow } from '../../src/bench/index.js';
import { runCli } from './run.js';

const dir = mkdtempSync(join(tmpdir(), 'vmtable-bench-'));
afterAll(() => rmSync(dir, { recursive: true }));

const QUICK = ['--engine', 'interp', '--checks', 'object', '--samples', '8'];

async function bench(...argv: string[]) {
  const ran = await runCli(['bench', ...argv]);
  return { ...ran, report: () => JSON.parse(ran.out) as BenchReport };
}

function sound(row: BenchRow): void {
  expect(row.nsPerCall).toBeGreaterThan(0);
  expect(row.nsPerInsn).toBeCloseTo(row.nsPerCall / row.insns, 6);
  expect(row.values).toHaveLength(row.samples);
  expect(row.relative).toHaveLength(row.samples);
  expect(row.calls).toBeGreaterThanOrEqual(row.samples);
  expect(row.rme).toBeGreaterThanOrEqual(0);
}

describe('members', () => {
  it('are timed while a machine schedules, with the insns of a call that the scheduler counts', async () => {
    const { status, report } = await bench('samples/scx_fifo.bpf.o', ...QUICK, '--json');
    expect(status).toBe(0);
    const { rows, skipped } = report();
    const names = ['select_cpu', 'enqueue', 'dispatch', 'runnable', 'running', 'stopping', 'quiescent', 'init_task'];
    expect(rows.map(({ name }) => name)).toEqual(
      [...names, 'exit_task', 'enable', 'init', 'exit'].map((op) => `fifo_ops.${op}`),
    );
    expect(skipped).toEqual([]);
    rows.forEach(sound);
    // Straight-line programs: every call executes the same insns.
    expect(rows.find(({ name }) => name === 'fifo_ops.running')).toMatchObject({ program: 'fifo_running', insns: 17 });
  });

  it('are timed while a flow uses them; what it never calls is called with arguments by type', async () => {
    const { report } = await bench('samples/tcp_aimd.bpf.o', ...QUICK, '--json');
    const { rows } = report();
    expect(rows.map(({ name }) => name)).toEqual(
      ['cong_avoid', 'ssthresh', 'undo_cwnd', 'init'].map((op) => `aimd.${op}`),
    );
    rows.forEach(sound);
  });

  it('are timed on packets', async () => {
    const { rows } = (await bench('samples/qdisc_fifo.bpf.o', ...QUICK, '--json')).report();
    expect(rows.map(({ name }) => name)).toEqual(
      ['enqueue', 'dequeue', 'init', 'reset', 'destroy'].map((op) => `fifo.${op}`),
    );
    rows.forEach(sound);
  });

  it('of a scheduler that ends are an error that says why', async () => {
    const { status, err } = await bench('samples/scx_trace.bpf.o', ...QUICK);
    expect(status).toBe(1);
    expect(err).toMatch(
      /^vmtable: samples\/scx_trace\.bpf\.o: interp, object: the scheduler ended: .*idle tracking.*\n$/,
    );
  });
});

describe('programs', () => {
  const packet = `${'00'.repeat(12)}0800450000${'00'.repeat(40)}`;

  it('are called over and over on one packet, under each setup', async () => {
    const { status, report } = await bench(
      ...['samples/xdp_filter.bpf.o', '--prog', 'filter', '--ctx', packet, '--samples', '8'],
      ...['--engine', 'interp', '--checks', 'both', '--json'],
    );
    expect(status).toBe(0);
    const { rows } = report();
    expect(rows.map(({ name, checks }) => [name, checks])).toEqual([
      ['filter', 'isolate'],
      ['filter', 'object'],
    ]);
    rows.forEach(sound);
    expect(Number.isInteger(rows[0]!.insns)).toBe(true);
    expect(rows[0]!.insns).toBe(rows[1]!.insns);
  });

  it('that are stopped are told with their line, and fail', async () => {
    const { status, out } = await bench('samples/setup.bpf.o', ...QUICK);
    expect(status).toBe(1);
    expect(out).toMatch(/^not timed \(interp, object\): fill_squares: prog .*setup\.bpf\.c:\d+\): null: /m);
  });
});

describe('--compare', () => {
  const old = join(dir, 'old.json');
  const compare = (...more: string[]) =>
    bench('samples/tcp_aimd.bpf.o', ...QUICK, '--samples', '20', '--compare', old, '--threshold', '400', ...more);

  it('tells slower from the same, and exits with 1 for slower alone', async () => {
    const first = await bench('samples/tcp_aimd.bpf.o', ...QUICK, '--samples', '20', '--json');
    const times = (factor: number) => {
      const { rows, ...rest } = first.report();
      const changed = rows.map((row) => ({ ...row, relative: row.relative.map((value) => value * factor) }));
      writeFileSync(old, JSON.stringify({ ...rest, rows: changed }));
    };
    times(1);
    expect((await compare()).status).toBe(0);
    // So much faster then that no noise explains it.
    times(1e-4);
    const { status, out } = await compare();
    expect(status).toBe(1);
    expect(out).toMatch(/aimd\.cong_avoid .* slower\n/);
    expect(out).toMatch(/^4 slower \(slower: all of the 99\.8 % confidence interval lies above \+400 %\)$/m);
  }, 60_000);

  it('refuses what is no such document', async () => {
    for (const [text, why] of [
      ['{', /no JSON/],
      ['{}', /it has no rows/],
      ['{"rows":[],"host":{"runtime":"Node"}}', /it has no rows/],
      ['{"rows":[{"name":"x"}]}', /it has no host\.runtime/],
      ['{"rows":[{"name":"x"}],"host":{"runtime":"Node"}}', /rows\[0\] lacks/],
      [
        '{"rows":[{"name":"x","engine":"jit","checks":"object","insns":1,"relative":[]}],"host":{"runtime":"Node"}}',
        /rows\[0\] lacks/,
      ],
      [
        '{"rows":[{"name":"x","engine":"jit","checks":"object","insns":1,"relative":[1e999]}],"host":{"runtime":"Node"}}',
        /rows\[0\] lacks/,
      ],
    ] as const) {
      writeFileSync(old, text);
      const { status, err } = await compare();
      expect(status).toBe(2);
      expect(err).toMatch(why);
      expect(err).toContain(old);
    }
    expect((await bench('samples/tcp_aimd.bpf.o', '--threshold', 'x')).status).toBe(2);
  });

  it('refuses what has no row in common, so that a wrong file does not pass', async () => {
    const row = '{"name":"x","engine":"jit","checks":"object","insns":1,"relative":[1]}';
    writeFileSync(old, `{"rows":[${row}],"host":{"runtime":"Node"}}`);
    const { status, out, err } = await bench('samples/xdp_filter.bpf.o', ...QUICK, '--compare', old);
    expect([status, out]).toEqual([2, '']);
    const rows = 'its first is x (jit, object), here it is filter (interp, object)';
    expect(err).toContain(`${old}: none of its rows is timed here: ${rows}`);
  });
});

describe('usage', () => {
  it.each([
    ['an unknown program', ['--prog', 'nope'], 'no program "nope" (there are: '],
    ['an unknown map', ['--map', 'nope'], 'no struct_ops map "nope" (there are: fifo_ops)'],
    ['an unknown engine', ['--engine', 'auto'], '--engine wants interp, jit or both, not "auto"'],
    ['no samples', ['--samples', '0'], '--samples wants a positive integer'],
  ])('%s', async (_, argv, message) => {
    const { status, err } = await bench('samples/scx_fifo.bpf.o', ...argv);
    expect(status).toBe(2);
    expect(err).toContain(message);
  });

  it('members of an object without struct_ops', async () => {
    const { status, err } = await bench('samples/xdp_filter.bpf.o', '--members');
    expect([status, err.includes('(there are: none)')]).toEqual([2, true]);
  });
});
