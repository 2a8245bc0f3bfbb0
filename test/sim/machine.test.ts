import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { ACCESS_RO, ACCESS_UNMODELLED } from '../../assembly/abi.js';
import { InputError } from '../../src/errors.js';
import { Kernel } from '../../src/kernel/kernel.js';
import { openObject } from '../../src/loader/index.js';
import {
  affinity,
  cont,
  exit,
  fork,
  kill,
  ms,
  nice,
  policy,
  read,
  run,
  SimMachine,
  type SimTask,
  type SimTasks,
  sleep,
  stop,
  Workload,
  wait,
  write,
} from '../../src/sim/index.js';

// The machine under the tracing scheduler, which notes what it is asked: rules of the scheduler core, one by one.

const OBJECT = new Uint8Array(readFileSync(new URL('../../samples/scx_trace.bpf.o', import.meta.url)));
const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

interface Outcome {
  machine: SimMachine;
  workload: Workload;
  /** `time task` of each switch to a task of the workload. */
  switches: string[];
  /** Tasks that were changed, again for each change. */
  changes: string[];
  task: (name: string) => SimTask;
}

interface Options {
  profile?: string;
  cpus?: number;
  until?: number;
  prepare?: (machine: SimMachine) => void;
}

async function simulate(
  tasks: SimTasks,
  { profile = '7.3', cpus = 2, until = ms(400), prepare }: Options = {},
): Promise<Outcome> {
  const kernel = await Kernel.create({ profile, cpus, windowBytes: 1 << 25 });
  kernels.push(kernel);
  const machine = new SimMachine(kernel);
  prepare?.(machine);
  machine.kthreads.start();
  const object = openObject(OBJECT, { name: 'scx_trace' });
  object.variable('slice_ns').set(ms(5));
  object.structOpsMap('trace_ops').set('flags', 1 | 8);
  object.load(kernel);
  object.structOpsMap('trace_ops').attach();
  const workload = new Workload(machine, tasks);
  const switches: string[] = [];
  const changes: string[] = [];
  machine.onChanged = (task) => changes.push(task.name);
  machine.onSwitch = (cpu, _before, after) => {
    if (after && after.name in tasks) switches.push(`${(machine.now / 1e6).toFixed(0)} ${after.name} ${cpu.id}`);
  };
  machine.interrupt(machine.cpus[0]!, () => {
    const root = workload.root();
    if (typeof root !== 'number') machine.wakeups.wakeNew(root);
  });
  machine.runUntil(until, () => workload.done);
  return { machine, workload, switches, changes, task: (name) => workload.tasks.get(name) as SimTask };
}

const ext = policy('self', 'ext');
const pinned = affinity('self', 1);

describe.each(['7.3', '6.18', '6.12'])('the machine as %s', (profile) => {
  it('gives the CPU to the next task at the first tick behind the end of a slice', async () => {
    const busy = { P: [pinned, ext, fork('X'), fork('Y'), wait()], X: [run(ms(12))], Y: [run(ms(12))] };
    const { switches, workload } = await simulate(busy, { profile });
    const turns = switches.filter((line) => /X|Y/.test(line)).map((line) => line.split(' ')[1]);
    expect(turns.slice(0, 4)).toEqual(['X', 'Y', 'X', 'Y']);
    expect(workload.done).toBe(true);
  });

  it('runs a task for exactly the CPU time that its program uses', async () => {
    const { task } = await simulate({ P: [ext, run(ms(7)), sleep(ms(3)), run(ms(2))] }, { profile });
    const used = task('P').kt.sumExecRuntime;
    expect(used).toBeGreaterThanOrEqual(ms(9));
    expect(used).toBeLessThan(ms(9) + 200_000);
  });

  const rest = sleep(ms(1000));

  it('keeps since when the run time of a task is not accounted yet', async () => {
    const seen: number[] = [];
    const prepare = (machine: SimMachine) => {
      machine.onWake = () => {
        for (const { task } of machine.cpus) {
          if (task) seen.push(machine.now - machine.kernel.tasks.fields.execStart.get(task.kt.ptr));
        }
      };
    };
    const tasks = {
      P: [ext, fork('X'), run(ms(12)), rest],
      X: [ext, sleep(ms(1)), sleep(ms(2)), sleep(ms(3)), sleep(ms(3)), rest],
    };
    const { task, machine } = await simulate(tasks, { profile, prepare });
    // Accounted when it was switched to, and by each tick since then.
    expect(seen.length).toBeGreaterThan(3);
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...seen)).toBeLessThanOrEqual(ms(4));
    const at = machine.kernel.tasks.fields.execStart.get(task('P').kt.ptr);
    expect(at).toBeGreaterThanOrEqual(ms(12));
    expect(at).toBeLessThan(ms(14));
    // That of an idle task is when its CPU had nothing to do last.
    const idle = machine.cpus.map(({ rq }) => machine.kernel.tasks.fields.execStart.get(rq.idle.ptr));
    expect(Math.max(...idle)).toBe(at);
  });

  it('counts how often a task got a CPU, and how long it waited for that', async () => {
    const tasks = {
      P: [pinned, ext, fork('X'), fork('Y'), rest],
      X: [run(ms(12)), sleep(ms(2)), run(ms(1)), rest],
      Y: [run(ms(9)), nice('self', 3), run(ms(4)), rest],
    };
    const { machine, switches, task } = await simulate(tasks, { profile });
    const { layout } = machine.kernel.tasks;
    const info = (name: string, path: 'pcount' | 'run_delay' | 'last_arrival' | 'last_queued') =>
      layout.tryField(`sched_info.${path}`)?.get(task(name).kt.ptr);
    if (profile === '6.12') {
      // Its configuration has no CONFIG_SCHED_INFO.
      expect(info('X', 'pcount')).toBeUndefined();
      return;
    }
    for (const name of ['X', 'Y']) {
      const own = switches.filter((line) => line.split(' ')[1] === name);
      expect(info(name, 'pcount')).toBe(own.length);
      expect((info(name, 'last_arrival')! / 1e6).toFixed(0)).toBe(own.at(-1)!.split(' ')[0]);
      expect(info(name, 'last_queued')).toBe(0);
    }
    // On one CPU each waits while the other runs.
    const [x, y] = [info('X', 'run_delay')!, info('Y', 'run_delay')!];
    expect(Math.min(x, y)).toBeGreaterThan(ms(8));
    expect(Math.max(x, y)).toBeLessThan(ms(14));
  });

  it('keeps virtual time of the fair class to itself, and counts whom of its tasks a task wakes', async () => {
    const { machine, task } = await simulate(
      {
        P: [ext, fork('X'), fork('O'), sleep(ms(1)), write('p'), write('q'), sleep(ms(5)), write('q'), rest],
        X: [read('p'), rest],
        O: [policy('self', 'other'), read('q'), read('q'), rest],
      },
      { profile },
    );
    const { layout } = machine.kernel.tasks;
    const { ptr } = task('O').kt;
    const access = (name: string) =>
      machine.kernel.memory.accessAt(task(name).kt.ptr + layout.field('se.avg.util_avg').offset);
    expect([access('X'), access('O')]).toEqual([ACCESS_RO, ACCESS_UNMODELLED]);
    const at = (path: 'wakee_flips' | 'last_wakee', name: string) => layout.field(path).get(task(name).kt.ptr);
    expect([at('wakee_flips', 'P'), at('last_wakee', 'P')]).toEqual([1, ptr]);
    expect([at('wakee_flips', 'X'), at('last_wakee', 'X')]).toEqual([0, 0]);
  });

  it('lets a real-time task take the CPU at once, and the other go on with what was left of its slice', async () => {
    const { switches } = await simulate(
      {
        P: [pinned, ext, fork('X'), fork('R'), wait()],
        X: [run(ms(30))],
        R: [policy('self', 'fifo', 10), sleep(ms(6)), run(ms(2))],
      },
      { profile },
    );
    const after = switches.slice(switches.findLastIndex((line) => line.includes('R')));
    expect(after[1]).toContain('X');
  });

  describe('whose CPU waits 3 ms for the lock of the run queue that its next task comes from', () => {
    const waits = (machine: SimMachine) => {
      let left = 1;
      machine.timing.moved = () => machine.now + (left-- > 0 ? ms(3) : 0);
    };
    const turns = async (extra: SimTasks, prepare: (machine: SimMachine) => void) => {
      const more = Object.keys(extra).map((name) => fork(name));
      const tasks = { P: [pinned, ext, ...more, fork('X'), fork('Y'), wait()], X: [run(ms(12))], Y: [run(ms(12))] };
      const { switches } = await simulate({ ...tasks, ...extra }, { profile, prepare });
      const at = switches.findIndex((line) => / X /.test(line));
      return switches.slice(at, at + 2).map((line) => line.split(' '));
    };

    it('switches then', async () => {
      const [, [at, name] = []] = await turns({}, () => {});
      expect(name).toBe('Y');
      expect(await turns({}, waits)).toEqual([expect.anything(), [String(Number(at) + 3), 'Y', '1']]);
    });

    it('gives the CPU to a real-time task that has come meanwhile', async () => {
      const [, [at] = []] = await turns({}, () => {});
      const late = { R: [policy('self', 'fifo', 10), sleep(ms(Number(at) + 1)), run(ms(1))] };
      expect((await turns(late, () => {}))[1]![1]).toBe('Y');
      expect((await turns(late, waits))[1]![1]).toBe('R');
    });
  });

  it('starts a child, and goes on behind that, once it holds the lock of the run queue that it has found for it', async () => {
    const begins = async (prepare: (machine: SimMachine) => void) => {
      const tasks = { P: [ext, fork('X'), fork('Y'), wait()], X: [run(ms(9))], Y: [run(ms(9))] };
      const { switches, workload } = await simulate(tasks, { profile, cpus: 3, prepare });
      expect(workload.done).toBe(true);
      return ['X', 'Y'].map((name) => Number(switches.find((line) => line.includes(` ${name} `))!.split(' ')[0]));
    };
    const [x, y] = await begins(() => {});
    const waits = (machine: SimMachine) => {
      machine.timing.locks = ({ name }) => machine.now + (name === 'X' ? ms(3) : 0);
    };
    expect(await begins(waits)).toEqual([x! + 3, y! + 3]);
  });

  it('wakes who waits at a pipe, and who waits for a child', async () => {
    const { workload, task } = await simulate(
      { P: [ext, fork('X'), fork('Y'), wait()], X: [run(ms(1)), write(0)], Y: [read(0), run(ms(1)), exit(3)] },
      { profile },
    );
    expect(workload.done).toBe(true);
    expect(task('Y').exitStatus).toBe(3 << 8);
  });

  it('lets a stopped task sleep on when what it waited for comes', async () => {
    const { switches, workload } = await simulate(
      {
        P: [
          ext,
          fork('A'),
          fork('B'),
          fork('S'),
          sleep(ms(4)),
          stop('A'),
          stop('S'),
          sleep(ms(6)),
          write(0),
          sleep(ms(10)),
          cont('A'),
          cont('S'),
          write(0),
          wait(),
        ],
        A: [pinned, read(0), run(ms(1))],
        B: [pinned, sleep(ms(2)), read(0), run(ms(1))],
        S: [pinned, sleep(ms(8)), run(ms(1))],
      },
      { profile },
    );
    const runs = (name: string) =>
      switches.filter((line) => line.includes(` ${name} `)).map((line) => parseInt(line, 10));
    expect(workload.done).toBe(true);
    // The byte is for who does not sleep because of a signal; the others go on when they may.
    expect(runs('B').some((time) => time >= 10 && time < 16)).toBe(true);
    for (const name of ['A', 'S']) expect(runs(name).some((time) => time > 6 && time < 20)).toBe(false);
    for (const name of ['A', 'S']) expect(runs(name).at(-1)).toBeGreaterThanOrEqual(20);
  });

  it('ends a task that is killed while it sleeps', async () => {
    const { workload, task, machine } = await simulate(
      { P: [ext, fork('X'), sleep(ms(2)), kill('X'), wait()], X: [sleep(ms(100))] },
      { profile },
    );
    expect(workload.done).toBe(true);
    expect(task('X').exitStatus).toBe(9);
    expect(machine.now).toBeLessThan(ms(20));
  });

  it('moves a running task away from a CPU that it may not use any more', async () => {
    const { switches, task } = await simulate(
      {
        P: [ext, fork('X'), affinity('self', 0), sleep(ms(2)), affinity('X', 1), wait()],
        X: [affinity('self', 0), run(ms(6))],
      },
      { profile },
    );
    expect(switches.filter((line) => line.includes('X')).pop()).toMatch(/ 1$/);
    expect(task('X').dead).toBe(true);
  });
});

it('takes a task out and puts it back that is given the fair policy that it has, and does not for SCHED_IDLE', async () => {
  const times = async (name: 'ext' | 'batch' | 'idle' | 'fifo') => {
    const set = policy('self', name, name === 'fifo' ? 1 : 0);
    const once = await simulate({ P: [set, run(ms(1))] });
    const again = await simulate({ P: [set, set, run(ms(1))] });
    return again.changes.length - once.changes.length;
  };
  expect([await times('ext'), await times('batch'), await times('idle'), await times('fifo')]).toEqual([1, 1, 0, 0]);
});

it('does the same twice', async () => {
  const tasks = {
    P: [ext, fork('X'), fork('Y'), wait()],
    X: [run(ms(9)), sleep(ms(1)), run(ms(3))],
    Y: [nice('self', 5), run(ms(8))],
  };
  const [one, two] = [await simulate(tasks), await simulate(tasks)];
  expect(two.switches).toEqual(one.switches);
  expect(one.switches.length).toBeGreaterThan(5);
});

it('refuses scenarios that name what does not exist', async () => {
  await expect(simulate({ P: [fork('Q')] })).rejects.toThrow(new InputError('scenario: tasks[0].steps[0]: no task Q'));
  await expect(simulate({ P: [affinity('self', 9)] })).rejects.toThrow(
    new InputError('scenario: tasks[0].steps[0]: no CPU 9'),
  );
  await expect(simulate({ P: [run(-1)] })).rejects.toThrow(InputError);
});
