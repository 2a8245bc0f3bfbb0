// What it costs to call a program from TypeScript, and TypeScript from a program.
import { assemble } from '../dist/src/index.js';
import { emptyOp } from './dispatch.mjs';
import { callLoop, kernelInsns, MEMORY_BYTES } from './kernels.mjs';

/** Calls of a host function in one run of the program that does nothing else. */
const ROUND_TRIPS = 100;
const EXIT = assemble('r0 = 0; exit');
/** As kernels/tiny.c without its division: what a callback does that charges a task for its slice. */
const SMALL =
  assemble(`r2 = *(u64 *)(r1 + 0); r3 = *(u64 *)(r1 + 16); r4 = *(u32 *)(r1 + 12); w4 &= 4; if w4 == 0 goto full; r3 >>= 1
  full: r2 += r3; *(u64 *)(r1 + 0) = r2; r0 = r2; r0 >>= 10; exit`);
const LOOP = assemble(`r6 = ${ROUND_TRIPS}; top: r1 = r6; call 1; r6 += -1; if r6 != 0 goto top; exit`);
const CALL_AT = 2;

export function timed(name, body) {
  return {
    name,
    time(n) {
      const start = process.hrtime.bigint();
      body(n);
      return Number(process.hrtime.bigint() - start);
    },
  };
}

const timedCalls = (name, call, a, b) => timed(name, callLoop(call, a, b));

/** An empty Wasm function with three numbers: the unit of the rest. */
async function emptyExport() {
  // (module (func (export "f") (param i32 i32 i32) (result i32) i32.const 0))
  const bytes = [0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 127, 127, 127, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0];
  const module = await WebAssembly.instantiate(Uint8Array.from([...bytes, 10, 6, 1, 4, 0, 65, 0, 11]));
  const { f } = module.instance.exports;
  return timed('empty export', (n) => {
    for (let i = 0; i < n; i++) f(1, 2, 3);
  });
}

/** What is timed, the unit first; `dispose` frees what it needs. */
export async function callSubjects(vm, engines) {
  const kfunc = vm.registerHost('bench_kfunc', (call) => call.ret(call.u32(0) + 1), { args: 1 });
  const mem = vm.memory.alloc(MEMORY_BYTES, { name: 'kernel memory', align: 64 });
  const subjects = [{ ...(await emptyExport()), key: 'emptyExport' }];
  for (const engine of engines) {
    const load = (name, insns, calls = new Map()) =>
      vm.loadProg({ name, insns, calls, checks: 'isolate', faults: 'kernel', engine });
    const invoke = (name, prog, key, per = 1) => {
      if (engine === 'jit' && prog.engine !== 'jit') return;
      const subject = timedCalls(`${name}, ${engine}`, vm.invoker(prog), mem, 0);
      subjects.push({ ...subject, key, engine, per });
    };
    invoke('empty program', load('empty', EXIT), 'empty');
    invoke(`program of ${SMALL.length / 8} insns`, load('small', SMALL), 'small');
    const tiny = kernelInsns('tiny');
    invoke(`program of ${tiny.length / 8} insns`, load('tiny', tiny), 'tiny');
    const calls = new Map([[CALL_AT, { kind: 'host', index: kfunc }]]);
    invoke('program → TypeScript kfunc → program', load('loop', LOOP, calls), 'kfunc', ROUND_TRIPS);
  }
  const ops = [];
  for (const engine of engines) {
    const op = await emptyOp('object', engine);
    ops.push(op);
    const name = `struct_ops op of an empty program, object checks, ${engine}`;
    subjects.push({ ...timedCalls(name, op.op, 1, 2), key: 'op', engine });
  }
  return {
    subjects,
    dispose: () => {
      for (const op of ops) op.dispose();
    },
  };
}

export function formatCalls(calls) {
  return [
    `calls: an empty Wasm export takes ${calls[0].ns.toFixed(2)} ns; × that:`,
    ...calls.slice(1).map(({ name, ratio }) => `  ${name.padEnd(58)}${ratio.toFixed(1).padStart(6)}`),
  ];
}
