import { affinity, fork, ms, policy, run, sleep, wait } from '../steps.mjs';

export const title = 'What schedulers do with tasks, and what happens without an op';

const pair = {
  P: [affinity('self', 1), policy('self', 'ext'), fork('X'), fork('Y'), wait()],
  X: [run(ms(16)), sleep(ms(2)), run(ms(2))],
  Y: [run(ms(10)), sleep(ms(1)), run(ms(2))],
};
const free = {
  P: [policy('self', 'ext'), fork('X'), fork('Y'), fork('Z'), wait()],
  X: [run(ms(8)), sleep(ms(2)), run(ms(2))],
  Y: [run(ms(8)), sleep(ms(1)), run(ms(2))],
  Z: [sleep(ms(1)), run(ms(6))],
};

export const scenarios = [
  ...['vtime', 'global', 'local', 'pid'].flatMap((name) => [
    { id: `${name}-pair`, what: `policy ${name}, two tasks on one CPU`, scheduler: { policy: name }, tasks: pair },
    { id: `${name}-free`, what: `policy ${name}, three tasks on two CPUs`, scheduler: { policy: name }, tasks: free },
  ]),
  ...['select_cpu', 'enqueue', 'dispatch', 'dequeue', 'tick'].map((op) => ({
    id: `without-${op}`,
    what: `a scheduler without ${op}`,
    scheduler: { without: [op], policy: op === 'dispatch' ? 'local' : 'fifo' },
    tasks: op === 'enqueue' ? pair : free,
  })),
  {
    id: 'without-running-stopping',
    what: 'a scheduler without running and stopping',
    scheduler: { without: ['running', 'stopping'] },
    tasks: pair,
  },
  {
    id: 'without-task-ops',
    what: 'a scheduler without runnable, quiescent, enable and disable',
    scheduler: { without: ['runnable', 'quiescent', 'enable', 'disable'] },
    tasks: pair,
  },
  {
    id: 'full-pair',
    what: 'all tasks of the machine',
    scheduler: { partial: false },
    tasks: { P: [affinity('self', 1), fork('X'), fork('Y'), wait()], X: [run(ms(10))], Y: [run(ms(10))] },
  },
  {
    id: 'full-free',
    what: 'all tasks of the machine, two CPUs',
    scheduler: { partial: false },
    tasks: {
      P: [fork('X'), fork('Y'), fork('Z'), wait()],
      X: [run(ms(8)), sleep(ms(2)), run(ms(2))],
      Y: [run(ms(8))],
      Z: [sleep(ms(2)), run(ms(4))],
    },
  },
];
