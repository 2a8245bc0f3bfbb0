import { ext, fifo, free, letters, on1, same, times, vtime } from '../pieces.mjs';
import {
  affinity,
  cpu,
  enterCgroup,
  fork,
  futexWait,
  futexWake,
  makeCgroup,
  ms,
  read,
  removeCgroup,
  run,
  sleep,
  sysrq,
  us,
  wait,
  write,
} from '../steps.mjs';

export const title = 'Schedulers that the kernel or its operator throws out';

/** They are recorded in a boot of their own. */
export const part = 'exits';
export const kernels = ['7.3', '6.18'];

const neither = { without: ['cpu_online', 'cpu_offline'] };

export const scenarios = [
  // The first of its boot: nothing else has counted CPUs.
  {
    id: 'hotplug-seq',
    what: 'a scheduler that was made for other CPUs than there are by now is not attached',
    scheduler: { hotplugSeq: 4242 },
    tasks: { P: [ext, run(ms(1))] },
  },
  {
    id: 'offline-without-ops',
    what: 'a CPU goes down under a scheduler that has neither ops.cpu_online nor ops.cpu_offline, while tasks run on both',
    scheduler: neither,
    tasks: {
      P: [
        affinity('self', 0),
        ext,
        fork('X'),
        fork('Y'),
        sleep(ms(3)),
        cpu(1, false),
        run(us(500)),
        cpu(1, true),
        wait(),
      ],
      X: [affinity('self', 0, 1), run(ms(8))],
      Y: [affinity('self', 0, 1), ...times(3, run(ms(2)), sleep(us(700)))],
    },
  },
  {
    id: 'offline-without-op',
    what: 'the same by virtual time under a scheduler that has ops.cpu_online only',
    scheduler: { ...vtime, without: ['cpu_offline'] },
    tasks: {
      P: [
        affinity('self', 0),
        ext,
        ...letters(3).map((one) => fork(one)),
        sleep(ms(4)),
        cpu(1, false),
        cpu(1, true),
        wait(),
      ],
      ...same(['A', 'B', 'C'], [affinity('self', 0, 1), run(ms(6))]),
    },
  },
  {
    id: 'online-without-op',
    what: 'a CPU goes down, of which the scheduler is told, and comes up, for which it has no op',
    scheduler: { without: ['cpu_online'] },
    tasks: {
      P: [
        affinity('self', 0),
        ext,
        fork('X'),
        sleep(ms(3)),
        cpu(1, false),
        sleep(ms(1)),
        cpu(1, true),
        run(ms(1)),
        wait(),
      ],
      X: [affinity('self', 0, 1), ...times(4, run(ms(2)), sleep(us(400)))],
    },
  },
  {
    id: 'online-first-seen',
    what: 'a CPU that was down before the scheduler had any task comes up under one without ops for that',
    scheduler: { without: ['cpu_online'] },
    tasks: {
      P: [affinity('self', 0), cpu(1, false), ext, fork('X'), run(ms(1)), cpu(1, true), run(ms(2)), wait()],
      X: [affinity('self', 0), run(ms(3)), sleep(ms(1)), run(ms(1))],
    },
  },
  {
    id: 'sysrq-running',
    what: 'a task presses sysrq-S while two others share its CPU',
    tasks: {
      P: [...on1('X', 'Y').slice(0, -1), run(ms(3)), sysrq('S'), run(ms(2)), wait()],
      X: [run(ms(8))],
      Y: times(3, run(ms(1)), sleep(us(500))),
    },
  },
  {
    id: 'sysrq-sleeping',
    what: 'a task presses sysrq-S that sleeps before and behind, while others on both CPUs talk, nap and compute',
    tasks: {
      P: [ext, ...letters(4).map((one) => fork(one)), sleep(ms(3)), sysrq('S'), sleep(ms(1)), run(ms(1)), wait()],
      A: times(5, run(us(600)), write(0), read(1)),
      B: times(5, read(0), run(us(400)), write(1)),
      C: times(4, run(ms(1)), sleep(us(600))),
      D: [run(ms(8))],
    },
  },
  {
    id: 'sysrq-twice',
    what: 'sysrq-S is pressed again when the scheduler is on its way, and when it has gone',
    scheduler: vtime,
    tasks: {
      P: [
        ...free('A', 'B', 'C').slice(0, -1),
        run(ms(2)),
        sysrq('S'),
        sysrq('S'),
        sleep(ms(60)),
        sysrq('S'),
        run(ms(1)),
        wait(),
      ],
      A: [run(ms(6))],
      B: times(3, run(ms(1)), sleep(us(300))),
      C: [sleep(ms(1)), run(ms(5))],
    },
  },
  {
    id: 'sysrq-other-class',
    what: 'a real-time task presses sysrq-S above tasks of the scheduler, which has all tasks of the fair class',
    scheduler: { partial: false },
    tasks: {
      P: free('A', 'B', 'R'),
      A: times(2, run(ms(1)), futexWait(0)),
      B: [run(ms(9))],
      R: [
        affinity('self', 1),
        fifo('self'),
        sleep(ms(3)),
        run(us(500)),
        futexWake(0),
        sysrq('S'),
        run(us(500)),
        sleep(ms(1)),
        futexWake(0),
      ],
    },
  },
  {
    id: 'sysrq-beside-error',
    what: 'sysrq-S is pressed at a scheduler that has made a mistake before',
    scheduler: { mistake: 'enqueue-error', mistakeAfter: 1 },
    tasks: {
      P: [...on1('X', 'Y').slice(0, -1), sleep(ms(12)), sysrq('S'), run(ms(1)), wait()],
      X: [run(ms(20))],
      Y: [run(ms(20))],
    },
  },
  {
    id: 'exit-among-cgroups',
    what: 'enqueue calls scx_bpf_exit while tasks are in cgroups, which are told before the tasks leave',
    scheduler: { mistake: 'enqueue-exit', mistakeAfter: 3 },
    tasks: {
      P: [
        ...[ext, makeCgroup('g'), ...letters(3).map((one) => fork(one)), sleep(ms(2)), enterCgroup('B', 'g')],
        ...[sleep(ms(20)), wait(), removeCgroup('g')],
      ],
      A: [enterCgroup('self', 'g'), run(ms(6))],
      ...same(['B', 'C'], times(3, run(ms(1)), sleep(us(400)))),
    },
  },
];
