import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../cli/run.js';

const FIFO = 'samples/scx_fifo.bpf.o';
const FAULTY = 'samples/scx_faulty.bpf.o';
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'sim-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

const sim = (...argv: string[]) => runCli(['sim', ...argv]);

function file(name: string, content: object | string): string {
  const path = join(dir, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

describe('vmtable sim', () => {
  it('has the fixed fields in its document, and the same bytes in another process', async () => {
    const argv = [FIFO, '--duration', '20ms', '--seed', '7', '--json'];
    const here = JSON.parse((await sim(...argv)).out);
    expect(here).toMatchObject({
      scheduler: 'fifo',
      exit: { kind: 64, kindName: 'UNREG', code: 0, reason: 'unregistered from user space', message: '' },
      simulatedNs: 20_000_000,
      host: { wallMs: expect.any(Number), nsPerCall: { enqueue: { p50: expect.any(Number) } } },
      events: expect.any(Number),
      callbacks: { enqueue: { count: expect.any(Number), insns: expect.any(Number) } },
      fairness: expect.any(Object),
    });
    expect(here.tasks[0]).toMatchObject({
      name: 'make',
      pid: 6,
      runNs: expect.any(Number),
      waitNs: expect.any(Number),
    });
    expect(Object.keys(here.tasks[0].wakeupLatencyNs)).toEqual(expect.arrayContaining(['p50', 'p90', 'p99', 'max']));
    expect(here.cpus[0]).toMatchObject({ cpu: 0, busyNs: expect.any(Number), idleNs: expect.any(Number) });
    const there = spawnSync(process.execPath, ['dist/src/cli/main.js', 'sim', ...argv], { encoding: 'utf8' });
    expect({ ...JSON.parse(there.stdout), host: 0 }).toEqual({ ...here, host: 0 });
  });

  it('tells what a call takes, in insns and in ns of the host', async () => {
    const { host, callbacks } = JSON.parse((await sim(FIFO, '--duration', '20ms', '--json')).out);
    for (const [op, { count }] of Object.entries<{ count: number }>(callbacks)) {
      if (count > 0) expect(host.nsPerCall[op], op).toMatchObject({ count });
    }
    expect(host.nsPerCall.enqueue.p50).toBeGreaterThan(0);
    const { out } = await sim(FIFO, '--duration', '20ms');
    expect(out).toMatch(/^op +program +calls +insns\/call +host ns\/call p50$/m);
    expect(out).toMatch(/^enqueue +fifo_enqueue +\d+ +\d+ +[1-9]\d*$/m);
  });

  it('takes workload, topology and variables', async () => {
    const workload = file('w.json', { tasks: [{ name: 'w', copies: 3, steps: [{ run: '2ms' }] }] });
    const topology = file('t.json', { cpus: [{ count: 2 }, { capacity: 512 }] });
    const argv = ['--workload', workload, '--topology', topology, '--set', 'slice_ns=500000', '--json'];
    const report = JSON.parse((await sim(FIFO, ...argv)).out);
    expect(report.cpus.map(({ capacity = 1024 }) => capacity)).toEqual([1024, 1024, 512]);
    expect(report.tasks).toHaveLength(3);
    expect(report.simulatedNs).toBeLessThan(10_000_000);
  });

  it('writes each call of an op with its kfuncs', async () => {
    const events = join(dir, 'e.jsonl');
    const { out } = await sim(FIFO, '--duration', '10ms', '--events', events, '--json');
    const lines = readFileSync(events, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const { callbacks } = JSON.parse(out);
    for (const [op, { count }] of Object.entries<{ count: number }>(callbacks)) {
      expect([op, lines.filter((line) => line.op === op).length]).toEqual([op, count]);
    }
    // Times count from the begin, programs see those since boot.
    expect(lines.every(({ t }) => t <= 10_000_000)).toBe(true);
    const now = lines.flatMap(({ kfuncs }) => kfuncs).find(({ name }) => name === 'scx_bpf_now');
    expect(now.result).toBeGreaterThanOrEqual(60_000_000_000);
    const enqueue = lines.find((line) => line.op === 'enqueue');
    expect(enqueue.args).toEqual({ p: expect.stringMatching(/^\S+\[\d+\]$/), enq_flags: expect.any(Number) });
    expect(enqueue.kfuncs).toEqual([
      {
        name: 'scx_bpf_dsq_insert___v2',
        args: { p: enqueue.args.p, dsq_id: expect.anything(), slice: 20_000_000, enq_flags: enqueue.args.enq_flags },
        result: true,
      },
    ]);
    const select = lines.find((line) => line.op === 'select_cpu');
    expect(select.kfuncs[0].name).toBe('scx_bpf_select_cpu_dfl');
    expect(select.result).toBe(select.kfuncs[0].result);
    expect(lines.map(({ t }) => t)).toEqual([...lines.map(({ t }) => t)].sort((a, b) => a - b));
  });

  it.each(['interp', 'jit'])('writes the helpers of each call, too, as %s calls them', async (engine) => {
    const events = join(dir, `h-${engine}.jsonl`);
    const argv = ['--duration', '10ms', '--engine', engine, '--events', events];
    await sim('samples/scx_trace.bpf.o', ...argv);
    const lines = readFileSync(events, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const select = lines.find((line) => line.op === 'select_cpu');
    expect(select.kfuncs[0].name).toBe('scx_bpf_select_cpu_dfl');
    const [lookup, clock, cpu] = select.helpers;
    expect(lookup).toEqual({
      name: 'bpf_map_lookup_elem',
      n: 0,
      args: { map: expect.stringMatching(/^0x/), key: expect.stringMatching(/^0x/) },
    });
    expect(clock).toEqual({ name: 'bpf_ktime_get_ns', n: 1, args: {}, result: expect.any(Number) });
    expect(cpu).toEqual({ name: 'bpf_get_smp_processor_id', n: 2, args: {} });
    const last = lines.at(-1);
    const later = last.helpers.find((one: { name: string }) => one.name === 'bpf_ktime_get_ns').result;
    expect(later - clock.result).toBe(last.t - select.t);
    expect(last.t).toBeGreaterThan(select.t);
    // The kfunc is the fourth call.
    expect(select.helpers[3].n).toBe(4);
  });

  it.each([
    ['leakLock', 3, /insn \d+ \(scx\.h:\d+\)/],
    ['null', 6, /insn \d+ \(scx_faulty\.bpf\.c:\d+\)/],
  ])('ends with status 1 and the source line for a scheduler that is thrown out: %s', async (_name, fault, place) => {
    const { status, out } = await sim('samples/scx_faulty.bpf.o', '--set', `fault=${fault}`, '--duration', '100ms');
    expect(status).toBe(1);
    expect(out).toMatch(/Scheduler gone: error: runtime error/);
    expect(out).toMatch(place);
  });

  it('tells a stall from an error, with status 1 for both', async () => {
    const stall = await sim('samples/scx_faulty.bpf.o', '--set', 'fault=1', '--duration', '3s', '--json');
    const error = await sim('samples/scx_faulty.bpf.o', '--set', 'fault=2', '--duration', '1s');
    expect([stall.status, JSON.parse(stall.out).outcome]).toEqual([1, 'stall']);
    expect(error.status).toBe(1);
    expect(error.out).toMatch(/Scheduler gone: error: runtime error .*, ERROR 1024\.\nmember "enqueue": .*\n$/);
  });

  it.each([
    [['--topology', '4'], /topology: cannot be|no shape|cannot be read/],
    [['--topology', '4c4x'], /cannot be read/],
    [['--duration', 'long'], /--duration wants a time such as 500ms, not "long"/],
    [['--seed', '-1'], /--seed wants a whole number/],
    [['--workload', 'nowhere.json'], /nowhere\.json: cannot be read \(ENOENT\)/],
  ])('refuses %j', async (argv, message) => {
    const { status, out, err } = await sim(FIFO, ...argv);
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(err).toMatch(/^vmtable: [^\n]+\n$/);
    expect(err).toMatch(message);
  });

  it('names the place of a mistake in a workload', async () => {
    const bad = file('bad.json', { tasks: [{ name: 'w', steps: [{ run: '1ms' }, { affinity: [9] }] }] });
    expect(await sim(FIFO, '--workload', bad)).toEqual({
      status: 2,
      out: '',
      err: `vmtable: ${bad}: scenario: tasks[0].steps[1]: no CPU 9\n`,
    });
  });

  it('names the workload where a task of it goes round in circles', async () => {
    const bad = file('circle.json', { tasks: [{ name: 'w', repeat: 'forever', steps: [{ run: 0 }] }] });
    const { status, err } = await sim(FIFO, '--workload', bad);
    expect(status).toBe(2);
    expect(err).toMatch(/^vmtable: \S+circle\.json: workload: task w: 1000000 steps within \d+ ns, [^\n]+\n$/);
  });

  it('tells what is not modelled by its status', async () => {
    const { status, out } = await sim(FAULTY, '--set', 'fault=7');
    expect(status).toBe(3);
    expect(out).toMatch(/se\.avg\.load_avg of task \S+ is not modelled\n/);
  });
});
