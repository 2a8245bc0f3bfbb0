// How long it takes to open and load an object of 3,238 insns with BTF: cold in fresh processes, warm in one.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const OBJECT = fileURLToPath(new URL('load/large.bpf.o', import.meta.url));
const COLD_RUNS = 7;
const WARM_RUNS = 60;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** One process: import, create a kernel, load once, then again and again. Milliseconds. */
async function measure() {
  const start = performance.now();
  const { Kernel, openObject, schedExt } = await import('../dist/src/index.js');
  const imported = performance.now();
  const kernel = await Kernel.create();
  schedExt.addSchedExt(kernel);
  const created = performance.now();
  const bytes = readFileSync(OBJECT);
  const loads = [];
  for (let i = 0; i < WARM_RUNS; i++) {
    const before = performance.now();
    const object = openObject(bytes, { name: 'large' }).load(kernel);
    loads.push(performance.now() - before);
    object.close();
  }
  kernel.dispose();
  return {
    import: imported - start,
    kernel: created - imported,
    cold: loads[0],
    warm: median(loads.slice(WARM_RUNS / 2)),
  };
}

/** Medians over fresh processes, in ms. */
export function benchLoad(runs = COLD_RUNS) {
  const self = fileURLToPath(import.meta.url);
  const all = Array.from({ length: runs }, () =>
    JSON.parse(execFileSync(process.execPath, [self], { encoding: 'utf8' })),
  );
  const of = (key) => Number(median(all.map((one) => one[key])).toFixed(2));
  return { insns: 3238, importMs: of('import'), kernelMs: of('kernel'), coldMs: of('cold'), warmMs: of('warm') };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(JSON.stringify(await measure()));
