import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/**
 * Tests that share what their modules keep, the kernel profiles above all, and load each module once a worker: a third less
 * time. None of them measures the memory of its process, or puts something in the place of a global or a module.
 */
const SHARED = ['test/{btf,loader,object,sched_ext,sim}/**/*.test.ts'];

export default defineConfig({
  resolve: {
    alias: {
      '#platform': fileURLToPath(new URL('./src/platform/node.ts', import.meta.url)),
      '#elfy': fileURLToPath(import.meta.resolve('elfy')),
      vmtable: fileURLToPath(new URL('./src/index.ts', import.meta.url)),
    },
  },
  test: {
    setupFiles: ['test/setup.ts'],
    testTimeout: 60_000,
    // A worker for each CPU: vitest would leave one to itself, half of a machine with two, and needs little of it.
    maxWorkers: availableParallelism(),
    projects: [
      { extends: true, test: { name: 'alone', include: ['test/**/*.test.ts'], exclude: SHARED } },
      { extends: true, test: { name: 'shared', isolate: false, include: SHARED } },
    ],
  },
});
