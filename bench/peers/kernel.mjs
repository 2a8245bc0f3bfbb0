// The JIT of the machine's own kernel: BPF_PROG_TEST_RUN of the same objects, where bpf(2) is allowed and the verifier accepts.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, clang } from '../clang.mjs';
import { FILL, KERNELS, kernelInsns, MEMORY_BYTES, root } from '../kernels.mjs';
import { runProgram } from './process.mjs';

export function kernelJit() {
  const name = 'kernel JIT';
  const cc = clang();
  if (process.platform !== 'linux' || !cc) return { name, skip: 'needs Linux and clang' };
  const program = join(BUILD, 'kernel_run');
  const defines = [`-DMEMORY_BYTES=${MEMORY_BYTES}`, `-DFILL=${FILL.c.replace('u8', 'unsigned char')}`];
  execFileSync(cc, ['-O2', ...defines, join(root, 'bench/peers/kernel_run.c'), '-o', program]);
  const args = KERNELS.flatMap((kernel) => {
    const file = join(BUILD, `${kernel}.insns`);
    writeFileSync(file, kernelInsns(kernel));
    return [kernel, file];
  });
  try {
    runProgram(program, []);
  } catch (error) {
    return { name, skip: error.message };
  }
  return { name, run: () => runProgram(program, args) };
}
