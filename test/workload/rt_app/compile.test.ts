import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_COSTS, ms, type SimStep, simulate, us } from '../../../src/sim/index.js';
import { compileRtApp } from '../../../src/workload/rt_app/compile.js';
import { parseRtApp } from '../../../src/workload/rt_app/parse.js';
import { FREE, fifo, sampleFile } from '../harness.js';

const target = { cpus: 4, costs: DEFAULT_COSTS };
const compile = (text: string, cpus = 4) => compileRtApp(parseRtApp(text), { ...target, cpus });
const tasksOf = (tasks: string) => compile(`{"tasks": {${tasks}}}`).scenario.tasks;
const stepsOf = (text: string): readonly SimStep[] => {
  return tasksOf(`"t": {${text}, "loop": 1}`)[0]!.steps;
};

describe("threads of rt-app's files as tasks", () => {
  it('repeat phases and threads as often as the file says', () => {
    expect(compile(readFileSync(sampleFile('video.json'), 'utf8'))).toMatchObject({
      durationNs: 2_000_000_000,
      notes: ['global: calibration, lock_pages, logdir: without effect here'],
      scenario: {
        cgroups: [{ name: 'background/logs' }],
        tasks: [
          {
            name: 'decoder',
            policy: 'fifo',
            priority: 10,
            steps: [
              { verb: 'timer', timer: 'unique', ns: 0, shared: false },
              {
                verb: 'repeat',
                times: Infinity,
                steps: [
                  { verb: 'run', ns: us(2000) },
                  {
                    verb: 'repeat',
                    times: 10,
                    steps: [{ ns: us(1500) }, { verb: 'timer' }, { ns: us(500) }, { verb: 'resume' }, {}],
                  },
                ],
              },
            ],
          },
          { name: 'renderer', policy: 'other', nice: -8, steps: [{ verb: 'repeat', times: Infinity }] },
          {
            name: 'logger',
            copies: 2,
            cgroup: 'background/logs',
            steps: [
              { verb: 'sleep', ns: us(3000) },
              { verb: 'repeat', times: 5 },
            ],
          },
        ],
      },
    });
  });

  it('go back to the root cgroup, whichever way its path and others are written', () => {
    const phases = '"a": {"taskgroup": "//g/h/", "run": 1}, "b": {"taskgroup": "/", "run": 1}';
    const { scenario } = compile(`{"tasks": {"t": {"loop": 1, "taskgroup": "/", "phases": {${phases}}}}}`);
    expect(scenario.cgroups).toEqual([{ name: 'g/h' }]);
    expect(scenario.tasks[0]).not.toHaveProperty('cgroup');
    expect(scenario.tasks[0]!.steps.flatMap((step) => (step.verb === 'cgroup' ? step.cgroup : []))).toEqual([
      'g/h',
      '/',
    ]);
  });

  it('take the mutex of a wait that has none, and share suspend and resume with conditions of that name', () => {
    const condition = '"cond": {"lock": "m", "wait": {"ref": "c", "mutex": "m"}, "unlock": "m", "loop": 1}';
    const verbs = (text: string) => {
      const tasks = tasksOf(`"t": {${text}, "loop": 1}, ${condition}`);
      return tasks[0]!.steps.map(({ verb }) => verb);
    };
    expect(verbs('"sync": {"ref": "c", "mutex": "m"}')).toEqual(['lock', 'signal', 'condwait', 'unlock']);
    expect(verbs('"lock": "m", "sync": {"ref": "c", "mutex": "m"}, "unlock": "m"')).toEqual([
      'lock',
      'signal',
      'condwait',
      'unlock',
    ]);
    expect(verbs('"suspend": "c", "resume": "c"')).toEqual([
      'lock',
      'condwait',
      'unlock',
      'lock',
      'broadcast',
      'unlock',
    ]);
    expect(verbs('"suspend": "d", "resume": "d"')).toEqual(['suspend', 'resume']);
  });

  it('count who comes to a barrier', () => {
    const [a] = tasksOf('"a": {"instance": 3, "barrier": "b", "loop": 1}, "b": {"run": 1, "barrier": "b", "loop": 1}');
    expect(a!.steps).toEqual([{ verb: 'barrier', barrier: 'b', parties: 4 }]);
  });

  it('change CPUs and policy where phases differ, and back when they begin anew', () => {
    const [task] = tasksOf(`"t": {"cpus": [1], "loop": 2, "phases": {
      "a": {"cpus": [2, 3], "run": 1}, "b": {"run": 2, "policy": "SCHED_RR"}, "c": {"run": 3, "priority": 20}}}`);
    expect(task).toMatchObject({ cpus: [2, 3] });
    expect(task!.steps).toEqual([
      {
        verb: 'repeat',
        times: 2,
        steps: [
          { verb: 'affinity', task: 'self', cpus: [2, 3] },
          { verb: 'run', ns: 1000 },
          { verb: 'affinity', task: 'self', cpus: [1] },
          { verb: 'policy', task: 'self', name: 'rr', priority: 10 },
          { verb: 'run', ns: 2000 },
          { verb: 'policy', task: 'self', name: 'rr', priority: 20 },
          { verb: 'run', ns: 3000 },
        ],
      },
    ]);
  });

  it('are there twice, if they begin and are forked besides', () => {
    const [parent, both, child] = tasksOf('"p": {"fork": "c", "loop": 1}, "c": {"priority": 3, "run": 1, "loop": 1}');
    expect(parent!.steps).toEqual([{ verb: 'fork', task: 'c/fork' }]);
    expect(both).toMatchObject({ name: 'c', startNs: 0, nice: 3 });
    expect(child!.steps[1]).toEqual({ verb: 'nice', task: 'self', value: 3 });
  });

  it('spin for a runtime, write memory at a stated rate', () => {
    expect(stepsOf('"runtime": 5, "mem": 25, "run": 0, "yield": ""')).toEqual([
      { verb: 'spin', ns: 5000 },
      { verb: 'run', ns: 3 },
      { verb: 'yield' },
    ]);
  });

  it.each([
    ['"t": {"run": 1, "cpus": [4]}', 'tasks.t (line 1): cpus: no CPU 4 on a machine with 4'],
    ['"t": {"run": 1, "priority": 20}', 'tasks.t (line 1): priority 20 is no nice value (-20 to 19)'],
    ['"t": {"run": 1, "policy": "SCHED_FIFO", "priority": 0}', 'tasks.t (line 1): priority 0 is not from 1 to 99'],
    [
      '"t": {"run": 1, "policy": "SCHED_DEADLINE", "dl-runtime": 9, "dl-period": 5}',
      'tasks.t (line 1): runtime 9, deadline 5 and period 5 do not rise',
    ],
    ['"t": {"fork": "u"}', 'tasks.t.fork (line 1): no thread u'],
    [
      '"t": {"fork": "u", "run": 1}, "u": {"barrier": "b", "instance": 0}',
      'tasks.u.barrier (line 1): a thread that is forked comes to a barrier: how many there will be is not known',
    ],
    ['"a": {"run": 1, "instance": 2}, "a-1": {"run": 1}', 'tasks.a-1: an instance of another thread is called so, too'],
  ])('%s', (tasks, message) => {
    expect(() => tasksOf(tasks)).toThrow(`rt-app: ${message}`);
  });
});

describe("threads of rt-app's files, when they run", () => {
  const run = (tasks: string, cpus = 4, durationNs = ms(500)) =>
    simulate(fifo, {
      scenario: compile(`{"tasks": {${tasks}}}`, cpus).scenario,
      topology: `${cpus}c`,
      durationNs,
      costs: FREE,
    });

  it('use the CPU for as long as the file says, whatever the events', async () => {
    const event = fc.oneof(
      fc.integer({ min: 0, max: 3000 }).map((n) => [`"run": ${n}`, n] as const),
      fc.integer({ min: 0, max: 3000 }).map((n) => [`"sleep": ${n}`, 0] as const),
      fc.integer({ min: 1, max: 900 }).map((n) => [`"timer": {"ref": "unique", "period": ${n}}`, 0] as const),
      fc.constant(['"lock": "m", "run": 70, "unlock": "m"', 70] as const),
      fc.constant(['"yield": ""', 0] as const),
      fc.constant(['"signal": "c"', 0] as const),
    );
    const phase = fc.tuple(fc.array(event, { minLength: 1, maxLength: 5 }), fc.integer({ min: 1, max: 4 }));
    const task = fc.tuple(
      fc.array(phase, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(task, { minLength: 1, maxLength: 4 }), async (tasks) => {
        const texts = tasks.map(([phases, loop, instances], at) => {
          const inner = phases.map(
            ([events, times], n) => `"p${n}": {"loop": ${times}, ${events.map(([text]) => text).join(', ')}}`,
          );
          return `"t${at}": {"loop": ${loop}, "instance": ${instances}, "phases": {${inner.join(', ')}}}`;
        });
        const { groups } = await run(texts.join(', '), 2, ms(2000));
        for (const [at, [phases, loop, instances]] of tasks.entries()) {
          const each = phases.reduce(
            (sum, [events, times]) => sum + times * events.reduce((all, [, n]) => all + n, 0),
            0,
          );
          expect([at, groups.find(({ name }) => name === `t${at}`)!.runNs]).toEqual([at, us(each * loop * instances)]);
        }
      }),
      { numRuns: 12 },
    );
  });

  it('keep to the period of a timer from their beginning on, relative or absolute', async () => {
    // 3 ms late once: a relative timer goes on from there, an absolute one catches up.
    const thread = (mode: string) => `"t": {"phases": {
      "late": {"run": 13000, "timer": {"ref": "unique", "period": 10000, "mode": "${mode}"}},
      "rest": {"loop": 3, "run": 1000, "timer": {"ref": "unique", "period": 10000, "mode": "${mode}"}}}, "loop": 1}`;
    const end = async (mode: string) => (await run(thread(mode))).tasks[0]!.exitedAtNs;
    expect(await end('relative')).toBe(ms(43));
    expect(await end('absolute')).toBe(ms(40));
  });

  it('share a timer that is not a unique one', async () => {
    const thread = (ref: string) => `"t": {"instance": 2, "loop": 4, "timer": {"ref": "${ref}", "period": 5000}}`;
    expect((await run(thread('unique'))).tasks.map(({ exitedAtNs }) => exitedAtNs)).toEqual([ms(20), ms(20)]);
    expect(Math.max(...(await run(thread('tick'))).tasks.map(({ exitedAtNs }) => exitedAtNs))).toBe(ms(40));
  });

  it('end a runtime by the clock, and a run by the CPU time that it got', async () => {
    const { groups } = await run('"a": {"run": 200000, "loop": 1}, "b": {"runtime": 60000, "loop": 1}', 1);
    const ran = (name: string) => groups.find((group) => group.name === name)!.runNs;
    expect(ran('a')).toBe(ms(200));
    expect(ran('b')).toBeGreaterThan(ms(19));
    expect(ran('b')).toBeLessThan(ms(45));
  });

  it('suspend, resume, wait and meet at barriers until all are through', async () => {
    const { tasks, simulatedNs } = await run(`
      "a": {"loop": 5, "run": 1000, "resume": "b", "barrier": "x"},
      "b": {"loop": 5, "suspend": "b", "run": 500, "lock": "m", "signal": "c", "unlock": "m", "barrier": "x"},
      "w": {"loop": 5, "lock": "m", "wait": {"ref": "c", "mutex": "m"}, "unlock": "m", "run": 100}`);
    expect(simulatedNs).toBeLessThan(ms(10));
    expect(tasks.map(({ name, runNs }) => [name, runNs])).toEqual([
      ['a', us(5000)],
      ['b', us(2500)],
      ['w', us(500)],
    ]);
  });

  it('fork threads with the attributes of those', async () => {
    const { tasks } = await run(
      '"p": {"fork": "c", "sleep": 100, "loop": 3}, "c": {"instance": 0, "priority": 5, "run": 700, "loop": 1}',
    );
    expect(tasks.map(({ group, runNs }) => [group, runNs])).toEqual([
      ['p', 0],
      ['c', us(700)],
      ['c', us(700)],
      ['c', us(700)],
    ]);
    expect(new Set(tasks.map(({ weight }) => weight)).size).toBe(2);
  });
});
