import { ms, read, repeat, run, us, write } from '../../sim/index.js';
import { entry } from './entry.js';

/** Senders that each write to all receivers of their group, over a pipe for each receiver, as perf bench sched messaging does. */
export const hackbench = entry({
  about: 'groups of senders and receivers that talk through pipes (perf bench sched messaging)',
  parameters: {
    groups: { kind: 'count', default: 2, most: 1000, about: 'groups' },
    fds: { kind: 'count', default: 10, most: 100, about: 'senders, and receivers, of a group' },
    loops: { kind: 'count', default: 100, most: 1_000_000, about: 'messages from each sender to each receiver' },
    work: { kind: 'time', default: us(2), least: 0, most: ms(1000), about: 'CPU time to make or to take a message' },
  },
  build: ({ groups, fds, loops, work }) => {
    const each = Array.from({ length: fds }, (_, receiver) => receiver);
    return {
      name: 'hackbench',
      tasks: Array.from({ length: groups }, (_, group) => [
        ...each.map((receiver) => ({
          name: `receiver-${group}.${receiver}`,
          group: 'receiver',
          steps: [repeat(loops * fds, read(`${group}.${receiver}`), run(work))],
        })),
        ...each.map((sender) => ({
          name: `sender-${group}.${sender}`,
          group: 'sender',
          steps: [repeat(loops, ...each.flatMap((receiver) => [run(work), write(`${group}.${receiver}`)]))],
        })),
      ]).flat(),
    };
  },
});
