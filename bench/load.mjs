// How long it takes to start and to load an object of 3,238 insns with BTF: import, Kernel.create, open + load for the first
// time, each in a fresh process, and open + load again and again in one. `node bench/load.mjs` prints the best and the median
// of some processes, `-- RUNS` of so many; `-- --one` is one of them.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const OBJECT = fileURLToPath(new URL('load/large.bpf.o', import.meta.url));
const PROCESSES = 9;
const WARM_RUNS = 60;
const INSNS = 3238;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** One process: import, create a kernel, load once, then again and again. Milliseconds. */
async function measure() {
  const start = performance.now();
  const { Kernel, openObject, schedExt } = await import('vmtable');
  const imported = performance.now();
  const kernel = await Kernel.create();
  const created = performance.now();
  schedExt.addSchedExt(kernel);
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
    create: created - imported,
    cold: loads[0],
    warm: median(loads.slice(WARM_RUNS / 2)),
  };
}

/** Milliseconds over fresh processes: what each step took at best, and at the median. */
export function benchLoad(processes = PROCESSES) {
  const self = fileURLToPath(import.meta.url);
  const all = Array.from({ length: processes }, () =>
    JSON.parse(execFileSync(process.execPath, [self, '--one'], { encoding: 'utf8' })),
  );
  const round = (ms) => Number(ms.toFixed(2));
  const steps = Object.keys(all[0]).map((step) => {
    const times = all.map((one) => one[step]);
    return [step, { bestMs: round(Math.min(...times)), medianMs: round(median(times)) }];
  });
  return { insns: INSNS, processes, ...Object.fromEntries(steps) };
}

/** Lines of text for a person. */
export function formatLoad(load) {
  const line = (what, { bestMs, medianMs }) =>
    `${what.padEnd(34)}${bestMs.toFixed(1).padStart(8)}${medianMs.toFixed(1).padStart(10)}`;
  return [
    `${`ms, of ${load.processes} fresh processes`.padEnd(34)}    best    median`,
    line('import', load.import),
    line('Kernel.create', load.create),
    line(`open + load of ${load.insns} insns, BTF`, load.cold),
    line('the same again', load.warm),
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [argument] = process.argv.slice(2);
  if (argument === '--one') console.log(JSON.stringify(await measure()));
  else console.log(formatLoad(benchLoad(argument === undefined ? PROCESSES : Number(argument))).join('\n'));
}
