// The kernels' C sources compiled by clang -O2 to wasm32: what is left when nothing is checked but by the Wasm engine.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, clang, has } from '../clang.mjs';
import { FILL, KERNELS, MEMORY_BYTES, root } from '../kernels.mjs';

/** Runs each kernel n times inside of the module, so that no call from JavaScript is timed with it. */
const loops = () =>
  KERNELS.map(
    (name) => `u64 kernel_${name}(u8 *, u64);
u64 loop_${name}(u8 *mem, u32 n)
{
	u64 result = 0;

	while (n--) {
		__asm__ volatile("" ::: "memory");
		result = kernel_${name}(mem, ${MEMORY_BYTES});
	}
	return result;
}`,
  ).join('\n');

/** A peer, or why there is none. */
export function wasm32() {
  const cc = clang();
  const linker = ['wasm-ld-19', 'wasm-ld'].find(has);
  if (!cc) return { name: 'wasm32', skip: 'clang is not installed' };
  if (!linker) return { name: 'wasm32', skip: 'wasm-ld is not installed (apt-get install lld-19)' };
  const sources = join(root, 'bench/kernels');
  const driver = join(BUILD, 'wasm.c');
  writeFileSync(driver, `#include "kernel.h"\nu8 mem[${MEMORY_BYTES}] __attribute__((aligned(64)));\n${loops()}\n`);
  const compile = (source, out, flags = []) => {
    execFileSync(cc, ['--target=wasm32', '-O2', '-mbulk-memory', '-I', sources, ...flags, '-c', source, '-o', out]);
    return out;
  };
  const objects = KERNELS.map((name) =>
    compile(join(sources, `${name}.c`), join(BUILD, `${name}.wasm.o`), [`-Dkernel=kernel_${name}`]),
  );
  const module = join(BUILD, 'kernels.wasm');
  execFileSync(linker, [
    ...['--no-entry', '--export-all', '-o', module],
    compile(driver, join(BUILD, 'wasm.o')),
    ...objects,
  ]);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(module)));
  const at = exports.mem.value;
  const bytes = new Uint8Array(exports.memory.buffer, at, MEMORY_BYTES);
  const runs = new Map();
  return {
    name: 'wasm32',
    run() {
      return KERNELS.map((name) => {
        const loop = exports[`loop_${name}`];
        for (let i = 0; i < MEMORY_BYTES; i++) bytes[i] = FILL.js(i);
        const result = BigInt.asUintN(64, loop(at, 1));
        const time = (n) => {
          const start = process.hrtime.bigint();
          loop(at, n);
          return Number(process.hrtime.bigint() - start);
        };
        let n = runs.get(name) ?? 1;
        while (time(n) < 1e6) n *= 2;
        runs.set(name, n);
        return { kernel: name, ns: Math.min(...Array.from({ length: 8 }, () => time(n) / n)), result };
      });
    },
  };
}
