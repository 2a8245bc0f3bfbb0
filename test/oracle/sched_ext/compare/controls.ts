import type { Mutation } from './replay.js';

/** Wrong rules of the machine, each with a recording that shows it to be wrong. */
export const CONTROLS: readonly { rule: string; recording: string; mutate: Mutation }[] = [
  {
    rule: 'ticks do not come',
    recording: 'basic/slice-two',
    mutate: (machine) => {
      machine.startTick = () => {};
    },
  },
  {
    rule: 'sched_yield() does nothing',
    recording: 'basic/yield-op',
    mutate: (machine) => {
      machine.scx.pick.yieldTask = () => {};
    },
  },
  {
    rule: 'a task that exits stays in its group until the end',
    recording: 'basic/fork-chain',
    mutate: (machine) => {
      machine.changes.regroup = () => {};
    },
  },
  {
    rule: 'a new CPU mask moves nobody',
    recording: 'changes/affinity-self',
    mutate: (machine) => {
      machine.changes.setCpus = (task, cpus) => {
        machine.changes.forceCpus(task, cpus);
        return null;
      };
    },
  },
  {
    rule: 'a wake-up does not say that it is one',
    recording: 'wakeup/futex-same',
    mutate: (machine) => {
      const { enqueue } = machine.schedule;
      machine.schedule.enqueue = (cpu, task, flags) => enqueue.call(machine.schedule, cpu, task, flags & ~1);
    },
  },
  {
    rule: 'a nice value changes without a new place in the queue',
    recording: 'changes/nice-sleeping',
    mutate: (machine) => {
      machine.changes.setNice = () => {};
    },
  },
];
