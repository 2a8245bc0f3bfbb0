import { forever, ms, read, run, type SimStep, sleep, timer, us, write } from '../../sim/index.js';
import { entry } from './entry.js';

/** A frame goes from the main thread through job threads and the render thread to the driver; other things want the CPU, too. */
export const game = entry({
  about: 'a game loop with job, render and audio threads, beside compilers of shaders and a download',
  parameters: {
    fps: { kind: 'count', default: 60, most: 1000, about: 'frames per second' },
    workers: { kind: 'count', default: 3, least: 0, most: 256, about: 'job threads' },
    background: { kind: 'count', default: 4, least: 0, most: 1000, about: 'threads that compile shaders all the time' },
  },
  build: ({ fps, workers, background }) => {
    const period = Math.floor(1_000_000_000 / fps);
    const share = (part: number) => Math.ceil(period * part);
    const jobs = Array.from({ length: workers }, (_, job) => job);
    const hand: SimStep[] = jobs.map((job) => write(`job-${job}`, false));
    const gather: SimStep[] = jobs.map(() => read('jobs-done'));
    const frame = { normal: [share(0.2), share(0.03)] } as const;
    return {
      name: 'game',
      tasks: [
        {
          name: 'main',
          nice: -5,
          steps: [
            forever(timer('frame', period), run(frame), ...hand, ...gather, run(share(0.1)), write('render', false)),
          ],
        },
        ...jobs.map((job) => ({
          name: `job-${job}`,
          group: 'job',
          nice: -5,
          steps: [
            forever(
              read(`job-${job}`),
              run({ uniform: [share(0.05), share(0.2)] as const }),
              write('jobs-done', false),
            ),
          ],
        })),
        { name: 'render', nice: -5, steps: [forever(read('render'), run(share(0.3)), write('driver', false))] },
        { name: 'driver', steps: [forever(read('driver'), run(share(0.05)), sleep(us(500)), run(us(50)))] },
        { name: 'audio', nice: -11, steps: [forever(timer('audio', ms(5)), run(us(200)))] },
        { name: 'download', steps: [forever(sleep({ exponential: ms(1) }), run(us(60)))] },
        ...(background === 0
          ? []
          : [{ name: 'shaders', nice: 10, copies: background, steps: [forever(run(ms(25)), sleep(us(200)))] }]),
      ],
    };
  },
});
