import { affinity, fork, ms, policy, run, sleep, wait } from '../steps.mjs';

export const title = 'Schedulers that are thrown out';

const tasks = {
  P: [affinity('self', 1), policy('self', 'ext'), fork('X'), fork('Y'), wait()],
  X: [run(ms(6)), sleep(ms(1)), run(ms(1))],
  Y: [run(ms(6))],
};

const free = { ...tasks, P: [policy('self', 'ext'), fork('X'), fork('Y'), wait()] };

const MISTAKES = {
  'select-bad-cpu': 'select_cpu returns a CPU that does not exist',
  'enqueue-no-dsq': 'enqueue inserts into a queue that does not exist',
  'enqueue-twice': 'enqueue inserts a task twice',
  'enqueue-error': 'enqueue calls scx_bpf_error',
  'enqueue-exit': 'enqueue calls scx_bpf_exit',
  'local-on-wrong-cpu': 'enqueue inserts on a CPU that the task may not use',
  'local-on-no-cpu': 'enqueue inserts on a CPU that does not exist',
  'init-fails': 'init returns an error',
  'init-task-fails': 'init_task refuses the tasks that exist',
  'fork-fails': 'init_task refuses a new task',
};

export const scenarios = [
  ...Object.entries(MISTAKES).map(([mistake, what]) => ({
    id: mistake,
    what,
    scheduler: { mistake, mistakeAfter: mistake.startsWith('enqueue') || mistake === 'fork-fails' ? 1 : 0 },
    // Nobody asks where a task of one CPU should run.
    tasks: mistake === 'select-bad-cpu' ? free : tasks,
  })),
  {
    id: 'enqueue-nothing',
    what: 'enqueue forgets a task, and the watchdog finds it',
    scheduler: { mistake: 'enqueue-nothing', mistakeAfter: 2, timeoutMs: 1000 },
    tasks: {
      P: [affinity('self', 1), policy('self', 'ext'), fork('X'), fork('Y'), wait()],
      X: [run(ms(6))],
      Y: [run(ms(6))],
    },
  },
];
