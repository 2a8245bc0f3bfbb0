// The kernels that are timed: C sources in bench/kernels with committed objects (clang-19 -O2 -mcpu=v3 -target bpf).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ElfFile } from '../dist/src/elf/index.js';
import { ownCopy } from '../dist/src/vm/own_copy.js';

export const root = fileURLToPath(new URL('..', import.meta.url));
const TUNED = ['sieve', 'fnv', 'xxhash', 'matmul', 'heap', 'packet', 'collatz', 'recursion', 'tiny'];
/** Added when the optimiser was done: they tell whether what helps the others helps. */
export const ADDED = ['number', 'graph'];
export const KERNELS = [...TUNED, ...ADDED];
/** Bytes at `mem`, and what they hold before the first run; the same in C and here. */
export const MEMORY_BYTES = 16384;
export const FILL = { c: '(u8)(i * 7 + (i >> 8))', js: (i) => i * 7 + (i >> 8) };

/** Insns of a kernel: its object's .text, which needs no relocation. */
export function kernelInsns(name) {
  const elf = new ElfFile(readFileSync(join(root, `bench/kernels/${name}.bpf.o`)));
  return elf.section('.text').data;
}

/** Calls of one thing from a place of its own, as a subsystem calls each of its ops. */
export function callLoop(call, a, b) {
  const loop = ownCopy((call, a, b) => (n) => {
    for (let i = 0; i < n; i++) call(a, b);
  });
  return loop(call, a, b);
}

/** r2 = MEMORY_BYTES: in front of a kernel, which so has both its arguments when it is called with a pointer alone. */
function withLength(insns) {
  const bytes = new Uint8Array(8 + insns.length);
  bytes[0] = 0xb7;
  bytes[1] = 2;
  new DataView(bytes.buffer).setInt32(4, MEMORY_BYTES, true);
  bytes.set(insns, 8);
  return bytes;
}

/** Loads a kernel and gives what runs it: `result` and `insns` of a counted run, `time(n)` in ns for n runs; of one that the JIT refuses, why. */
export function loadKernel(vm, name, { engine, checks }) {
  const { memory } = vm;
  const insns = withLength(kernelInsns(name));
  const prog = vm.loadProg({ name, insns, calls: new Map(), checks, faults: 'kernel', engine });
  if (engine === 'jit' && prog.engine !== 'jit') return { name, engine, checks, notCompiled: prog.notCompiled };
  const mem = memory.alloc(MEMORY_BYTES, { name: 'kernel memory', align: 64 });
  const bytes = memory.bytes(mem, MEMORY_BYTES);
  for (let i = 0; i < MEMORY_BYTES; i++) bytes[i] = FILL.js(i);
  const first = vm.run(prog, { args: [memory.address(mem)], countInsns: true });
  // What is timed is the code of runs that nobody counts.
  vm.count(prog, false);
  if (first.fault) throw new Error(`${name}: ${first.fault.message}`);
  const loop = callLoop(vm.invoker(prog), mem, 0);
  const time = (n) => {
    const start = process.hrtime.bigint();
    loop(n);
    return Number(process.hrtime.bigint() - start);
  };
  return { name, engine, checks, result: first.r0, insns: first.insns, time };
}
