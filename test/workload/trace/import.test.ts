import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/errors.js';
import { importTrace } from '../../../src/workload/trace/import.js';
import { linesOf } from '../../../src/workload/trace/lines.js';
import type { TraceSpec } from '../../../src/workload/trace/spec.js';

const fixture = (name: string) => new Uint8Array(readFileSync(new URL(`../fixtures/${name}`, import.meta.url)));
const read = (name: string) => importTrace(linesOf(fixture(name)));

/** `run 500000, sleep 100` and so on, tasks by what they are called. */
const story = ({ tasks }: TraceSpec) =>
  Object.fromEntries(
    tasks.map(({ comm, steps }) => {
      const words = steps.map((step) => {
        if (step.type === 'run' || step.type === 'sleep') return `${step.type} ${step.ns / 1000}`;
        if (step.type === 'wait') return `wait ${tasks[step.by]!.comm}`;
        return step.type === 'exec' ? 'exec' : `${step.type} ${tasks[step.task]!.comm}`;
      });
      return [comm, words.join(', ')];
    }),
  );

const BUILD = {
  make: 'fork cc one, run 400, wait cc one, run 2390',
  'cc one': 'run 3000, sleep 480, run 990, wake make, run 50',
  mixer: 'sleep 1500, run 500, sleep 4490, run 500, sleep 490',
  'irq/9-audio': 'run 100, sleep 3400',
};

describe.each(['build.ftrace.txt', 'build.trace-cmd.txt'])('%s', (name) => {
  it('says what each task ran, what it waited for and whom it woke', () => {
    expect(story(read(name))).toEqual(BUILD);
  });

  it('says who was born of whom, when, where and with which priority', () => {
    const { tasks, durationNs, cpus, notes } = read(name);
    expect([durationNs, cpus, notes]).toEqual([7_500_000, 2, []]);
    expect(tasks.map(({ comm, pid, startNs, forked, cpu, prio }) => [comm, pid, startNs, forked, cpu, prio])).toEqual([
      ['make', 10, 0, false, 0, 120],
      ['cc one', 11, 0, true, 0, 120],
      ['mixer', 12, 0, false, 1, 115],
      ['irq/9-audio', 14, 4_000_000, false, 1, 49],
    ]);
  });
});

describe('build.perf.txt', () => {
  it('is the same, but that interrupts are not told from tasks', () => {
    const { notes, ...trace } = read('build.perf.txt');
    expect(story({ ...trace, notes })).toEqual({
      ...BUILD,
      make: 'fork cc one, run 400, wait cc one, run 1890, wake mixer, run 500',
      'cc one': 'run 1480, wake mixer, run 1520, sleep 480, run 990, wake make, run 50',
      mixer: 'wait cc one, run 500, wait make, run 500, sleep 490',
    });
    expect(notes).toEqual([]);
  });
});

describe('what a trace does not say', () => {
  const head = (cpu: number, pid: number, us: number) =>
    `  t${pid}-${pid} [00${cpu}] d.... 5.${`${us}`.padStart(6, '0')}: `;
  const idle = (cpu: number, us: number) => `  <idle>-0 [00${cpu}] d.... 5.${`${us}`.padStart(6, '0')}: `;
  const on = (cpu: number, us: number, pid: number) =>
    `${idle(cpu, us)}sched_switch: prev_comm=swapper/${cpu} prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=t${pid} next_pid=${pid} next_prio=120`;
  const off = (cpu: number, us: number, pid: number, state = 'S') =>
    `${head(cpu, pid, us)}sched_switch: prev_comm=t${pid} prev_pid=${pid} prev_prio=120 prev_state=${state} ==> next_comm=swapper/${cpu} next_pid=0 next_prio=120`;
  const tell = (...lines: string[]) => {
    const trace = importTrace(lines);
    return { ...story(trace), notes: trace.notes };
  };

  it('is said: lost events cut what a task ran', () => {
    expect(tell(on(0, 0, 1), 'CPU:0 [LOST 12 EVENTS]', on(0, 500, 2), off(0, 600, 2))).toEqual({
      t1: '',
      t2: 'run 100',
      notes: [
        '12 events lost by the tracer (first at line 2)',
        '1 stretches of running with an unseen end, dropped (first at line 2)',
      ],
    });
    expect(tell(on(0, 0, 1), 'CPU:1 [7 EVENTS DROPPED]', off(0, 500, 1))).toEqual({
      t1: 'run 500',
      notes: ['7 events lost by the tracer (first at line 2)'],
    });
  });

  it('is said: a switch that does not follow from the one before', () => {
    expect(tell(on(0, 0, 1), off(0, 100, 1), off(0, 300, 2))).toEqual({
      t1: 'run 100, sleep 200',
      t2: '',
      notes: ['1 switches that do not follow from the one before (first at line 3)'],
    });
  });

  it('is said: lines out of order, lines that are none', () => {
    expect(tell(on(0, 0, 1), off(0, 200, 1), on(0, 100, 1), 'what is this', '', '# a comment')).toEqual({
      t1: 'run 200',
      notes: ['1 lines out of order, dropped (first at line 3)', '1 lines not understood, dropped (first at line 4)'],
    });
  });

  it('is said: a sleep that nothing is seen to end', () => {
    expect(tell(on(0, 0, 1), off(0, 200, 1), on(0, 700, 1), off(0, 900, 1, 'X'))).toEqual({
      t1: 'run 200, sleep 500, run 200',
      notes: ['1 sleeps whose wake-up is not there: taken for sleeps of that length (first at line 3)'],
    });
  });

  it('is not made up: a wake-up of a task on its way to sleep counts only if it gets there', () => {
    const waking = (us: number) => `${head(1, 2, us)}sched_waking: comm=t1 pid=1 prio=120 target_cpu=000`;
    const wakeup = (us: number) => `${idle(0, us)}sched_wakeup: comm=t1 pid=1 prio=120 target_cpu=000`;
    const both = [on(0, 0, 1), on(1, 1, 2)];
    expect(tell(...both, waking(50), off(0, 100, 1, 'R'), on(0, 150, 1), off(0, 200, 1), off(1, 300, 2))).toEqual({
      t1: 'run 150, sleep 100',
      t2: 'run 299',
      notes: [],
    });
    expect(tell(...both, waking(95), off(0, 100, 1), wakeup(110), on(0, 120, 1), off(1, 300, 2))).toEqual({
      t1: 'run 100, wait t2, run 180',
      t2: 'run 94, wake t1, run 205',
      notes: [],
    });
  });

  it('makes a text without a switch an error', () => {
    expect(() => importTrace(['a', 'b'])).toThrow(new InputError('trace: no sched_switch event in 2 lines'));
  });

  it('never gives a task more than the time that there was, nor a wait without its wake-up', () => {
    const pid = fc.integer({ min: 1, max: 4 });
    const cpu = fc.integer({ min: 0, max: 1 });
    const line = fc.oneof(
      fc.tuple(cpu, fc.integer({ min: 0, max: 999 }), pid).map(([c, us, p]) => on(c, us, p)),
      fc.tuple(cpu, fc.integer({ min: 0, max: 999 }), pid, fc.constantFrom('S', 'R', 'D', 'X')).map((a) => off(...a)),
      fc
        .tuple(cpu, fc.integer({ min: 0, max: 999 }), pid, pid, fc.constantFrom('waking', 'wakeup', 'wakeup_new'))
        .map(([c, us, p, q, kind]) => `${head(c, p, us)}sched_${kind}: comm=t${q} pid=${q} prio=120 target_cpu=000`),
      fc
        .tuple(cpu, fc.integer({ min: 0, max: 999 }), pid, pid)
        .map(
          ([c, us, p, q]) => `${head(c, p, us)}sched_process_fork: comm=t${p} pid=${p} child_comm=t${q} child_pid=${q}`,
        ),
      cpu.map((c) => `CPU:${c} [LOST 3 EVENTS]`),
      fc.string({ maxLength: 20 }),
    );
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 60 }), fc.boolean(), (lines, sorted) => {
        const time = (text: string) => Number(/ 5\.(\d+): /.exec(text)?.[1] ?? 0);
        const text = sorted ? [...lines].sort((a, b) => time(a) - time(b)) : lines;
        let trace: TraceSpec;
        try {
          trace = importTrace(text);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
          return;
        }
        let waits = 0;
        let wakes = 0;
        let ran = 0;
        for (const { steps, startNs } of trace.tasks) {
          let own = 0;
          for (const step of steps) {
            if (step.type === 'run') own += step.ns;
            if (step.type === 'wait') waits++;
            if (step.type === 'wake') wakes++;
            if ('ns' in step) expect(step.ns).toBeGreaterThanOrEqual(0);
          }
          expect(startNs).toBeGreaterThanOrEqual(0);
          expect(own).toBeLessThanOrEqual(trace.durationNs - startNs);
          ran += own;
        }
        expect(wakes).toBe(waits);
        expect(ran).toBeLessThanOrEqual(2 * trace.durationNs);
      }),
      { numRuns: 300 },
    );
  });
});
