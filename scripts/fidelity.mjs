#!/usr/bin/env node
// npm run fidelity [-- WORD…]: replays the recordings of real kernels on the simulated machine and compares, task by task,
// what the scheduler was asked. WORDs choose recordings by parts of their names. `-- --write` writes docs/fidelity.md, `-- --check`
// fails where that is not true any more. test/oracle/sched_ext/README.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runnerImport } from 'vite';

const path = (file) => fileURLToPath(new URL(`../${file}`, import.meta.url));
const TABLE = path('docs/fidelity.md');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { write: { type: 'boolean' }, check: { type: 'boolean' } },
});
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
const { fidelity, fidelityTable } = module;
const result = await fidelity(positionals, (line) => console.log(line));
let ok = result.missed === 0;
if (values.write) writeFileSync(TABLE, fidelityTable(result));
else if (values.check) {
  const same = fidelityTable(result) === readFileSync(TABLE, 'utf8');
  if (!same) console.error('docs/fidelity.md is not true any more: npm run fidelity -- --write shows what has changed');
  ok &&= same;
} else ok &&= [...result.verdicts.values()].every((verdict) => verdict === 'agree');
process.exit(ok ? 0 : 1);
