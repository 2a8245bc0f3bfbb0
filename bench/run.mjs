// npm run bench: both engines against the same C compiled natively, calls between TypeScript and programs, maps against the
// machine's own kernel, and loading. Samples of all sides are interleaved; a figure is the best of its samples, because what
// disturbs a sample only ever makes it longer. `-- --json` gives one JSON document, `-- --peers` compares with others, too;
// `-- --table` gives nothing but the kernels, as a Markdown table.
import { warmUp } from '../dist/src/bench/sampler.js';
import { Vm } from '../dist/src/vm/vm.js';
import { callSubjects, formatCalls } from './calls.mjs';
import { ADDED, KERNELS, loadKernel } from './kernels.mjs';
import { benchLoad, formatLoad } from './load.mjs';
import { benchMaps, formatMaps } from './maps.mjs';
import { buildNative, runNative } from './native.mjs';
import { formatPeers, Peers } from './peers.mjs';
import { benchSim, formatSim } from './sim.mjs';
import { peersTable } from './table.mjs';
import { benchTranslate, formatTranslate } from './translate.mjs';

const ROUNDS = 40;
const SAMPLE_NS = 1e6;
const WARM_MS = 150;
const ENGINES = ['interp', 'jit'];
const SETUPS = ENGINES.flatMap((engine) => ['isolate', 'object'].map((checks) => ({ engine, checks })));
const setupOf = (setup) => (row) => row.engine === setup.engine && row.checks === setup.checks;

const geomean = (values) => Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

/** Half-width of the 95 % confidence interval of the mean, in percent of it. */
function rme(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return (196 * Math.sqrt(variance / values.length)) / mean;
}

const warm = (subject) => ({
  ...subject,
  runs: warmUp(subject, { sampleNs: SAMPLE_NS / 2, warmNs: WARM_MS * 1e6 }),
  samples: [],
});

const best = ({ samples }) => Math.min(...samples);

async function main() {
  const json = process.argv.includes('--json');
  const progress = (text) => process.stderr.isTTY && process.stderr.write(`\r\x1b[K${text}`);
  const native = buildNative();
  const peers = process.argv.includes('--peers') && native ? new Peers() : undefined;
  const vm = await Vm.create({ windowBytes: 16 * 2 ** 20 });
  const { subjects, dispose } = await callSubjects(vm, ENGINES);
  const calls = subjects.map(warm);
  const refused = [];
  const kernels = SETUPS.flatMap((setup) =>
    KERNELS.flatMap((name) => {
      progress(`warming up ${name}, ${setup.engine}, ${setup.checks}`);
      const kernel = loadKernel(vm, name, setup);
      if (kernel.notCompiled === undefined) return [warm(kernel)];
      refused.push(kernel);
      return [];
    }),
  );
  const nativeBest = new Map();
  for (let round = 0; round < ROUNDS; round++) {
    progress(`round ${round + 1} of ${ROUNDS}`);
    for (const each of [...kernels, ...calls]) {
      // What ran in between has taken caches and branch predictors, which the samples of the other sides find as they left them.
      each.time(Math.ceil(each.runs / 4));
      each.samples.push(each.time(each.runs) / each.runs);
    }
    if (!native || round % 8 !== 0) continue;
    for (const [name, { ns, result }] of runNative(native)) {
      nativeBest.set(name, Math.min(nativeBest.get(name) ?? Infinity, ns));
      const wrong = kernels.find((kernel) => kernel.name === name && kernel.result !== result);
      if (wrong) throw new Error(`${name}: ${wrong.result} here, ${result} natively`);
    }
    peers?.run((name) => kernels.find((kernel) => kernel.name === name).result);
  }
  const table = process.argv.includes('--table');
  progress(table ? '' : 'maps');
  const maps = table ? undefined : await benchMaps();
  progress('loading');
  const rows = kernels.map((kernel) => {
    const ns = best(kernel);
    const nativeNs = nativeBest.get(kernel.name);
    return {
      name: kernel.name,
      engine: kernel.engine,
      checks: kernel.checks,
      nsPerCall: ns,
      nsPerInsn: ns / kernel.insns,
      insns: kernel.insns,
      samples: kernel.samples.length,
      rme: rme(kernel.samples),
      ...(nativeNs && { nativeNs, slowdown: ns / nativeNs }),
    };
  });
  const geomeans = SETUPS.map((setup) => {
    const own = rows.filter(setupOf(setup));
    const added = own.filter(({ name }) => ADDED.includes(name));
    const slowdown = (some) => (native && some.length > 0 ? geomean(some.map((row) => row.slowdown)) : null);
    return {
      ...setup,
      slowdown: slowdown(own),
      added: slowdown(added),
      nsPerInsn: own.length > 0 ? geomean(own.map((row) => row.nsPerInsn)) : null,
    };
  });
  if (table) {
    progress('');
    dispose();
    vm.dispose();
    if (!native) throw new Error('--table needs clang');
    const setups = ['jit', 'interp'].flatMap((engine) => SETUPS.filter((setup) => setup.engine === engine));
    const lines = peersTable({ rows, setups, peers: peers?.report() ?? [], kernels: KERNELS, nativeNs: nativeBest });
    console.log(lines.join('\n'));
    return;
  }
  const unit = best(calls[0]);
  const call = calls.map((each) => {
    const ns = best(each) / (each.per ?? 1);
    return { name: each.name, key: each.key, ...(each.engine && { engine: each.engine }), ns, ratio: ns / unit };
  });
  dispose();
  progress('translating');
  const translate = await benchTranslate();
  const load = benchLoad();
  vm.dispose();
  progress('simulating');
  const sim = await benchSim();
  progress('');
  const others = peers?.report();
  const report = { rows, refused, geomeans, calls: call, translate, maps, load, sim, native: native !== undefined };
  if (json) console.log(JSON.stringify(others ? { ...report, peers: others } : report));
  else print(report, others, nativeBest);
}

function print({ rows, refused, geomeans, calls, translate, maps, load, sim, native }, peers, nativeNs) {
  const cell = (value, digits, width) =>
    (value === undefined || value === null ? '–' : value.toFixed(digits)).padStart(width);
  const heads = SETUPS.map(({ engine, checks }) => `${engine} ${checks}`.padStart(16)).join('');
  console.log(`${native ? '× native' : 'ns/insn '}            insns    native ns${heads}`);
  for (const name of KERNELS) {
    const own = SETUPS.map((setup) => rows.find((row) => row.name === name && setupOf(setup)(row)));
    const columns = own.map((row) => cell(native ? row?.slowdown : row?.nsPerInsn, 2, 16)).join('');
    console.log(`${name.padEnd(14)}${String(own[0].insns).padStart(12)}${cell(own[0].nativeNs, 1, 13)}${columns}`);
  }
  const sums = (key) => geomeans.map((each) => cell(each[key], 2, 16)).join('');
  console.log(`${'geomean'.padEnd(39)}${sums(native ? 'slowdown' : 'nsPerInsn')}`);
  if (native) console.log(`${`of ${ADDED.join(' and ')} alone`.padEnd(39)}${sums('added')}`);
  else console.log('clang is not installed: the native side and peers are left out');
  for (const { name, checks, notCompiled } of refused) console.log(`not compiled, ${checks}: ${name}: ${notCompiled}`);
  if (peers) console.log(`\n${formatPeers(peers, nativeNs, geomean).join('\n')}`);
  console.log(`\n${formatCalls(calls).join('\n')}`);
  console.log(`\n${formatTranslate(translate).join('\n')}`);
  console.log(`\n${formatMaps(maps).join('\n')}`);
  console.log(`\n${formatLoad(load).join('\n')}`);
  console.log(`\n${formatSim(sim).join('\n')}`);
}

await main();
