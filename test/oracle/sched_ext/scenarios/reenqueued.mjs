import { ext, free, on1, same, times } from '../pieces.mjs';
import { affinity, fork, ms, policy, run, sleep, us, wait } from '../steps.mjs';

export const title = 'Tasks that a CPU does not take at once are enqueued again (SCX_ENQ_IMMED)';

export const part = 'exits';
/** 6.18 has no SCX_ENQ_IMMED. */
export const kernels = ['7.3'];

/** Every insertion into a local queue is to run at once or not at all. */
const immediate = { policy: 'local', flags: ['KEEP_BUILTIN_IDLE', 'ALWAYS_ENQ_IMMED'] };

export const scenarios = [
  {
    id: 'limit-on-one-cpu',
    what: 'a task that shares its CPU is inserted there again and again, until the kernel has enough',
    scheduler: immediate,
    tasks: {
      P: on1('X', 'Y'),
      X: [run(ms(6))],
      Y: [run(ms(6))],
    },
  },
  {
    id: 'limit-after-wakeups',
    what: 'the same where the CPU was free for the task at first',
    scheduler: immediate,
    tasks: {
      P: [affinity('self', 0), ext, fork('X'), wait()],
      X: [affinity('self', 1), ...times(3, run(us(500)), sleep(us(500))), fork('Y'), run(ms(4)), wait()],
      Y: [run(ms(2))],
    },
  },
  {
    id: 'free-cpu',
    what: 'a task that finds its CPU free at each wake-up is inserted there and runs, without being enqueued again',
    scheduler: immediate,
    tasks: {
      P: [affinity('self', 0), fork('X'), sleep(ms(2)), policy('X', 'ext'), wait()],
      X: [affinity('self', 1), sleep(ms(5)), ...times(4, run(us(900)), sleep(us(700)))],
    },
  },
  {
    id: 'shared-queue-between',
    what: 'tasks wait in a shared queue, from which a CPU takes each when it has none, as it has to run there at once',
    scheduler: { ...immediate, policy: 'fifo' },
    tasks: {
      P: free('A', 'B', 'C'),
      ...same(['A', 'B'], [run(ms(7))]),
      C: times(3, run(ms(1)), sleep(us(600))),
    },
  },
];
