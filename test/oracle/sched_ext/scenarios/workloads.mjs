import { ext, four, free, letters, on1, same, vtime } from '../pieces.mjs';
import {
  affinity,
  cont,
  enterCgroup,
  exec,
  exit,
  fork,
  futexWait,
  futexWake,
  kill,
  makeCgroup,
  ms,
  nice,
  policy,
  read,
  removeCgroup,
  run,
  sleep,
  stop,
  us,
  wait,
  write,
  yieldCpu,
} from '../steps.mjs';

export const title = 'Order by virtual time, many forks, changes of class, real-time tasks, on two CPUs and on four';

/** They are recorded in a boot of their own. */
export const part = 'more';

const onTwo = [
  {
    id: 'vtime-weights',
    what: 'virtual time of four tasks of different weight on one CPU',
    scheduler: vtime,
    tasks: {
      P: on1('A', 'B', 'C', 'D'),
      A: [run(ms(12))],
      B: [nice('self', 3), run(ms(12))],
      C: [nice('self', -5), run(ms(12))],
      D: [nice('self', 10), run(ms(12))],
    },
  },
  {
    id: 'vtime-sleeper',
    what: 'a task that sleeps among busy ones, by virtual time',
    scheduler: vtime,
    tasks: {
      P: on1('A', 'B', 'C'),
      A: [run(ms(14))],
      B: [run(ms(1)), sleep(ms(3)), run(ms(1)), sleep(ms(3)), run(ms(1))],
      C: [run(ms(14))],
    },
  },
  {
    id: 'vtime-renice',
    what: 'a nice value changes while tasks wait by virtual time',
    scheduler: vtime,
    tasks: {
      P: [affinity('self', 1), ext, fork('A'), fork('B'), affinity('self', 0), sleep(ms(6)), nice('A', 8), wait()],
      A: [run(ms(14))],
      B: [run(ms(14))],
    },
  },
  {
    id: 'forks-twelve',
    what: 'twelve children on two CPUs',
    tasks: { P: free(...letters(12)), ...same(letters(12), [run(ms(1))]) },
  },
  {
    id: 'forks-tree',
    what: 'children of children on two CPUs',
    tasks: {
      P: free('A', 'B'),
      A: [run(us(500)), fork('C'), fork('D'), wait()],
      B: [fork('E'), run(us(800)), fork('F'), wait()],
      ...same(['C', 'D', 'E', 'F'], [run(ms(2)), sleep(ms(1)), run(us(300))]),
    },
  },
  {
    id: 'forks-exit-soon',
    what: 'children that exit at once',
    tasks: { P: on1(...letters(6)), ...same(letters(6), [exit(0)]) },
  },
  {
    id: 'forks-vtime',
    what: 'eight children by virtual time on two CPUs',
    scheduler: vtime,
    tasks: { P: free(...letters(8)), ...same(letters(8), [run(ms(3))]) },
  },
  {
    id: 'class-to-and-fro',
    what: 'a task changes its own class again and again',
    tasks: {
      P: on1('A', 'B'),
      A: [run(ms(1)), policy('self', 'other'), run(ms(1)), ext, run(ms(1)), policy('self', 'batch'), run(ms(1)), ext],
      B: [run(ms(10))],
    },
  },
  {
    id: 'class-idle-policy',
    what: 'a task of policy idle comes to the scheduler',
    tasks: {
      P: on1('A', 'B'),
      A: [policy('self', 'idle'), run(ms(1)), ext, run(ms(2))],
      B: [run(ms(6)), sleep(ms(1)), run(ms(1))],
    },
  },
  {
    id: 'class-fifo-and-back',
    what: 'a running task becomes a real-time one and comes back by itself',
    tasks: {
      P: on1('A', 'B'),
      A: [run(ms(2)), policy('self', 'fifo', 5), run(ms(6)), ext, run(ms(2))],
      B: [run(ms(8))],
    },
  },
  {
    id: 'rt-both-cpus',
    what: 'a real-time task on each CPU above two others',
    tasks: {
      P: free('A', 'B', 'R', 'S'),
      A: [run(ms(10))],
      B: [run(ms(10))],
      R: [affinity('self', 0), policy('self', 'fifo', 10), sleep(ms(2)), run(ms(3)), sleep(ms(2)), run(ms(1))],
      S: [affinity('self', 1), policy('self', 'fifo', 20), sleep(ms(3)), run(ms(2))],
    },
  },
  {
    id: 'rt-two-priorities',
    what: 'two real-time tasks of different priority above one task',
    tasks: {
      P: on1('A', 'R', 'S'),
      A: [run(ms(12))],
      R: [policy('self', 'fifo', 10), sleep(ms(2)), run(ms(4))],
      S: [policy('self', 'fifo', 20), sleep(ms(4)), run(ms(1))],
    },
  },
  {
    id: 'rr-pair',
    what: 'two round-robin tasks above one task',
    tasks: {
      P: on1('A', 'R', 'S'),
      A: [run(ms(8))],
      R: [policy('self', 'rr', 10), sleep(ms(2)), run(ms(3))],
      S: [policy('self', 'rr', 10), sleep(ms(2)), run(ms(3))],
    },
  },
  {
    id: 'wake-chain',
    what: 'each task wakes the next',
    tasks: {
      P: free('A', 'B', 'C'),
      A: [run(us(500)), write(0), run(ms(1))],
      B: [read(0), run(us(500)), write(1), run(ms(1))],
      C: [read(1), run(ms(1))],
    },
  },
  {
    id: 'wake-many',
    what: 'one task wakes three that wait behind a busy one',
    tasks: {
      P: on1('A', 'B', 'C', 'W', 'Z'),
      A: [futexWait(0), run(us(600))],
      B: [futexWait(1), run(us(600))],
      C: [futexWait(2), run(us(600))],
      W: [sleep(ms(2)), futexWake(2), futexWake(0), futexWake(1), run(us(500))],
      Z: [run(ms(8))],
    },
  },
  {
    id: 'yield-three',
    what: 'three tasks yield to one another',
    tasks: { P: on1('A', 'B', 'C'), ...same(['A', 'B', 'C'], [run(us(400)), yieldCpu(), run(us(400)), yieldCpu()]) },
  },
  {
    id: 'stop-running-twice',
    what: 'a task is stopped and continued twice',
    tasks: {
      P: [affinity('self', 1), ext, fork('X'), affinity('self', 0), sleep(ms(3))].concat([
        stop('X'),
        sleep(ms(2)),
        cont('X'),
        sleep(ms(2)),
        stop('X'),
        sleep(ms(2)),
        cont('X'),
        wait(),
      ]),
      X: [run(ms(14))],
    },
  },
  {
    id: 'kill-two',
    what: 'two tasks are killed, one that runs and one that waits',
    tasks: {
      P: [
        affinity('self', 1),
        ext,
        fork('X'),
        fork('Y'),
        affinity('self', 0),
        sleep(ms(6)),
        kill('X'),
        kill('Y'),
        wait(),
      ],
      X: [run(ms(30))],
      Y: [run(ms(30))],
    },
  },
  {
    id: 'cgroup-self',
    what: 'a task enters a cgroup by itself',
    tasks: {
      P: [affinity('self', 1), ext, makeCgroup('g'), fork('X'), wait(), removeCgroup('g')],
      X: [run(ms(1)), enterCgroup('self', 'g'), run(ms(2))],
    },
  },
  {
    id: 'enqlast-free',
    what: 'three tasks on two CPUs with SCX_OPS_ENQ_LAST and idle tracking',
    scheduler: { flags: ['KEEP_BUILTIN_IDLE', 'ENQ_LAST'] },
    tasks: { P: free('A', 'B', 'C'), ...same(['A', 'B', 'C'], [run(ms(7)), sleep(ms(1)), run(ms(2))]) },
  },
];

const onFour = [
  {
    id: 'smt-five-naps',
    what: 'five tasks that run and sleep',
    tasks: {
      P: free(...letters(5)),
      ...same(letters(5), [run(ms(1)), sleep(ms(2)), run(ms(3)), sleep(ms(1)), run(ms(1))]),
    },
  },
  {
    id: 'smt-vtime-eight',
    what: 'eight tasks by virtual time',
    scheduler: vtime,
    tasks: { P: free(...letters(8)), ...same(letters(8), [run(ms(7))]) },
  },
  {
    id: 'smt-forks-sixteen',
    what: 'sixteen children',
    tasks: { P: free(...letters(16)), ...same(letters(16), [run(ms(2))]) },
  },
  {
    id: 'smt-class-changes',
    what: 'tasks change their class',
    tasks: {
      P: free('A', 'B', 'C'),
      A: [run(ms(1)), policy('self', 'other'), run(ms(1)), ext, run(ms(1))],
      B: [run(ms(2)), policy('self', 'fifo', 5), run(ms(1)), ext, run(ms(1))],
      C: [run(ms(6))],
    },
  },
  {
    id: 'smt-rt-one-core',
    what: 'real-time tasks on both threads of a core',
    tasks: {
      P: free('A', 'B', 'C', 'R', 'S'),
      ...same(['A', 'B', 'C'], [run(ms(8))]),
      R: [affinity('self', 0), policy('self', 'fifo', 10), sleep(ms(2)), run(ms(3))],
      S: [affinity('self', 1), policy('self', 'fifo', 10), sleep(ms(2)), run(ms(3))],
    },
  },
  {
    id: 'smt-wake-chain',
    what: 'each task wakes the next, free to move',
    tasks: {
      P: free('A', 'B', 'C', 'D'),
      A: [run(us(500)), write(0), run(ms(1))],
      B: [read(0), run(us(500)), write(1), run(ms(1))],
      C: [read(1), run(us(500)), write(2), run(ms(1))],
      D: [read(2), run(ms(1))],
    },
  },
  {
    id: 'smt-affinity-moves',
    what: 'a task moves itself from core to core',
    tasks: {
      P: free('A', 'B'),
      A: [affinity('self', 2), run(ms(1)), affinity('self', 0, 1), run(ms(1)), affinity('self', 3), run(ms(1))],
      B: [run(ms(6))],
    },
  },
  {
    id: 'smt-exec-exit',
    what: 'tasks that become other programs and exit',
    tasks: { P: free('A', 'B', 'C', 'D'), ...same(['A', 'B', 'C', 'D'], [exec(), run(ms(1)), exit(2)]) },
  },
];

export const scenarios = [...onTwo, ...onFour.map(four)];
