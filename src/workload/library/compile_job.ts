import { exec, fork, ms, read, repeat, run, type SimStep, sleep, us, wait, write } from '../../sim/index.js';
import { entry } from './entry.js';

/** make, a shell for each file, a compiler and an assembler under that; so many shells at a time; at last a linker. */
export const compileJob = entry({
  about: 'make -j: trees of short processes that fork, exec, read files and exit; how long it takes is the figure',
  parameters: {
    jobs: { kind: 'count', default: 8, most: 1000, about: 'jobs at a time' },
    files: { kind: 'count', default: 64, most: 100_000, about: 'files in all' },
    time: { kind: 'time', default: ms(20), about: 'CPU time of a compiler, on average' },
    io: { kind: 'time', default: us(300), least: 0, about: 'how long a file takes to be read' },
  },
  build: ({ jobs, files, time, io }) => {
    const first = Math.min(jobs, files);
    const readFile: SimStep[] = io === 0 ? [] : [sleep({ exponential: io })];
    return {
      name: 'compile',
      tasks: [
        {
          name: 'make',
          steps: [
            run(ms(2)),
            repeat(first, fork('sh')),
            repeat(files - first, read('done'), run(us(100)), fork('sh')),
            wait(),
            fork('ld'),
            wait(),
          ],
        },
        { name: 'sh', steps: [exec(), run(us(500)), fork('cc'), wait(), write('done')] },
        { name: 'cc', steps: [exec(), run(us(300)), fork('cc1'), wait(), fork('as'), wait()] },
        { name: 'cc1', steps: [exec(), ...readFile, run({ exponential: time })] },
        { name: 'as', steps: [exec(), ...readFile, run(Math.ceil(time / 10))] },
        { name: 'ld', steps: [exec(), ...readFile, run(time)] },
      ],
    };
  },
});
