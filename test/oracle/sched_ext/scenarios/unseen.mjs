import { ext, fifo, four, free, letters, on1, other, same, times } from '../pieces.mjs';
import {
  affinity,
  cgroupWeight,
  cont,
  cpu,
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

export const title = 'Held out: of the kinds of the topic further, nothing was mended with them';

/** They are recorded in the boot of the topic further. */
export const part = 'further';
export const kernels = ['7.3', '6.18'];

const onTwo = [
  {
    id: 'vtime-weights-and-pipes',
    what: 'two that talk, one nice and one that yields by virtual time, one of which is stopped and killed',
    scheduler: { policy: 'vtime', sliceUs: 2000 },
    tasks: {
      P: [
        ext,
        ...letters(5).map((one) => fork(one)),
        sleep(ms(3)),
        stop('E'),
        nice('A', 3),
        sleep(ms(3)),
        kill('E'),
        wait(),
      ],
      A: times(3, run(us(600)), write(0), read(1)),
      B: [nice('self', -6), ...times(3, read(0), run(us(400)), write(1))],
      C: [nice('self', 8), run(ms(5))],
      D: times(3, run(us(800)), yieldCpu()),
      E: [run(ms(60))],
    },
  },
  {
    id: 'last-on-local-queues',
    what: 'with SCX_OPS_ENQ_LAST and local queues four tasks of one CPU sleep, yield, exec and change their CPUs',
    scheduler: { policy: 'local', sliceUs: 3000, flags: ['KEEP_BUILTIN_IDLE', 'ENQ_LAST'] },
    tasks: {
      P: on1('A', 'B', 'C', 'D'),
      A: [run(ms(2)), sleep(ms(1)), run(ms(2)), affinity('self', 0), run(ms(1))],
      B: [run(us(700)), yieldCpu(), exec(), run(ms(3)), exit(1)],
      C: [affinity('self', 0, 1), run(ms(4)), yieldCpu(), run(us(400))],
      D: times(3, sleep(us(600)), run(us(600))),
    },
  },
  {
    id: 'forgotten-among-five',
    what: 'the scheduler forgets a task among five of which two talk, and the watchdog finds it',
    scheduler: { mistake: 'enqueue-nothing', mistakeAfter: 9, timeoutMs: 500 },
    tasks: {
      P: free(...letters(5)),
      A: times(3, run(us(700)), write(0)),
      B: times(3, read(0), run(us(700))),
      C: [run(ms(3)), fifo('self', 2), run(ms(1)), ext, run(ms(1))],
      D: [run(ms(4)), sleep(ms(1)), run(us(500))],
      E: [yieldCpu(), run(ms(2)), exit(5)],
    },
  },
];

const onFour = [
  {
    id: 'four-classes-and-wakes',
    what: 'tasks change their class between wake-ups of one another, by themselves and from outside',
    tasks: {
      P: [
        ...[ext, ...letters(6).map((one) => fork(one)), sleep(ms(2)), fifo('E', 4), policy('B', 'other'), sleep(ms(1))],
        ...[policy('E', 'batch'), policy('B', 'ext'), policy('F', 'rr', 5), sleep(ms(2)), policy('E', 'ext')],
        ...[policy('F', 'ext'), wait()],
      ],
      A: [run(us(800)), other, write(0), run(us(800)), ext, write(0), run(ms(1)), futexWake(0)],
      B: times(2, read(0), run(ms(1))),
      C: [fifo('self', 6), futexWait(0), run(us(500)), ext, run(ms(1))],
      D: [run(ms(2)), policy('self', 'idle'), run(us(700)), ext, run(us(700))],
      ...same(['E', 'F'], [run(ms(6))]),
    },
  },
  {
    id: 'four-rt-over-vtime',
    what: 'real-time tasks on the two CPUs of a core change CPU and class above six tasks by virtual time',
    scheduler: { policy: 'vtime', sliceUs: 2500 },
    tasks: {
      P: free(...letters(6), 'R', 'S'),
      ...same(['A', 'B', 'C'], [run(ms(4))]),
      ...same(['D', 'E'], [nice('self', -3), ...times(2, run(us(900)), sleep(us(700)))]),
      F: [nice('self', 11), run(ms(3))],
      R: [
        affinity('self', 2),
        fifo('self', 20),
        sleep(ms(2)),
        run(ms(1)),
        affinity('self', 0),
        run(us(700)),
        ext,
        run(us(500)),
      ],
      S: [affinity('self', 3), policy('self', 'rr', 20), ...times(2, sleep(ms(1)), run(us(900)))],
    },
  },
  {
    id: 'four-forks-killed-exiting',
    what: 'sixteen short children with SCX_OPS_ENQ_EXITING, some killed while they run, wait, sleep or are stopped',
    scheduler: { flags: ['KEEP_BUILTIN_IDLE', 'ENQ_EXITING'] },
    tasks: {
      P: [
        ...[ext, ...letters(15).map((one) => fork(one)), sleep(ms(2)), stop('C'), kill('A'), kill('B')],
        ...[kill('N'), sleep(ms(1)), kill('C'), kill('Q'), wait()],
      ],
      ...same(letters(3), [run(ms(50))]),
      ...same(['D', 'E', 'F', 'G', 'H'], [run(us(500)), exit(0)]),
      ...same(['I', 'J', 'K', 'L', 'M'], [exec(), run(us(400))]),
      N: [sleep(ms(60))],
      O: [fork('Q'), run(us(300)), wait()],
      Q: [run(ms(50))],
    },
  },
  {
    id: 'four-hotplug-rt',
    what: 'a CPU goes and comes back under a real-time task and five others, three of which nap',
    tasks: {
      P: [
        ...[affinity('self', 1), ext, ...letters(5).map((one) => fork(one)), fork('R'), sleep(ms(3)), cpu(3, false)],
        ...[affinity('B', 0, 1), sleep(ms(1)), cpu(3, true), wait()],
      ],
      ...same(['A', 'B'], [affinity('self', 0, 1, 2, 3), run(ms(7))]),
      ...same(['C', 'D', 'E'], [affinity('self', 0, 1, 2, 3), ...times(3, run(ms(1)), sleep(us(800)))]),
      R: [affinity('self', 2, 3), fifo('self'), ...times(3, run(ms(1)), sleep(ms(1)))],
    },
  },
  {
    id: 'four-error-among-cgroups',
    what: 'the scheduler calls scx_bpf_error while tasks move between cgroups, fork, nap and one is a real-time one',
    scheduler: { mistake: 'enqueue-error', mistakeAfter: 24 },
    tasks: {
      P: [
        ...[ext, makeCgroup('g'), ...letters(6).map((one) => fork(one)), sleep(ms(2)), enterCgroup('A', 'g')],
        ...[
          cgroupWeight('g', 500),
          enterCgroup('B', 'g'),
          nice('C', 6),
          sleep(ms(1)),
          enterCgroup('A', '/'),
          cont('B'),
        ],
        ...[wait(), removeCgroup('g')],
      ],
      ...same(['A', 'B'], [run(ms(6))]),
      C: times(4, run(us(600)), yieldCpu()),
      D: times(3, run(us(500)), sleep(us(500))),
      E: [run(us(400)), fork('G'), run(ms(3)), wait()],
      F: [fifo('self', 3), sleep(ms(1)), run(ms(1)), ext, run(ms(2))],
      G: [exec(), run(ms(2)), exit(2)],
    },
  },
];

export const scenarios = [...onTwo, ...onFour.map(four)];
