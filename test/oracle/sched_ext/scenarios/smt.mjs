import {
  affinity,
  exec,
  fork,
  futexWait,
  futexWake,
  ms,
  nice,
  policy,
  read,
  run,
  sleep,
  us,
  wait,
  write,
} from '../steps.mjs';

export const title = 'Four CPUs, two cores of two threads';

const P = (...tasks) => [policy('self', 'ext'), ...tasks.map((task) => fork(task)), wait()];
const busy = (count, steps) => {
  const names = 'ABCDEFGH'.slice(0, count).split('');
  return { P: P(...names), ...Object.fromEntries(names.map((name) => [name, steps])) };
};
const naps = [run(ms(2)), sleep(ms(2)), run(ms(2)), sleep(ms(2)), run(ms(1))];

const written = [
  { id: 'smt-two', what: 'two tasks find idle cores', tasks: busy(2, naps) },
  { id: 'smt-three', what: 'three tasks on two cores', tasks: busy(3, naps) },
  { id: 'smt-four', what: 'four tasks on four threads', tasks: busy(4, naps) },
  { id: 'smt-six', what: 'six busy tasks on four threads', tasks: busy(6, [run(ms(12))]) },
  { id: 'smt-fork-many', what: 'eight short children', tasks: busy(8, [run(ms(3))]) },
  {
    id: 'smt-six-vtime',
    what: 'six busy tasks in the order of their virtual time',
    scheduler: { policy: 'vtime' },
    tasks: busy(6, [run(ms(12))]),
  },
  {
    id: 'smt-six-global',
    what: 'six busy tasks on the global queue',
    scheduler: { policy: 'global' },
    tasks: busy(6, [run(ms(12))]),
  },
  {
    id: 'smt-six-local',
    what: 'six busy tasks on local queues',
    scheduler: { policy: 'local' },
    tasks: busy(6, [run(ms(12))]),
  },
  {
    id: 'smt-six-enqlast',
    what: 'six busy tasks with SCX_OPS_ENQ_LAST',
    scheduler: { flags: ['ENQ_LAST'] },
    tasks: busy(6, [run(ms(12))]),
  },
  {
    id: 'smt-vtime-nice',
    what: 'virtual time of tasks that are nice or not',
    scheduler: { policy: 'vtime' },
    tasks: {
      P: [policy('self', 'ext'), affinity('self', 1), fork('A'), fork('B'), fork('C'), wait()],
      A: [run(ms(16))],
      B: [nice('self', 5), run(ms(16))],
      C: [nice('self', 10), run(ms(16))],
    },
  },
  {
    id: 'smt-one-core',
    what: 'three tasks that may use one core only',
    tasks: {
      P: [policy('self', 'ext'), affinity('self', 2, 3), fork('A'), fork('B'), fork('C'), wait()],
      A: naps,
      B: naps,
      C: naps,
    },
  },
  {
    id: 'smt-pipes',
    what: 'two pairs pass bytes, free to move',
    tasks: {
      P: P('A', 'B', 'C', 'D'),
      A: [write(0), read(1), run(us(300)), write(0)],
      B: [read(0), run(us(300)), write(1), read(0)],
      C: [write(2), read(3), run(us(300)), write(2)],
      D: [read(2), run(us(300)), write(3), read(2)],
    },
  },
  {
    id: 'smt-futex',
    what: 'one task wakes three',
    tasks: {
      P: P('A', 'B', 'C', 'W'),
      A: [futexWait(0), run(ms(2))],
      B: [futexWait(1), run(ms(2))],
      C: [futexWait(2), run(ms(2))],
      W: [sleep(ms(2)), futexWake(0), futexWake(1), futexWake(2), run(ms(1))],
    },
  },
  { id: 'smt-exec', what: 'tasks that become other programs', tasks: busy(3, [run(ms(1)), exec(), run(ms(2))]) },
  {
    id: 'smt-rt',
    what: 'real-time tasks on two CPUs',
    tasks: {
      P: P('A', 'B', 'R', 'S'),
      A: [run(ms(10))],
      B: [run(ms(10))],
      R: [affinity('self', 1), policy('self', 'fifo', 10), sleep(ms(2)), run(ms(3))],
      S: [affinity('self', 3), policy('self', 'fifo', 10), sleep(ms(3)), run(ms(3))],
    },
  },
  {
    id: 'smt-full',
    what: 'all tasks of the machine',
    scheduler: { partial: false },
    tasks: { P: [fork('A'), fork('B'), fork('C'), wait()], A: naps, B: naps, C: naps },
  },
];

export const scenarios = written.map((scenario) => ({ cpus: 4, ...scenario }));
