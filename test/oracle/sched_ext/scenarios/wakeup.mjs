import { affinity, fork, futexWait, futexWake, ms, policy, read, run, sleep, us, wait, write } from '../steps.mjs';

export const title = 'Who wakes whom, and where';

const P = (...tasks) => [affinity('self', 1), policy('self', 'ext'), ...tasks.map((t) => fork(t)), wait()];
const ping = (mine, theirs, work) => [
  run(us(300)),
  write(theirs),
  read(mine),
  run(work),
  write(theirs),
  read(mine),
  run(work),
  write(theirs),
];
const pong = (mine, theirs, work) => [
  read(mine),
  run(work),
  write(theirs),
  read(mine),
  run(work),
  write(theirs),
  read(mine),
];

export const scenarios = [
  {
    id: 'pipe-same',
    what: 'two tasks pass a byte back and forth on one CPU',
    tasks: { P: P('X', 'Y'), X: ping(0, 1, us(400)), Y: pong(1, 0, us(400)) },
  },
  {
    id: 'pipe-cross',
    what: 'the same on two CPUs',
    tasks: {
      P: P('X', 'Y'),
      X: [affinity('self', 0), ...ping(0, 1, us(400))],
      Y: [affinity('self', 1), ...pong(1, 0, us(400))],
    },
  },
  {
    id: 'pipe-free',
    what: 'the same, free to move',
    tasks: { P: [policy('self', 'ext'), fork('X'), fork('Y'), wait()], X: ping(0, 1, us(400)), Y: pong(1, 0, us(400)) },
  },
  {
    id: 'futex-same',
    what: 'a wake-up that is not a sync one, same CPU',
    tasks: { P: P('X', 'Y'), X: [sleep(ms(1)), futexWake(0), run(ms(2))], Y: [futexWait(0), run(ms(1))] },
  },
  {
    id: 'futex-cross',
    what: 'the same across CPUs',
    tasks: {
      P: P('X', 'Y'),
      X: [affinity('self', 0), sleep(ms(1)), futexWake(0), run(ms(2))],
      Y: [futexWait(0), run(ms(1))],
    },
  },
  {
    id: 'futex-busy',
    what: 'a task wakes beside a busy one',
    tasks: {
      P: P('X', 'Y', 'Z'),
      X: [sleep(ms(3)), futexWake(0), run(ms(1))],
      Y: [futexWait(0), run(ms(1))],
      Z: [run(ms(16))],
    },
  },
  {
    id: 'sleepers',
    what: 'timers of three tasks end at different times',
    tasks: {
      P: P('X', 'Y', 'Z'),
      X: [sleep(ms(2)), run(ms(1)), sleep(ms(2)), run(ms(1))],
      Y: [sleep(ms(3)), run(ms(1)), sleep(ms(3)), run(ms(1))],
      Z: [sleep(ms(5)), run(ms(1))],
    },
  },
  {
    id: 'sleepers-free',
    what: 'the same, free to move',
    tasks: {
      P: [policy('self', 'ext'), fork('X'), fork('Y'), fork('Z'), wait()],
      X: [sleep(ms(2)), run(ms(1)), sleep(ms(2)), run(ms(1))],
      Y: [sleep(ms(3)), run(ms(1)), sleep(ms(3)), run(ms(1))],
      Z: [sleep(ms(5)), run(ms(1))],
    },
  },
  {
    id: 'keep-idle',
    what: "a scheduler that follows idle CPUs itself and keeps the kernel's tracking",
    scheduler: { flags: ['KEEP_BUILTIN_IDLE'] },
    tasks: {
      P: [policy('self', 'ext'), fork('X'), fork('Y'), wait()],
      X: [run(ms(1)), sleep(ms(2)), run(ms(1))],
      Y: [run(ms(2)), sleep(ms(1)), run(ms(1))],
    },
  },
  {
    id: 'no-update-idle',
    what: 'without update_idle',
    scheduler: { without: ['update_idle'], flags: [] },
    tasks: {
      P: [policy('self', 'ext'), fork('X'), fork('Y'), wait()],
      X: [run(ms(1)), sleep(ms(2)), run(ms(1))],
      Y: [run(ms(2)), sleep(ms(1)), run(ms(1))],
    },
  },
];
