import { forever, ms, read, run, sleep, timer, us, write } from '../../sim/index.js';
import { entry } from './entry.js';

/** A driver that wakes once per buffer, a chain of clients that each wake the next, and the way back before the next period. */
export const audio = entry({
  about: 'an audio graph: one period after the other, a chain of clients in each, beside loads',
  parameters: {
    period: { kind: 'time', default: us(2667), about: 'time of one buffer (128 frames at 48 kHz)' },
    clients: { kind: 'count', default: 4, most: 100, about: 'clients in the chain' },
    work: { kind: 'time', default: us(250), about: 'CPU time of a client per buffer' },
    loads: { kind: 'count', default: 4, least: 0, most: 1000, about: 'tasks that want the CPU all the time' },
  },
  build: ({ period, clients, work, loads }) => ({
    name: 'audio',
    tasks: [
      {
        name: 'driver',
        nice: -11,
        steps: [forever(timer('buffer', period), run(us(30)), write('client-0', false), read('played'))],
      },
      ...Array.from({ length: clients }, (_, client) => ({
        name: `client-${client}`,
        group: 'client',
        nice: -11,
        steps: [
          forever(
            read(`client-${client}`),
            run(work),
            write(client + 1 < clients ? `client-${client + 1}` : 'played', false),
          ),
        ],
      })),
      ...(loads === 0 ? [] : [{ name: 'load', copies: loads, steps: [forever(run(ms(50)), sleep(us(100)))] }]),
    ],
  }),
});
