import { ext, fifo, four, free, letters, other, same, times, vtime } from '../pieces.mjs';
import {
  affinity,
  cont,
  deadline,
  exec,
  exit,
  fork,
  futexWait,
  futexWake,
  kill,
  ms,
  nice,
  policy,
  read,
  run,
  sleep,
  stop,
  us,
  wait,
  write,
  yieldCpu,
} from '../steps.mjs';

export const title = 'What programs do: builds, shells, servers, audio beside them';

/** They are recorded in a boot of their own. */
export const part = 'realistic';
export const kernels = ['7.3', '6.18'];

const onTwo = [
  {
    id: 'build-beside-editor',
    what: 'three nice compilers by virtual time beside an editor that wakes for a moment now and then',
    scheduler: vtime,
    tasks: {
      P: free(...letters(4)),
      A: times(3, sleep(ms(3)), run(us(600))),
      ...same(['B', 'C', 'D'], [nice('self', 10), run(ms(5)), sleep(us(300)), run(ms(6))]),
    },
  },
  {
    id: 'shell-script',
    what: 'a shell starts programs one after the other and then a pipeline of three',
    tasks: {
      P: [ext, fork('A'), wait(), fork('B'), wait(), fork('C'), fork('D'), fork('E'), wait(), run(us(300))],
      A: [exec(), run(ms(1)), exit(0)],
      B: [exec(), sleep(ms(1)), run(us(500)), exit(1)],
      C: [exec(), ...times(3, run(us(700)), write(0))],
      D: [exec(), ...times(3, read(0), run(us(500)), write(1))],
      E: [exec(), ...times(3, read(1), run(us(200)))],
    },
  },
  {
    id: 'classes-round-trip',
    what: 'one task goes through the fair, the real-time and the deadline class and back, beside two that compute',
    tasks: {
      P: free('A', 'B', 'C'),
      A: [
        run(ms(1)),
        other,
        run(ms(1)),
        ext,
        run(ms(1)),
        fifo('self'),
        run(ms(1)),
        deadline('self', ms(2), ms(20)),
      ].concat([
        run(ms(1)),
        ext,
        run(ms(2)),
        deadline('self', ms(1), ms(10)),
        sleep(ms(1)),
        other,
        run(us(500)),
        ext,
        run(us(500)),
      ]),
      ...same(['B', 'C'], [run(ms(9))]),
    },
  },
  {
    id: 'audio-and-vtime',
    what: 'two real-time threads of a sound server, one on each CPU, above four tasks by virtual time',
    scheduler: { policy: 'vtime', sliceUs: 4000 },
    tasks: {
      P: free(...letters(4), 'R', 'S'),
      ...same(['A', 'B'], [run(ms(9))]),
      C: [nice('self', 5), ...times(3, run(ms(2)), sleep(ms(1)))],
      D: [nice('self', -5), ...times(4, run(us(800)), sleep(ms(1)))],
      R: [affinity('self', 0), fifo('self', 20), ...times(3, sleep(ms(4)), run(us(700)), write(0))],
      S: [affinity('self', 1), fifo('self', 15), ...times(3, read(0), run(us(900)))],
    },
  },
  {
    id: 'forks-under-deadline',
    what: 'eight short children while a task of the deadline class takes its share',
    tasks: {
      P: [ext, fork('R'), ...letters(8).map((one) => fork(one)), wait()],
      R: [deadline('self', ms(2), ms(6)), ...times(3, run(ms(1)), sleep(ms(3)))],
      ...same(['A', 'C', 'E', 'G'], [run(ms(1)), exit(0)]),
      ...same(['B', 'D', 'F', 'H'], [run(us(400)), sleep(ms(1)), run(us(400))]),
    },
  },
];

const onFour = [
  {
    id: 'four-web-server',
    what: 'an acceptor hands requests to four workers by virtual time, two batch tasks behind',
    scheduler: vtime,
    tasks: {
      P: free(...letters(7)),
      A: times(2, run(us(300)), write(0), run(us(300)), write(1), run(us(300)), write(2), sleep(ms(1)), write(3)),
      B: times(2, read(0), run(ms(1))),
      C: times(2, read(1), run(us(1500)), sleep(us(500))),
      D: times(2, read(2), run(us(700))),
      E: times(2, read(3), run(ms(2))),
      ...same(['F', 'G'], [nice('self', 8), run(ms(12))]),
    },
  },
  {
    id: 'four-make',
    what: 'a make with four jobs at a time, each of which forks a compiler that becomes another program',
    tasks: {
      P: [ext, fork('A'), fork('B'), fork('C'), fork('D'), wait(), fork('E'), fork('F'), wait()],
      A: [fork('G'), wait(), run(us(200))],
      B: [fork('H'), wait(), run(us(200))],
      C: [run(us(500)), fork('I'), fork('J'), wait()],
      D: [fork('K'), run(us(400)), wait(), exit(1)],
      E: [fork('L'), wait()],
      F: [fork('M'), fork('N'), wait()],
      ...same(['G', 'H', 'I', 'K', 'M'], [exec(), run(ms(3)), exit(0)]),
      ...same(['J', 'L', 'N'], [exec(), run(ms(1)), sleep(ms(1)), run(ms(1))]),
    },
  },
  {
    id: 'four-classes-from-outside',
    what: 'a manager puts tasks that run, wait and sleep into the fair, real-time and deadline classes and back',
    tasks: {
      P: [
        ...[ext, ...letters(6).map((one) => fork(one)), sleep(ms(4)), policy('A', 'other'), fifo('B', 4)],
        ...[deadline('C', ms(2), ms(30)), policy('F', 'batch'), sleep(ms(3)), policy('A', 'ext'), policy('B', 'other')],
        ...[policy('C', 'ext'), sleep(ms(2)), policy('B', 'ext'), policy('F', 'ext'), wait()],
      ],
      ...same(['A', 'B', 'C'], [run(ms(9))]),
      D: [run(ms(3)), sleep(ms(2)), run(ms(5))],
      E: [run(ms(9))],
      F: [run(ms(1)), sleep(ms(6)), run(ms(2))],
    },
  },
  {
    id: 'four-rt-pair',
    what: 'two real-time tasks on the two threads of a core talk, above six that compute and nap',
    tasks: {
      P: free(...letters(6), 'R', 'S'),
      ...same(['A', 'B', 'C'], [run(ms(8))]),
      ...same(['D', 'E', 'F'], times(3, run(ms(1)), sleep(us(700)))),
      R: [affinity('self', 2), fifo('self'), ...times(3, sleep(ms(2)), run(us(500)), write(0), run(us(300)))],
      S: [affinity('self', 3), fifo('self', 20), ...times(3, read(0), run(us(800)))],
    },
  },
  {
    id: 'four-deadline-and-pipes',
    what: 'two tasks of the deadline class beside two pairs that talk and two that compute',
    tasks: {
      P: free(...letters(6), 'R', 'S'),
      A: times(3, run(us(400)), write(0), read(1)),
      B: times(3, read(0), run(us(600)), write(1)),
      C: times(3, run(us(900)), write(2)),
      D: times(3, read(2), run(us(300))),
      ...same(['E', 'F'], [run(ms(8))]),
      R: [deadline('self', ms(1), ms(5)), ...times(3, run(us(600)), sleep(ms(2)))],
      S: [deadline('self', ms(2), ms(8)), ...times(2, run(ms(1)), sleep(ms(3)))],
    },
  },
  {
    id: 'four-pinned-pool',
    what: 'a pool of workers, one pinned to each CPU, and three that are free, wake each other',
    scheduler: { sliceUs: 3000 },
    tasks: {
      P: free(...letters(7)),
      A: [affinity('self', 0), ...times(3, run(ms(1)), futexWake(0), sleep(us(500)))],
      B: [affinity('self', 1), ...times(3, run(us(700)), sleep(ms(1)))],
      C: [affinity('self', 2), run(ms(4)), futexWake(1), run(ms(4))],
      D: [affinity('self', 3), run(ms(2)), yieldCpu(), run(ms(3)), write(0)],
      E: [futexWait(0), run(ms(2)), futexWait(1), run(ms(1))],
      F: [read(0), run(ms(2))],
      G: [run(ms(10))],
    },
  },
  {
    id: 'four-busy-hour',
    what: 'forks, a kill, a stopped job, a real-time task and nice ones at once, with SCX_OPS_ENQ_LAST',
    scheduler: { flags: ['KEEP_BUILTIN_IDLE', 'ENQ_LAST'] },
    tasks: {
      P: [
        ...[ext, ...letters(5).map((one) => fork(one)), sleep(ms(3)), stop('A'), kill('B'), nice('C', 7), fork('F')],
        ...[sleep(ms(2)), cont('A'), fork('G'), affinity('C', 0, 1), wait()],
      ],
      A: [run(ms(6))],
      B: [run(ms(30))],
      C: [run(ms(8))],
      D: [fifo('self', 5), ...times(2, sleep(ms(2)), run(ms(1)))],
      E: [fork('H'), fork('I'), run(ms(2)), wait(), run(ms(1))],
      ...same(['F', 'G'], [exec(), run(ms(2))]),
      ...same(['H', 'I'], [run(us(800)), exit(4)]),
    },
  },
];

export const scenarios = [...onTwo, ...onFour.map(four)];
