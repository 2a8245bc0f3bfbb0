// How long it takes to start and to load: import, Kernel.create, open + load for the first time in a fresh process, and open +
// load again and again in one; for an object of 3,238 insns with BTF, and for one as large as the largest scheduler
// (load/scheduler.mjs), with what the process then has resident. `node bench/load.mjs` prints the best and the median of some
// processes, `-- RUNS` of so many; `-- --one OBJECT` is one of them.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const OBJECTS = [
  { name: 'large', file: 'load/large.bpf.o', insns: 3238, what: '3,238 insns', warmRuns: 60 },
  { name: 'scheduler', file: 'load/scheduler.bpf.o.gz', insns: 28857, what: '28,857 insns, 1 MB of BTF', warmRuns: 10 },
];
const PROCESSES = 9;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** One process: import, create a kernel, load once, then again and again. Milliseconds; MiB resident after the first load. */
async function measure(file, warmRuns) {
  const start = performance.now();
  const { Kernel, openObject, sim } = await import('vmtable');
  const imported = performance.now();
  const kernel = await Kernel.create();
  const created = performance.now();
  sim.addSchedExt(kernel);
  const bytes = readFileSync(file);
  const loads = [];
  let resident = 0;
  for (let i = 0; i < 1 + warmRuns; i++) {
    const before = performance.now();
    const object = openObject(bytes, { name: 'bench' }).load(kernel);
    loads.push(performance.now() - before);
    resident ||= process.memoryUsage().rss / 2 ** 20;
    object.close();
  }
  kernel.dispose();
  const warm = median(loads.slice(1 + warmRuns / 2));
  return { import: imported - start, create: created - imported, cold: loads[0], warm, resident };
}

/** Figures over fresh processes: what each step took at best, and at the median. */
export function benchLoad(processes = PROCESSES) {
  const self = fileURLToPath(import.meta.url);
  const scratch = mkdtempSync(join(tmpdir(), 'bench-load-'));
  const round = (value) => Number(value.toFixed(2));
  try {
    const objects = OBJECTS.map(({ name, file, insns, what, warmRuns }) => {
      const given = readFileSync(new URL(file, import.meta.url));
      const object = join(scratch, `${name}.bpf.o`);
      writeFileSync(object, file.endsWith('.gz') ? gunzipSync(given) : given);
      const args = [self, '--one', object, String(warmRuns)];
      const all = Array.from({ length: processes }, () =>
        JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })),
      );
      const steps = Object.keys(all[0]).map((step) => {
        const values = all.map((one) => one[step]);
        return [step, { best: round(Math.min(...values)), median: round(median(values)) }];
      });
      return { name, what, insns, ...Object.fromEntries(steps) };
    });
    return { processes, objects };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Lines of text for a person. */
export function formatLoad({ processes, objects }) {
  const line = (what, { best, median }) =>
    `${what.padEnd(50)}${best.toFixed(1).padStart(8)}${median.toFixed(1).padStart(10)}`;
  const [first] = objects;
  return [
    `${`ms, of ${processes} fresh processes`.padEnd(50)}    best    median`,
    line('import', first.import),
    line('Kernel.create', first.create),
    ...objects.flatMap(({ what, cold, warm, resident }) => [
      line(`open + load of ${what}`, cold),
      line('  the same again', warm),
      line('  MiB resident after the first', resident),
    ]),
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [argument, file, warmRuns] = process.argv.slice(2);
  if (argument === '--one') console.log(JSON.stringify(await measure(file, Number(warmRuns))));
  else console.log(formatLoad(benchLoad(argument === undefined ? PROCESSES : Number(argument))).join('\n'));
}
