import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/errors.js';
import { parseRtApp } from '../../../src/workload/rt_app/parse.js';

const fixture = (name: string) => readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8');
const events = (text: string) =>
  parseRtApp(`{"tasks": {"t": {${text}}}}`).tasks[0]!.phases[0]!.events.map(({ place: _, ...event }) => event);

describe("rt-app's files", () => {
  it('are read whole: tasks, phases, events of equal names, attributes', () => {
    const { seconds, tasks, notes } = parseRtApp(fixture('video.json'));
    expect([seconds, notes]).toEqual([2, ['global: calibration, lock_pages, logdir: without effect here']]);
    const [decoder, renderer, logger] = tasks;
    expect(decoder).toMatchObject({ name: 'decoder', instances: 1, loop: Infinity, sched: { policy: 'fifo' } });
    expect(decoder!.phases.map(({ loop }) => loop)).toEqual([1, 10]);
    expect(decoder!.phases[1]!.events.map(({ type }) => type)).toEqual(['run', 'timer', 'run', 'resume', 'timer']);
    expect(decoder!.phases[1]!.events[4]).toMatchObject({ ref: 'unique', us: 8000, absolute: true });
    // Without phases and loop, the one phase has no end.
    expect(renderer).toMatchObject({ loop: 1, sched: { policy: 'other', priority: -8 } });
    expect(renderer!.phases[0]!.loop).toBe(Infinity);
    expect(renderer!.phases[0]!.events[0]).toMatchObject({ type: 'suspend', ref: 'renderer' });
    expect(logger).toMatchObject({ instances: 2, delayUs: 3000, loop: 1, taskgroup: '/background/logs' });
    expect(logger!.phases[0]!.loop).toBe(5);
  });

  it('know every event, with numbers behind its name or without', () => {
    const text = `"lock": "m", "wait": {"ref": "c", "mutex": "m"}, "unlock1": "m", "signal": "c", "broad": "c", "broadcast": "c",
      "sync": {"ref": "c", "mutex": "m"}, "sleep_2": 5, "runtime": 6, "run03": 7, "timer": {"ref": "t", "period": 8},
      "suspend": "s", "resume": "s", "mem": 9, "iorun": 10, "yield": "", "barrier": "b", "fork": "t"`;
    expect(events(text)).toEqual([
      { type: 'lock', ref: 'm' },
      { type: 'wait', ref: 'c', mutex: 'm' },
      { type: 'unlock', ref: 'm' },
      { type: 'signal', ref: 'c' },
      { type: 'broad', ref: 'c' },
      { type: 'broad', ref: 'c' },
      { type: 'sync', ref: 'c', mutex: 'm' },
      { type: 'sleep', us: 5 },
      { type: 'runtime', us: 6 },
      { type: 'run', us: 7 },
      { type: 'timer', ref: 't', us: 8, absolute: false },
      { type: 'suspend', ref: 's' },
      { type: 'resume', ref: 's' },
      { type: 'mem', bytes: 9 },
      { type: 'iorun', bytes: 10 },
      { type: 'yield' },
      { type: 'barrier', ref: 'b' },
      { type: 'fork', ref: 't' },
    ]);
  });

  it('give SCHED_DEADLINE its parameters by new names and by old ones', () => {
    const sched = (text: string) => parseRtApp(`{"tasks": {"t": {${text}}}}`).tasks[0]!.sched!.deadline;
    const policy = '"policy": "SCHED_DEADLINE", "phases": {"p": {"run": 1}}';
    expect(sched(`${policy}, "dl-runtime": 5`)).toEqual({ runtimeUs: 5, deadlineUs: 5, periodUs: 5 });
    expect(sched(`${policy}, "dl-runtime": 5, "dl-period": 9, "dl-deadline": 7`)).toEqual({
      runtimeUs: 5,
      deadlineUs: 7,
      periodUs: 9,
    });
    expect(sched(`${policy}, "runtime": 5, "period": 9`)).toEqual({ runtimeUs: 5, deadlineUs: 9, periodUs: 9 });
  });

  it('make keys of tasks unique, as workgen does', () => {
    const { tasks } = parseRtApp('{"tasks": {"t": {"run": 1}, "t": {"run": 2}, "t1": {"run": 3}}}');
    expect(tasks.map(({ name }) => name)).toEqual(['t', 't1', 't11']);
  });

  it('say what has no effect', () => {
    const text = `{"global": {"pi_enabled": true, "frag": 1, "ftrace": "main,task"},
      "tasks": {"t": {"run": 1, "util_min": 100, "membind_nodes": [0], "dl-runtime": 5, "dl-reclaim": true}}}`;
    expect(parseRtApp(text).notes).toEqual([
      'global.pi_enabled: mutexes lend no priority here',
      'global: ftrace: without effect here',
      'util_min: clamps of utilization have no effect here',
      'dl-reclaim: threads get no runtime here that others leave (SCHED_FLAG_RECLAIM)',
      'dl-runtime: a slice of a thread that is not SCHED_DEADLINE has no effect here',
      'membind_nodes: memory has no nodes here',
    ]);
  });
});

describe("mistakes in rt-app's files", () => {
  it.each([
    ['{"tasks": {"t": {"run": 1, "slep": 2}}}', 'tasks.t.slep (line 1): unknown (known here: instance, '],
    ['{"tasks": {"t": {"runs": 1}}}', 'tasks.t.runs (line 1): unknown'],
    ['{"tasks": {"t": {"phases": {"p": {"run": 1, "instance": 2}}}}}', 'tasks.t.phases.p.instance (line 1): unknown'],
    ['{"tasks": {"t": {"run": 1}}, "globl": {}}', 'globl (line 1): unknown (known here: tasks, global, resources)'],
    ['{"tasks": {"t": {"run": 1}}, "global": {"durations": 1}}', 'global.durations (line 1): unknown'],
    ['{"tasks": {"t":\n {"run": "5"}}}', 'tasks.t.run (line 2): wants a whole number from 0 to 2147483647, not "5"'],
    ['{"tasks": {"t": {"run": 1.5}}}', 'tasks.t.run (line 1): wants a whole number from 0 to 2147483647, not 1.5'],
    ['{"tasks": {"t": {"run": -1}}}', 'tasks.t.run (line 1): wants a whole number from 0 to 2147483647, not -1'],
    ['{"tasks": {"t": {"loop": 3}}}', 'tasks.t (line 1): has no events'],
    ['{"tasks": {"t": {"phases": {}}}}', 'tasks.t.phases (line 1): no phases'],
    [
      '{"tasks": {"t": {"phases": {"p": {"run": 1}}, "run": 1}}}',
      'tasks.t.run (line 1): an event beside phases, where none is done',
    ],
    ['{"tasks": {"t": {"run": 1, "loop": 1, "loop": 2}}}', 'tasks.t.loop (line 1): is there twice'],
    ['{"tasks": {"t": {"run": 1, "loop": 0}}}', 'tasks.t.loop (line 1): wants at least 1, or -1 for no end'],
    [
      '{"tasks": {"t": {"run": 1, "policy": "SCHED_FAST"}}}',
      'tasks.t.policy (line 1): "SCHED_FAST" is none of SCHED_OTHER, ',
    ],
    ['{"tasks": {"t": {"run": 1, "policy": "SCHED_DEADLINE"}}}', 'tasks.t (line 1): SCHED_DEADLINE wants dl-runtime'],
    ['{"tasks": {"t": {"run": 1, "cpus": []}}}', 'tasks.t.cpus (line 1): no CPU'],
    [
      '{"tasks": {"t": {"run": 1, "taskgroup": "x"}}}',
      'tasks.t.taskgroup (line 1): is no path of a cgroup, such as /group, or / for the root',
    ],
    ['{"tasks": {"t": {"timer": {"ref": "x"}}}}', 'tasks.t.timer (line 1): wants period'],
    [
      '{"tasks": {"t": {"wait": {"ref": "x", "mutx": "m"}}}}',
      'tasks.t.wait.mutx (line 1): unknown (known here: ref, mutex)',
    ],
    ['{"tasks": {}}', 'tasks (line 1): no thread is there at the beginning'],
    ['{"tasks": {"t": {"run": 1, "instance": 0}}}', 'tasks (line 1): no thread is there at the beginning'],
    ['{"tasks": {"t": {"run": 1, "instance": 1000000}}}', 'tasks.t (line 1): 1000000 threads are more than 200000'],
    ['{"tasks": {"t": {"run": 0, "loop": 1000000000}}}', 'tasks.t (line 1): a loop that takes no time has no end'],
    ['{"tasks": {"t": {"run": 0}}}', 'tasks.t (line 1): a loop that takes no time has no end'],
    ['{"tasks": [1]}', 'tasks (line 1): wants an object, not a list'],
    ['{"tasks": {"t": {"run": 1}', 'no JSON: '],
  ])('%s', (text, message) => {
    try {
      parseRtApp(text);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(InputError);
      expect((error as Error).message).toContain(`rt-app: ${message}`);
      expect((error as Error).message).not.toContain('\n');
    }
  });

  it('are the only thing that any document of theirs can lead to', () => {
    const words = [
      'tasks',
      'global',
      't',
      'run',
      'loop',
      'phases',
      'cpus',
      'policy',
      'instance',
      'timer',
      'ref',
      'period',
    ];
    const leaf = fc.oneof(fc.integer(), fc.constantFrom('SCHED_FIFO', 'a', ''), fc.boolean(), fc.constant(null));
    const value = fc.letrec((tie) => ({
      node: fc.oneof(
        { maxDepth: 5 },
        leaf,
        fc.array(tie('node'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...words), tie('node'), { maxKeys: 5 }),
      ),
    })).node;
    fc.assert(
      fc.property(value, (document) => {
        try {
          parseRtApp(JSON.stringify({ tasks: { t: document } }));
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
    );
  });
});
