import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/errors.js';
import { Kernel, openObject } from '../../src/index.js';
import {
  barrier,
  broadcast,
  condWait,
  forever,
  fork,
  formatReport,
  lock,
  Machine,
  ms,
  policy,
  repeat,
  resume,
  run,
  runScheduler,
  type Scenario,
  type SimReport,
  simulate,
  sleep,
  suspend,
  timer,
  UPTIME_NS,
  unlock,
  us,
} from '../../src/sim/index.js';

const object = (name: string) => new Uint8Array(readFileSync(new URL(`../../samples/${name}.bpf.o`, import.meta.url)));
const fifo = object('scx_fifo');
const kernel = { windowBytes: 1 << 26 };

const PROFILES = ['7.3', '6.18', '6.12'];

describe.each(PROFILES)('the FIFO sample under the default workload, as %s', (profile) => {
  it('accounts for every ns of tasks and CPUs', async () => {
    const report = await simulate(fifo, { kernel: { ...kernel, profile }, durationNs: ms(300) });
    expect(report.simulatedNs).toBe(ms(300));
    for (const task of report.tasks) {
      const life = (task.exitedAtNs < 0 ? report.simulatedNs : task.exitedAtNs) - task.bornAtNs;
      expect([task.name, task.runNs + task.waitNs + task.sleepNs]).toEqual([task.name, life]);
      expect(task.wakeupLatencyNs.max).toBeLessThanOrEqual(task.waitNs);
    }
    for (const { busyNs, idleNs } of report.cpus) expect(busyNs + idleNs).toBe(ms(300));
    const busy = report.cpus.reduce((sum, cpu) => sum + cpu.busyNs, 0);
    const ran = report.tasks.reduce((sum, task) => sum + task.runNs, 0);
    // The rest are the machine's own threads.
    expect(busy).toBeGreaterThanOrEqual(ran);
    expect(busy).toBeLessThan(ran * 1.01);
    const groups = report.groups.reduce((sum, group) => sum + group.runNs, 0);
    expect(groups).toBe(ran);
  });

  it('knows how long tasks were on which queue', async () => {
    const { dsqs, groups } = await simulate(fifo, { kernel: { ...kernel, profile }, durationNs: ms(300) });
    const shared = dsqs.find(({ name }) => name === '0x0')!;
    const local = dsqs.find(({ name }) => name === 'local')!;
    expect(shared.maxDepth).toBeGreaterThan(1);
    // Little's law, but for tasks that are on it at the end.
    const mean = (shared.latencyNs.mean * shared.latencyNs.count) / ms(300);
    expect(Math.abs(shared.meanDepth - mean)).toBeLessThan(0.1 * mean + 0.5);
    expect(local.inserts).toBeGreaterThan(shared.latencyNs.count);
    const longest = Math.max(...groups.map(({ runDelayNs }) => runDelayNs.max));
    expect(shared.latencyNs.max).toBeLessThanOrEqual(longest);
  });

  it('calls ops in balance', async () => {
    const { callbacks, outcome, exit } = await simulate(fifo, { kernel: { ...kernel, profile }, durationNs: ms(300) });
    const count = (op: string) => callbacks[op]?.count ?? 0;
    expect(count('running')).toBe(count('stopping'));
    expect(count('runnable')).toBe(count('quiescent'));
    expect(count('init_task')).toBe(count('exit_task'));
    expect([count('init'), count('exit')]).toEqual([1, 1]);
    for (const [op, { insns }] of Object.entries(callbacks)) expect([op, insns > 0]).toEqual([op, true]);
    expect(outcome).toBe('clean');
    expect(exit).toEqual({ kind: 64, kindName: 'UNREG', code: 0, reason: 'unregistered from user space', message: '' });
  });
});

describe('determinism', () => {
  const options = { kernel, durationNs: ms(100) };
  it('gives the same report twice, and another one for another seed', async () => {
    const one = await simulate(fifo, options);
    expect(await simulate(fifo, options)).toEqual(one);
    expect(JSON.parse(JSON.stringify(one))).toEqual(one);
    expect(await simulate(fifo, { ...options, seed: 2 })).not.toEqual({ ...one, seed: 2 });
  });

  it('draws what a task draws whatever runs beside it', async () => {
    const task = { name: 'a', steps: [repeat(20, run({ exponential: us(500) }))] };
    const alone = await simulate(fifo, { ...options, scenario: { tasks: [task] } });
    const beside = { name: 'b', steps: [forever(run({ uniform: [us(1), us(900)] }))] };
    const together = await simulate(fifo, { ...options, scenario: { tasks: [task, beside] } });
    expect(together.tasks[0]!.runNs).toBe(alone.tasks[0]!.runNs);
  });
});

describe('the process of a scheduler that schedules from user space', () => {
  it('does a round each time that it has a CPU, under the scheduler itself', async () => {
    const k = await Kernel.create({ ...kernel, cpus: 1 });
    const machine = new Machine(k);
    const process = machine.process('agent');
    const opened = openObject(fifo);
    opened.load(k);
    let rounds = 0;
    process.runs({ step: () => rounds++ });
    machine.load({ tasks: [{ name: 'hog', steps: [run(ms(30))] }] });
    const link = opened.structOps[0]!.attach();
    machine.run(ms(20));
    expect(process.task.ext).toBe(true);
    expect(process.pid).toBe(process.task.kt.pid);
    const { tasks } = machine.report();
    const [agent, hog] = tasks;
    expect(agent!.name).toBe('agent');
    expect(rounds).toBeGreaterThanOrEqual(1);
    // It yields after each round: the hog has the rest.
    expect(agent!.runNs).toBeLessThan(ms(1));
    expect(hog!.runNs).toBeGreaterThan(ms(18));
    link.destroy();
    k.dispose();
  });
});

describe("the loop of a scheduler's user-space half", () => {
  it('is called each period, and not once the scheduler has gone', async () => {
    const at: number[] = [];
    const report = await simulate(fifo, {
      kernel,
      durationNs: ms(35),
      periodNs: ms(10),
      periodically: (_, { clock }) => at.push(clock.now - UPTIME_NS),
    });
    expect(at).toEqual([ms(10), ms(20), ms(30)]);
    expect(report.simulatedNs).toBe(ms(35));
  });

  it('wants a period that is one', async () => {
    const wrong = { kernel, periodically: () => {}, periodNs: 1.5 };
    await expect(simulate(fifo, wrong)).rejects.toThrow('periodNs is 1.5, not a whole number of ns above 0');
  });
});

describe('fairness by weight', () => {
  const hogs: Scenario['tasks'] = [
    { name: 'heavy', nice: 0, steps: [forever(run(ms(1)))] },
    { name: 'other', nice: 0, steps: [forever(run(ms(1)))] },
  ];
  const fairnessOf = async (tasks: Scenario['tasks']) =>
    (await simulate(fifo, { kernel, topology: '1c', durationNs: ms(1000), scenario: { tasks } })).fairness;

  it('is that of long-running tasks, whatever short ones come and go', async () => {
    const quick = { name: 'quick', copies: 40, startNs: { uniform: [0, ms(900)] as const }, steps: [run(us(50))] };
    const alone = await fairnessOf(hogs);
    expect(alone.backlogged).toBe(2);
    expect(alone.weightedJain).toBeGreaterThan(0.98);
    const together = await fairnessOf([...hogs, quick]);
    expect(together.backlogged).toBe(2);
    expect(together.weightedJain).toBeGreaterThan(0.98);
  });

  it('sees that a queue gives the same to all weights, and leaves out who sleeps', async () => {
    const light = { ...hogs[1]!, nice: 19 };
    const sleeper = { name: 'sleeper', steps: [forever(run(us(10)), sleep(ms(5)))] };
    const { backlogged, weightedJain } = await fairnessOf([hogs[0]!, light, sleeper]);
    expect(backlogged).toBe(2);
    expect(weightedJain).toBeLessThan(0.6);
  });
});

const one = async (scenario: Scenario, more = {}): Promise<SimReport> =>
  simulate(fifo, { kernel, durationNs: ms(200), scenario, ...more });
const of = (report: SimReport, name: string) => report.tasks.find((task) => task.name === name)!;

describe('steps', () => {
  it('sleep until the periods of a timer, however long the work takes', async () => {
    const report = await one({ tasks: [{ name: 'a', steps: [repeat(10, timer('t', ms(10)), run(ms(3)))] }] });
    const { exitedAtNs, wakeups } = of(report, 'a');
    expect(exitedAtNs / 1e6).toBeCloseTo(103, 0);
    expect(wakeups).toBe(11);
  });

  it('do not sleep for a period that has gone', async () => {
    const report = await one({ tasks: [{ name: 'a', steps: [repeat(5, timer('t', ms(2)), run(ms(5)))] }] });
    expect(of(report, 'a').wakeups).toBe(2);
  });

  it('let one task at a time hold a mutex', async () => {
    const steps = [repeat(5, lock('m'), run(ms(2)), unlock('m'))];
    const report = await one({ tasks: [{ name: 'a', copies: 3, steps }] });
    const last = Math.max(...report.tasks.map(({ exitedAtNs }) => exitedAtNs));
    expect(last).toBeGreaterThan(3 * 5 * ms(2));
    expect(last).toBeLessThan(ms(31));
  });

  it('wait for a condition with the mutex given back, and for others at a barrier', async () => {
    const report = await one({
      tasks: [
        { name: 'w', copies: 3, steps: [lock('m'), condWait('c', 'm'), unlock('m'), barrier('b', 4), run(ms(1))] },
        { name: 's', steps: [sleep(ms(20)), lock('m'), broadcast('c'), unlock('m'), sleep(ms(20)), barrier('b', 4)] },
      ],
    });
    for (const task of report.tasks) expect(task.exitedAtNs / 1e6).toBeCloseTo(task.name === 's' ? 40 : 41, 0);
  });

  it('sleep until they are resumed', async () => {
    const report = await one({
      tasks: [
        { name: 'a', steps: [suspend('p'), run(ms(1))] },
        { name: 'b', steps: [sleep(ms(30)), resume('p')] },
      ],
    });
    expect(of(report, 'a').exitedAtNs / 1e6).toBeCloseTo(31, 0);
  });

  it('take longer on a smaller or slower CPU', async () => {
    const topology = '{"cpus": [{"capacity": 512}, {"frequency": 256}, {}]}';
    const tasks = [0, 1, 2].map((cpu) => ({ name: `cpu${cpu}`, cpus: [cpu], steps: [run(ms(10))] }));
    const report = await one({ tasks }, { topology });
    const ran = report.tasks.map(({ runNs }) => Math.round(runNs / 1e6));
    expect(ran).toEqual([20, 40, 10]);
  });

  it('that take no time for ever are a mistake, and so are those that take next to none', async () => {
    await expect(one({ tasks: [{ name: 'a', steps: [forever(run(0))] }] })).rejects.toThrow(InputError);
    const tiny: Scenario = { tasks: [{ name: 'a', steps: [repeat(1e9, repeat(1e9, run(1)))] }] };
    await expect(one(tiny)).rejects.toThrow(
      /task a: 1000000 steps within \d+ ns, at \d+ ns: a loop that takes hardly any/,
    );
  });
});

describe('the deadline class', () => {
  const deadline = (runtimeNs: number, periodNs: number) => ({ runtimeNs, deadlineNs: periodNs, periodNs });
  const hog = { cpus: [1], steps: [forever(run(ms(50)))] };

  it('gives a task its runtime in each period, and no more in the long run', async () => {
    const tasks = [
      { ...hog, name: 'dl', policy: 'deadline' as const, deadline: deadline(ms(5), ms(20)) },
      { ...hog, name: 'ext' },
    ];
    const report = await one({ tasks }, { durationNs: ms(1000) });
    expect(of(report, 'dl').runNs / 1e6).toBeGreaterThan(235);
    expect(of(report, 'dl').runNs / 1e6).toBeLessThan(265);
    expect(of(report, 'ext').runNs / 1e6).toBeGreaterThan(730);
  });

  it('lets the earlier deadline run first', async () => {
    const task = (name: string, periodNs: number) => ({
      name,
      cpus: [1],
      policy: 'deadline' as const,
      deadline: deadline(ms(10), periodNs),
      steps: [repeat(5, run(ms(2)), sleep(ms(18)))],
    });
    const report = await one({ tasks: [task('late', ms(200)), task('soon', ms(20))] });
    expect(of(report, 'soon').waitNs).toBeLessThan(us(200));
    expect(of(report, 'late').waitNs).toBeGreaterThan(us(1900));
  });

  it('comes and goes by sched_setattr, and has no children', async () => {
    const report = await one({
      tasks: [
        {
          name: 'a',
          cpus: [1],
          steps: [
            run(ms(1)),
            { verb: 'policy', task: 'self', name: 'deadline', priority: 0, deadline: deadline(ms(4), ms(8)) },
            fork('b'),
            run(ms(3)),
            policy('self', 'ext'),
            fork('b'),
            run(ms(1)),
          ],
        },
        { name: 'b', steps: [run(ms(1))] },
      ],
    });
    expect(report.tasks.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(report.tasks.every(({ exitedAtNs }) => exitedAtNs > 0)).toBe(true);
  });
});

it('does events at their times', async () => {
  const report = await one(
    {
      tasks: [{ name: 'a', copies: 4, steps: [forever(run(ms(1)), sleep(us(100)))] }],
      events: [
        { atNs: ms(50), verb: 'nice', task: 'a', value: 10 },
        { atNs: ms(100), verb: 'affinity', task: 'a-1', cpus: [2] },
        { atNs: ms(150), verb: 'kill', task: 'a-3', signal: 9 },
      ],
    },
    {},
  );
  expect(report.tasks.map(({ weight }) => weight)).toEqual([11, 11, 11, 11]);
  expect(of(report, 'a-3').exitedAtNs / 1e6).toBeCloseTo(150, 0);
  expect(of(report, 'a-0').exitedAtNs).toBe(-1);
});

it('ends a scheduler that has no op for a hotplug event as the kernel does', async () => {
  const scenario: Scenario = {
    tasks: [{ name: 'a', copies: 3, steps: [forever(run(ms(1)))] }],
    events: [{ atNs: ms(20), verb: 'cpu', cpu: 3, online: false }],
  };
  const { exit, outcome, simulatedNs } = await one(scenario);
  expect(outcome).toBe('clean');
  expect(exit).toMatchObject({ kindName: 'UNREG_KERN', message: 'cpu 3 going offline, exiting scheduler' });
  expect(simulatedNs).toBeLessThan(ms(60));
});

it('a scheduler that a CPU’s going ends does so when the CPU has gone: until then its helper waits (cpus_read_lock)', async () => {
  for (const steps of [[{ verb: 'cpu', cpu: 3, online: false } as const, run(ms(50))], [run(ms(50))]]) {
    const machineKernel = await Kernel.create({ ...kernel, cpus: 4 });
    const machine = new Machine(machineKernel);
    const loaded = openObject(fifo, { name: 'fifo' });
    loaded.load(machineKernel);
    const event = { atNs: ms(1), verb: 'cpu', cpu: 3, online: false } as const;
    machine.load({ tasks: [{ name: 'a', steps }], events: steps.length === 1 ? [event] : [] });
    const { scx } = machine;
    const online: boolean[] = [];
    const { exit } = scx.cgroups;
    scx.cgroups.exit = (sched) => {
      online.push(machine.cpus[3]!.online);
      exit.call(scx.cgroups, sched);
    };
    const report = runScheduler(machine, loaded.structOpsMap('fifo_ops'), ms(100));
    expect(report.exit?.kindName).toBe('UNREG_KERN');
    expect(online).toEqual([false]);
    machineKernel.dispose();
  }
});

describe.each(PROFILES)('sysrq-S as %s', (profile) => {
  const tasks = [{ name: 'a', copies: 2, steps: [forever(run(ms(1)), sleep(us(100)))] }];
  const options = { kernel: { ...kernel, profile }, durationNs: ms(200) };

  it('disables the scheduler', async () => {
    const report = await simulate(fifo, {
      ...options,
      scenario: { tasks, events: [{ atNs: ms(20), verb: 'sysrq', key: 'S' }] },
    });
    expect(report.outcome).toBe('clean');
    expect(report.exit).toMatchObject({
      kindName: 'SYSRQ',
      code: 0,
      reason: 'disabled by sysrq-S',
      message: '',
    });
    expect(report.log.join('\n')).toContain('sysrq: Disable sched_ext and revert all tasks to CFS');
    expect(report.log.join('\n')).toMatch(/BPF scheduler "fifo" disabled \(disabled by sysrq-S\)/);
    expect(report.simulatedNs).toBeLessThan(ms(100));
  });

  it('comes too late for one that is on its way, and says so where there is none', async () => {
    const machineKernel = await Kernel.create(options.kernel);
    const machine = new Machine(machineKernel);
    machine.scx.disabling.sysrq();
    expect(machineKernel.log.at(-1)).toMatch(
      profile === '6.12' ? 'sched_ext: BPF scheduler not yet used' : 'sched_ext: BPF schedulers not loaded',
    );
    machineKernel.dispose();
    const events = [ms(20), ms(20) + 1000].map((atNs) => ({ atNs, verb: 'sysrq', key: 'S' }) as const);
    const { exit } = await simulate(fifo, { ...options, scenario: { tasks, events } });
    expect(exit?.kindName).toBe('SYSRQ');
  });
});

it('cpu.idle of a cgroup is told when it changes, and keeps its weight from being set', async () => {
  const machineKernel = await Kernel.create(kernel);
  const machine = new Machine(machineKernel);
  const told: [string, boolean][] = [];
  const { setIdle } = machine.scx.cgroups;
  machine.scx.cgroups.setIdle = (cgroup, idle) => {
    told.push([cgroup.path, idle]);
    setIdle.call(machine.scx.cgroups, cgroup, idle);
  };
  machine.load({
    cgroups: [{ name: 'g', weight: 50, idle: true }, { name: 'h' }],
    tasks: [
      {
        name: 'a',
        policy: 'other',
        steps: [
          { verb: 'cgweight', cgroup: 'g', weight: 7 },
          { verb: 'cgidle', cgroup: 'g', idle: false },
          { verb: 'cgweight', cgroup: 'g', weight: 8 },
        ],
      },
    ],
    events: [{ atNs: ms(1), verb: 'cgidle', cgroup: 'h', idle: true }],
  });
  expect(machineKernel.cgroups.byPath('/g')).toMatchObject({ cpuIdle: true, weight: 50 });
  machine.run(us(900));
  expect(machineKernel.cgroups.byPath('/g')).toMatchObject({ cpuIdle: false, weight: 8 });
  machine.run(ms(2));
  expect(told).toEqual([
    ['/g', true],
    ['/g', false],
    ['/h', true],
  ]);
  machineKernel.dispose();
});

it('refuses objects without a scheduler, and a scheduler that is not there', async () => {
  await expect(simulate(object('setup'), { name: 'setup.bpf.o' })).rejects.toThrow('setup.bpf.o: no scheduler');
  await expect(simulate(fifo, { map: 'lifo_ops' })).rejects.toThrow(
    'no scheduler "lifo_ops" (sched_ext_ops: fifo_ops)',
  );
  await expect(simulate(new Uint8Array(64))).rejects.toThrow(InputError);
});

it('runs on a kernel that was used before as on a fresh one', async () => {
  const scenario: Scenario = { tasks: [{ name: 'a', copies: 6, steps: [repeat(5, run(ms(2)), sleep(ms(1)))] }] };
  const own = await Kernel.create({ ...kernel, cpus: 4 });
  const machine = new Machine(own, { topology: '1n2l2c1t' });
  const rounds: unknown[] = [];
  for (let round = 0; round < 2; round++) {
    const loaded = openObject(fifo, { name: 'scx_fifo' }).load(own);
    const [link] = loaded.attach();
    const before = loaded.map('stats').lookup(0);
    const start = machine.now;
    machine.load(scenario);
    machine.run(ms(100));
    link?.destroy();
    rounds.push([loaded.map('stats').lookup(0), before, machine.now - start]);
    loaded.close();
    // To the next tick of a whole second, so that both rounds begin alike.
    machine.runUntil(Math.ceil((machine.now + 1) / 1e9) * 1e9);
  }
  own.dispose();
  expect(rounds[1]).toEqual(rounds[0]);
});

it('lets many simulations go on at once in one process, each as if alone', async () => {
  const start = async (seed: number) => {
    const own = await Kernel.create({ ...kernel, cpus: 4 });
    const machine = new Machine(own, { seed });
    openObject(fifo, { name: 'scx_fifo' }).load(own).attach();
    const duration = { exponential: us(700) };
    machine.load({ tasks: [{ name: 'a', copies: 9, steps: [forever(run(duration), sleep(duration))] }] });
    return machine;
  };
  const alone: SimReport[] = [];
  for (const seed of [1, 2, 3, 4]) {
    const machine = await start(seed);
    machine.run(ms(40));
    alone.push(machine.report());
    machine.kernel.dispose();
  }
  const together = await Promise.all([1, 2, 3, 4].map(start));
  for (let step = 0; step < 40; step++) for (const machine of together) machine.run(ms(1));
  expect(together.map((machine) => machine.report())).toEqual(alone);
  for (const machine of together) machine.kernel.dispose();
});

it('begins on a machine that has been up for a while, and counts from its own begin', async () => {
  const own = await Kernel.create({ ...kernel, cpus: 2 });
  own.clock.advanceTo(7_000_000_000);
  const machine = new Machine(own);
  openObject(fifo, { name: 'scx_fifo' }).load(own).attach();
  machine.load({ tasks: [{ name: 'a', copies: 3, steps: [repeat(4, run(ms(2)), sleep(ms(1)))] }] });
  machine.run(ms(100));
  const report = machine.report();
  own.dispose();
  expect(machine.now).toBe(7_000_000_000 + report.simulatedNs);
  expect(report.simulatedNs).toBeLessThan(ms(20));
  for (const task of report.tasks) {
    expect(task.runNs + task.waitNs + task.sleepNs).toBe(task.exitedAtNs - task.bornAtNs);
    expect(task.exitedAtNs).toBeLessThanOrEqual(report.simulatedNs);
  }
  for (const cpu of report.cpus) expect(cpu.busyNs + cpu.idleNs).toBe(report.simulatedNs);
  expect(report.workConservation.lostNs).toBeLessThan(report.simulatedNs);
  expect(report.dsqs.every(({ meanDepth }) => meanDepth < 3)).toBe(true);
});

it('tells all of it in a table', async () => {
  const report = await simulate(fifo, { kernel, durationNs: ms(20) });
  const text = formatReport(report, { object: 'scx_fifo.bpf.o' });
  expect(text).toContain('scx_fifo.bpf.o  scheduler "fifo" on Linux 7.3.4, 4 CPUs, 20.0 ms simulated');
  expect(formatReport({ ...report, cpus: report.cpus.slice(0, 1) })).toContain(' on Linux 7.3.4, 1 CPU, 20.0 ms');
  for (const { name } of report.groups) expect(text).toContain(name);
  expect(text.trimEnd().split('\n').pop()).toBe('Scheduler gone: unregistered from user space, UNREG 64.');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is looked for.
  const plain = formatReport(report, { object: 'scx_fifo.bpf.o', color: true }).replace(/\x1b\[\d+m/g, '');
  expect(plain).toBe(text);
});

describe('times that the clock does not get to', () => {
  const ever = Number.MAX_SAFE_INTEGER;

  it('are as good as never', async () => {
    const tasks = [
      { name: 'runs', steps: [run(us(10)), run({ normal: [ever, ever] as const }), run(ever), run(ever)] },
      { name: 'sleeps', steps: [run(us(10)), sleep(ever)] },
      { name: 'waits', steps: [forever(run(us(10)), timer('t', ever))] },
      { name: 'starts', startNs: ever, steps: [run(1)] },
    ];
    const events = [{ verb: 'cpu' as const, cpu: 1, online: false, atNs: ever }];
    const costs = { migration: ever };
    const report = await simulate(fifo, { kernel, scenario: { tasks, events }, costs, durationNs: ms(50) });
    expect(report).toMatchObject({ outcome: 'clean', simulatedNs: ms(50) });
    expect(report.tasks.map(({ name }) => name).sort()).toEqual(['runs', 'sleeps', 'waits']);
    const slow = { topology: '{"cpus":[{"capacity":1,"frequency":1}]}', kernel, durationNs: ms(50) };
    expect(await simulate(fifo, { ...slow, scenario: { tasks: tasks.slice(0, 1) } })).toMatchObject({
      outcome: 'clean',
    });
  });

  it('are refused as the duration', async () => {
    for (const durationNs of [ever, ever - UPTIME_NS]) {
      const simulated = simulate(fifo, {
        kernel,
        durationNs,
        scenario: { tasks: [{ name: 'a', steps: [sleep(ever)] }] },
      });
      await expect(simulated).rejects.toThrow(InputError);
    }
  });
});
