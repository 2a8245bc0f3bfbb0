#!/usr/bin/env node
// npm run fidelity [-- WORD…]: replays the recordings of real kernels on the simulated machine and compares, task by task,
// what the scheduler was asked. WORDs choose recordings by parts of their names. `-- --write` writes docs/fidelity.md, `-- --check`
// fails where that is not true any more. test/oracle/sched_ext/README.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import Tinypool from 'tinypool';
import { comparison } from './fidelity/comparison.mjs';

const TABLE = fileURLToPath(new URL('../docs/fidelity.md', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { write: { type: 'boolean' }, check: { type: 'boolean' } },
});
const threads = availableParallelism();
const pool = new Tinypool({
  filename: new URL('fidelity/worker.mjs', import.meta.url).href,
  minThreads: threads,
  maxThreads: threads,
});
const { fidelity, fidelityTable } = await comparison();
const result = await fidelity(
  positionals,
  (line) => console.log(line),
  (piece) => pool.run(piece),
);
await pool.destroy();
let ok = result.missed === 0;
if (values.write) writeFileSync(TABLE, fidelityTable(result));
else if (values.check) {
  const same = fidelityTable(result) === readFileSync(TABLE, 'utf8');
  if (!same) console.error('docs/fidelity.md is not true any more: npm run fidelity -- --write shows what has changed');
  ok &&= same;
} else ok &&= [...result.verdicts.values()].every((verdict) => verdict === 'agree');
process.exit(ok ? 0 : 1);
