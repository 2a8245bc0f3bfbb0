import { ext, fifo, four, free, letters, other, same, times, vtime } from '../pieces.mjs';
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

export const title = 'Changes, wake-ups and mistakes in unlike sequences';

/** They are recorded in a boot of their own. */
export const part = 'further';
export const kernels = ['7.3', '6.18'];

const onTwo = [
  {
    id: 'vtime-killed-in-each-state',
    what: 'by virtual time a task yields, one is niced while it waits and killed, one is killed while it runs and one while it sleeps',
    scheduler: { policy: 'vtime', sliceUs: 3000 },
    tasks: {
      P: [
        ...[affinity('self', 1), ext, ...letters(5).map((one) => fork(one)), affinity('self', 0), sleep(ms(4))],
        ...[nice('B', 9), nice('C', -9), sleep(ms(2)), kill('B'), kill('D'), sleep(ms(1)), kill('A'), wait()],
      ],
      ...same(['A', 'B'], [run(ms(50))]),
      C: [run(ms(1)), yieldCpu(), run(ms(1)), yieldCpu(), run(ms(1))],
      D: [run(us(300)), sleep(ms(90))],
      E: [sleep(ms(2)), run(ms(2)), exit(7)],
    },
  },
  {
    id: 'last-and-exiting',
    what: 'with SCX_OPS_ENQ_LAST and SCX_OPS_ENQ_EXITING tasks nap, yield, fork, exit and become other programs',
    scheduler: { sliceUs: 2000, flags: ['KEEP_BUILTIN_IDLE', 'ENQ_LAST', 'ENQ_EXITING'] },
    tasks: {
      P: [ext, fork('A'), fork('B'), run(us(500)), fork('C'), sleep(ms(2)), fork('D'), wait()],
      A: [run(ms(3)), sleep(us(700)), yieldCpu(), run(ms(2)), exit(2)],
      B: [fork('E'), run(us(300)), exec(), run(ms(2)), wait()],
      C: [yieldCpu(), run(us(900)), sleep(ms(1)), run(us(900))],
      D: [exit(0)],
      E: [sleep(us(400)), run(ms(4))],
    },
  },
  {
    id: 'twice-beside-rt',
    what: 'a task is inserted twice while a real-time task has a CPU, others nap and one has left for the fair class',
    scheduler: { mistake: 'enqueue-twice', mistakeAfter: 12 },
    tasks: {
      P: free('A', 'B', 'C', 'R'),
      A: [run(ms(2)), other, run(ms(3)), ext, run(ms(2))],
      B: times(3, run(ms(1)), sleep(us(500))),
      C: times(2, run(ms(2)), yieldCpu()),
      R: [affinity('self', 1), fifo('self'), ...times(3, sleep(ms(2)), run(us(800)))],
    },
  },
];

const onFour = [
  {
    id: 'four-classes-in-turn',
    what: 'tasks that run, wait and sleep go from class to class without coming back between, by virtual time',
    scheduler: vtime,
    tasks: {
      P: [
        ...[ext, ...letters(7).map((one) => fork(one)), sleep(ms(3)), policy('A', 'rr', 3), policy('B', 'idle')],
        ...[policy('G', 'batch'), sleep(ms(1)), policy('A', 'other'), policy('B', 'fifo', 2), policy('E', 'other')],
        ...[sleep(ms(2)), policy('A', 'ext'), policy('B', 'ext'), policy('G', 'fifo', 6), sleep(ms(1))],
        ...[policy('E', 'ext'), policy('G', 'ext'), wait()],
      ],
      ...same(['A', 'B', 'C'], [run(ms(6))]),
      ...same(['D', 'E'], [run(ms(4)), sleep(us(800)), run(ms(1))]),
      F: times(3, run(us(600)), sleep(us(600))),
      G: [run(us(500)), sleep(ms(5)), run(ms(1))],
    },
  },
  {
    id: 'four-rt-wake-both-ways',
    what: 'two real-time tasks on two cores wake tasks of the scheduler, sync and not, and are woken by them',
    tasks: {
      P: free(...letters(5), 'R', 'S'),
      A: times(2, run(us(900)), write(0), run(us(500))),
      B: times(2, read(1), run(us(700))),
      C: times(2, futexWait(1), run(us(700)), futexWake(2)),
      ...same(['D', 'E'], [run(ms(5))]),
      R: [affinity('self', 1), fifo('self', 12), ...times(2, read(0), run(us(600)), write(1), futexWake(1))],
      S: [affinity('self', 2), policy('self', 'rr', 9), ...times(2, futexWait(2), run(ms(1)))],
    },
  },
  {
    id: 'four-forks-refused',
    what: 'of a tree of forks the scheduler refuses all after the ninth, some of those before exit at once',
    scheduler: { mistake: 'fork-fails', mistakeAfter: 9 },
    tasks: {
      P: [ext, ...letters(4).map((one) => fork(one)), run(us(300)), fork('M'), wait(), fork('N'), run(us(200))],
      A: [fork('E'), fork('F'), run(ms(1)), wait()],
      B: [run(us(400)), fork('G'), fork('H'), wait(), run(us(300))],
      C: [sleep(ms(1)), fork('I'), fork('J'), wait()],
      D: [exec(), run(ms(1)), fork('K'), exit(3)],
      ...same(['E', 'G', 'I'], [run(ms(2))]),
      ...same(['F', 'H', 'J'], [exit(0)]),
      ...same(['K', 'M', 'N'], [run(us(400)), exit(1)]),
    },
  },
  {
    id: 'four-hotplug-vtime',
    what: 'a CPU goes and comes back while six tasks by virtual time compute and nap, some of them on two CPUs only',
    scheduler: vtime,
    tasks: {
      P: [
        ...[affinity('self', 0), ext, ...letters(6).map((one) => fork(one)), sleep(ms(3)), cpu(2, false)],
        ...[nice('B', 5), sleep(ms(2)), cpu(2, true), wait()],
      ],
      A: [affinity('self', 2, 3), run(ms(8))],
      ...same(['B', 'C'], [affinity('self', 0, 1, 2, 3), run(ms(8))]),
      ...same(['D', 'E'], [affinity('self', 0, 1, 2, 3), ...times(3, run(ms(1)), sleep(ms(1)))]),
      F: [affinity('self', 1, 2), run(ms(6))],
    },
  },
  {
    id: 'four-cgroups-and-jobs',
    what: 'tasks are moved between cgroups while they talk, are stopped, become other programs and leave the scheduler',
    tasks: {
      P: [
        ...[ext, makeCgroup('g'), makeCgroup('h'), ...letters(6).map((one) => fork(one)), sleep(ms(2)), stop('E')],
        ...[enterCgroup('A', 'g'), enterCgroup('E', 'g'), enterCgroup('F', 'h'), cgroupWeight('g', 30), sleep(ms(1))],
        ...[policy('F', 'other'), cont('E'), enterCgroup('B', 'h'), enterCgroup('F', 'g'), sleep(ms(1))],
        ...[policy('F', 'ext'), wait(), removeCgroup('g'), removeCgroup('h')],
      ],
      A: times(4, run(us(700)), write(0), read(1)),
      B: times(4, read(0), run(us(500)), write(1)),
      C: [run(ms(1)), exec(), run(ms(2)), fork('G'), wait()],
      D: [sleep(ms(1)), run(ms(3)), nice('self', 4), run(ms(1))],
      ...same(['E', 'F'], [run(ms(6))]),
      G: [enterCgroup('self', 'g'), run(us(600)), exit(1)],
    },
  },
];

export const scenarios = [...onTwo, ...onFour.map(four)];
