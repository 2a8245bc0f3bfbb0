import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: {
    alias: {
      '#platform': fileURLToPath(new URL('./src/platform/node.ts', import.meta.url)),
      '#elfy': fileURLToPath(import.meta.resolve('elfy')),
      vmtable: fileURLToPath(new URL('./src/index.ts', import.meta.url)),
    },
  },
  test: { include: ['test/**/*.test.ts'], setupFiles: ['test/setup.ts'], testTimeout: 60_000 },
});
