import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Kernel, openObject } from '../../src/index.js';
import {
  forever,
  Machine,
  ms,
  run,
  runScheduler,
  type Scenario,
  type SimReport,
  simulate,
  sleep,
} from '../../src/sim/index.js';

// Schedulers with a fault: thrown out as the kernel throws them out, and the run comes to its end.

const object = (name: string) => new Uint8Array(readFileSync(new URL(`../../samples/${name}.bpf.o`, import.meta.url)));
const faulty = object('scx_faulty');
const trace = object('scx_trace');

const scenario: Scenario = { tasks: [{ name: 'a', copies: 6, steps: [forever(run(ms(1)), sleep(ms(1)))] }] };
const FAULTS = { none: 0, starve: 1, loop: 2, leakLock: 3, kickSelf: 4, kickAll: 5, null: 6, field: 7, exit: 8 };

async function withFault(fault: keyof typeof FAULTS, durationNs: number, profile = '7.3'): Promise<SimReport> {
  const kernel = { profile, windowBytes: 1 << 26 };
  return simulate(faulty, { kernel, scenario, durationNs, set: { fault: FAULTS[fault], nr_cpus: 4 } });
}

const NAMES = [
  '',
  'SELECT_BAD_CPU',
  'ENQUEUE_NO_DSQ',
  'ENQUEUE_NOTHING',
  'ENQUEUE_TWICE',
  'ENQUEUE_ERROR',
  'ENQUEUE_EXIT',
];
const MORE = ['LOCAL_ON_WRONG_CPU', 'LOCAL_ON_NO_CPU', 'INIT_FAILS', 'INIT_TASK_FAILS'];

async function withMistake(name: string): Promise<SimReport> {
  const kernel = await Kernel.create({ windowBytes: 1 << 26 });
  try {
    const machine = new Machine(kernel);
    const loaded = openObject(trace, { name: 'scx_trace' });
    const map = loaded.structOpsMap('trace_ops');
    // SCX_OPS_KEEP_BUILTIN_IDLE
    map.set('flags', 1);
    loaded.variable('mistake').set([...NAMES, ...MORE].indexOf(name));
    loaded.load(kernel);
    machine.load({ tasks: [...scenario.tasks, { name: 'b', cpus: [1], steps: [forever(run(ms(1)))] }] });
    return runScheduler(machine, map, ms(100));
  } finally {
    kernel.dispose();
  }
}

it('a scheduler without a fault stays', async () => {
  expect(await withFault('none', ms(20))).toMatchObject({ outcome: 'clean', exit: { kindName: 'UNREG' } });
});

describe.each(['7.3', '6.18', '6.12'])('as %s', (profile) => {
  it('a starving task is a stall, with a dump that shows it', async () => {
    const report = await withFault('starve', ms(4000), profile);
    expect(report).toMatchObject({
      outcome: 'stall',
      exit: { kindName: 'ERROR_STALL', reason: 'runnable task stall' },
    });
    const [, label] = /^(a\[\d*[13579]\]) failed to run for 1\.\d{3}s$/.exec(report.exit!.message)!;
    expect(report.dump).toContain(label!);
    expect(report.simulatedNs).toBeLessThan(ms(2500));
  });
});

describe('what stops a program is told with its place', () => {
  it.each([
    [
      'loop',
      /ops\.enqueue\(\): member "enqueue": prog "faulty_enqueue": insn \d+ \(scx_faulty\.bpf\.c:\d+\): out_of_fuel/,
    ],
    ['leakLock', /prog "faulty_dispatch": insn \d+ \(scx\.h:\d+\): .* while holding a lock/],
    ['null', /prog "faulty_running": insn \d+ \(scx_faulty\.bpf\.c:\d+\): null: 8-byte store/],
  ] as const)('%s', async (fault, message) => {
    const report = await withFault(fault, ms(100));
    expect(report.outcome).toBe('error');
    expect(report.exit).toMatchObject({ kindName: 'ERROR', message: expect.stringMatching(message) });
    expect(report.fault).toMatch(/^member /);
    expect(report.exit!.reason).toBe('runtime error');
    expect(report.dump).toContain('runtime error (ops.');
    expect(report.simulatedNs).toBeLessThan(ms(50));
  });
});

it('a program that is stopped after the scheduler was told to go is an error all the same', async () => {
  const report = await withFault('exit', ms(20));
  expect(report).toMatchObject({ outcome: 'error', exit: { kindName: 'UNREG' } });
  expect(report.fault).toMatch(/^member "exit": prog "faulty_exit": insn \d+ \(scx_faulty\.bpf\.c:\d+\): null: /);
});

it('a field that is not modelled is told from a mistake', async () => {
  const report = await withFault('field', ms(100));
  expect(report).toMatchObject({ outcome: 'error', unsupported: true });
  expect(report.fault).toMatch(/task_struct\.se\.avg\.load_avg of task \S+ is not modelled$/);
  expect(await withFault('null', ms(100))).not.toHaveProperty('unsupported');
});

describe('mistakes of which the kernel says what they are', () => {
  it.each([
    ['SELECT_BAD_CPU', 'error', /^invalid CPU -?\d+ from ops\.select_cpu\(\)$/],
    ['ENQUEUE_NO_DSQ', 'error', /^non-existent DSQ 0x4d$/],
    ['ENQUEUE_TWICE', 'error', /\] already direct-dispatched$/],
    ['ENQUEUE_ERROR', 'error', /./],
    ['ENQUEUE_EXIT', 'clean', /./],
    ['LOCAL_ON_WRONG_CPU', 'error', /^SCX_DSQ_LOCAL\[_ON\] target CPU 0 not allowed for b\[\d+\]$/],
    ['LOCAL_ON_NO_CPU', 'error', /^invalid CPU \d+ in SCX_DSQ_LOCAL_ON dispatch verdict$/],
    ['INIT_FAILS', 'error', /^ops\.init\(\) failed \(-\d+\)$/],
    ['INIT_TASK_FAILS', 'error', /^ops\.init_task\(\) failed \(-\d+\) for \S+\[\d+\]$/],
  ])('%s', async (name, outcome, message) => {
    const report = await withMistake(name);
    expect([report.outcome, report.exit?.message]).toEqual([outcome, expect.stringMatching(message)]);
    // Who goes while it is attached has run nothing.
    expect(report.simulatedNs === 0).toBe(name.startsWith('INIT_'));
    // …and we, where: at the call, or after which op.

    expect(report.exit!.place).toMatch(
      /^(prog "trace_\w+": insn \d+|after ops\.\w+\(\), prog "trace_\w+") \(\w+\.(bpf\.c|h):\d+\)$/,
    );
    const { kindName, reason } = report.exit!;
    if (outcome === 'clean') {
      expect([kindName, reason]).toEqual(['UNREG_BPF', 'unregistered from BPF']);
      expect(report.dump ?? '').toBe('');
      return;
    }
    const told = name === 'ENQUEUE_ERROR' ? ['ERROR_BPF', 'scx_bpf_error'] : ['ERROR', 'runtime error'];
    expect([kindName, reason]).toEqual(told);
    // The kernel's dump begins with whose it is and who did it, and says why.
    expect(report.dump).toMatch(/^trace: root\n\S+\[\d+\] triggered exit kind 10\d\d/);
    expect(report.dump).toContain(`${reason} (${report.exit!.message})`);
  });
});

describe('schedulers that go round in circles', () => {
  it.each(['kickSelf', 'kickAll'] as const)(
    '%s: the tick finds that the watchdog does not run either',
    async (fault) => {
      const kernel = { profile: '7.3', windowBytes: 1 << 26 };
      const set = { fault: FAULTS[fault], nr_cpus: 4, 'faulty_ops.timeout_ms': 12 };
      const report = await simulate(faulty, { kernel, scenario, durationNs: ms(100), set });
      expect(report).toMatchObject({
        outcome: 'stall',
        exit: { kindName: 'ERROR_STALL', message: 'watchdog failed to check in for 0.016s' },
      });
      // Nothing has run until then, and everything does afterwards.
      expect(report.simulatedNs).toBeLessThan(ms(100));
    },
  );

  it.each(['kickSelf', 'kickAll'] as const)('%s: time goes on', async (fault) => {
    const report = await withFault(fault, 300_000);
    expect(report.simulatedNs).toBe(300_000);
    // A cycle takes some time, but for the first few: a switch and an interrupt.
    expect(report.callbacks.dispatch!.count).toBeLessThan(4 * (300_000 / 2_700 + 30));
  });
});

// Functions that answer programs without a scheduler, too: who has one and asks what it may not, is told where.
describe('a question that a scheduler may not ask is told with its line', () => {
  const misuse = readFileSync(new URL('./fixtures/misuse.bpf.o', import.meta.url));
  it.each([
    [1, 'built-in idle tracking is disabled', 'enqueue', 25],
    [2, 'per-node idle tracking is disabled', 'enqueue', 27],
    [3, 'invalid CPU 999', 'enqueue', 29],
    [4, /^attempting to destroy in-use dsq 0x0*7 \(nr=\d\)$/, 'dispatch', 36],
  ])('%i: %s', async (question, message, op, line) => {
    const kernel = { windowBytes: 1 << 26 };
    const report = await simulate(misuse, { kernel, scenario, durationNs: ms(20), set: { question } });
    expect(report.exit).toMatchObject({ kindName: 'ERROR', message: expect.stringMatching(message) });
    expect(report.exit?.place).toMatch(new RegExp(`^prog "misuse_${op}": insn \\d+ \\(misuse\\.bpf\\.c:${line}\\)`));
  });

  it('and the one of an op that is called within a kfunc with its own, not that of the call around it', async () => {
    const asked = (question: number) =>
      simulate(misuse, { kernel: { windowBytes: 1 << 26 }, scenario, durationNs: ms(20), set: { question } });
    const { exit } = await asked(5);
    expect(exit).toMatchObject({ kindName: 'ERROR_BPF', message: expect.stringMatching(/^dequeue of \d+$/) });
    expect(exit?.place).toMatch(/^prog "misuse_dequeue": insn \d+ \(misuse\.bpf\.c:45\)/);
    const stopped = await asked(6);
    expect(stopped.exit?.message).toMatch(/prog "misuse_dequeue": insn \d+ \(misuse\.bpf\.c:47\): null: /);
    expect(stopped.exit).not.toHaveProperty('place');
  });
});
