#!/usr/bin/env node
// npm run corpus: compiles the sched_ext and struct_ops programs of two kernels' sources and shows how far each gets here.
//
//   node scripts/corpus.mjs [--all] [--only SET] [--engine NAME] [--write] [NAME…]
//
// --all compiles every chosen program of selftests/bpf, at both instruction set versions; else a fixed forty of them. --write
// stores the table as docs/corpus.md. Schedulers also run ten simulated seconds, held against what they are for
// (corpus/behave.mjs). --engine is what runs the programs: interp, jit, or auto, the default. NAMEs show single objects with everything that is said about them.
// Sources, objects and answers lie in build/corpus; nothing of them is committed. A run that is broken off goes on where it was.
// Needs apt-get, dpkg-deb, xz, python3 and clang-19.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DEFAULT_ENGINE, ENGINE_NAMES } from '../dist/src/vm/types.js';
import { behaves } from './corpus/behave.mjs';
import { compileSet, compileTestmod, SETS } from './corpus/compile.mjs';
import { judgeAll } from './corpus/judge_pool.mjs';
import { failsAsMeant, meantToFail } from './corpus/meant_to_fail.mjs';
import { report, table } from './corpus/report.mjs';
import { KERNELS, prepareKernel } from './corpus/sources.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    all: { type: 'boolean', default: false },
    only: { type: 'string' },
    engine: { type: 'string', default: DEFAULT_ENGINE },
    write: { type: 'boolean' },
  },
});
const { engine } = options;
if (!ENGINE_NAMES.includes(engine)) throw new Error(`--engine is one of ${ENGINE_NAMES.join(', ')}`);
const cache = join(root, 'build/corpus');
mkdirSync(cache, { recursive: true });
const say = (text) => console.error(text);
const selftests = readFileSync(new URL('corpus/selftests.txt', import.meta.url), 'utf8');
const sets = SETS.filter(({ id, onlyAll }) => (options.only ? id.startsWith(options.only) : options.all || !onlyAll));

const kernels = Object.fromEntries(
  Object.keys(KERNELS)
    .filter((version) => sets.some(({ kernel }) => kernel === version))
    .map((version) => [version, prepareKernel(cache, join(root, 'profiles'), version, say)]),
);
const results = [];
let unexpected = 0;
for (const set of sets) {
  say(`${set.id}: compiling`);
  const { objects, failed } = await compileSet(set, kernels[set.kernel], selftests, options.all);
  const chosen = objects.filter(({ name }) => names.length === 0 || names.includes(name));
  say(`${set.id}: ${chosen.length} objects`);
  const testmod = set.folder === 'bpf' ? await compileTestmod(set, kernels[set.kernel]) : undefined;
  const tasks = chosen.map(({ path }) => ({ path, kernel: set.kernel, engine, ...(testmod && { testmod }) }));
  const answers = await judgeAll(tasks, join(cache, 'answers'), (text) => say(`${set.id}: ${text}`));
  const judged = answers.map((answer, i) => ({ name: chosen[i].name, ...answer }));
  if (names.length > 0) for (const answer of judged) console.log(JSON.stringify({ set: set.id, ...answer }, null, 2));
  const misbehaviour = [];
  if (set.folder !== 'bpf') {
    say(`${set.id}: ten simulated seconds of each scheduler`);
    for (const { name, path } of chosen) misbehaviour.push(...((await behaves(name, path, set.kernel, engine)) ?? []));
    for (const fault of misbehaviour) say(`${set.id}: ${fault}`);
  }
  results.push({ set, judged, failed });
  unexpected += misbehaviour.length;
  unexpected += failed.length;
}
for (const { set, judged } of results) {
  for (const answer of judged) {
    const entry = meantToFail(answer.name, set.kernel);
    if (!entry || (typeof answer[entry.step] === 'string' && failsAsMeant(entry, answer[entry.step]))) continue;
    say(`${set.id}/${answer.name}: does not fail as it was made to: ${answer[entry.step]}`);
    unexpected++;
  }
}
unexpected += results
  .flatMap(({ judged }) => judged)
  .filter((answer) => Object.values(answer).some((value) => String(value).startsWith('unexpected'))).length;
if (names.length === 0) {
  console.log(table(results));
  const text = report(
    results,
    Object.values(kernels).map((kernel) => kernel.package),
    options.all,
  );
  writeFileSync(join(cache, 'corpus.md'), text);
  if (options.write) writeFileSync(join(root, 'docs/corpus.md'), text);
}
process.exitCode = unexpected > 0 ? 1 : 0;
