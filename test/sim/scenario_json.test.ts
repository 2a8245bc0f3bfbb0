import { describe, expect, it } from 'vitest';
import {
  cgroupIdle,
  cgroupMax,
  condWait,
  cpu,
  fork,
  ms,
  nice,
  parseScenario,
  parseTopology,
  policy,
  read,
  repeat,
  run,
  type SimStep,
  signal,
  sleep,
  spin,
  sysrq,
  timer,
  us,
  wait,
  write,
} from '../../src/sim/index.js';

/** Who is woken by all of the steps below. */
const sleeper = { name: 'sleeper', steps: [{ read: 'p' }, { wait_cond: 'c', mutex: 'm' }] };
const steps = (...list: object[]) =>
  parseScenario(JSON.stringify({ tasks: [{ name: 'a', steps: list }, sleeper] })).tasks[0]!.steps;

describe('steps in JSON are those of the builder', () => {
  const cases: [object, SimStep][] = [
    [{ run: '3ms' }, run(ms(3))],
    [{ run: 250 }, run(250)],
    [{ sleep: { uniform: ['1us', '2us'] } }, sleep({ uniform: [us(1), us(2)] })],
    [{ run: { exponential: '1.5ms' } }, run({ exponential: 1_500_000 })],
    [{ repeat: 'forever', steps: [{ write: 'p' }] }, repeat(Number.POSITIVE_INFINITY, write('p'))],
    [{ read: 7 }, read(7)],
    [{ write: 'p', sync: false }, write('p', false)],
    [{ spin: '2ms' }, spin(ms(2))],
    [{ timer: 't', period: '4ms' }, timer('t', ms(4))],
    [{ timer: 't', period: 5, absolute: true, shared: true }, timer('t', 5, { absolute: true, shared: true })],
    [{ fork: 'a' }, fork('a')],
    [{ nice: 5 }, nice('self', 5)],
    [{ nice: -5, task: 'a' }, nice('a', -5)],
    [{ policy: 'fifo', priority: 3 }, policy('self', 'fifo', 3)],
    [{ offline: 1 }, cpu(1, false)],
    [{ wait: true }, wait()],
    [{ wait: 't' }, wait('t')],
    [{ wait_cond: 'c', mutex: 'm' }, condWait('c', 'm')],
    [{ signal: 'c' }, signal('c')],
    [{ max: { quota: '5ms', period: '10ms' }, cgroup: 'g' }, cgroupMax('g', ms(5), ms(10))],
    [{ idle: true, cgroup: 'g' }, cgroupIdle('g', true)],
    [{ sysrq: 'S' }, sysrq('S')],
    // The same the other way round: `cgroup` is a step of its own, too.
    [{ cgroup: 'g', max: { quota: 'max' } }, cgroupMax('g', Number.POSITIVE_INFINITY)],
  ];
  it.each(cases)('%j', (json, step) => {
    expect(steps(json)).toEqual([step]);
  });
});

describe('a mistake is told with its path', () => {
  const task = (rest: object) => ({ tasks: [{ name: 'a', steps: [{ run: 1 }], ...rest }] });
  it.each([
    ['{', 'workload: no JSON: the text ends too early (line 1, column 2)'],
    ['{"tasks": [,]}', 'workload: no JSON: "," is not expected there (line 1, column 12)'],
    ['[]', 'workload: the document: wants an object, not []'],
    ['{}', 'workload: tasks: is wanted: a list of tasks'],
    [{ tasks: [], what: 1 }, 'workload: what: unknown (known here: name, cgroups, tasks, events)'],
    [{ tasks: [{ steps: [] }] }, 'workload: tasks[0]: has no name'],
    [task({ nice: 20 }), 'workload: tasks[0].nice: wants a whole number from -20 to 19, not 20'],
    [task({ policy: 'batch ' }), /^workload: tasks\[0\]\.policy: "batch " is none of ext, other/],
    [
      task({ steps: [{ run: '3 parsecs' }] }),
      'workload: tasks[0].steps[0].run: "3 parsecs" is no time (such as "3ms")',
    ],
    [task({ steps: [{ jump: 1 }] }), /^workload: tasks\[0\]\.steps\[0\]: "jump": none of run, sleep/],
    [
      task({ steps: [{ 'a\nb': 1, task: 'a' }] }),
      /^workload: tasks\[0\]\.steps\[0\]: "a\\nb", "task": none of run, sleep/,
    ],
    [task({ steps: [{ run: 1, sleep: 2 }] }), /^workload: tasks\[0\]\.steps\[0\]\.sleep: unknown/],
    [task({ steps: [{ repeat: 3 }] }), 'workload: tasks[0].steps[0].repeat: wants steps, too'],
    [task({ steps: [{ repeat: 2, steps: [{ run: -1 }] }] }), /^workload: tasks\[0\]\.steps\[0\]\.steps\[0\]\.run: /],
    [task({ steps: [], repeat: 'forever' }), /^workload: tasks\[0\]\.repeat: a loop without steps takes no time/],
    [task({ steps: [{ repeat: 'forever', steps: [] }] }), /^workload: tasks\[0\]\.steps\[0\]\.repeat: a loop without/],
    [task({ steps: [{ sysrq: 's' }] }), 'workload: tasks[0].steps[0].sysrq: "s" is none of S'],
    [task({ steps: [{ idle: true }] }), 'workload: tasks[0].steps[0].idle: wants cgroup, too'],
    [{ ...task({}), events: [{ at: 0, idle: 1, cgroup: 'g' }] }, /^workload: events\[0\]\.idle: wants/],
    [{ ...task({}), cgroups: [{ name: 'g', idle: 'yes' }] }, /^workload: cgroups\[0\]\.idle: wants/],
    [{ ...task({}), events: [{ offline: 1 }] }, /^workload: events\[0\]\.at: wants a whole number/],
    [{ ...task({}), events: [{ at: 0, run: 1 }] }, /^workload: events\[0\]: "run": none of kill, stop/],
  ])('%j', (document, message) => {
    expect(() => parseScenario(typeof document === 'string' ? document : JSON.stringify(document))).toThrow(message);
  });

  it.each([
    ['{"tasks": [], "tasks": []}', 'workload: tasks: is there twice'],
    [
      '{"tasks": [{"name": "a", "steps": [{"run": 1}, {"run": 1, "run": 2}]}]}',
      'workload: tasks[0].steps[1].run: is there twice',
    ],
    // The same key written in another way, behind strings that look like the end of something.
    [
      '{"name": "}\\"]{\\\\", "tasks": [[1, "a"], {"n\\u0061me": 1, "x": {"name": 2}, "name": 3}]}',
      'workload: tasks[1].name: is there twice',
    ],
  ])('a key that is there twice: %s', (text, message) => {
    expect(() => parseScenario(text)).toThrow(message);
  });

  it.each([
    ['wake', 'await', 'nobody awaits word "x"'],
    ['write', 'read', 'nobody reads pipe "x"'],
    ['signal', 'wait_cond', 'nobody waits for condition "x"'],
    ['broadcast', 'wait_cond', 'nobody waits for condition "x"'],
    ['resume', 'suspend', 'nobody suspends at "x"'],
    ['unlock', 'lock', 'nobody locks mutex "x"'],
  ])('a %s of a name that nobody sleeps on', (wake, sleep, message) => {
    const workload = (name: string) => {
      const other = { [sleep]: name, ...(sleep === 'wait_cond' && { mutex: 'm' }) };
      return JSON.stringify({
        tasks: [
          { name: 'a', steps: [{ run: 1 }, { repeat: 2, steps: [{ [wake]: 'x' }] }] },
          { name: 'b', steps: [{ repeat: 2, steps: [other] }] },
        ],
      });
    };
    expect(() => parseScenario(workload('y'))).toThrow(`workload: tasks[0].steps[1].steps[0]: ${message}`);
    expect(parseScenario(workload('x')).tasks).toHaveLength(2);
  });

  it('no key twice where objects differ', () => {
    const text = JSON.stringify({
      tasks: [
        { name: 'name', steps: [{ run: 1 }, { run: 1 }] },
        { name: 'b', steps: [] },
      ],
    });
    expect(parseScenario(text).tasks).toHaveLength(2);
    expect(() => parseTopology('{"cpus": [{"count": 1, "count": 2}]}')).toThrow(
      'topology: cpus[0].count: is there twice',
    );
  });

  it('text without end, with as much of it as fits a line', () => {
    const long = 'x'.repeat(5000);
    const wrong = (step: object) => () => parseScenario(JSON.stringify({ tasks: [{ name: 'a', steps: [step] }] }));
    const shown = `"${'x'.repeat(36)}...`;
    expect(wrong({ run: long })).toThrow(`workload: tasks[0].steps[0].run: ${shown} is no time (such as "3ms")`);
    expect(wrong({ policy: long })).toThrow(`workload: tasks[0].steps[0].policy: ${shown} is none of ext, `);
  });

  it('nesting without end, with as much of the path as fits a line', () => {
    const deep = (depth: number) => `${'{"repeat":2,"steps":['.repeat(depth)}{"run":"1us"}${']}'.repeat(depth)}`;
    const workload = (depth: number) => `{"tasks":[{"name":"a","steps":[${deep(depth)}]}]}`;
    expect(parseScenario(workload(60)).tasks).toHaveLength(1);
    expect(() => parseScenario(workload(100_000))).toThrow(
      /^workload: tasks\[0\]\.steps.{180,200}: nested deeper than 200 levels$/,
    );
    expect(() => parseScenario(`{"tasks":${'['.repeat(50_000)}${']'.repeat(50_000)}}`)).toThrow(
      /^workload: tasks\[0\]: /,
    );
  });
});

describe('a topology', () => {
  it('is a shape, threads of a core side by side', () => {
    const { topology } = parseTopology('2n2l2c2t');
    expect(topology.cpus).toBe(16);
    expect(topology.siblings[5]).toEqual([4, 5]);
    expect(topology.llcCpus[5]).toEqual([4, 5, 6, 7]);
    expect(topology.nodeCpus[5]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(parseTopology('3c').topology.cpus).toBe(3);
  });

  it('or a description', () => {
    const { topology, capacities, frequencies, lowestFrequencies, costs } = parseTopology(
      '{"cpus": [{"count": 2}, {"count": 1, "threads": 2, "llc": 1, "capacity": 512, "frequency": 768, "lowest": 300}], "costs": {"ipi": "2us"}}',
    );
    expect(topology.places.map(({ llc, core }) => [llc, core])).toEqual([
      [0, 0],
      [0, 1],
      [1, 2],
      [1, 2],
    ]);
    expect(lowestFrequencies).toEqual([205, 205, 300, 300]);
    expect([capacities, frequencies, costs]).toEqual([[1024, 1024, 512, 512], [1024, 1024, 768, 768], { ipi: 2000 }]);
  });

  it.each([
    ['4', 'topology: "4" is no shape such as 1n2l4c2t'],
    ['0c', 'topology: "0c" has 0 CPUs, wanted are 1 to 4096'],
    ['99n99l99c', /has 970299 CPUs/],
    ['{"cpus": [{"cores": 2}]}', /^topology: cpus\[0\]\.cores: unknown/],
    ['{"cpus": [{"capacity": 2000}]}', /^topology: cpus\[0\]\.capacity: wants a whole number from 1 to 1024/],
    ['{"cpus": []}', 'topology: cpus: no CPUs'],
    ['{"cpus": [{}], "costs": {"tea": 1}}', /^topology: costs\.tea: unknown/],
  ])('%s is refused', (text, message) => {
    expect(() => parseTopology(text)).toThrow(message);
  });
});
