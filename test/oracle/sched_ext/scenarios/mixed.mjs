import { ext, four, free, letters, on1, same, vtime } from '../pieces.mjs';
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

export const title =
  'Several of these at once: moves, forks, classes, signals and wake-ups in other orders and numbers';

/** They are recorded in a boot of their own. */
export const part = 'mixed';

/** Forks on CPU 1, then looks on from CPU 0. */
const watch = (tasks, ...steps) => [
  affinity('self', 1),
  ext,
  ...tasks.map((task) => fork(task)),
  affinity('self', 0),
  ...steps,
  wait(),
];

const onTwo = [
  {
    id: 'vtime-free-nice',
    what: 'five tasks of different weight by virtual time on two CPUs',
    scheduler: vtime,
    tasks: {
      P: free(...letters(5)),
      A: [nice('self', -8), run(ms(9))],
      B: [nice('self', 4), run(ms(6)), sleep(ms(1)), run(ms(2))],
      C: [run(ms(9))],
      D: [nice('self', 12), run(ms(4))],
      E: [run(ms(1)), nice('self', -3), run(ms(7))],
    },
  },
  {
    id: 'vtime-late',
    what: 'a task comes late and by virtual time is first',
    scheduler: vtime,
    tasks: {
      P: [affinity('self', 1), ext, fork('A'), fork('B'), sleep(ms(17)), fork('C'), wait()],
      A: [run(ms(25))],
      B: [run(ms(25))],
      C: [run(ms(8))],
    },
  },
  {
    id: 'vtime-moved',
    what: 'tasks that wait by virtual time may run on the other CPU only',
    scheduler: vtime,
    tasks: {
      P: watch(['A', 'B', 'C'], sleep(ms(7)), affinity('C', 0), sleep(ms(3)), affinity('A', 0)),
      ...same(['A', 'B', 'C'], [run(ms(18))]),
    },
  },
  {
    id: 'forks-in-turn',
    what: 'each child is waited for before the next',
    tasks: {
      P: [ext, fork('A'), wait(), fork('B'), fork('C'), wait(), run(ms(1)), fork('D'), wait()],
      ...same(['A', 'C', 'D'], [run(us(700))]),
      B: [sleep(ms(2)), run(us(300))],
    },
  },
  {
    id: 'forks-deep',
    what: 'a chain of six forks, each of which waits, on one CPU',
    tasks: {
      P: on1('A'),
      A: [fork('B'), run(us(400)), wait()],
      B: [run(us(400)), fork('C'), wait()],
      C: [fork('D'), wait(), run(us(400))],
      D: [fork('E'), run(ms(1)), wait()],
      E: [run(us(200)), exit(1)],
    },
  },
  {
    id: 'forks-exec',
    what: 'children that become other programs at once, one nice, one pinned',
    tasks: {
      P: free('A', 'B', 'C'),
      A: [exec(), run(ms(2))],
      B: [nice('self', 5), exec(), run(ms(2))],
      C: [affinity('self', 0), exec(), run(ms(1)), affinity('self', 0, 1), run(ms(1))],
    },
  },
  {
    id: 'forks-orphans',
    what: 'a child exits before its own children',
    tasks: {
      P: free('A', 'B'),
      A: [fork('C'), fork('D'), run(us(500)), exit(0)],
      B: [run(ms(5))],
      C: [run(ms(3))],
      D: [sleep(ms(2)), run(ms(1))],
    },
  },
  {
    id: 'kill-four',
    what: 'four tasks are killed: running, queued, asleep, stopped',
    tasks: {
      P: watch(
        ['A', 'B', 'C', 'D'],
        ...[sleep(ms(8)), stop('D'), sleep(ms(6)), kill('D'), kill('C'), kill('B'), kill('A')],
      ),
      A: [run(ms(60))],
      B: [run(ms(60))],
      C: [sleep(ms(200))],
      D: [run(ms(60))],
    },
  },
  {
    id: 'stop-nice-move',
    what: 'a stopped task is niced and moved before it goes on',
    tasks: {
      P: watch(
        ['A', 'B'],
        ...[sleep(ms(6)), stop('A'), sleep(ms(1)), nice('A', 7), affinity('A', 0), sleep(ms(1)), cont('A')],
      ),
      A: [run(ms(12))],
      B: [run(ms(14))],
    },
  },
  {
    id: 'class-two-queued',
    what: 'two waiting tasks leave the scheduler and come back in the other order',
    tasks: {
      P: watch(
        ['A', 'B', 'C'],
        ...[sleep(ms(3)), policy('B', 'other'), policy('C', 'batch'), sleep(ms(2)), policy('C', 'ext')],
        ...[sleep(ms(1)), policy('B', 'ext')],
      ),
      ...same(['A', 'B', 'C'], [run(ms(12))]),
    },
  },
  {
    id: 'class-rr-asleep',
    what: 'a sleeping task becomes a round-robin one, wakes, and comes back while it runs',
    tasks: {
      P: watch(['A', 'B'], sleep(ms(2)), policy('A', 'rr', 3), sleep(ms(5)), policy('A', 'ext')),
      A: [sleep(ms(4)), run(ms(9))],
      B: [run(ms(12))],
    },
  },
  {
    id: 'class-forks',
    what: 'children of tasks of other classes come to the scheduler',
    tasks: {
      P: on1('A', 'B'),
      A: [policy('self', 'batch'), fork('C'), run(ms(1)), ext, fork('D'), run(ms(2)), wait()],
      B: [run(ms(9))],
      C: [run(ms(1)), ext, run(ms(1))],
      D: [run(ms(2)), policy('self', 'other'), run(us(500))],
    },
  },
  {
    id: 'rt-wakes-ext',
    what: 'real-time tasks wake tasks of the scheduler on both CPUs',
    tasks: {
      P: free('A', 'B', 'R', 'S'),
      A: [futexWait(0), run(ms(3)), futexWait(1), run(ms(1))],
      B: [run(ms(2)), read(0), run(ms(4))],
      R: [affinity('self', 0), policy('self', 'fifo', 10), sleep(ms(2)), futexWake(0), run(ms(2)), write(0)],
      S: [affinity('self', 1), policy('self', 'rr', 10), sleep(ms(6)), run(ms(2)), futexWake(1)],
    },
  },
  {
    id: 'rt-three',
    what: 'three real-time tasks, free to move, above four others',
    tasks: {
      P: free('A', 'B', 'C', 'D', 'R', 'S', 'T'),
      ...same(['A', 'B', 'C', 'D'], [run(ms(7))]),
      R: [policy('self', 'fifo', 10), sleep(ms(2)), run(ms(2))],
      S: [policy('self', 'fifo', 20), sleep(ms(3)), run(ms(3)), sleep(ms(2)), run(ms(1))],
      T: [policy('self', 'fifo', 30), sleep(ms(3)), run(ms(1))],
    },
  },
  {
    id: 'rt-kills',
    what: 'a real-time task kills the task that it preempted, then one that waits',
    tasks: {
      P: on1('A', 'B', 'R'),
      A: [run(ms(40))],
      B: [run(ms(40))],
      R: [policy('self', 'fifo', 10), sleep(ms(4)), kill('A'), run(ms(1)), kill('B')],
    },
  },
  {
    id: 'cgroups-two',
    what: 'tasks go to and fro between two cgroups whose weights change',
    tasks: {
      P: [
        ...[affinity('self', 1), ext, makeCgroup('g'), makeCgroup('h'), cgroupWeight('h', 300)],
        ...[fork('A'), fork('B'), affinity('self', 0), sleep(ms(3)), enterCgroup('A', 'g'), enterCgroup('B', 'h')],
        ...[cgroupWeight('g', 50), sleep(ms(2)), enterCgroup('A', 'h'), wait(), removeCgroup('g'), removeCgroup('h')],
      ],
      A: [run(ms(10))],
      B: [run(ms(2)), sleep(ms(2)), run(ms(5))],
    },
  },
  {
    id: 'cgroup-forks',
    what: 'a task in a cgroup forks and its child is moved and killed',
    tasks: {
      P: [
        ...[affinity('self', 1), ext, makeCgroup('g'), makeCgroup('h'), fork('A'), affinity('self', 0), sleep(ms(80))],
        ...[enterCgroup('B', 'h'), sleep(ms(1)), kill('B'), wait(), removeCgroup('g'), removeCgroup('h')],
      ],
      A: [enterCgroup('self', 'g'), run(ms(1)), fork('B'), run(ms(90)), wait()],
      B: [run(ms(120))],
    },
  },
  {
    id: 'yield-both-cpus',
    what: 'five tasks yield on two CPUs',
    tasks: {
      P: free(...letters(5)),
      ...same(letters(5), [run(us(600)), yieldCpu(), run(us(600)), yieldCpu(), yieldCpu(), run(us(200))]),
    },
  },
  {
    id: 'yield-vtime-no-op',
    what: 'tasks yield without the op, by virtual time',
    scheduler: { policy: 'vtime', without: ['yield'] },
    tasks: { P: on1('A', 'B'), ...same(['A', 'B'], [run(ms(1)), yieldCpu(), run(ms(2)), yieldCpu(), run(us(500))]) },
  },
  {
    id: 'affinity-swap',
    what: 'two busy tasks change places again and again',
    tasks: {
      P: [
        ...[ext, fork('A'), fork('B'), sleep(ms(2)), affinity('A', 1), affinity('B', 0), sleep(ms(2))],
        ...[affinity('A', 0), affinity('B', 1), sleep(ms(2)), affinity('A', 0, 1), affinity('B', 0, 1), wait()],
      ],
      A: [affinity('self', 0), run(ms(12))],
      B: [affinity('self', 1), run(ms(12))],
    },
  },
  {
    id: 'pipes-ring',
    what: 'a byte goes round three tasks, twice',
    tasks: {
      P: free('A', 'B', 'C'),
      A: [write(0), read(2), run(us(300)), write(0), read(2), run(us(300))],
      B: [read(0), run(us(300)), write(1), read(0), run(us(300)), write(1)],
      C: [read(1), run(us(300)), write(2), read(1), run(us(300)), write(2)],
    },
  },
  {
    id: 'naps-short-slices',
    what: 'six tasks with slices of 2 ms and naps of different length',
    scheduler: { sliceUs: 2000 },
    tasks: {
      P: free(...letters(6)),
      ...same(['A', 'D'], [run(ms(3)), sleep(ms(1)), run(ms(3))]),
      ...same(['B', 'E'], [run(us(500)), sleep(ms(2)), run(ms(4))]),
      ...same(['C', 'F'], [sleep(us(500)), run(ms(5)), sleep(us(200)), run(us(200))]),
    },
  },
  {
    id: 'pid-moved',
    what: 'tasks that wait in a map of the scheduler’s are niced, moved and stopped',
    scheduler: { policy: 'pid' },
    tasks: {
      P: [
        ...[ext, fork('A'), fork('B'), fork('C'), fork('D'), sleep(ms(3)), nice('C', 4), sleep(ms(1)), stop('D')],
        ...[sleep(ms(2)), cont('D'), affinity('B', 0, 1), wait()],
      ],
      ...same(letters(4), [run(ms(9))]),
    },
  },
  {
    id: 'enqexiting-forks',
    what: 'children that exit soon with SCX_OPS_ENQ_EXITING, one of which is killed',
    scheduler: { flags: ['KEEP_BUILTIN_IDLE', 'ENQ_EXITING'] },
    tasks: {
      P: [ext, fork('A'), fork('B'), fork('C'), fork('D'), sleep(ms(4)), kill('D'), wait()],
      ...same(['A', 'B', 'C'], [run(us(900)), exit(3)]),
      D: [run(ms(40))],
    },
  },
  {
    id: 'life-alone',
    what: 'one task runs, sleeps, yields, is niced, moves, leaves the scheduler and comes back',
    scheduler: { flags: ['KEEP_BUILTIN_IDLE', 'ENQ_LAST'], without: ['yield'] },
    tasks: {
      P: [
        ...[affinity('self', 1), ext, run(ms(10)), sleep(ms(2)), yieldCpu(), yieldCpu(), nice('self', 5)],
        ...[affinity('self', 0), affinity('self', 1), policy('self', 'other'), ext, exit(0)],
      ],
    },
  },
  {
    id: 'changed-while-queued',
    what: 'a waiting task is niced and moved, then a running one is',
    tasks: {
      P: [
        ...[affinity('self', 1), ext, fork('H'), fork('Q'), affinity('self', 0), sleep(ms(2)), nice('Q', 10)],
        ...[affinity('Q', 0), sleep(ms(12)), nice('H', 3), affinity('H', 0), wait()],
      ],
      H: [run(ms(60))],
      Q: [run(ms(5))],
    },
  },
  {
    id: 'busy-and-sleepers',
    what: 'two busy tasks and two that sleep and wake, free to move',
    tasks: {
      P: free('A', 'B', 'C', 'D'),
      ...same(['A', 'B'], [run(ms(15))]),
      ...same(['C', 'D'], Array.from({ length: 5 }, () => [sleep(ms(1)), run(us(500))]).flat()),
    },
  },
  {
    id: 'full-busy-and-sleepers',
    what: 'the same, all tasks of the machine',
    scheduler: { partial: false },
    tasks: {
      P: free('A', 'B', 'C', 'D'),
      ...same(['A', 'B'], [run(ms(15))]),
      ...same(['C', 'D'], Array.from({ length: 5 }, () => [sleep(ms(1)), run(us(500))]).flat()),
    },
  },
  {
    id: 'pipe-to-and-fro',
    what: 'two tasks on two CPUs answer one another three times',
    tasks: {
      P: [
        ...[affinity('self', 1), ext, fork('X'), sleep(ms(3)), write(0), read(1), write(0), read(1), write(0)],
        ...[read(1), wait()],
      ],
      X: [affinity('self', 0), read(0), write(1), read(0), write(1), read(0), write(1)],
    },
  },
  {
    id: 'cgroup-there-and-back',
    what: 'a task enters a cgroup, forks in it, and goes back',
    tasks: {
      P: [
        ...[affinity('self', 1), ext, makeCgroup('g'), cgroupWeight('g', 200), enterCgroup('self', 'g'), fork('X')],
        ...[wait(), enterCgroup('self', '/'), removeCgroup('g'), sleep(ms(20)), run(us(300))],
      ],
      X: [run(ms(1))],
    },
  },
  {
    id: 'hotplug-pinned',
    what: 'the only CPU of a task goes and comes back while it runs',
    tasks: {
      P: [affinity('self', 0), ext, fork('X'), sleep(ms(3)), cpu(1, false), cpu(1, true), wait()],
      X: [affinity('self', 1), run(ms(30))],
    },
  },
  {
    id: 'local-nice-yield',
    what: 'tasks on local queues are niced and yield',
    scheduler: { policy: 'local' },
    tasks: {
      P: free('A', 'B', 'C'),
      A: [run(ms(2)), nice('self', 3), run(ms(4)), yieldCpu(), run(ms(1))],
      B: [run(ms(1)), yieldCpu(), nice('self', -4), run(ms(5))],
      C: [run(ms(6)), sleep(ms(1)), run(ms(1))],
    },
  },
];

const onFour = [
  {
    id: 'four-vtime-twelve',
    what: 'twelve tasks of different weight by virtual time',
    scheduler: vtime,
    tasks: {
      P: free(...letters(12)),
      ...same(letters(4), [run(ms(5))]),
      ...same(['E', 'F', 'G', 'H'], [nice('self', 6), run(ms(4))]),
      ...same(['I', 'J', 'K', 'L'], [nice('self', -6), run(ms(3)), sleep(ms(1)), run(ms(2))]),
    },
  },
  {
    id: 'four-forks-tree',
    what: 'three children that fork three times each',
    tasks: {
      P: free('A', 'B', 'C'),
      A: [fork('D'), fork('E'), fork('F'), run(ms(1)), wait()],
      B: [run(us(300)), fork('G'), fork('H'), fork('I'), wait()],
      C: [fork('J'), run(us(600)), fork('K'), wait(), fork('L'), wait()],
      ...same(['D', 'G', 'J'], [run(ms(2))]),
      ...same(['E', 'H', 'K'], [run(us(400)), sleep(ms(1)), run(us(400))]),
      ...same(['F', 'I', 'L'], [exit(0)]),
    },
  },
  {
    id: 'four-forks-twenty',
    what: 'twenty children that exit soon',
    tasks: { P: free(...letters(20)), ...same(letters(20), [run(us(600)), exit(1)]) },
  },
  {
    id: 'four-class-queued',
    what: 'tasks that run and wait change their class from outside',
    tasks: {
      P: [
        ...[ext, ...letters(6).map((one) => fork(one)), sleep(ms(4)), policy('A', 'other'), policy('F', 'batch')],
        ...[sleep(ms(2)), policy('A', 'ext'), policy('B', 'fifo', 4), sleep(ms(2)), policy('B', 'ext')],
        ...[policy('F', 'ext'), wait()],
      ],
      ...same(letters(6), [run(ms(14))]),
    },
  },
  {
    id: 'four-rt-each',
    what: 'a real-time task on each CPU above six others',
    tasks: {
      P: free(...letters(6), 'R', 'S', 'T', 'U'),
      ...same(letters(6), [run(ms(8))]),
      R: [affinity('self', 0), policy('self', 'fifo', 10), sleep(ms(3)), run(ms(2))],
      S: [affinity('self', 1), policy('self', 'fifo', 20), sleep(ms(4)), run(ms(2))],
      T: [affinity('self', 2), policy('self', 'rr', 10), sleep(ms(3)), run(ms(3))],
      U: [affinity('self', 3), policy('self', 'fifo', 5), sleep(ms(5)), run(ms(1)), sleep(ms(1)), run(ms(1))],
    },
  },
  {
    id: 'four-rt-two-cpus',
    what: 'two real-time tasks on two CPUs of different cores wake tasks',
    tasks: {
      P: free('A', 'B', 'C', 'D', 'R', 'S'),
      ...same(['A', 'B'], [run(ms(9))]),
      C: [futexWait(0), run(ms(3))],
      D: [read(0), run(ms(3))],
      R: [
        affinity('self', 0),
        policy('self', 'fifo', 10),
        sleep(ms(2)),
        run(ms(2)),
        futexWake(0),
        sleep(ms(2)),
        run(ms(1)),
      ],
      S: [affinity('self', 2), policy('self', 'fifo', 10), sleep(ms(3)), run(ms(2)), write(0), run(ms(1))],
    },
  },
  {
    id: 'four-narrow',
    what: 'running and waiting tasks may use one core only, then one CPU, then all',
    tasks: {
      P: [
        ...[ext, ...letters(5).map((one) => fork(one)), sleep(ms(3)), affinity('A', 2, 3), affinity('B', 2, 3)],
        ...[sleep(ms(2)), affinity('C', 1), affinity('D', 1), sleep(ms(3)), affinity('D', 0, 1, 2, 3), wait()],
      ],
      ...same(letters(5), [run(ms(12))]),
    },
  },
  {
    id: 'four-yield',
    what: 'seven tasks yield',
    tasks: { P: free(...letters(7)), ...same(letters(7), [run(us(700)), yieldCpu(), run(us(900)), yieldCpu()]) },
  },
  {
    id: 'four-killed',
    what: 'eight tasks are killed from outside',
    tasks: {
      P: [ext, ...letters(8).map((one) => fork(one)), sleep(ms(6)), ...letters(8).map((one) => kill(one)), wait()],
      ...same(letters(6), [run(ms(60))]),
      ...same(['G', 'H'], [sleep(ms(100))]),
    },
  },
  {
    id: 'four-cgroups',
    what: 'tasks enter cgroups while they run, wait and sleep',
    tasks: {
      P: [
        ...[ext, makeCgroup('g'), ...letters(6).map((one) => fork(one)), sleep(ms(4))],
        ...[...letters(6).map((one) => enterCgroup(one, 'g')), cgroupWeight('g', 20), wait(), removeCgroup('g')],
      ],
      ...same(letters(5), [run(ms(10))]),
      F: [sleep(ms(12)), run(ms(1))],
    },
  },
  {
    id: 'four-pipes-ring',
    what: 'a byte goes round four tasks beside a busy one',
    tasks: {
      P: free('A', 'B', 'C', 'D', 'E'),
      A: [write(0), read(3), run(us(500))],
      B: [read(0), run(us(300)), write(1), run(us(300))],
      C: [read(1), run(us(300)), write(2), run(us(300))],
      D: [read(2), run(us(300)), write(3), run(us(300))],
      E: [run(ms(6))],
    },
  },
  {
    id: 'four-stop-cont',
    what: 'two of five tasks are stopped and go on, one exec comes between',
    tasks: {
      P: [
        ...[ext, ...letters(5).map((one) => fork(one)), sleep(ms(3)), stop('A'), stop('E'), sleep(ms(2)), cont('E')],
        ...[sleep(ms(1)), cont('A'), wait()],
      ],
      ...same(['A', 'B', 'C', 'E'], [run(ms(9))]),
      D: [run(ms(2)), exec(), run(ms(3))],
    },
  },
  {
    id: 'four-full-forks',
    what: 'all tasks of the machine, children of children',
    scheduler: { partial: false },
    tasks: {
      P: free('A', 'B', 'C'),
      A: [fork('D'), run(ms(2)), wait()],
      B: [run(ms(1)), fork('E'), sleep(ms(1)), run(ms(1)), wait()],
      C: [run(ms(4))],
      ...same(['D', 'E'], [run(ms(2))]),
    },
  },
  {
    id: 'four-hotplug',
    what: 'a CPU of a core goes and comes back while six tasks run',
    tasks: {
      P: [
        affinity('self', 0),
        ext,
        ...letters(6).map((one) => fork(one)),
        sleep(ms(4)),
        cpu(3, false),
        sleep(ms(4)),
        cpu(3, true),
        wait(),
      ],
      ...same(letters(6), [affinity('self', 0, 1, 2, 3), run(ms(20))]),
    },
  },
  {
    id: 'four-enqlast-naps',
    what: 'tasks that run and sleep with SCX_OPS_ENQ_LAST',
    scheduler: { flags: ['KEEP_BUILTIN_IDLE', 'ENQ_LAST'] },
    tasks: {
      P: free(...letters(6)),
      ...same(['A', 'B', 'C'], [run(ms(7)), sleep(ms(1)), run(ms(2))]),
      ...same(['D', 'E', 'F'], [run(ms(1)), sleep(ms(3)), run(ms(6)), yieldCpu(), run(us(300))]),
    },
  },
];

export const scenarios = [...onTwo, ...onFour.map(four)];
