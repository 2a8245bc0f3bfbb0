import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DEFAULT_COSTS } from '../../src/sim/index.js';
import { loadWorkload, workloadFormat } from '../../src/workload/index.js';
import { sampleFile } from './harness.js';

const target = { cpus: 4, costs: DEFAULT_COSTS };
const bytes = (text: string) => new TextEncoder().encode(text);

describe('files of workloads', () => {
  it.each([
    ['{"tasks": [{"name": "a", "steps": [{"run": "1ms"}]}]}', 'scenario'],
    [' {"name": "x", "tasks" :\n[]}', 'scenario'],
    ['{"global": {"duration": 1}, "tasks": {"a": {"run": 1}}}', 'rt-app'],
    ['/* a */ {"tasks": /* b */ {}}', 'rt-app'],
    ['{"tasks" : /* b */ {}}', 'rt-app'],
    ['# tracer: nop\n', 'trace'],
    ['  bash-12 [000] 1.0: sched_switch: x', 'trace'],
    ['', 'trace'],
  ])('%j', (text, format) => {
    expect(workloadFormat(bytes(text))).toBe(format);
  });

  it('load whatever they are', () => {
    expect(loadWorkload(bytes('{"tasks": [{"name": "a", "steps": []}]}'), target).scenario.tasks).toHaveLength(1);
    const file = (name: string) => loadWorkload(new Uint8Array(readFileSync(sampleFile(name))), target);
    expect(file('video.json').scenario.tasks.map(({ name }) => name)).toEqual(['decoder', 'renderer', 'logger']);
    const trace = file('build.ftrace.txt');
    expect(trace.durationNs).toBe(7_500_000);
    expect(trace.scenario.tasks.map(({ name, nice, priority, policy }) => [name, nice, priority, policy])).toEqual([
      ['make', undefined, undefined, 'other'],
      ['cc one', undefined, undefined, 'other'],
      ['mixer', -5, undefined, 'other'],
      ['irq/9-audio', undefined, 50, 'fifo'],
    ]);
  });

  it.each([
    ['{"tasks": [{"name": "a"}]}', 'workload: tasks[0]: has no steps'],
    ['{"tasks": {"a": {"walk": 1}}}', 'rt-app: tasks.a.walk (line 1): unknown'],
    ['hello', 'trace: no sched_switch event in 1 lines'],
    ['', 'trace: no sched_switch event in 0 lines'],
  ])('say what is wrong with %j', (text, message) => {
    expect(() => loadWorkload(bytes(text), target)).toThrow(message);
  });

  it('want a machine', () => {
    // biome-ignore lint/suspicious/noExplicitAny: what the types forbid
    const load = (wrong: any) => () => loadWorkload(bytes('{"tasks": {"a": {"run": 1}}}'), wrong);
    expect(load(undefined)).toThrow('loadWorkload: target is undefined, not an object');
    expect(load({ costs: DEFAULT_COSTS })).toThrow('loadWorkload: target.cpus is undefined, not an integer');
    expect(load({ cpus: 4 })).toThrow('loadWorkload: target.costs is undefined, not an object');
  });
});
