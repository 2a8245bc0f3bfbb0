#!/usr/bin/env node
// npm run fidelity [-- WORD…]: replays the recordings of real kernels on the simulated machine and compares, task by task,
// what the scheduler was asked. WORDs choose recordings by parts of their names. test/oracle/sched_ext/README.md.
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const path = (file) => fileURLToPath(new URL(`../${file}`, import.meta.url));
const { module } = await runnerImport(path('test/oracle/sched_ext/compare/run.ts'), {
  configFile: false,
  logLevel: 'error',
  resolve: {
    alias: {
      '#platform': path('src/platform/node.ts'),
      vmtable: path('src/index.ts'),
    },
  },
});
const ok = await module.fidelity(process.argv.slice(2), (line) => console.log(line));
process.exit(ok ? 0 : 1);
