// npm run bench: the interpreter against the same C compiled natively, the cost of calling in and of dispatching an op, maps
// against the machine's own kernel, and loading. Samples of all sides are interleaved; a figure is the best of its samples,
// because what disturbs a sample only ever makes it longer. `-- --json` gives one JSON document.
import { Vm } from '../dist/src/vm/vm.js';
import { emptyOp } from './dispatch.mjs';
import { KERNELS, loadKernel } from './kernels.mjs';
import { benchLoad, formatLoad } from './load.mjs';
import { benchMaps, formatMaps } from './maps.mjs';
import { buildNative, runNative } from './native.mjs';

const ROUNDS = 40;
const SAMPLE_NS = 1e6;
const WARM_MS = 150;
const CHECKS = ['isolate', 'object'];

const geomean = (values) => Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

/** Half-width of the 95 % confidence interval of the mean, in percent of it. */
function rme(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return (196 * Math.sqrt(variance / values.length)) / mean;
}

/** Runs what is timed until V8 has optimised it, and finds how many runs a sample takes. */
function warm(subject) {
  const end = performance.now() + WARM_MS;
  let runs = 1;
  while (performance.now() < end || subject.time(runs) < SAMPLE_NS / 2) {
    if (subject.time(runs) < SAMPLE_NS / 2) runs *= 2;
  }
  return { ...subject, runs, samples: [] };
}

/** Calls of an empty Wasm function with three numbers. */
async function emptyExport() {
  // (module (func (export "f") (param i32 i32 i32) (result i32) i32.const 0))
  const bytes = [0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 127, 127, 127, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0];
  const module = await WebAssembly.instantiate(Uint8Array.from([...bytes, 10, 6, 1, 4, 0, 65, 0, 11]));
  const { f } = module.instance.exports;
  return timed('empty export', (n) => {
    for (let i = 0; i < n; i++) f(1, 2, 3);
  });
}

function timed(name, body) {
  return {
    name,
    time(n) {
      const start = process.hrtime.bigint();
      body(n);
      return Number(process.hrtime.bigint() - start);
    },
  };
}

const best = ({ samples }) => Math.min(...samples);

async function main() {
  const json = process.argv.includes('--json');
  const progress = (text) => process.stderr.isTTY && process.stderr.write(`\r\x1b[K${text}`);
  const native = buildNative();
  const vm = await Vm.create({ windowBytes: 16 * 2 ** 20 });
  const exit = { insns: Uint8Array.from([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]), calls: new Map() };
  const empty = vm.loadProg({ ...exit, name: 'empty', checks: 'isolate', faults: 'kernel', engine: 'interp' });
  const dispatched = await emptyOp('object');
  const calls = [
    await emptyExport(),
    timed('invoke of an empty program', (n) => {
      for (let i = 0; i < n; i++) vm.invoke(empty, 0, 0);
    }),
    timed('struct_ops op of an empty program', (n) => {
      for (let i = 0; i < n; i++) dispatched.op(1, 2);
    }),
  ].map(warm);
  const kernels = CHECKS.flatMap((checks) =>
    KERNELS.map((name) => {
      progress(`warming up ${name}, ${checks}`);
      return warm(loadKernel(vm, name, checks));
    }),
  );
  const nativeBest = new Map();
  for (let round = 0; round < ROUNDS; round++) {
    progress(`round ${round + 1} of ${ROUNDS}`);
    for (const each of [...kernels, ...calls]) each.samples.push(each.time(each.runs) / each.runs);
    if (!native || round % 8 !== 0) continue;
    for (const [name, { ns, result }] of runNative(native)) {
      nativeBest.set(name, Math.min(nativeBest.get(name) ?? Infinity, ns));
      const wrong = kernels.find((kernel) => kernel.name === name && kernel.result !== result);
      if (wrong) throw new Error(`${name}: ${wrong.result} here, ${result} natively`);
    }
  }
  progress('maps');
  const maps = await benchMaps();
  progress('loading');
  const rows = kernels.map((kernel) => {
    const ns = best(kernel);
    const nativeNs = nativeBest.get(kernel.name);
    return {
      name: kernel.name,
      engine: 'interp',
      checks: kernel.checks,
      nsPerCall: ns,
      nsPerInsn: ns / kernel.insns,
      insns: kernel.insns,
      samples: kernel.samples.length,
      rme: rme(kernel.samples),
      ...(nativeNs && { nativeNs, slowdown: ns / nativeNs }),
    };
  });
  const geomeans = Object.fromEntries(
    CHECKS.map((checks) => {
      const own = rows.filter((row) => row.checks === checks);
      const slowdown = native ? geomean(own.map((row) => row.slowdown)) : null;
      return [checks, { nsPerInsn: geomean(own.map((row) => row.nsPerInsn)), slowdown }];
    }),
  );
  const [bare, invoke, op] = calls.map(best);
  const call = { emptyExportNs: bare, invokeNs: invoke, ratio: invoke / bare, opNs: op, opRatio: op / bare };
  dispatched.dispose();
  const load = benchLoad();
  vm.dispose();
  progress('');
  const report = { rows, geomeans, call, maps, load, native: native !== undefined };
  if (json) console.log(JSON.stringify(report));
  else print(report);
}

function print({ rows, geomeans, call, maps, load, native }) {
  const cell = (value, digits, width) =>
    (value === undefined || value === null ? '–' : value.toFixed(digits)).padStart(width);
  console.log('interpreter          insns     native ns    isolate ns/insn  × native    object ns/insn  × native');
  for (const row of rows.filter(({ checks }) => checks === 'isolate')) {
    const other = rows.find(({ name, checks }) => name === row.name && checks === 'object');
    const columns = [cell(row.nativeNs, 1, 13), cell(row.nsPerInsn, 2, 18), cell(row.slowdown, 1, 10)];
    columns.push(cell(other.nsPerInsn, 2, 18), cell(other.slowdown, 1, 10));
    console.log(`${row.name.padEnd(14)}${String(row.insns).padStart(12)}${columns.join('')}`);
  }
  const { isolate, object } = geomeans;
  const sums = [cell(isolate.nsPerInsn, 2, 31), cell(isolate.slowdown, 1, 10), cell(object.nsPerInsn, 2, 18)];
  console.log(`${'geomean'.padEnd(26)}${sums.join('')}${cell(object.slowdown, 1, 10)}`);
  if (!native) console.log('clang is not installed: the native side is left out');
  console.log(
    `\ncalling in: ${call.invokeNs.toFixed(1)} ns for an empty program, ${call.emptyExportNs.toFixed(1)} ns for an empty Wasm export (${call.ratio.toFixed(1)} ×)`,
  );
  console.log(
    `struct_ops op: ${call.opNs.toFixed(1)} ns to an empty program, object checks (${call.opRatio.toFixed(1)} ×)`,
  );
  console.log(`\n${formatMaps(maps).join('\n')}`);
  console.log(`\n${formatLoad(load).join('\n')}`);
}

await main();
