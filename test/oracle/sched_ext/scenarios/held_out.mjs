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

export const title = 'Held out at first: workloads of the kinds of the topic realistic';

/** They are recorded in the boot of the topic realistic. */
export const part = 'realistic';
export const kernels = ['7.3', '6.18'];

const onTwo = [
  {
    id: 'database-vtime',
    what: 'a writer, two readers that nap and a nice checkpointer by virtual time',
    scheduler: vtime,
    tasks: {
      P: free(...letters(4)),
      A: [nice('self', -4), ...times(3, run(ms(2)), sleep(ms(1)))],
      ...same(['B', 'C'], times(3, run(ms(1)), sleep(us(800)), run(us(600)))),
      D: [nice('self', 12), run(ms(10))],
    },
  },
  {
    id: 'test-runner',
    what: 'a runner forks ten tests, of which some fail at once and one is killed because it hangs',
    tasks: {
      P: [ext, ...letters(10).map((one) => fork(one)), sleep(ms(9)), kill('J'), wait(), run(us(400))],
      ...same(['A', 'D', 'G'], [exec(), run(ms(2)), exit(0)]),
      ...same(['B', 'E', 'H'], [run(us(300)), exit(1)]),
      ...same(['C', 'F', 'I'], [run(ms(1)), sleep(ms(1)), run(ms(1))]),
      J: [run(ms(60))],
    },
  },
  {
    id: 'classes-and-sleeps',
    what: 'tasks change to the real-time, deadline and fair classes and back between sleeps',
    tasks: {
      P: free('A', 'B', 'C'),
      A: [fifo('self', 7), sleep(ms(1)), run(ms(1)), ext, run(ms(2)), other, sleep(ms(1)), run(ms(1)), ext, run(ms(1))],
      B: [run(ms(2)), deadline('self', ms(2), ms(10)), sleep(ms(2)), run(ms(1)), ext, run(ms(3))],
      C: [run(ms(3)), policy('self', 'batch'), run(ms(1)), fifo('self', 3), run(ms(1)), ext, sleep(ms(1)), run(ms(2))],
    },
  },
  {
    id: 'rt-pair-over-naps',
    what: 'a real-time task on each CPU, in turns, above tasks that nap',
    tasks: {
      P: free(...letters(4), 'R', 'S'),
      ...same(['A', 'B'], times(3, run(us(1500)), sleep(us(600)))),
      ...same(['C', 'D'], [run(ms(7))]),
      R: [affinity('self', 0), fifo('self'), ...times(3, run(us(800)), futexWake(0), sleep(ms(3)))],
      S: [affinity('self', 1), fifo('self'), ...times(3, futexWait(0), run(us(900)))],
    },
  },
  {
    id: 'deadline-frames',
    what: 'a task of the deadline class draws frames that a task of the scheduler prepares',
    tasks: {
      P: free('A', 'B', 'C', 'R'),
      A: times(3, run(ms(1)), write(0), sleep(ms(2))),
      ...same(['B', 'C'], [run(ms(8))]),
      R: [deadline('self', ms(2), ms(6)), ...times(3, read(0), run(ms(1)))],
    },
  },
];

const onFour = [
  {
    id: 'four-render-farm',
    what: 'nine tasks of three weights by virtual time, of which some nap',
    scheduler: { policy: 'vtime', sliceUs: 3000 },
    tasks: {
      P: free(...letters(9)),
      ...same(['A', 'B', 'C'], [run(ms(8))]),
      ...same(['D', 'E', 'F'], [nice('self', 7), run(ms(4)), sleep(ms(1)), run(ms(2))]),
      ...same(['G', 'H', 'I'], [nice('self', -7), ...times(3, run(ms(1)), sleep(ms(1)))]),
    },
  },
  {
    id: 'four-fork-server',
    what: 'a server forks a child for each of twelve requests and goes on, the children answer and exit',
    tasks: {
      P: [ext, fork('S'), fork('X'), fork('Y'), wait()],
      S: [...letters(12).flatMap((one, i) => [fork(one), ...(i % 3 === 2 ? [sleep(ms(1))] : [])]), wait()],
      ...same(letters(6), [run(us(800)), exit(0)]),
      ...same(['G', 'H', 'I', 'J', 'K', 'L'], [run(us(300)), sleep(us(500)), run(us(600)), exit(0)]),
      ...same(['X', 'Y'], [run(ms(9))]),
    },
  },
  {
    id: 'four-classes-of-all',
    what: 'five tasks change their own class to and fro, the real-time and the deadline class among them',
    tasks: {
      P: free(...letters(6)),
      A: times(2, run(ms(1)), other, run(ms(1)), ext),
      B: times(2, run(us(700)), fifo('self', 8), run(us(700)), ext),
      C: times(2, run(ms(1)), deadline('self', ms(2), ms(20)), run(us(600)), ext),
      D: [other, run(ms(2)), fifo('self', 4), run(ms(1)), ext, run(ms(2))],
      E: [deadline('self', ms(1), ms(10)), sleep(ms(1)), run(us(500)), other, run(ms(1)), ext, run(ms(1))],
      F: [run(ms(10))],
    },
  },
  {
    id: 'four-rt-two-cores',
    what: 'real-time tasks on two CPUs of different cores above seven others, by virtual time',
    scheduler: vtime,
    tasks: {
      P: free(...letters(7), 'R', 'S'),
      ...same(['A', 'B', 'C', 'D'], [run(ms(7))]),
      ...same(['E', 'F', 'G'], times(3, run(us(900)), sleep(us(900)))),
      R: [affinity('self', 0), fifo('self', 30), ...times(2, sleep(ms(3)), run(ms(2)))],
      S: [affinity('self', 3), fifo('self', 20), ...times(3, sleep(ms(2)), run(us(800)))],
    },
  },
  {
    id: 'four-deadline-over-forks',
    what: 'a task of the deadline class above a tree of forks',
    tasks: {
      P: free('A', 'B', 'R'),
      A: [fork('C'), fork('D'), fork('E'), run(ms(1)), wait()],
      B: [run(us(500)), fork('F'), fork('G'), wait(), fork('H'), wait()],
      ...same(['C', 'D', 'F', 'H'], [run(ms(3))]),
      ...same(['E', 'G'], [exec(), run(ms(2)), sleep(ms(1)), run(us(500))]),
      R: [deadline('self', ms(2), ms(7)), ...times(3, run(ms(1)), sleep(ms(2)))],
    },
  },
  {
    id: 'four-game',
    what: 'a game loop wakes three helpers each frame and waits for the last, a download and a nice indexer beside it',
    tasks: {
      P: free(...letters(6)),
      A: times(3, run(us(500)), futexWake(0), futexWake(1), futexWake(2), run(us(400)), read(0)),
      B: times(3, futexWait(0), run(us(800))),
      C: times(3, futexWait(1), run(us(600))),
      D: times(3, futexWait(2), run(ms(1)), write(0)),
      E: times(4, run(us(300)), sleep(us(900))),
      F: [nice('self', 15), affinity('self', 0, 1), run(ms(9))],
    },
  },
  {
    id: 'four-operator',
    what: 'an operator narrows, widens, stops, renices and kills tasks that compute, nap and yield',
    scheduler: { policy: 'local', sliceUs: 4000 },
    tasks: {
      P: [
        ...[ext, ...letters(6).map((one) => fork(one)), sleep(ms(3)), affinity('A', 1), stop('B'), nice('C', -3)],
        ...[
          sleep(ms(2)),
          affinity('A', 0, 1, 2, 3),
          cont('B'),
          kill('D'),
          affinity('E', 2, 3),
          fifo('F'),
          sleep(ms(1)),
        ],
        ...[policy('F', 'ext'), wait()],
      ],
      ...same(['A', 'B'], [run(ms(7))]),
      C: times(3, run(ms(1)), yieldCpu()),
      D: [run(ms(40))],
      E: times(3, run(ms(1)), sleep(ms(1))),
      F: [run(ms(9))],
    },
  },
];

export const scenarios = [...onTwo, ...onFour.map(four)];
