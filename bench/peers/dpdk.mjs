// DPDK's librte_bpf, interpreter and JIT. It has no 32-bit jumps, no calls of subprograms and one argument: the kernels are built
// for that, inlined. Its verifier refuses loops.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ElfFile } from '../../dist/src/elf/index.js';
import { BUILD, clang, has } from '../clang.mjs';
import { FILL, KERNELS, MEMORY_BYTES, root } from '../kernels.mjs';
import { runProgram } from './process.mjs';

const PARAMETERS = 'unsigned char *mem, unsigned long long len';
const source = (kernel) => `#define kernel inner
static inline __attribute__((always_inline)) unsigned long long inner(${PARAMETERS});
#include "${kernel}.c"
unsigned long long entry(unsigned char *mem) { return inner(mem, ${MEMORY_BYTES}); }
`;

function insns(cc, kernel) {
  const file = join(BUILD, `${kernel}.dpdk`);
  writeFileSync(`${file}.c`, source(kernel));
  const flags = ['--target=bpfel', '-mcpu=v2', '-O2', '-w', '-ffunction-sections'];
  execFileSync(cc, [...flags, '-I', join(root, 'bench/kernels'), '-c', `${file}.c`, '-o', `${file}.o`]);
  writeFileSync(`${file}.insns`, new ElfFile(readFileSync(`${file}.o`)).section('.text.entry').data);
  return `${file}.insns`;
}

/** Both of its engines, or why they are not there. */
export function dpdk() {
  const names = ['DPDK interpreter', 'DPDK JIT'];
  const skip = (why) => names.map((name) => ({ name, skip: why }));
  const cc = clang();
  if (!cc) return skip('clang is not installed');
  if (!has('pkg-config')) return skip('pkg-config is not installed');
  const program = join(BUILD, 'dpdk');
  try {
    const cflags = execFileSync('pkg-config', ['--cflags', 'libdpdk'], { encoding: 'utf8', stdio: 'pipe' }).trim();
    const defines = [`-DMEMORY_BYTES=${MEMORY_BYTES}`, `-DFILL=${FILL.c.replace('u8', 'unsigned char')}`];
    const files = [join(root, 'bench/peers/dpdk.c'), '-o', program, '-lrte_bpf', '-lrte_eal'];
    execFileSync(cc, ['-O2', '-march=native', ...cflags.split(/\s+/), ...defines, ...files], { stdio: 'pipe' });
  } catch {
    return skip('DPDK is not installed (apt-get install libdpdk-dev)');
  }
  const args = KERNELS.flatMap((kernel) => [kernel, insns(cc, kernel)]);
  return [[], ['-j']].map((flags, i) => ({ name: names[i], run: () => runProgram(program, [...flags, ...args]) }));
}
