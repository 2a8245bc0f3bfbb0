// test/oracle/sched_ext/compare as it stands in its sources.
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const path = (file) => fileURLToPath(new URL(`../../${file}`, import.meta.url));

export async function comparison() {
  const { module } = await runnerImport(path('test/oracle/sched_ext/compare/index.ts'), {
    configFile: false,
    logLevel: 'error',
    resolve: {
      alias: {
        '#platform': path('src/platform/node.ts'),
        vmtable: path('src/index.ts'),
      },
    },
  });
  return module;
}
