import {
  affinity,
  cgroupWeight,
  cont,
  cpu,
  enterCgroup,
  fork,
  kill,
  makeCgroup,
  ms,
  nice,
  policy,
  removeCgroup,
  run,
  sleep,
  stop,
  wait,
} from '../steps.mjs';

export const title = 'A task is changed from outside: killed, stopped, niced, moved, demoted';

/**
 * P stays on CPU 0 and does something to X, which is on CPU 1: running, waiting behind Y, or asleep.
 */
const states = {
  running: { X: [run(ms(14))] },
  queued: { X: [sleep(ms(1)), run(ms(6))], Y: [run(ms(20))] },
  sleeping: { X: [run(ms(1)), sleep(ms(20)), run(ms(1))] },
};
function changes(name, what, steps, scheduler = {}) {
  return Object.entries(states).map(([state, tasks]) => ({
    id: `${name}-${state}`,
    what: `${what} while it is ${state}`,
    scheduler,
    tasks: {
      P: [
        affinity('self', 1),
        policy('self', 'ext'),
        ...(tasks.Y ? [fork('Y')] : []),
        fork('X'),
        affinity('self', 0),
        sleep(ms(4)),
        ...steps,
        wait(),
      ],
      ...tasks,
    },
  }));
}

export const scenarios = [
  ...changes('kill', 'a task is killed', [kill('X')]),
  ...changes('kill-enqexiting', 'a task is killed with SCX_OPS_ENQ_EXITING', [kill('X')], { flags: ['ENQ_EXITING'] }),
  ...changes('stop', 'a task is stopped and goes on later', [stop('X'), sleep(ms(3)), cont('X')]),
  ...changes('nice', 'a task is niced', [nice('X', 10), sleep(ms(1)), nice('X', 0)]),
  ...changes('affinity', 'a task may run on the other CPU only', [affinity('X', 0)]),
  ...changes('widen', 'a task may run on both CPUs', [affinity('X', 0, 1)]),
  ...changes('policy', 'a task leaves the scheduler and comes back', [
    policy('X', 'other'),
    sleep(ms(2)),
    policy('X', 'ext'),
  ]),
  ...changes('rt', 'a task becomes a real-time one and comes back', [
    policy('X', 'fifo', 10),
    sleep(ms(2)),
    policy('X', 'ext'),
  ]),
  ...changes('cgroup', 'a task enters a cgroup', [
    makeCgroup('g'),
    cgroupWeight('g', 300),
    enterCgroup('X', 'g'),
    sleep(ms(1)),
  ]).map((scenario) => ({
    ...scenario,
    tasks: { ...scenario.tasks, P: [...scenario.tasks.P, removeCgroup('g')] },
  })),
  {
    id: 'rt-preempts',
    what: 'a real-time task runs while a task has slice left',
    tasks: {
      P: [affinity('self', 1), policy('self', 'ext'), fork('X'), fork('R'), wait()],
      X: [run(ms(14))],
      R: [policy('self', 'fifo', 10), sleep(ms(2)), run(ms(2)), sleep(ms(2)), run(ms(1))],
    },
  },
  {
    id: 'rt-preempts-queued',
    what: 'the same with a second task waiting',
    tasks: {
      P: [affinity('self', 1), policy('self', 'ext'), fork('X'), fork('Y'), fork('R'), wait()],
      X: [run(ms(10))],
      Y: [run(ms(10))],
      R: [policy('self', 'fifo', 10), sleep(ms(2)), run(ms(2)), sleep(ms(2)), run(ms(1))],
    },
  },
  {
    id: 'rt-two-cpus',
    what: 'a real-time task while the other CPU is idle',
    tasks: {
      P: [policy('self', 'ext'), fork('X'), fork('R'), wait()],
      X: [affinity('self', 0, 1), run(ms(12))],
      R: [affinity('self', 1), policy('self', 'fifo', 10), sleep(ms(2)), run(ms(3)), sleep(ms(1)), run(ms(1))],
    },
  },
  {
    id: 'rt-no-acquire',
    what: 'a real-time task, without cpu_acquire and cpu_release',
    scheduler: { without: ['cpu_acquire', 'cpu_release'] },
    tasks: {
      P: [affinity('self', 1), policy('self', 'ext'), fork('X'), fork('R'), wait()],
      X: [run(ms(14))],
      R: [policy('self', 'fifo', 10), sleep(ms(2)), run(ms(2))],
    },
  },
  {
    id: 'affinity-self',
    what: 'a task moves itself from CPU to CPU',
    tasks: {
      P: [policy('self', 'ext'), fork('X'), wait()],
      X: [affinity('self', 1), run(ms(2)), affinity('self', 0), run(ms(2)), affinity('self', 0, 1), run(ms(2))],
    },
  },
  {
    id: 'hotplug',
    what: 'a CPU goes and comes back while tasks run',
    scheduler: { without: [] },
    tasks: {
      P: [
        affinity('self', 0),
        policy('self', 'ext'),
        fork('X'),
        sleep(ms(4)),
        cpu(1, false),
        sleep(ms(4)),
        cpu(1, true),
        sleep(ms(4)),
        wait(),
      ],
      X: [affinity('self', 0, 1), run(ms(3)), sleep(ms(2)), run(ms(20))],
    },
  },
];
