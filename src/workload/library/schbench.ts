import { forever, read, run, sleep, us, write } from '../../sim/index.js';
import { entry } from './entry.js';

/** Message threads that wake workers; a worker's request is a pause as of a network, and work around it. */
export const schbench = entry({
  about: 'message threads that hand requests to workers (schbench): look at the wake-up latency of both',
  parameters: {
    messages: { kind: 'count', default: 2, most: 1000, about: 'message threads' },
    workers: { kind: 'count', default: 8, most: 1000, about: 'workers of each' },
    work: { kind: 'time', default: us(500), about: 'CPU time of a request' },
    pause: { kind: 'time', default: us(100), least: 0, about: 'sleep in a request' },
  },
  build: ({ messages, workers, work, pause }) => ({
    name: 'schbench',
    tasks: Array.from({ length: messages }, (_, message) => [
      {
        name: `message-${message}`,
        group: 'message',
        steps: [forever(read(`free-${message}`), run(us(2)), write(`request-${message}`, false))],
      },
      {
        name: `worker-${message}`,
        group: 'worker',
        copies: workers,
        steps: [
          forever(
            write(`free-${message}`, false),
            read(`request-${message}`),
            run(Math.ceil(work / 2)),
            sleep(pause),
            run(Math.ceil(work / 2)),
          ),
        ],
      },
    ]).flat(),
  }),
});
