import { afterEach, describe, expect, it } from 'vitest';
import { Kernel, openObject } from '../../../src/index.js';
import { type Costs, DEFAULT_COSTS, Machine, ms, type Scenario, type SimReport } from '../../../src/sim/index.js';
import { libraryWorkload } from '../../../src/workload/index.js';
import { compileTrace } from '../../../src/workload/trace/compile.js';
import { importTrace } from '../../../src/workload/trace/import.js';
import { FREE, fifo } from '../harness.js';
import { recordTrace } from './recorder.js';

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

async function play(
  scenario: Scenario,
  costs: Costs,
  durationNs: number,
  cpus = 4,
): Promise<{ report: SimReport; lines: string[] }> {
  const kernel = await Kernel.create({ cpus });
  kernels.push(kernel);
  const machine = new Machine(kernel, { costs });
  const { lines, end } = recordTrace(machine);
  const object = openObject(fifo);
  object.load(kernel);
  machine.load(scenario);
  object.structOpsMap('fifo_ops').attach();
  machine.run(durationNs);
  end();
  return { report: machine.report(), lines };
}

/** What each task ran, least first. */
const ran = ({ tasks }: SimReport) => tasks.map(({ runNs }) => runNs).sort((a, b) => a - b);

const WORKLOADS = [
  'hackbench:groups=1,fds=3,loops=60',
  'compile:files=6,jobs=3,time=3ms',
  'audio:loads=2',
  'schbench:messages=1,workers=3',
];

describe.each(WORKLOADS)('a trace of %s', (text) => {
  it('makes a workload that runs as much, task by task', async () => {
    const first = await play(libraryWorkload(text), FREE, ms(60));
    const trace = importTrace(first.lines);
    expect(trace.notes).toEqual([expect.stringMatching(/^4 events of other kinds, passed over/)]);
    const { scenario, durationNs } = compileTrace(trace, { cpus: 4, costs: FREE });
    // Tasks that were asleep or on a CPU at the end end there, which they did not before: that takes no time here.
    const second = await play(scenario, FREE, durationNs! * 2);
    expect(ran(second.report)).toEqual(ran(first.report));
    expect(second.report.tasks.every(({ exitedAtNs }) => exitedAtNs >= 0)).toBe(true);
  });

  it('takes off what its machine will charge', async () => {
    const first = await play(libraryWorkload(text), DEFAULT_COSTS, ms(60));
    const { scenario, durationNs } = compileTrace(importTrace(first.lines), { cpus: 4, costs: DEFAULT_COSTS });
    const second = await play(scenario, DEFAULT_COSTS, durationNs! * 2);
    const total = (report: SimReport) => report.tasks.reduce((sum, { runNs }) => sum + runNs, 0);
    expect(total(second.report) / total(first.report)).toBeGreaterThan(0.95);
    expect(total(second.report) / total(first.report)).toBeLessThan(1.05);
  });
});
