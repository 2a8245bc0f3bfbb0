import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { Kernel, openObject } from '../../../src/index.js';
import { Machine } from '../../../src/sim/index.js';
import { compileTrace } from '../../../src/workload/trace/compile.js';
import { importTrace } from '../../../src/workload/trace/import.js';
import { linesOf } from '../../../src/workload/trace/lines.js';
import type { TracedTask, TraceSpec } from '../../../src/workload/trace/spec.js';
import { FREE, fifo } from '../harness.js';

// What ftrace, trace-cmd and perf really print: recorded on two kernels by `npm run oracle -- traces`, which says of which
// workload (test/oracle/traces/guest.c).

const folder = new URL('../fixtures/recorded/', import.meta.url);
const KERNELS = ['6.18.15', '7.3.4'];
const FORMATS = ['ftrace', 'trace-cmd', 'trace-cmd-l', 'trace-cmd-R', 'perf', 'perf-irq'];

const bytes = (name: string) => new Uint8Array(readFileSync(new URL(name, folder)));
const read = (kernel: string, format: string) => importTrace(linesOf(bytes(`${kernel}.${format}.txt`)));
const ran = ({ steps }: TracedTask) => steps.reduce((sum, step) => sum + (step.type === 'run' ? step.ns : 0), 0);
const named = ({ tasks }: TraceSpec, comm: string) => tasks.find((task) => task.comm === comm)!;

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

it('has nothing that is not tested here', () => {
  const files = KERNELS.flatMap((kernel) => FORMATS.map((format) => `${kernel}.${format}.txt`));
  expect(readdirSync(folder).sort()).toEqual(files.sort());
});

describe.each(KERNELS.flatMap((kernel) => FORMATS.map((format) => [kernel, format] as const)))(
  '%s, %s',
  (kernel, format) => {
    const trace = read(kernel, format);

    it('is understood, line by line', () => {
      expect(trace.notes.filter((note) => /not understood|out of order|lost|wake-up/.test(note))).toEqual([]);
    });

    it('has the workload: who is born of whom, and for how long each works', () => {
      // As the guest's program spins, in ms; what it spends in system calls comes to that.
      for (const [comm, least] of Object.entries({ ping: 6 * 0.3, pong: 6 * 0.2, sleeper: 6 * 0.4, worker: 6 })) {
        expect(ran(named(trace, comm)), comm).toBeGreaterThan(least * 1e6);
        expect(named(trace, comm).forked, comm).toBe(
          comm !== 'ping' || trace.tasks.some(({ comm: by }) => by === 'init'),
        );
      }
      const born = named(trace, 'ping').steps.flatMap((step) =>
        step.type === 'fork' ? [trace.tasks[step.task]!.comm] : [],
      );
      expect(born).toEqual(['pong', 'sleeper', 'worker']);
    });

    it('is played: each task runs as much as it did', async () => {
      const { scenario, durationNs } = compileTrace(trace, { cpus: 2, costs: FREE });
      const kernelObject = await Kernel.create({ cpus: 2 });
      kernels.push(kernelObject);
      const machine = new Machine(kernelObject, { costs: FREE });
      const object = openObject(fifo);
      object.load(kernelObject);
      machine.load(scenario);
      object.structOpsMap('fifo_ops').attach();
      machine.run(10 * durationNs!);
      const report = machine.report();
      expect(report.tasks.every(({ exitedAtNs }) => exitedAtNs >= 0)).toBe(true);
      const sorted = (all: number[]) => all.sort((a, b) => a - b);
      expect(sorted(report.tasks.map(({ runNs }) => runNs))).toEqual(sorted(trace.tasks.map(ran)));
    });
  },
);

describe.each(KERNELS)('on %s', (kernel) => {
  const sleeps = (format: string) => {
    const { steps } = named(read(kernel, format), 'sleeper');
    return steps.filter(({ type }) => type === 'sleep').length;
  };

  it('who woke a sleeper is told by the flags of an interrupt, or by events of its handler', () => {
    for (const format of ['ftrace', 'trace-cmd-l', 'perf-irq']) {
      const trace = read(kernel, format);
      const { steps } = named(trace, 'sleeper');
      expect(
        steps.filter(({ type }) => type === 'wait'),
        format,
      ).toEqual([]);
      expect(sleeps(format), format).toBeGreaterThan(0);
    }
  });

  it('forms of one recording tell the same story, but for that', () => {
    const story = (format: string) =>
      read(kernel, format).tasks.map((task) => [task.comm, task.pid, task.prio, task.startNs, ran(task)]);
    expect(story('trace-cmd-l')).toEqual(story('trace-cmd'));
    expect(read(kernel, 'trace-cmd-R')).toEqual(read(kernel, 'trace-cmd'));
  });
});
