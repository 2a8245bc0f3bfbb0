import { ext, fifo, four, free, letters, same, times, vtime } from '../pieces.mjs';
import {
  affinity,
  cgroupWeight,
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

export const title = 'Changes of every kind to tasks in every state, and wake-ups between classes, cores and cgroups';

/** They are recorded in a boot of their own. */
export const part = 'combined';

const onTwo = [
  {
    id: 'weights-while-queued',
    what: 'weights change again and again while tasks wait by virtual time, run and sleep',
    scheduler: vtime,
    tasks: {
      P: [
        ...[affinity('self', 1), ext, ...letters(4).map((one) => fork(one)), affinity('self', 0), sleep(ms(4))],
        ...[
          nice('A', 6),
          nice('B', -6),
          sleep(ms(5)),
          nice('C', 10),
          nice('A', -2),
          sleep(ms(7)),
          nice('D', 3),
          wait(),
        ],
      ],
      A: [run(ms(11))],
      B: [run(ms(8)), sleep(ms(2)), run(ms(2))],
      C: [run(ms(10))],
      D: [run(ms(3)), sleep(ms(9)), run(ms(4))],
    },
  },
  {
    id: 'classes-in-each-state',
    what: 'a running, a waiting, a sleeping and a stopped task become fair, then real-time, then come back',
    tasks: {
      P: [
        ...[affinity('self', 1), ext, ...letters(4).map((one) => fork(one)), affinity('self', 0), sleep(ms(7))],
        ...[
          stop('D'),
          policy('A', 'other'),
          policy('C', 'batch'),
          policy('D', 'other'),
          sleep(ms(2)),
          policy('A', 'ext'),
        ],
        ...[sleep(ms(4)), fifo('B'), fifo('D', 5), sleep(ms(2)), policy('B', 'ext'), policy('C', 'ext'), cont('D')],
        ...[sleep(ms(1)), policy('D', 'ext'), wait()],
      ],
      A: [run(ms(14))],
      B: [run(ms(14))],
      C: [sleep(ms(16)), run(ms(3))],
      D: [run(ms(12))],
    },
  },
  {
    id: 'rt-bursts',
    what: 'short bursts of real-time tasks on both CPUs above tasks that compute, sleep and talk',
    tasks: {
      P: free(...letters(4), 'R', 'S'),
      A: [run(ms(10))],
      B: times(3, run(ms(1)), sleep(ms(1))),
      C: times(3, read(0), run(us(700))),
      D: times(3, run(us(900)), write(0)),
      R: [affinity('self', 0), fifo('self'), ...times(4, sleep(ms(2)), run(us(600)))],
      S: [affinity('self', 1), fifo('self', 20), ...times(3, sleep(ms(3)), run(ms(1)))],
    },
  },
  {
    id: 'partial-mix',
    what: 'tasks of the fair class and of the scheduler wake each other and share two CPUs',
    tasks: {
      P: [fork('A'), fork('B'), ext, fork('C'), fork('D'), fork('E'), wait()],
      A: [run(ms(4)), write(0), run(ms(6))],
      B: [policy('self', 'batch'), futexWait(0), run(ms(5)), write(1)],
      C: [read(0), run(ms(5)), futexWake(0), run(ms(2))],
      D: [run(ms(9)), sleep(ms(1)), run(ms(1))],
      E: [run(ms(2)), read(1), run(ms(3))],
    },
  },
  {
    id: 'cgroups-in-each-state',
    what: 'a running, a waiting, a sleeping and a stopped task are moved between cgroups',
    tasks: {
      P: [
        ...[affinity('self', 1), ext, makeCgroup('g'), makeCgroup('h'), ...letters(4).map((one) => fork(one))],
        ...[affinity('self', 0), sleep(ms(6)), stop('D'), ...letters(4).map((one) => enterCgroup(one, 'g'))],
        ...[cgroupWeight('h', 400), sleep(ms(3)), cont('D'), ...letters(4).map((one) => enterCgroup(one, 'h'))],
        ...[sleep(ms(4)), enterCgroup('B', '/'), wait(), removeCgroup('g'), removeCgroup('h')],
      ],
      A: [run(ms(12))],
      B: [run(ms(9)), sleep(ms(1)), run(ms(2))],
      C: [sleep(ms(12)), run(ms(3))],
      D: [run(ms(8))],
    },
  },
  {
    id: 'signals-in-each-state',
    what: 'tasks that run, wait and sleep are stopped and go on, twice, and one is killed while stopped',
    tasks: {
      P: [
        ...[ext, ...letters(5).map((one) => fork(one)), sleep(ms(4)), stop('A'), stop('C'), stop('E'), sleep(ms(2))],
        ...[cont('A'), nice('C', 4), cont('C'), sleep(ms(1)), stop('A'), stop('B'), cont('E'), sleep(ms(2)), kill('B')],
        ...[cont('A'), wait()],
      ],
      ...same(['A', 'B', 'C', 'D'], [run(ms(8))]),
      E: [sleep(ms(5)), run(ms(3))],
    },
  },
];

const onFour = [
  {
    id: 'four-pipes-and-nice',
    what: 'three pairs talk through pipes while their nice values change, beside two busy tasks',
    tasks: {
      P: [ext, ...letters(8).map((one) => fork(one)), sleep(ms(3)), nice('A', 5), nice('D', -5), nice('G', 9), wait()],
      ...same(['A'], times(3, run(us(500)), write(0), read(1))),
      ...same(['B'], times(3, read(0), run(us(500)), write(1))),
      ...same(['C'], times(3, run(us(800)), write(2), read(3))),
      ...same(['D'], times(3, read(2), run(us(300)), write(3))),
      E: [nice('self', 3), ...times(2, run(us(400)), write(4), run(us(400)))],
      F: times(2, read(4), run(ms(1)), nice('self', 2)),
      ...same(['G', 'H'], [run(ms(9))]),
    },
  },
  {
    id: 'four-forks-and-kills',
    what: 'fifteen children of children, of which some exit at once, some are killed while they run, wait or sleep',
    tasks: {
      P: [
        ...[ext, fork('A'), fork('B'), fork('C'), fork('D'), sleep(ms(7)), kill('E'), kill('I'), kill('G')],
        ...[sleep(ms(2)), kill('B'), kill('K'), wait()],
      ],
      A: [fork('E'), fork('F'), fork('G'), run(ms(1)), wait()],
      B: [fork('H'), fork('I'), fork('J'), run(ms(30))],
      C: [run(us(500)), fork('K'), fork('L'), wait(), fork('M'), run(ms(2)), wait()],
      D: [fork('N'), exit(0)],
      ...same(['E', 'I', 'K'], [run(ms(40))]),
      M: [run(ms(1))],
      ...same(['F', 'L', 'N'], [exit(2)]),
      ...same(['G', 'H'], [sleep(ms(9)), run(us(300))]),
      J: [run(ms(3)), fork('O'), wait()],
      O: [run(us(200)), exec(), run(us(500))],
    },
  },
  {
    id: 'four-narrow-asleep',
    what: 'tasks that sleep may use other CPUs when they wake: one, a core, both cores',
    tasks: {
      P: [
        ...[ext, ...letters(6).map((one) => fork(one)), sleep(ms(4)), affinity('A', 3), affinity('B', 0, 1)],
        ...[affinity('C', 2), affinity('D', 1, 2), sleep(ms(6)), affinity('A', 0, 1, 2, 3), affinity('C', 3), wait()],
      ],
      ...same(['A', 'B'], times(3, run(ms(1)), sleep(ms(3)))),
      C: [run(us(500)), sleep(ms(5)), run(ms(4)), sleep(ms(2)), run(ms(1))],
      D: [read(0), run(ms(3))],
      ...same(['E', 'F'], [run(ms(7)), write(0), run(ms(2))]),
    },
  },
  {
    id: 'four-sync-across',
    what: 'writers wake readers of other cores, whose own CPU is busy or not',
    tasks: {
      P: free(...letters(6)),
      A: [affinity('self', 0), ...times(3, run(us(600)), write(0), run(us(600)))],
      B: [affinity('self', 2, 3), ...times(3, read(0), run(us(500)))],
      C: [affinity('self', 1, 2), ...times(3, read(1), run(us(800)))],
      D: [affinity('self', 3), ...times(3, run(us(900)), write(1), sleep(us(500)))],
      E: [run(ms(8))],
      F: [affinity('self', 2), run(ms(2)), yieldCpu(), run(ms(4))],
    },
  },
  {
    id: 'four-classes',
    what: 'tasks change to the fair and the real-time classes and back by themselves and from outside',
    tasks: {
      P: [
        ...[ext, ...letters(6).map((one) => fork(one)), sleep(ms(3)), fifo('A'), policy('B', 'other'), sleep(ms(2))],
        ...[policy('A', 'other'), policy('B', 'ext'), sleep(ms(1)), policy('A', 'ext'), policy('F', 'rr', 2), wait()],
      ],
      ...same(['A', 'B'], [run(ms(10))]),
      C: [run(ms(2)), fifo('self', 3), run(ms(2)), ext, run(ms(1))],
      D: [policy('self', 'other'), run(ms(3)), ext, sleep(ms(1)), policy('self', 'idle'), run(ms(1))],
      E: [sleep(ms(2)), fifo('self', 30), sleep(ms(2)), run(ms(1)), ext, run(ms(2))],
      F: [sleep(ms(9)), run(ms(1)), ext, run(us(400))],
    },
  },
  {
    id: 'four-rt-vtime',
    what: 'bursts of real-time tasks on one CPU of each core above seven tasks ordered by virtual time',
    scheduler: { policy: 'vtime', sliceUs: 3000 },
    tasks: {
      P: free(...letters(7), 'R', 'S'),
      ...same(['A', 'B', 'C'], [run(ms(6)), nice('self', 4), run(ms(3))]),
      ...same(['D', 'E'], [nice('self', -4), run(ms(2)), sleep(ms(2)), run(ms(3))]),
      ...same(['F', 'G'], [run(ms(4)), yieldCpu(), run(ms(2))]),
      R: [affinity('self', 1), fifo('self'), ...times(3, sleep(ms(2)), run(ms(1)))],
      S: [affinity('self', 2), fifo('self'), ...times(2, sleep(ms(3)), run(ms(2)))],
    },
  },
];

export const scenarios = [...onTwo, ...onFour.map(four)];
