import { affinity, exec, exit, fork, ms, policy, run, sleep, us, wait, yieldCpu } from '../steps.mjs';

export const title = 'Running, sleeping, slices, yield, fork, exec and exit';

const alone = (steps) => ({ P: [affinity('self', 1), policy('self', 'ext'), fork('X'), wait()], X: steps });
const pair = (x, y = x) => ({
  P: [affinity('self', 1), policy('self', 'ext'), fork('X'), fork('Y'), wait()],
  X: x,
  Y: y,
});

export const scenarios = [
  {
    id: 'run-sleep',
    what: 'bursts shorter than the slice, sleeps between',
    tasks: alone([run(ms(2)), sleep(ms(3)), run(ms(1)), sleep(ms(3)), run(ms(1))]),
  },
  { id: 'slice-alone', what: 'a slice ends with nobody waiting', tasks: alone([run(ms(24))]) },
  { id: 'slice-two', what: 'two busy tasks share one CPU', tasks: pair([run(ms(24))]) },
  {
    id: 'slice-three',
    what: 'three busy tasks share one CPU',
    tasks: {
      P: [affinity('self', 1), policy('self', 'ext'), fork('X'), fork('Y'), fork('Z'), wait()],
      X: [run(ms(16))],
      Y: [run(ms(16))],
      Z: [run(ms(16))],
    },
  },
  {
    id: 'slice-two-cpus',
    what: 'three busy tasks on two CPUs',
    tasks: {
      P: [policy('self', 'ext'), fork('X'), fork('Y'), fork('Z'), wait()],
      X: [run(ms(20))],
      Y: [run(ms(20))],
      Z: [run(ms(20))],
    },
  },
  {
    id: 'slice-alone-enqlast',
    what: 'the same with SCX_OPS_ENQ_LAST',
    scheduler: { flags: ['ENQ_LAST'] },
    tasks: alone([run(ms(24))]),
  },
  {
    id: 'slice-two-enqlast',
    what: 'two busy tasks with SCX_OPS_ENQ_LAST',
    scheduler: { flags: ['ENQ_LAST'] },
    tasks: pair([run(ms(24))]),
  },
  {
    id: 'uneven',
    what: 'a short task beside a long one',
    tasks: pair([run(ms(30))], [run(ms(1)), sleep(ms(4)), run(ms(1)), sleep(ms(4)), run(ms(1))]),
  },
  { id: 'short-slices', what: 'slices of a tick', scheduler: { sliceUs: 1000 }, tasks: pair([run(ms(16))]) },
  {
    id: 'yield-op',
    what: 'sched_yield with the op, another task waiting',
    tasks: pair([run(ms(1)), yieldCpu(), run(ms(1)), yieldCpu(), run(ms(1))]),
  },
  {
    id: 'yield-no-op',
    what: 'sched_yield without the op',
    scheduler: { without: ['yield'] },
    tasks: pair([run(ms(1)), yieldCpu(), run(ms(1)), yieldCpu(), run(ms(1))]),
  },
  {
    id: 'yield-alone',
    what: 'sched_yield with nobody waiting',
    tasks: alone([run(ms(1)), yieldCpu(), run(ms(1)), yieldCpu(), run(us(200))]),
  },
  {
    id: 'yield-enqlast',
    what: 'sched_yield alone with SCX_OPS_ENQ_LAST',
    scheduler: { flags: ['ENQ_LAST'] },
    tasks: alone([run(ms(1)), yieldCpu(), run(ms(1))]),
  },
  {
    id: 'fork-chain',
    what: 'children that fork',
    tasks: {
      P: [affinity('self', 1), policy('self', 'ext'), fork('A'), wait()],
      A: [run(us(300)), fork('B'), wait()],
      B: [run(us(300)), fork('C'), wait()],
      C: [run(us(300))],
    },
  },
  {
    id: 'fork-many',
    what: 'eight children at once',
    tasks: {
      P: [affinity('self', 1), policy('self', 'ext'), ...'ABCDEFGH'.split('').map((t) => fork(t)), wait()],
      ...Object.fromEntries('ABCDEFGH'.split('').map((t) => [t, [run(ms(2))]])),
    },
  },
  {
    id: 'fork-spread',
    what: 'four children on two CPUs',
    tasks: {
      P: [policy('self', 'ext'), fork('A'), fork('B'), fork('C'), fork('D'), wait()],
      A: [run(ms(6))],
      B: [run(ms(6)), sleep(ms(1)), run(ms(1))],
      C: [run(ms(6))],
      D: [sleep(ms(2)), run(ms(6))],
    },
  },
  { id: 'exec', what: 'a task becomes another program', tasks: alone([run(ms(1)), exec(), run(ms(1))]) },
  {
    id: 'exec-spread',
    what: 'the same where both CPUs are allowed',
    tasks: {
      P: [policy('self', 'ext'), fork('X'), fork('Y'), wait()],
      X: [run(ms(1)), exec(), run(ms(2))],
      Y: [run(ms(6))],
    },
  },
  { id: 'exit-running', what: 'exit in the middle of a slice', tasks: pair([run(ms(2)), exit(3)], [run(ms(8))]) },
  {
    id: 'exit-enqexiting',
    what: 'exits with SCX_OPS_ENQ_EXITING',
    scheduler: { flags: ['ENQ_EXITING'] },
    tasks: pair([run(ms(2)), exit(3)], [run(ms(8))]),
  },
];
